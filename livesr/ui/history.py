"""The last minute, stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.reading import Reading
from livesr.stage import Float64
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
        heights = (np.arange(rows) + 0.5) / rows
        # Many columns show one reading: each is drawn once, and a row is joined from runs.
        runs = [
            (self._column(reading, heights, palette), count)
            for reading, count in _runs(self._columns(width))
        ]
        for row in range(rows - 1, -1, -1):
            text = Text(" ")
            for column, count in runs:
                cell, style = column[row]
                text.append(cell * count, style)
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
    def _column(
        reading: Reading | None, heights: Float64, palette: Palette
    ) -> list[tuple[str, str]]:
        """Cell and style at each height (0 to 1), from the foot up."""
        if reading is None or reading.status in ("no-speech", "warming-up"):
            dot = "." if palette.ascii_only else "·"
            blank = [(" ", "")] * len(heights)
            return blank if reading is None else [(dot, QUIET), *blank[1:]]
        labels = list(reading.smoothed)
        tops = np.cumsum(list(reading.smoothed.values()))
        shown = np.minimum(np.searchsorted(tops, heights), len(labels) - 1)
        sure = reading.status == "speech"
        cells = [(palette.fill(label, sure), palette.style(label)) for label in labels]
        return [cells[index] for index in shown]


def _runs(columns: Sequence[Reading | None]) -> Iterator[tuple[Reading | None, int]]:
    """Each reading with how many neighbouring columns show it."""
    for _, same in groupby(columns, key=id):
        run = list(same)
        yield run[0], len(run)
