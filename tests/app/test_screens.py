"""The whole view, exactly, at four sizes on dark and light grounds; and its contrast.

A change of the view shows up as a change of the files in `screens/`:

    python -m tests.app.test_screens    # writes them anew

A file has the text of a screen, then the same screen with a letter for the style of each cell.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.color import ColorSystem
from rich.segment import Segment

from livesr.app.console import PlainConsole
from livesr.app.ui.picture import Picture
from livesr.app.ui.theme import QUIET, Ground, Palette
from livesr.app.ui.view import View
from livesr.event import Event
from livesr.model.metadata import LABELS
from livesr.reading import Reading
from livesr.settings import DecisionSettings
from tests.app.test_ui import GROUNDS, contrast

FOLDER = Path(__file__).with_name("screens")
SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]
_RULE = "=" * 8 + " styles"


def _reading(end: float, label: str | None, status: str = "speech") -> Reading:
    """Made of plain fractions, so that it is the same on every machine."""
    leads = label or "sad"
    times = np.arange(max(0.0, end - 3), end - 0.06, 0.02)
    weights = np.maximum(0.0, 1 - np.abs(times - (end - 1)) / 0.5) + 0.02
    most = 0.62 if label else 0.45
    shares = {name: most if name == leads else (1 - most) / 3 for name in LABELS}
    return Reading(
        start=max(0.0, end - 3),
        end=end,
        status=status,  # type: ignore[arg-type]
        label=label,
        reason=None if label else "not sure enough",
        probabilities=shares,
        smoothed=shares,
        attention=(weights / weights.sum()).astype(np.float32),
        attention_times=times,
        speech=0.02 if status == "no-speech" else 0.97,
        level_dbfs=-55.0 if status == "no-speech" else -22.0,
    )


def listening(label: str | None = "happy", status: str = "speech") -> View:
    """Forty seconds of a microphone: neutral, sad, a pause, unsure, then what is asked for."""
    view = View(
        "USB microphone  ● recording me.flac",
        "acrnn-whisper",
        None,
        {"rate": "48000 Hz", "profile": "me", "latency": "21/34 ms", "dropped": "0.0 s"},
        "q quit  space pause  r reset  m mark  1-9 u correct  ? help",
        DecisionSettings(),
        level=(-18.0, -0.4),
        corrects=True,
    )
    parts = [(None, "warming-up"), *[("neutral", "speech")] * 14, *[("sad", "speech")] * 8]
    parts += [*[(None, "no-speech")] * 4, *[(None, "unsure")] * 5, *[(label, status)] * 8]
    for number, (said, what) in enumerate(parts):
        for quarter in range(1, 5):
            view.take(_reading(number + quarter / 4, said, what))
        if number == 12:
            view.take(Event("mark", 12.5))
        if number == 25:
            view.take(Event("teach", 25.5, text="sad"))
    return view


def _legend() -> View:
    view = listening()
    view.legend = True
    return view


def _paused() -> View:
    view = listening("angry")
    view.duration, view.corrects, view.level = 60.0, False, None
    view.source, view.keys = "talk.flac", "q quit  space pause  ←→ 5 s  . step  ? help"
    view.notice = "paused; space goes on"
    return view


SCENES: dict[str, Callable[[], View]] = {
    "listening": listening,
    "unsure": lambda: listening(None, "unsure"),
    "silent": lambda: listening(None, "no-speech"),
    "paused": _paused,
    "legend": _legend,
}


def cells(view: View, width: int, height: int, ground: Ground | None) -> list[list[Segment]]:
    """Each row of the screen, as segments."""
    console = _console(width, height, ground)
    options = console.options.update(width=width, height=height)
    return console.render_lines(Picture(view), options, pad=True)


def _console(width: int, height: int, ground: Ground | None) -> PlainConsole:
    console = PlainConsole(width=width)
    console.file, console.ground = io.StringIO(), ground
    console._color_system, console.legacy_windows = ColorSystem.TRUECOLOR, False
    console._height, console.no_color = height, False
    return console


def _letter(segment: Segment, ground: Ground | None) -> str:
    """What a segment's style is called; upper case is bold."""
    style = segment.style
    if style is None:
        return " "
    palette = Palette(colour=True, ascii_only=False, ground=ground)
    names = {palette.style(label): label[0] for label in LABELS} | {palette.quiet: "q"}
    colour = style.color.name if style.color else ""
    letter = names[colour] if colour else "r" if style.reverse else "d" if style.bold else " "
    if style.dim:  # what is not live
        letter = "." if letter == " " else {"a": "1", "h": "2", "n": "3", "s": "4"}.get(letter, ".")
    return letter.upper() if style.bold else letter


def drawn(view: View, width: int, height: int, ground: Ground | None) -> str:
    """The text of a screen, then the letters of its styles."""
    rows = cells(view, width, height, ground)
    text = ["".join(segment.text for segment in row).rstrip() for row in rows]
    styles = [
        "".join(_letter(segment, ground) * segment.cell_length for segment in row).rstrip()
        for row in rows
    ]
    return "\n".join([*text, _RULE, *styles, ""])


@pytest.mark.parametrize("ground", ["dark", "light", None])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("scene", SCENES)
def test_the_screen_is_exactly_this(
    scene: str, width: int, height: int, ground: Ground | None
) -> None:
    shown = drawn(SCENES[scene](), width, height, ground)
    expected = (FOLDER / f"{scene}-{width}x{height}.txt").read_text(encoding="utf-8")
    assert shown.splitlines() == expected.splitlines(), (
        "the view has changed; if that is meant: python -m tests.app.test_screens, and look at it"
    )
    text = shown.partition(_RULE)[0].splitlines()
    assert len(text) == height
    assert max(map(len, text)) <= width


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("scene", SCENES)
def test_every_colour_on_the_screen_has_contrast(scene: str, ground: Ground | None) -> None:
    """WCAG 2.2, 1.4.3: 4.5:1. What is dim on purpose (not live) has its colours beneath."""
    seen = set()
    for width, height in SIZES:
        for row in cells(SCENES[scene](), width, height, ground):
            seen |= {s.style.color.name for s in row if s.style and s.style.color}
    assert QUIET[ground] in seen
    assert len(seen) >= 2 or scene == "legend"
    for colour in seen:
        for behind in GROUNDS[ground]:
            assert contrast(colour, behind) >= 4.5, (colour, behind)


def test_every_state_is_told_without_colour() -> None:
    """By shapes and words alone: no two scenes look the same."""
    for width, height in SIZES:
        shown = {
            scene: drawn(make(), width, height, None).partition(_RULE)[0]
            for scene, make in SCENES.items()
        }
        assert len(set(shown.values())) == len(SCENES)
    few = dataclasses.replace(listening(), corrects=False)
    assert " 1 ▲" not in drawn(few, 80, 24, None)


if __name__ == "__main__":
    for name, make in SCENES.items():
        for size in SIZES:
            path = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
            path.write_text(drawn(make(), *size, None), encoding="utf-8")
