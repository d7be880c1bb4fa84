"""The last minute, stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.attention import axis
from livesr.app.ui.theme import QUIET, Palette
from livesr.arrays import Float64
from livesr.reading import Reading


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
        # Many columns show one reading, and neighbours look alike: a cell at a time is slow.
        runs = [
            (self._column(reading, rows, palette), count)
            for reading, count in _runs(self._columns(width))
        ]
        for row in range(rows - 1, -1, -1):
            text = Text(" ")
            for (cell, style), same in groupby(runs, key=lambda run: run[0][row]):
                text.append(cell * sum(count for _, count in same), style)
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
    def _column(reading: Reading | None, rows: int, palette: Palette) -> list[tuple[str, str]]:
        """Cell and style of each row, from the foot up."""
        if reading is None or reading.status in ("no-speech", "warming-up"):
            dot = "." if palette.ascii_only else "·"
            blank = [(" ", "")] * rows
            return blank if reading is None else [(dot, QUIET), *blank[1:]]
        labels = list(reading.smoothed)
        tops = np.cumsum(list(reading.smoothed.values()))
        sure = reading.status == "speech"
        if sure and palette.colour and not palette.ascii_only:
            return _blended(labels, tops, rows, palette)
        shown = np.minimum(np.searchsorted(tops, (np.arange(rows) + 0.5) / rows), len(labels) - 1)
        cells = [(palette.fill(label, sure), palette.style(label)) for label in labels]
        return [cells[index] for index in shown]


def _blended(
    labels: Sequence[str], tops: Float64, rows: int, palette: Palette
) -> list[tuple[str, str]]:
    """Cells to an eighth of their height: the lower of a cell's two largest areas on the upper."""
    floors = np.arange(rows)[:, None]
    edges = np.concatenate(([0.0], tops)) * rows
    # [rows, labels]: how much of each cell each emotion fills
    areas = np.clip(np.minimum(edges[1:], floors + 1) - np.maximum(edges[:-1], floors), 0, None)
    pairs = np.sort(np.argsort(areas)[:, -2:])
    low, high = np.take_along_axis(areas, pairs, axis=1).T
    shares = low / np.maximum(low + high, 1e-9)
    hues = [palette.style(label) for label in labels]
    cells = []
    for (lower, upper), share in zip(pairs.tolist(), shares.tolist(), strict=True):
        cell = palette.up(share)
        # A full cell keeps to one colour, so that neighbours join into a longer run.
        hue = hues[upper] if cell == " " else hues[lower]
        cells.append(("█", hue) if cell in " █" else (cell, f"{hue} on {hues[upper]}"))
    return cells


def _runs(columns: Sequence[Reading | None]) -> Iterator[tuple[Reading | None, int]]:
    """Each reading with how many neighbouring columns show it."""
    for _, same in groupby(columns, key=id):
        run = list(same)
        yield run[0], len(run)
