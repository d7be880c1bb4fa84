"""Shapes and colours: every emotion has both, so that either alone is enough.

Hues are Okabe and Ito's, told apart by colour-blind eyes and legible on dark and light ground.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions

COLOURS = {"angry": "#d55e00", "happy": "#e69f00", "neutral": "#009e73", "sad": "#0072b2"}
# Where there are only 16 colours, Okabe and Ito's would fall together in pairs.
BASIC_COLOURS = {"angry": "red", "happy": "yellow", "neutral": "cyan", "sad": "blue"}
GLYPHS = {"angry": "▲", "happy": "●", "neutral": "■", "sad": "▼"}
HOLLOW = {"angry": "△", "happy": "○", "neutral": "□", "sad": "▽"}
EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
EIGHTHS_ACROSS = " ▏▎▍▌▋▊▉█"
QUIET = "dim"
FAINT_DBFS = -60.0  # the foot of every level scale
CLIPPING_DBFS = -1.0


@dataclass(frozen=True, slots=True)
class Palette:
    """How shapes are drawn on one console: blocks in colour, letters where there is neither."""

    colour: bool
    ascii_only: bool
    basic: bool = False

    @classmethod
    def of(cls, console: Console, options: ConsoleOptions) -> Palette:
        """The palette that this console can show."""
        system = console.color_system
        colour = system is not None and not console.no_color
        return cls(colour, options.ascii_only, basic=system in ("standard", "windows"))

    def glyph(self, label: str) -> str:
        """One cell that stands for an emotion."""
        return label[0].upper() if self.ascii_only else GLYPHS.get(label, "◆")

    def style(self, label: str) -> str:
        """The emotion's colour, as a rich style."""
        colours = BASIC_COLOURS if self.basic else COLOURS
        return colours.get(label, "") if self.colour else ""

    def fill(self, label: str, sure: bool) -> str:
        """One cell of an emotion's area; glyphs where colour cannot tell areas apart."""
        if self.colour and not self.ascii_only:
            return "█" if sure else "▒"
        if sure:
            return self.glyph(label)
        return label[0].lower() if self.ascii_only else HOLLOW.get(label, "◇")

    def printable(self, text: str) -> str:
        """Text from outside (a file's name, a device's), safe to print: "?" for what is not."""
        shown = "".join(cell if cell.isprintable() else "?" for cell in text)
        return shown.encode("ascii", "replace").decode() if self.ascii_only else shown

    def up(self, share: float) -> str:
        """A column of `share` (0 to 1) of a cell's height."""
        index = round(8 * min(max(share, 0.0), 1.0))
        return " .:-=+*##"[index] if self.ascii_only else EIGHTHS_UP[index]

    def across(self, share: float, width: int) -> str:
        """A bar of `share` (0 to 1) of `width` cells, to an eighth of a cell."""
        eighths = round(8 * width * min(max(share, 0.0), 1.0))
        whole, rest = divmod(eighths, 8)
        if self.ascii_only:
            return ("#" * whole).ljust(width)
        return ("█" * whole + (EIGHTHS_ACROSS[rest] if rest else "")).ljust(width)
