"""The last minute, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.reading import Reading
from livesr.ui.attention import axis
from livesr.ui.theme import QUIET, Palette


@dataclass(frozen=True, slots=True)
class History:
    """Smoothed probabilities over time, stacked to full height.

    Paler where unsure; a dot where nobody spoke; blank before the stream began. The last row is
    the axis.
    """

    readings: Sequence[Reading]
    seconds: float = 60.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        width = max(1, options.max_width - 2)
        rows = max(1, (options.height or 5) - 1)
        columns = self._columns(width)
        for row in range(rows - 1, -1, -1):
            text = Text(" ")
            for reading in columns:
                text.append(*self._cell(reading, (row + 0.5) / rows, row == 0, palette))
            yield text
        yield axis(self.seconds, width, step=15.0 if self.seconds > 30 else 5.0)

    def _columns(self, width: int) -> list[Reading | None]:
        """The reading that each column shows; None before the first and after the last."""
        if not self.readings:
            return [None] * width
        ends = [reading.end for reading in self.readings]
        first = ends[-1] - self.seconds
        moments = first + (np.arange(width) + 0.5) / width * self.seconds
        began = ends[0] - (ends[1] - ends[0] if len(ends) > 1 else ends[0])
        return [
            self.readings[int(np.searchsorted(ends, moment))] if moment > began else None
            for moment in moments
        ]

    @staticmethod
    def _cell(
        reading: Reading | None, height: float, foot: bool, palette: Palette
    ) -> tuple[str, str]:
        if reading is None or reading.status in ("no-speech", "warming-up"):
            dot = "." if palette.ascii_only else "·"
            return (dot if foot and reading is not None else " ", QUIET)
        labels = list(reading.smoothed)
        tops = np.cumsum(list(reading.smoothed.values()))
        shown = labels[min(int(np.searchsorted(tops, height)), len(labels) - 1)]
        sure = reading.status == "speech"
        return palette.fill(shown, sure), palette.style(shown)
