"""A bar for each emotion."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.theme import QUIET, Palette
from livesr.reading import Reading

_NAME_CELLS = 11
_ROOMY = 56  # cells from which this window's own number fits beside the smoothed one


@dataclass(frozen=True, slots=True)
class Bars:
    """Smoothed probabilities as bars and percent; this window's own beside them."""

    reading: Reading | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.reading is None:
            return
        palette = Palette.of(console, options)
        roomy = options.max_width >= _ROOMY
        # Where nobody was heard the shares are only where they start from: no claim, so no colour.
        heard = self.reading.status in ("speech", "unsure")
        width = max(4, options.max_width - _NAME_CELLS - (16 if roomy else 6))
        for label, share in self.reading.smoothed.items():
            leads = label == self.reading.label
            style = palette.style(label) if heard else QUIET
            row = Text(f" {palette.glyph(label)} {label:<8}")
            row.stylize(f"bold {style}" if leads else style)
            row.append(palette.across(share, width), style)
            row.append(f"{share:5.0%}", "bold" if leads else "" if heard else QUIET)
            if roomy:
                row.append(f"  now {self.reading.probabilities[label]:4.0%}", QUIET)
            row.truncate(options.max_width)
            yield row
