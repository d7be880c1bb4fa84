"""What a voice usually sounds like, and what departs from that now, as a row."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.theme import Palette
from livesr.app.ui.usual import LEAST_SECONDS, Usual
from livesr.reading import Reading


@dataclass(frozen=True, slots=True)
class UsualRow:
    """One row: what is usual for this voice, and what is above it now."""

    usual: Usual
    reading: Reading | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.reading is None:
            return
        palette = Palette.of(console, options)
        row = Text().append("   usual   ", palette.quiet)
        shares = self.usual.shares
        if not shares:
            so_far = f"({self.usual.seconds:.0f} s so far)"
            row.append(f"known after {LEAST_SECONDS:g} s of speech {so_far}", palette.quiet)
        else:
            most = sorted(shares, key=lambda label: -shares[label])[:2]
            row.append(", ".join(f"{label} {shares[label]:.0%}" for label in most))
            if found := self.usual.departure(self.reading):
                label, above = found
                words = f"{palette.glyph(label)} {label} +{100 * above:.0f} points"
                row.append("   above ", palette.quiet).append(words, f"bold {palette.style(label)}")
            elif self.reading.status in ("speech", "unsure"):
                row.append("   as usual", palette.quiet)
        row.truncate(options.max_width)
        yield row
