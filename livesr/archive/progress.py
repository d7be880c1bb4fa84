"""How far a run is: rate and time to go, as a line that moves or, in a log, a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from rich.console import Console
from rich.live import Live
from rich.text import Text

_LOG_SECONDS = 60.0


def lasting(seconds: float) -> str:
    """A time in words: 42 s, 7 min, 3.2 h, 12 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


class Progress:
    """On standard error; what it does not know it leaves out."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._said = 0.0
        self._first: tuple[float, float] | None = None

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """While something without a measure goes on."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(what + " …"):
            yield

    @contextmanager
    def scoring(self, rows: pa.Table, workers: int) -> Iterator[None]:
        """While rows of a manifest are scored."""
        lengths = dict(zip(rows["key"].to_pylist(), rows["duration"].to_pylist(), strict=True))
        self._lengths, self._heard = lengths, dict.fromkeys(lengths, 0.0)
        self._workers, self._began, self._first = workers, time.monotonic(), None
        self._total = sum(seconds or 0.0 for seconds in lengths.values())
        if not self._console.is_terminal:
            self._said = time.monotonic()
            yield
            return
        with Live(self._line(), console=self._console, refresh_per_second=2) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def heard(self, news: dict[str, float]) -> None:
        """Seconds heard of keys, as `livesr.archive.pipeline` tells them."""
        for key, seconds in news.items():
            if key in self._heard:
                self._heard[key] = max(seconds, self._heard[key])
        now = time.monotonic()
        if news and self._first is None:
            self._first = now, sum(self._heard.values())
        if self._live:
            self._live.update(self._line())
        elif not self._console.is_terminal and now >= self._said + _LOG_SECONDS:
            self._said = now
            print(self._line().plain, file=sys.stderr, flush=True)

    def _line(self) -> Text:
        heard = sum(self._heard.values())
        parts = [f"{lasting(heard)} of {lasting(self._total)} heard"]
        if self._total:
            parts.append(f"{min(1.0, heard / self._total):.0%}")
        now = time.monotonic()
        if self._first and now > self._first[0] + 2 and heard > self._first[1]:
            rate = (heard - self._first[1]) / (now - self._first[0])
            parts.append(f"{rate:.0f} times real time")
            parts.append(f"{lasting(max(0.0, self._total - heard) / rate)} to go")
        else:
            parts.append("starting Ray")
        parts.append(f"{self._workers} workers" if self._workers > 1 else "1 worker")
        return Text(" · ".join(parts))
