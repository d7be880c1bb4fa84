"""A bar for each emotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.theme import LEAST_BAR, Palette
from livesr.reading import Reading

_NAME_CELLS = 11
_ROOMY = 56  # cells from which this window's own number fits beside the smoothed one
_MARKED = 10  # cells of a bar from which a mark in it says something
_MOST_NUMBERS = 9  # keys
_WIDEST = 72  # cells from which the usual number fits too


@dataclass(frozen=True, slots=True)
class Bars:
    """Smoothed probabilities as bars and percent; the newest window's own beside them.

    Attributes:
        reading: the newest.
        usual: label -> what is usual for this voice, marked in each bar; empty if not known.
        numbered: whether each label has a number before it, the key that corrects to it.
    """

    reading: Reading | None
    usual: Mapping[str, float] = field(default_factory=dict)
    numbered: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.reading is None:
            return
        palette = Palette.of(console, options)
        roomy, widest = options.max_width >= _ROOMY, options.max_width >= _WIDEST
        usual = self.usual if tuple(self.usual) == tuple(self.reading.smoothed) else {}
        # Without speech the shares are only where they start from: no claim, so no colour.
        spoken = self.reading.status in ("speech", "unsure")
        left = _NAME_CELLS + 2 * self.numbered
        width = options.max_width - left - (6 + 10 * roomy + (12 if widest else 0))
        width = max(width, min(LEAST_BAR, options.max_width - left - 5))
        width = width if width >= LEAST_BAR else 0
        for number, (label, share) in enumerate(self.reading.smoothed.items(), start=1):
            leads = label == self.reading.label
            style = palette.style(label) if spoken else palette.quiet
            row = Text()
            if self.numbered:
                row.append(f" {number}" if number <= _MOST_NUMBERS else "  ", palette.quiet)
            row.append(f" {palette.glyph(label)} {label:<8}", f"bold {style}" if leads else style)
            row.append_text(self._bar(share, usual.get(label), width, style, palette))
            row.truncate(max(0, options.max_width - 5))  # the name is cut, but not the number
            row.append(f"{share:5.0%}", "bold" if leads else "" if spoken else palette.quiet)
            if roomy:
                row.append(f"  now {self.reading.probabilities[label]:4.0%}", palette.quiet)
            if widest:
                told = f"  usual {usual[label]:4.0%}" if usual else ""
                row.append(told.ljust(12), palette.quiet)
            row.truncate(options.max_width)
            yield row

    @staticmethod
    def _bar(share: float, usual: float | None, width: int, style: str, palette: Palette) -> Text:
        """The bar, with a mark where the usual share ends."""
        bar = Text(palette.across(share, width), style)
        if usual is None or width < _MARKED:
            return bar
        place = min(width - 1, round(usual * width))
        mark = Text("|" if palette.ascii_only else "│")
        return bar[:place] + mark + bar[place + 1 :]
