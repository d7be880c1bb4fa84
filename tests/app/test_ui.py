"""Every part of the view rendered exactly, and the whole at any size."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from rich.console import Console, RenderableType
from rich.text import Text

from livesr.app.ui.attention import AttentionStrip, axis
from livesr.app.ui.bars import Bars
from livesr.app.ui.ground import ground, of_answer
from livesr.app.ui.headline import Headline, rule
from livesr.app.ui.history import History
from livesr.app.ui.letters import solid
from livesr.app.ui.lines import line
from livesr.app.ui.meter import Meter
from livesr.app.ui.picture import Picture
from livesr.app.ui.theme import GLYPHS, Ground, Palette
from livesr.app.ui.usual import Usual
from livesr.app.ui.usual_row import UsualRow
from livesr.app.ui.view import View
from livesr.event import Event
from livesr.model.metadata import LABELS
from livesr.reading import Reading
from livesr.settings import DecisionSettings

WAITS = {
    "no-speech": "nobody is speaking",
    "unsure": "too close to call",
    "warming-up": "listening",
}


def reading(
    end: float,
    status: str = "speech",
    *,
    label: str | None = "happy",
    shares: Sequence[float] = (0.1, 0.6, 0.25, 0.05),
    level: float = -20.0,
    speech: float = 0.98,
) -> Reading:
    times = np.arange(max(0, end - 3), end - 0.06, 0.02)
    weights = np.exp(-np.square((times - (end - 1)) / 0.2))
    named = dict(zip(LABELS, shares, strict=True))
    return Reading(
        start=max(0.0, end - 3),
        end=end,
        status=status,  # type: ignore[arg-type]
        label=label if status == "speech" else None,
        reason="not sure enough"
        if status == "unsure" and max(shares) < 0.55
        else WAITS.get(status),
        probabilities=dict(zip(LABELS, (0.2, 0.5, 0.2, 0.1), strict=True)),
        smoothed=named,
        attention=(weights / weights.sum()).astype(np.float32),
        attention_times=times,
        speech=speech,
        level_dbfs=level,
    )


def render(
    part: RenderableType | View, width: int, height: int | None = None, colour: str | None = None
) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        height=height or 25,
        force_terminal=True,
        color_system=colour,  # type: ignore[arg-type]
        legacy_windows=False,
        _environ={},
    )
    console.print(_drawn(part), height=height, end="")
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().rstrip("\n").split("\n")]


def _drawn(part: RenderableType | View) -> RenderableType:
    return Picture(part) if isinstance(part, View) else part


def plain(part: RenderableType | View, width: int, height: int | None = None) -> list[str]:
    """Rendered without colour; what styles are left (bold, dim) is taken out."""
    return [Text.from_ansi(text).plain.rstrip() for text in render(part, width, height)]


def test_headline() -> None:
    assert plain(Headline(reading(2.0)), 60, 4) == [
        "    █   █ ▄▀▀▀▄ █▀▀▀▄ █▀▀▀▄ █   █    ▄▀▀  ▄▀▀▀▄ ██  ▄",
        "    █▄▄▄█ █   █ █▄▄▄▀ █▄▄▄▀ ▀▄ ▄▀   █▄▄▄  █ ▄▀█   ▄▀",
        " ●  █   █ █▀▀▀█ █     █       █     █   █ █▀  █ ▄▀ ▄▄",
        "    ▀   ▀ ▀   ▀ ▀     ▀       ▀      ▀▀▀   ▀▀▀     ▀▀",
    ]
    assert plain(Headline(reading(2.0)), 40, 4)[2] == " ●  █   █ █▀▀▀█ █     █       █     60%"
    assert plain(Headline(reading(2.0)), 30, 4) == [" ● H A P P Y  60%"]
    assert plain(Headline(reading(2.0)), 40, 1) == [" ● H A P P Y  60%"]
    assert plain(Headline(None), 40, 1) == [" waiting  for the first sound"]


def test_letters_grow_with_the_room() -> None:
    assert solid("HI", 11, 4) == ["█   █  ▀█▀", "█▄▄▄█   █", "█   █   █", "▀   ▀  ▀▀▀"]
    assert solid("HI", 22, 7) == [
        "██      ██    ██████",
        "██      ██      ██",
        "██      ██      ██",
        "██████████      ██",
        "██      ██      ██",
        "██      ██      ██",
        "██      ██    ██████",
    ]
    largest = solid("HI", 44, 14)
    assert (
        largest is not None and len(largest) == 14 and largest[0].startswith("████            ████")
    )
    assert solid("HI", 10, 4) is None
    assert solid("HI", 50, 3) is None
    assert solid("é", 50, 14) is None
    assert solid("", 50, 14) is None
    for label in (*LABELS, "no speech", "0123456789%"):
        assert solid(label, 300, 14)


SETTINGS = DecisionSettings()
ODDS = DecisionSettings(least_margin=0.2, keep_margin=0.19)


@pytest.mark.parametrize(
    ("shares", "settings", "held", "words"),
    [
        ((0.2, 0.22, 0.1, 0.48), SETTINGS, None, "not sure enough: sad 48 %, needs 55 %"),
        ((0.2, 0.22, 0.1, 0.48), None, None, "not sure enough: sad 48 %"),
        ((0.4, 0.0, 0.02, 0.58), ODDS, None, "too close: sad 58 %, angry 40 %, needs 20 % more"),
        ((0.4, 0.0, 0.02, 0.58), ODDS, "sad", "too close: sad 58 %, angry 40 %, needs 19 % more"),
    ],
)
def test_unsure_says_its_rule(
    shares: Sequence[float], settings: DecisionSettings | None, held: str | None, words: str
) -> None:
    unsure = reading(2.0, "unsure", shares=shares)
    assert rule(unsure, settings, held) == words
    assert plain(Headline(unsure, settings, held), 70, 1) == [f" unsure  {words}"]


def test_other_absences_say_their_rules() -> None:
    few = dataclasses.replace(reading(2.0, "unsure"), reason="too little speech yet")
    assert rule(few, SETTINGS) == "too little speech yet: needs 0.5 s"
    assert rule(few) == "too little speech yet"
    assert rule(reading(2.0, "no-speech"), SETTINGS) == "no voice for 1 s"
    lost = dataclasses.replace(reading(2.0, "unsure"), reason="the sound is missing")
    assert rule(lost, SETTINGS) == "the sound is missing"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("no-speech", " no speech  nobody is speaking"),
        ("unsure", " unsure  too close to call"),
        ("warming-up", " warming up  listening"),
    ],
)
def test_headline_without_a_label_names_no_emotion(status: str, words: str) -> None:
    assert plain(Headline(reading(2.0, status)), 50, 1) == [words]
    assert plain(Headline(reading(2.0, status)), 50, 3) == ["", words]
    for width, height in ((60, 20), (80, 24), (200, 60)):
        shown = plain(view(status=status), width, height)
        bars = next(row for row, text in enumerate(shown) if "▲ angry" in text)
        above = "\n".join(shown[:bars])
        assert (words if height < 40 else words.split("  ")[1]) in above
        assert not any(
            name in above.lower().partition("%")[0] for name in LABELS if name != "happy"
        )
        assert not any(glyph in above for glyph in GLYPHS.values())


def test_bars() -> None:
    assert plain(Bars(reading(2.0)), 60) == [
        " ▲ angry   ███▎                               10%  now  20%",
        " ● happy   ███████████████████▊               60%  now  50%",
        " ■ neutral ████████▎                          25%  now  20%",
        " ▼ sad     █▋                                  5%  now  10%",
    ]
    assert plain(Bars(reading(2.0)), 30)[1] == " ● happy   ███████▊       60%"


def test_bars_in_colour() -> None:
    happy = render(Bars(reading(2.0)), 30, colour="truecolor")[1]
    assert happy.startswith("\x1b[1;38;2;157;108;0m ● happy")
    # Without speech nothing is claimed, so there is no hue but the quiet grey.
    silent = "".join(render(Bars(reading(2.0, "no-speech")), 30, colour="truecolor"))
    assert "● happy" in silent
    assert set(re.findall(r"38;2;[0-9;]+", silent)) == {"38;2;118;118;118"}


def test_bars_with_what_is_usual_and_the_keys_that_correct() -> None:
    usual = dict(zip(LABELS, (0.5, 0.2, 0.25, 0.05), strict=True))
    assert plain(Bars(reading(2.0), usual, numbered=True), 76) == [
        " 1 ▲ angry   ███▌              │                  10%  now  20%  usual  50%",
        " 2 ● happy   ███████│█████████████                60%  now  50%  usual  20%",
        " 3 ■ neutral ████████▊│                           25%  now  20%  usual  25%",
        " 4 ▼ sad     █▊│                                   5%  now  10%  usual   5%",
    ]
    assert "│" not in "".join(plain(Bars(reading(2.0), {"calm": 0.5, "tense": 0.5}), 76))
    assert "│" not in "".join(plain(Bars(reading(2.0), usual), 20))


def spoken(usual: Usual, count: int, start: float = 0.0, **changes: Any) -> Usual:
    for k in range(count):
        usual.add(reading(start + 0.25 * (k + 1), **changes))
    return usual


def test_what_is_usual_is_the_mean_of_the_speech_before_the_window() -> None:
    usual = spoken(Usual(), 40, speech=1.0)
    assert usual.shares == {}  # of 10 s the newest 3 are the window's
    assert usual.seconds == 7
    spoken(usual, 12, 10.0, speech=1.0)
    assert usual.shares == pytest.approx(dict(zip(LABELS, (0.2, 0.5, 0.2, 0.1), strict=True)))
    spoken(usual, 400, 13.0, status="no-speech", speech=0.0)
    assert usual.seconds == 13  # a pause changes nothing
    angry = reading(120.0, shares=(0.7, 0.1, 0.1, 0.1))
    assert usual.departure(angry) == ("angry", pytest.approx(0.5))
    assert plain(UsualRow(usual, angry), 70) == [
        "   usual   happy 50%, angry 20%   above ▲ angry +50 points"
    ]
    alike = reading(120.0, shares=(0.25, 0.45, 0.2, 0.1))
    assert usual.departure(alike) is None
    assert plain(UsualRow(usual, alike), 70)[0].endswith("   as usual")
    silent = reading(120.0, "no-speech")
    assert usual.departure(silent) is None
    assert plain(UsualRow(usual, silent), 70) == ["   usual   happy 50%, angry 20%"]


def test_a_new_speaker_and_new_words_begin_anew() -> None:
    shown = view(count=100)
    assert shown.usual.shares
    shown.take(Event("reset", 25.0))
    assert not shown.usual.shares
    assert "known after 10 s of speech (0 s so far)" in "\n".join(plain(shown, 80, 24))
    words = {"calm": 0.5, "tense": 0.5}
    usual = spoken(Usual(), 100)
    for k in range(13):
        own = reading(25.25 + 0.25 * k)
        usual.add(dataclasses.replace(own, probabilities=words, smoothed=words))
    assert usual.shares == {}
    assert usual.departure(own) is None


def test_sixteen_colours_keep_emotions_apart() -> None:
    bars = render(Bars(reading(2.0)), 30, colour="standard")
    starts = ("\x1b[31m ▲", "\x1b[1;33m ●", "\x1b[36m ■", "\x1b[34m ▼")
    assert all(row.startswith(start) for row, start in zip(bars, starts, strict=True))


def test_meter() -> None:
    assert plain(Meter(reading(2.0, level=-30.0)), 60) == [
        "   level   ██████████▌            -30.0 dBFS  speech    98%"
    ]
    quiet = plain(Meter(reading(2.0, "no-speech", level=-120.0, speech=0.01)), 60)
    assert quiet == ["   level                         -120.0 dBFS  no voice   1%"]
    loud = plain(Meter(reading(2.0, "no-speech", speech=0.1), (-12.0, -0.2)), 70)[0]
    assert "  -12.0 dBFS CLIPS, peak -0.2   no voice  10%" in loud
    assert "CLIPS" in plain(Meter(reading(2.0, level=-0.5)), 60)[0]
    assert "CLIPS" not in plain(Meter(reading(2.0, level=-1.5)), 60)[0]


def test_attention_stands_over_the_moment_it_weighed() -> None:
    readings = [reading(0.25 * k, level=-30.0) for k in range(1, 17)]
    strip = plain(AttentionStrip(readings, 3.0), 32, 4)
    assert strip == [
        "                   ▃██▄",
        "                 ▁▅████▆▂",
        " ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄",
        " -3 s      -2 s      -1 s   now",
    ]


def test_attention_of_a_young_stream_leaves_the_past_empty() -> None:
    strip = plain(AttentionStrip([reading(1.0)], 3.0), 32, 4)
    assert strip[2].startswith(" " * 21 + "▅")


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_attention_of_almost_nothing(steps: int) -> None:
    whole = reading(0.25, "warming-up")
    few = {"attention": whole.attention[:steps], "attention_times": whole.attention_times[:steps]}
    values = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    assert len(plain(AttentionStrip([Reading(**{**values, **few})], 3.0), 32, 4)) == 4


def test_axis() -> None:
    assert axis(60.0, 40, 15.0).plain == " -60 s     -45 s     -30 s     -15 s  now"
    assert axis(3.0, 5).plain == " -3 s "


def test_history() -> None:
    readings = [
        *(reading(0.5 * k, "no-speech") for k in range(1, 11)),
        *(reading(5 + 0.5 * k, speech=0.1 if k in (5, 6) else 0.9) for k in range(1, 11)),
        *(reading(10 + 0.5 * k, "unsure") for k in range(1, 11)),
    ]
    events = [
        Event("mark", 6.0),
        Event("gap", 11.0, 0.5),
        Event("device", 14.9, text="a long name"),
    ]
    assert plain(History(readings, 20.0, events), 42, 7) == [
        "",
        "",
        "                     ●●●●  ●●●●░░░░░░░░░░",
        "           ··········●●●●··●●●●░░░░░░░░░░",
        "                     ●",
        "                       ◆mark     ◆      ◆",
        " -20 s     -15 s     -10 s     -5 s   now",
    ]


def test_history_in_colour() -> None:
    happy = "38;2;157;108;0"
    sure = History([reading(0.5 * k) for k in range(1, 21)], 10.0)
    # 0.6 of four rows: two whole, and 0.4 of the third.
    rows = render(sure, 12, 6, "truecolor")
    assert Text.from_ansi(rows[0]).plain.strip() == ""
    assert rows[1] == f" \x1b[{happy}m{'▃' * 10}\x1b[0m"
    assert rows[2] == rows[3] == f" \x1b[{happy}m{'█' * 10}\x1b[0m"
    assert rows[4] == f" \x1b[{happy}m●\x1b[0m"
    unsure = "".join(
        render(History([reading(0.5 * k, "unsure") for k in range(1, 21)], 10.0), 12, 6)
    )
    assert unsure.count("░") == 20
    assert not any(glyph in unsure for glyph in GLYPHS.values())


# ---- contrast (WCAG 2.2, relative luminance and contrast ratio) ----


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


GROUNDS: dict[str | None, list[str]] = {
    None: ["#000000", "#ffffff"],
    # The darkest and the lightest of common themes: xterm, VS Code, Solarized, Dracula, Nord.
    "dark": ["#000000", "#1e1e1e", "#002b36", "#282a36", "#2e3440"],
    "light": ["#ffffff", "#fdf6e3", "#eee8d5", "#fafafa"],
}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("system", ["truecolor", "256"])
def test_every_hue_stands_out_from_its_ground(ground: Ground | None, system: str) -> None:
    palette = Palette(colour=True, ascii_only=False, ground=ground, indexed=system == "256")
    hues = [palette.style(label) for label in LABELS] + [palette.quiet]
    if system == "256":  # not one of them is replaced by a neighbour
        downgraded = [Color.parse(hue).downgrade(ColorSystem.EIGHT_BIT) for hue in hues]
        shown = [colour.get_truecolor().hex for colour in downgraded]
        assert hues[:-1] == shown[:-1]  # the grey may be
        hues = shown
    assert len(set(hues)) == len(LABELS) + 1
    for hue in hues:
        for behind in GROUNDS[ground]:
            assert contrast(hue, behind) >= 4.5, (hue, behind)


def test_the_measure_of_contrast_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("answer", "ground"),
    [
        (b"\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?62c", "dark"),
        (b"\x1b]11;rgb:fdfd/f6f6/e3e3\x07\x1b[?62;4c", "light"),
        (b"\x1b]11;rgb:ff/ff/ff\x07", "light"),
        (b"\x1b[?6c", None),
        (b"", None),
    ],
)
def test_what_a_terminal_says_of_its_ground(answer: bytes, ground: str | None) -> None:
    assert of_answer(answer) == ground


def test_what_the_environment_says_of_the_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for value, said in (("15;0", "dark"), ("0;15", "light"), ("0;default;7", "light"), ("", None)):
        monkeypatch.setenv("COLORFGBG", value)
        assert ground() == said


def test_lines() -> None:
    assert line(reading(1.25)) == (
        "    1.25 s  happy                          "
        "angry 0.10  happy 0.60  neutral 0.25  sad 0.05  speech 0.98   -20.0 dBFS"
    )
    assert " unsure: too close to call  " in line(reading(1.25, "unsure"))
    assert " no speech  " in line(reading(1.25, "no-speech"))
    assert " warming up  " in line(reading(1.25, "warming-up"))
    # The longest that `Decision` says keeps the columns too.
    longest = dataclasses.replace(reading(1.25, "unsure"), reason="too little speech yet")
    assert " unsure: too little speech yet  angry" in line(longest)
    assert line(longest).index("angry") == line(reading(1.25)).index("angry")


def view(duration: float | None = 30.0, count: int = 60, status: str = "speech") -> View:
    shown = View("talk.wav", "acrnn-compact", duration, {"rate": "16000 Hz"}, keys="q quit")
    for k in range(count):
        shown.add(reading(0.25 * (k + 1), "warming-up" if k < 3 else status))
    return shown


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (120, 40), (200, 60)])
def test_the_whole_view(width: int, height: int) -> None:
    lines = plain(view(), width, height)
    assert len(lines) == height
    text = "\n".join(lines)
    assert "talk.wav" in lines[0]
    assert lines[0].endswith("00:15.0 / 00:30.0")
    assert lines[1].startswith(" ━━━")
    for needed in ("▲ angry", "▼ sad", "dBFS", "-3 s", "last 3 s", "last 30 s", "●●●"):
        assert needed in text
    assert lines[-1].endswith("q quit")
    assert "acrnn-compact" in lines[-1]
    # The word takes a growing part of the screen, and is there whole.
    word = [text for text in lines[2:20] if "█" in text and "angry" not in text]
    assert any(row.rstrip().endswith(("█", "▀", "%", "▄")) for row in word)


def test_the_word_is_read_across_a_room() -> None:
    lines = plain(view(), 200, 60)
    largest = solid("happy", 200, 14)
    assert largest is not None
    found = [row for row in largest if any(row in text for text in lines)]
    assert found == largest


def test_the_window_is_the_model_s_own() -> None:
    shown = view()
    shown.settings = DecisionSettings(window_seconds=2.0)
    text = "\n".join(plain(shown, 80, 24))
    assert "last 2 s" in text and "-2 s" in text
    assert "3 s" not in text.replace("30 s", "")
    short = View("a", "b")
    for k in range(1, 9):
        short.add(dataclasses.replace(reading(0.5 * k), start=max(0.0, 0.5 * k - 1.5)))
    text = "\n".join(plain(short, 80, 24))  # a session, whose model is not known
    assert "last 1.5 s" in text


def test_what_is_not_live_is_dim() -> None:
    shown = view()
    live = render(shown, 80, 24, "truecolor")
    shown.notice = "paused; space goes on"
    dim = render(shown, 80, 24, "truecolor")
    assert not any("\x1b[1;2;38" in row for row in live)
    assert any("paused; space goes on" in row and "\x1b[1;7m" in row for row in dim)
    painted = [row for row in dim[3:-1] if "38;2" in row]
    assert painted and all("2;38;2" in row for row in painted)
    assert "talk.wav" in dim[0]


def test_the_legend_explains_all_and_fits() -> None:
    for width, height in ((60, 20), (80, 24), (120, 40), (200, 60)):
        shown = view()
        shown.legend = True
        text = " ".join(" ".join(plain(shown, width, height)).split())
        shown.corrects = True
        text = " ".join(" ".join(plain(shown, width, height)).split())
        for needed in ("large word", "now:", "usual", "attention", "░ unsure", "· no speech",
                       "◆ marks", "latency", "CLIPS", "not live", "1 angry, 2 happy", "u: undo",
                       "q quit", "talk.wav"):  # fmt: skip
            assert needed in text, (needed, width)
        assert "▲ angry" not in text


def test_what_a_key_did_is_seen_beside_a_long_name() -> None:
    shown = view()
    shown.source = "microphone  ● recording " + "x" * 100
    shown.facts |= {"profile": "me", "latency": "20/30 ms"}
    for width, height in ((60, 20), (80, 24), (120, 40), (30, 9)):
        shown.note = ""
        before = plain(shown, width, height)
        shown.note = "corrected: sad"
        after = plain(shown, width, height)
        assert after[:-2] == before[:-2]  # nothing jumps
        assert " corrected: sad" in after[-2:]
    shown.note = "There were 0.2 s of speech in the last 3 s, a correction needs 1 s."
    assert plain(shown, 60, 20)[-2:] == [
        " There were 0.2 s of speech in the last 3 s, a correction",
        " needs 1 s.",
    ]


def test_marks_stand_in_the_history() -> None:
    shown = view()
    shown.take(Event("mark", 12.0))
    assert "◆mark" in "\n".join(plain(shown, 80, 30))
    for k in range(61, 400):
        shown.take(reading(0.25 * k))
    assert not shown.events


@given(st.integers(12, 220), st.integers(4, 70), st.integers(0, 30), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_size_fits(width: int, height: int, count: int, colour: bool, ends: bool) -> None:
    shown = view(30.0 if ends else None, count)
    rendered = render(shown, width, height, "truecolor" if colour else None)
    assert len(rendered) <= height
    assert all(Text.from_ansi(text).cell_len <= width for text in rendered)


def test_a_minute_is_kept() -> None:
    shown = view(count=1000)
    assert shown.readings[0].end == shown.readings[-1].end - 60
    assert all(b.end > a.end for a, b in pairwise(shown.readings))


def test_a_tiny_terminal_shows_the_label_first() -> None:
    assert plain(view(None), 20, 5) == [
        "  livesr    00:15.0",
        " ● H A P P Y  60%",
        " ▲ angry   ▎    10%",
        " ● happy   █▊   60%",
        " ■ neutral ▊    25%",
    ]


@pytest.mark.parametrize("numbered", [True, False])
def test_no_number_is_cut_at_any_width(numbered: bool) -> None:
    shown = reading(15.0, shares=(1.0, 0.0, 0.0, 0.0), speech=1.0, level=-14.5)
    for width in range(8, 90):
        rows = plain(Bars(shown, numbered=numbered), width)
        assert [row.partition("  now")[0][-4:].strip() for row in rows] == ["100%", *["0%"] * 3]
        (meter,) = plain(Meter(shown), width)
        if width >= 24:  # the level is there
            assert "-14.5" in meter
        assert not re.search(r"(speech|voice) +\d+$", meter), meter


def test_footer_leaves_out_whole_facts() -> None:
    shown = view()
    shown.facts = {"rate": "48000 Hz", "latency": "31 ms", "dropped": "7"}
    shown.keys = "q quit  r record"
    wide = " model acrnn-compact · rate 48000 Hz · latency 31 ms · dropped 7    q quit  r record"
    assert plain(shown, 85, 24)[-1] == wide
    narrow = " model acrnn-compact · rate 48000 Hz       q quit  r record"
    assert plain(shown, 60, 16)[-1] == narrow
    assert plain(shown, 60, 20)[-2:] == [
        " model acrnn-compact · rate 48000 Hz · latency 31 ms",
        " q quit  r record",
    ]


@pytest.mark.parametrize(
    ("seconds", "clock"), [(59.94, "00:59.9"), (59.97, "01:00.0"), (3599.97, "1:00:00.0")]
)
def test_clock_carries(seconds: float, clock: str) -> None:
    assert plain(view(seconds), 80, 24)[0].endswith(f"00:15.0 / {clock}")


def test_a_source_cannot_steer_the_terminal() -> None:
    shown = view()
    shown.source = "a\x1b[2J\nb\udcff.wav"
    top = render(shown, 80, 24)[0]
    assert "a?[2J?b?.wav" in top
    assert len(render(shown, 80, 24)) == 24


@pytest.mark.parametrize("colour", [None, "standard", "truecolor"])
def test_ascii_terminals(colour: str | None) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")  # raises at anything else
    console = Console(
        file=stream,
        width=60,
        height=20,
        force_terminal=True,
        color_system=colour,  # type: ignore[arg-type]
        legacy_windows=False,
        _environ={},
    )
    shown = view(status="unsure")
    for k in range(60, 100):
        shown.add(reading(0.25 * (k + 1)))
    shown.source = "café.wav"
    console.print(Picture(shown), height=20)
    stream.flush()
    lines = Text.from_ansi(buffer.getvalue().decode()).plain.splitlines()
    assert "caf?.wav" in lines[0]
    assert any("H H A P P Y  60%" in text for text in lines)
    assert any("////HHHHHHHHHH" in text for text in lines)
