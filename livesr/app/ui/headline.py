"""The current label, large; or its absence, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.theme import QUIET, Palette
from livesr.reading import Reading

_LETTERS = {  # three rows each
    "A": ("┏━┓", "┣━┫", "╹ ╹"),
    "D": ("╺┳┓", " ┃┃", "╺┻┛"),
    "E": ("┏━╸", "┣╸ ", "┗━╸"),
    "G": ("┏━╸", "┃╺┓", "┗━┛"),
    "H": ("╻ ╻", "┣━┫", "╹ ╹"),
    "L": ("╻  ", "┃  ", "┗━╸"),
    "N": ("┏┓╻", "┃┗┫", "╹ ╹"),
    "P": ("┏━┓", "┣━┛", "╹  "),
    "R": ("┏━┓", "┣┳┛", "╹┗╸"),
    "S": ("┏━┓", "┗━┓", "┗━┛"),
    "T": ("╺┳╸", " ┃ ", " ╹ "),
    "U": ("╻ ╻", "┃ ┃", "┗━┛"),
    "Y": ("╻ ╻", "┗┳┛", " ╹ "),
}
ABSENCES = {"no-speech": "no speech", "unsure": "unsure", "warming-up": "warming up"}


@dataclass(frozen=True, slots=True)
class Headline:
    """What the voice sounds like now.

    Three rows where the height allows, else one.

    Attributes:
        reading: the newest.
        notice: what stands in its place: paused, or a microphone that has gone.
    """

    reading: Reading | None
    notice: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        tall = (options.height or 3) >= 3
        reading = self.reading
        if self.notice:
            line = Text(f" {palette.printable(self.notice)}", "bold")
            rows = [Text(""), line] if tall else [line]
        elif reading is None or reading.label is None:
            words = ABSENCES[reading.status] if reading else "waiting"
            reason = reading.reason if reading and reading.reason else "for the first sound"
            line = Text(f" {words}", f"bold {QUIET}").append(f"  {reason}", f"not bold {QUIET}")
            rows = [Text(""), line] if tall else [line]
        else:
            rows = self._label(reading.label, reading.smoothed[reading.label], palette, tall)
        for row in rows:
            row.truncate(options.max_width)
            yield row

    @staticmethod
    def _label(label: str, share: float, palette: Palette, tall: bool) -> list[Text]:
        style = f"bold {palette.style(label)}".strip()
        letters = [_LETTERS.get(letter) for letter in label.upper()]
        if not tall or palette.ascii_only or None in letters:
            spaced = " ".join(label.upper())
            return [Text(f" {palette.glyph(label)} {spaced}  {share:.0%}", style)]
        rows = [" ".join(letter[row] for letter in letters if letter) for row in range(3)]
        before = ("   ", f" {palette.glyph(label)} ", "   ")
        after = ("", f"  {share:.0%}", "")
        return [Text(b + row + a, style) for b, row, a in zip(before, rows, after, strict=True)]
