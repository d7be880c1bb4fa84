"""The last minute: what was said of it, and what happened in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.attention import axis
from livesr.app.ui.lines import event_name
from livesr.app.ui.theme import Palette
from livesr.event import Event
from livesr.reading import Reading
from livesr.settings import SPEECH_THRESHOLD

_MARK = "◆"
_SHORT_TEXT = 10  # characters: a label, but no device's name


@dataclass(frozen=True, slots=True)
class History:
    """The label over time, as high as its smoothed probability.

    A filled area is speech with a label: its colour and, where there is no colour, its shape are
    the emotion's. The row below the areas shows the shape where a label begins. Hatched: unsure.
    A dot: no speech, also in a pause between words. Blank: before the stream began. Then a row of
    marks and other events where there are any; the last row is the axis.
    """

    readings: Sequence[Reading]
    seconds: float = 60.0
    events: Sequence[Event] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        width = max(1, options.max_width - 2)
        height = options.height or 5
        happened = self._happened(width, palette) if height >= 4 else None
        rows = max(1, height - 2 - (happened is not None))
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
        yield self._names(width, palette)
        if happened is not None:
            yield happened
        step = 15.0 if self.seconds > 30 else 5.0
        yield axis(self.seconds, width, step, style=palette.quiet)

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
        blank = [(" ", "")] * rows
        if reading is None:
            return blank
        if reading.status in ("no-speech", "warming-up") or reading.speech <= SPEECH_THRESHOLD:
            return [("." if palette.ascii_only else "·", palette.quiet), *blank[1:]]
        label, share = max(reading.smoothed.items(), key=lambda item: item[1])
        if reading.label is None:
            cell = "/" if palette.ascii_only else "░"
            return ([(cell, palette.quiet)] * max(1, round(share * rows)) + blank)[:rows]
        label, style = reading.label, palette.style(reading.label)
        share = reading.smoothed[label]
        if palette.colour and not palette.ascii_only:
            return [(palette.up(share * rows - row), style) for row in range(rows)]
        return ([(palette.fill(label), style)] * max(1, round(share * rows)) + blank)[:rows]

    def _names(self, width: int, palette: Palette) -> Text:
        """Each label's shape where it begins."""
        row, before = Text(" "), None
        for reading in self._columns(width):
            spoken = reading is not None and reading.speech > SPEECH_THRESHOLD
            label = reading.label if reading and spoken else None
            if label and label != before:
                row.append(palette.glyph(label), palette.style(label))
            else:
                row.append(" ")
            before = label or before  # a pause does not begin it anew
        return row

    def _happened(self, width: int, palette: Palette) -> Text | None:
        """What happened, each at its time, with its name where there is room."""
        if not self.events or not self.readings:
            return None
        mark = "*" if palette.ascii_only else _MARK
        first = self.readings[-1].end - self.seconds
        cells = [" "] * (width + 1)
        taken = 0
        for event in self.events:
            if event.kind in ("session", "profile"):
                continue
            place = int((event.at - first) / self.seconds * width)
            if not taken <= place < width:
                continue
            said = palette.printable(event.text) if len(event.text) <= _SHORT_TEXT else ""
            name = f"{mark}{event_name(event.kind)} {said}".rstrip()
            shown = name if place + len(name) <= width else mark
            cells[place : place + len(shown)] = shown
            taken = place + len(shown) + 1
        text = Text(" " + "".join(cells[:width]), "bold")
        return text if text.plain.strip() else None


def _runs(columns: Sequence[Reading | None]) -> Iterator[tuple[Reading | None, int]]:
    """Each reading with how many neighbouring columns show it."""
    for _, same in groupby(columns, key=id):
        run = list(same)
        yield run[0], len(run)
