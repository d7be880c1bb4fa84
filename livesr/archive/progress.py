"""The progress of a run, with rate and time left: a live line, or in a log a line a minute."""

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
    """A duration as text: 42 s, 7 min, 3.2 h, 12 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


class Progress:
    """Written to standard error; unknown values are left out."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._logged = 0.0
        self._first: tuple[float, float] | None = None

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show a spinner during a step of unknown length."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(what + " …"):
            yield

    @contextmanager
    def scoring(self, rows: pa.Table, workers: int) -> Iterator[None]:
        """Show the progress while rows of a manifest are scored."""
        lengths = dict(zip(rows["key"].to_pylist(), rows["duration"].to_pylist(), strict=True))
        self._scored = dict.fromkeys(lengths, 0.0)
        self._workers, self._first = workers, None
        self._total = sum(seconds or 0.0 for seconds in lengths.values())
        if not self._console.is_terminal:
            self._logged = time.monotonic()
            yield
            return
        with Live(self._line(), console=self._console, refresh_per_second=2) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def update(self, scored: dict[str, float]) -> None:
        """Add seconds scored of keys, as `livesr.archive.pipeline.score` reports them."""
        for key, seconds in scored.items():
            if key in self._scored:
                self._scored[key] = max(seconds, self._scored[key])
        now = time.monotonic()
        if scored and self._first is None:
            self._first = now, sum(self._scored.values())
        if self._live:
            self._live.update(self._line())
        elif not self._console.is_terminal and now >= self._logged + _LOG_SECONDS:
            self._logged = now
            print(self._line().plain, file=sys.stderr, flush=True)

    def _line(self) -> Text:
        scored = sum(self._scored.values())
        parts = [f"{lasting(scored)} of {lasting(self._total)} scored"]
        if self._total:
            parts.append(f"{min(1.0, scored / self._total):.0%}")
        now = time.monotonic()
        if self._first and now > self._first[0] + 2 and scored > self._first[1]:
            rate = (scored - self._first[1]) / (now - self._first[0])
            parts.append(f"{rate:.0f} times real time")
            parts.append(f"{lasting(max(0.0, self._total - scored) / rate)} left")
        else:
            parts.append("starting Ray")
        parts.append(f"{self._workers} workers" if self._workers > 1 else "1 worker")
        return Text(" · ".join(parts))
