"""Shapes and colours: every emotion has both, so that either alone is enough.

On the screen every hue has a contrast of 4.5:1 or more (WCAG 2.2, 1.4.3): on black and white where
the terminal does not say what its ground is, else on all usual grounds of its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from livesr.text import made_printable

if TYPE_CHECKING:  # the report, too, takes shapes from here
    from rich.console import Console, ConsoleOptions

Ground = Literal["dark", "light"]

# The hues of livesr.colours as letters, on black and on white.
ON_ANY = {"angry": "#c15500", "happy": "#9d6c00", "neutral": "#008661", "sad": "#117cb7"}
# Of the 256 that most terminals have, so that none is replaced by a neighbour. On black and white
# only five of them have the contrast, grey apart.
ON_ANY_OF_256 = {"angry": "#af5f5f", "happy": "#d700af", "neutral": "#00875f", "sad": "#5f5fff"}
ON_DARK = {"angry": "#ff875f", "happy": "#ffaf00", "neutral": "#00d7af", "sad": "#5fafff"}
ON_LIGHT = {"angry": "#af0000", "happy": "#875f00", "neutral": "#005f5f", "sad": "#0000d7"}
# Where there are only 16 colours, they would fall together in pairs.
BASIC_COLOURS = {"angry": "red", "happy": "yellow", "neutral": "cyan", "sad": "blue"}
GLYPHS = {"angry": "▲", "happy": "●", "neutral": "■", "sad": "▼"}
EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
EIGHTHS_ACROSS = " ▏▎▍▌▋▊▉█"
# What is less important. Not "dim", which every terminal shows as it likes.
QUIET = {"dark": "#a8a8a8", "light": "#585858", None: "#767676"}
FAINT_DBFS = -60.0  # the foot of every level scale
CLIPPING_DBFS = -1.0
LEAST_BAR = 3  # cells; a shorter bar is left out


@dataclass(frozen=True, slots=True)
class Palette:
    """How shapes are drawn on one console: blocks in colour, letters where there is neither."""

    colour: bool
    ascii_only: bool
    basic: bool = False
    ground: Ground | None = None
    indexed: bool = False  # there are 256 colours and no more

    @classmethod
    def of(cls, console: Console, options: ConsoleOptions) -> Palette:
        """The palette that this console can show; its attribute `ground`, if any, is heeded."""
        system = console.color_system
        colour = system is not None and not console.no_color
        basic = system in ("standard", "windows")
        ground = getattr(console, "ground", None)
        return cls(colour, options.ascii_only, basic, ground, system == "256")

    def glyph(self, label: str) -> str:
        """One cell that stands for an emotion."""
        return label[0].upper() if self.ascii_only else GLYPHS.get(label, "◆")

    def style(self, label: str) -> str:
        """The emotion's colour, as a rich style."""
        if not self.colour:
            return ""
        if self.basic:
            return BASIC_COLOURS.get(label, "")
        any_ground = ON_ANY_OF_256 if self.indexed else ON_ANY
        hues = {"dark": ON_DARK, "light": ON_LIGHT}.get(self.ground or "", any_ground)
        return hues.get(label, "")

    @property
    def quiet(self) -> str:
        """The style of what is less important."""
        return QUIET[self.ground] if self.colour and not self.basic else "dim"

    def fill(self, label: str) -> str:
        """One cell of an emotion's area; glyphs where colour cannot tell areas apart."""
        return "█" if self.colour and not self.ascii_only else self.glyph(label)

    def printable(self, text: str) -> str:
        """Text from outside (a file's name, a device's), safe to print: "?" for what is not."""
        shown = made_printable(text)
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
