"""Which moments of the last seconds counted most: the network's attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.theme import FAINT_DBFS, Palette
from livesr.reading import Reading
from livesr.settings import SPEECH_THRESHOLD


@dataclass(frozen=True, slots=True)
class AttentionStrip:
    """The newest reading's attention over the level, aligned in time.

    Attention fills all but the last two rows, scaled to its highest; then a row of level, dim
    quiet without speech; then the axis.

    Attributes:
        readings: oldest first; the last is shown, those before give the level.
        seconds: of the axis: the model's window.
    """

    readings: Sequence[Reading]
    seconds: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        width = max(1, options.max_width - 2)
        rows = max(1, (options.height or 4) - 2)
        if not self.readings:
            return
        newest = self.readings[-1]
        style = palette.style(newest.label) if newest.label else palette.quiet
        heights = self._heights(newest, width) * rows
        for row in range(rows - 1, -1, -1):
            yield Text(" " + "".join(palette.up(height - row) for height in heights), style)
        yield self._levels(newest.end, width, palette)
        yield axis(self.seconds, width, style=palette.quiet)

    def _heights(self, newest: Reading, width: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The highest attention in each column, relative to the highest of all."""
        columns = np.zeros(width)
        if not len(newest.attention):
            return columns
        middles = (np.arange(width) + 0.5) / width * self.seconds + newest.end - self.seconds
        step = np.searchsorted(newest.attention_times, middles)
        inside = (step > 0) & (step < len(newest.attention))
        columns[inside] = newest.attention[step[inside]]
        # Where columns are wider than steps, a short peak must not fall between two of them.
        place = (newest.attention_times - newest.end + self.seconds) / self.seconds * width
        shown = np.clip(place.astype(int), 0, width - 1)
        np.maximum.at(columns, shown, newest.attention)
        return columns / max(float(newest.attention.max()), 1e-9)

    def _levels(self, end: float, width: int, palette: Palette) -> Text:
        row = Text(" ")
        ends = [reading.end for reading in self.readings]
        for column in range(width):
            moment = end - self.seconds + (column + 0.5) / width * self.seconds
            index = int(np.searchsorted(ends, moment))
            if moment < 0 or index == len(ends):
                row.append(" ")
                continue
            reading = self.readings[index]
            share = 1 - reading.level_dbfs / FAINT_DBFS
            speaks = reading.speech > SPEECH_THRESHOLD
            row.append(palette.up(share), "" if speaks else palette.quiet)
        return row


def axis(seconds: float, width: int, step: float = 1.0, *, style: str = "") -> Text:
    """A time axis under `width` cells that end now: "-3 s" and so on to "now"."""
    cells = [" "] * width
    for count in range(int(seconds / step + 1e-9), -1, -1):
        word = f"-{count * step:g} s" if count else "now"
        start = round(width - count * step / seconds * width)
        start = min(max(0, start), width - len(word))
        if start >= 0 and all(cell == " " for cell in cells[max(0, start - 1) : start + len(word)]):
            cells[start : start + len(word)] = word
    return Text(" " + "".join(cells), style)
