"""The current label, large; or its absence, with the rule that says so."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.letters import solid
from livesr.app.ui.lines import ABSENCES
from livesr.app.ui.theme import Palette
from livesr.reading import Reading
from livesr.settings import DecisionSettings

_AIR = 3  # dots between the word and its certainty; letters are 1 apart


def rule(
    reading: Reading, settings: DecisionSettings | None = None, held: str | None = None
) -> str:
    """Why there is no label, with the numbers that decided it.

    Args:
        reading: one without a label.
        settings: the model's; None where it is not known: then the rule's own numbers are left out.
        held: the label shown last.

    Example:
        "not sure enough: sad 48 %, needs 55 %"
    """
    if reading.status == "no-speech" and settings:
        return f"no voice for {settings.silence_seconds:g} s"
    if reading.status != "unsure" or not reading.smoothed:
        return reading.reason or ""
    if reading.reason == "too little speech yet":
        needs = f": needs {settings.least_speech_seconds:g} s" if settings else ""
        return f"too little speech yet{needs}"
    (first, most), *others = sorted(reading.smoothed.items(), key=lambda item: -item[1])
    if reading.reason == "not sure enough":
        needs = f", needs {settings.least_probability:.0%}" if settings else ""
        return _spaced(f"not sure enough: {first} {most:.0%}{needs}")
    if reading.reason != "too close to call" or settings is None or not others:
        return reading.reason or ""
    second, next_most = others[0]
    margin = settings.keep_margin if first == held else settings.least_margin
    return _spaced(
        f"too close: {first} {most:.0%}, {second} {next_most:.0%}, needs {margin:.0%} more"
    )


def _spaced(text: str) -> str:
    return text.replace("%", " %")


@dataclass(frozen=True, slots=True)
class Headline:
    """What the voice sounds like now, in letters as large as the room there is.

    Attributes:
        reading: the newest.
        settings: the model's, for the rule by which there is no label; None if not known.
        held: the label shown last.
    """

    reading: Reading | None
    settings: DecisionSettings | None = None
    held: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        height, reading = options.height or 3, self.reading
        if reading is None or reading.label is None:
            words = ABSENCES[reading.status] if reading else "waiting"
            why = rule(reading, self.settings, self.held) if reading else "for the first sound"
            rows = self._absence(words, why, options.max_width, height, palette)
        else:
            share = reading.smoothed[reading.label]
            rows = self._label(reading.label, share, options.max_width, height, palette)
        for row in rows:
            row.truncate(options.max_width)
            yield row

    @staticmethod
    def _absence(words: str, why: str, width: int, height: int, palette: Palette) -> list[Text]:
        """The words, large only where a label would be larger still; and the rule."""
        quiet = palette.quiet
        line = Text(f" {words}", f"bold {quiet}").append(f"  {why}", f"not bold {quiet}")
        letters = None if palette.ascii_only else solid(words, width - 3, height // 2)
        if letters is None or height < 8:
            return [Text(""), line] if height >= 3 else [line]
        return [Text(f"   {row}", quiet) for row in letters] + [Text(f"   {why}", quiet)]

    @staticmethod
    def _label(label: str, share: float, width: int, height: int, palette: Palette) -> list[Text]:
        style = f"bold {palette.style(label)}".strip()
        number = f"{share:.0%}"
        plain = [Text(f" {palette.glyph(label)} {' '.join(label.upper())}  {number}", style)]
        if palette.ascii_only:
            return plain
        # The number may be half as large as the word, which is read first.
        for beside in (solid(number, width, height), solid(number, width, height // 2), [number]):
            if beside is None:
                continue
            right = max(map(len, beside))
            letters = solid(label, width - 4 - right, height)
            if letters is None or len(beside) > len(letters):
                continue
            wide = max(map(len, letters))
            dots = 6 * len(label) - 1
            air = _AIR * max(1, wide // dots)
            if 4 + wide + air + right > width:
                continue
            middle, wide = len(letters) // 2, wide + air
            top = len(letters) - len(beside) if len(beside) > 1 else middle
            rows = []
            for place, row in enumerate(letters):
                glyph = palette.glyph(label) if place == middle else " "
                number_row = beside[place - top] if 0 <= place - top < len(beside) else ""
                rows.append(Text(f" {glyph}  {row.ljust(wide)}{number_row}".rstrip(), style))
            return rows
        return plain
