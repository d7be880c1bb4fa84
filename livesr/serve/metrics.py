"""Metrics for Prometheus. They hold no emotions, and nothing that identifies a stream.

All workers write into one directory (`PROMETHEUS_MULTIPROC_DIR`, set before this is imported), so
each of them can expose the numbers of the whole server.
"""

from __future__ import annotations

import os
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from livesr.reading import Reading, Status
from livesr.version import __version__

_LAGS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 4.0)
_COSTS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5)

STREAMS = Gauge("livesr_streams", "Current voices.", multiprocess_mode="livesum")
CAPACITY = Gauge(
    "livesr_capacity_streams",
    "Voices that the server accepts at the same time.",
    multiprocess_mode="livesum",
)
OPENED = Counter("livesr_streams_opened", "Voices admitted.")
REFUSED = Counter("livesr_streams_refused", "Voices refused, by reason.", ["reason"])
CLOSED = Counter("livesr_streams_closed", "Voices that ended, by cause.", ["cause"])
HEARD = Counter("livesr_heard_seconds", "Seconds of sound processed.")
LOST = Counter("livesr_lost_seconds", "Seconds of sound lost, by cause.", ["cause"])
READINGS = Counter("livesr_readings", "Readings, by status.", ["status"])
UNREAD = Counter("livesr_readings_unread", "Readings dropped because their reader was slow.")
LAG = Histogram(
    "livesr_lag_seconds",
    "From the arrival of a reading's last sample to the sending of the reading.",
    buckets=_LAGS,
)
INFERENCE = Histogram(
    "livesr_inference_seconds",
    "Duration of a call of push_all, divided by the voices in it.",
    buckets=_COSTS,
)
BATCH = Histogram(
    "livesr_batch_streams", "Voices in a call of push_all.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
QUEUE = Gauge(
    "livesr_queue_seconds",
    "Seconds of sound in the longest queue of a voice.",
    multiprocess_mode="livemax",
)
RESTARTS = Counter("livesr_worker_restarts", "Workers that died and were restarted.")
INFO = Gauge(
    "livesr_build", "Always 1; the version is its label.", ["version"], multiprocess_mode="livemax"
)


class Counting:
    """The engine's observer."""

    def __init__(self) -> None:
        # By status: to look a label up costs more than to count.
        self._readings = {status: READINGS.labels(status) for status in get_args(Status)}

    def inferred(self, voices: int, seconds: float, inference: float, readings: int) -> None:
        HEARD.inc(seconds)
        BATCH.observe(voices)
        INFERENCE.observe(inference / voices)

    def reading(self, reading: Reading) -> None:
        """Count a reading."""
        self._readings[reading.status].inc()


def begin(share: int) -> None:
    """Set the gauges of a worker that starts, with its share of the server's capacity."""
    INFO.labels(__version__).set(1)
    CAPACITY.set(share)
    STREAMS.set(0)


def exposition() -> bytes:
    """The metrics of the whole server in Prometheus's text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=os.environ["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
    return generate_latest(registry)
