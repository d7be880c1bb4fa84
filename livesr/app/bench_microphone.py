"""What listening costs on this machine: `livesr bench --microphone`.

A real `Listener` on a real microphone. Latency runs from the moment when the callback got the last
sound that a reading covers to the moment when the reading is there. It includes what the resampler
holds back (some 30 ms; nothing at 16 kHz), but not what the device holds back.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.table import Table

from livesr.app.console import PlainConsole
from livesr.errors import LivesrError
from livesr.microphone.listener import Listener, listen
from livesr.model.load import PAPER, load_model
from livesr.reading import Reading

_SETTLE_SECONDS = 3.0
_PERCENTILES = (50, 95, 99)


def run(device: str | None, model: str | None, seconds: float, load: int) -> None:
    """Print a row for the model, and one for the network at the paper's widths.

    Args:
        device: as for `listen`.
        model: as for `listen`.
        seconds: how long each listens.
        load: how many processes keep a core busy meanwhile.

    Raises:
        LivesrError: if a reading is missing that no gap accounts for.
    """
    table = Table(box=None, pad_edge=False)
    for title in ("network", "p50", "p95", "p99", "of a core", "readings", "dropped"):
        table.add_column(title, justify="left" if title == "network" else "right")
    with ExitStack() as stack:
        for _ in range(load):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        for name in dict.fromkeys((model, PAPER)):
            table.add_row(*_measured(device, name, seconds))
    console = PlainConsole(width=100)
    console.print(f"{seconds:.0f} s each at four readings a second, {load} busy processes beside")
    console.print(table)


def _measured(device: str | None, model: str | Path | None, seconds: float) -> list[str]:
    with listen(device, model=model) as listener:
        readings = _heard(listener, _SETTLE_SECONDS)
        began, spent = time.monotonic(), time.process_time()
        readings += _heard(listener, seconds)
        share = (time.process_time() - spent) / (time.monotonic() - began)
        late = listener.latency(*_PERCENTILES)
        dropped = listener.dropped_seconds
    readings += _heard(listener, 0)
    if not readings:
        raise LivesrError(f"No reading came in {seconds:.0f} s; does the microphone give sound?")
    missing = sum(reading.gap for reading in readings)
    expected = round((readings[-1].end - missing) * 4)
    # Up to 4 s of a gap count as silence, and have readings too.
    if not expected - 1 <= len(readings) <= expected + 1 + 4 * missing:
        raise LivesrError(
            f"{len(readings)} readings came where {expected} were due; report this, please."
        )
    return [
        load_model(model).info.name,
        *(f"{1e3 * value:.1f} ms" for value in late),
        f"{share:.1%}",
        str(len(readings)),
        f"{dropped:.2f} s",
    ]


def _heard(listener: Listener, seconds: float) -> list[Reading]:
    """The readings that come in so many seconds, taken as they come: the queue is not endless."""
    found: list[Reading] = []
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        items = listener.items(max(0.0, left))
        found += [item for item in items or [] if isinstance(item, Reading)]
        if items is None or left <= 0:
            return found
