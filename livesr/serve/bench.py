"""The load curve of a server on this machine: `python -m livesr.serve.bench`.

Starts a real server with one worker on one core (on Linux), and voices in this process on the
other cores. Each voice sends sound in real time over its own websocket on loopback, and measures
when each reading arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import PAGESIZE
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from livesr.app.marked import replace_part, table
from livesr.model.load import DEFAULT
from livesr.settings import HOP_SECONDS, SAMPLE_RATE

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_MOST_VOICES = 512
_COLUMNS = ("voices", "503", "p50", "p95", "p99", "lost", "of a core", "memory a voice")
_SETTLE_SECONDS = 1.0  # at the start of each voice, not measured
_LAST_LINES = 20  # of the log, for a message about a server that has ended
_RETURN_SECONDS = 2.0  # after which the server has returned freed memory to the system


@dataclass(frozen=True)
class Plan:
    """The sound of each voice; all in seconds.

    Attributes:
        seconds: its duration.
        hop: between readings.
        packet: of sound in a message.
    """

    seconds: float
    hop: float
    packet: float


@dataclass
class Outcome:
    """The results of a run.

    Attributes:
        delays: seconds from the sending of a hop's last sample to the receipt of its reading.
        refused: number of voices that got 503.
        dropped: number of voices whose connection ended early.
        lost: seconds of sound that the server lost.
        processed: seconds of sound that it processed.
    """

    delays: list[float] = field(default_factory=list)
    refused: int = 0
    dropped: int = 0
    lost: float = 0.0
    processed: float = 0.0


def _cores() -> list[int]:
    """The cores that this process may use; empty on systems other than Linux."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return []


def _stay_on(cores: list[int]) -> None:
    if sys.platform == "linux":
        os.sched_setaffinity(0, cores)


class Server:
    """A `livesr serve`, in its own processes.

    Args:
        options: of the command.
        core: the only core that it may use; None for all.
    """

    def __init__(self, options: list[str], core: int | None) -> None:
        command = [sys.executable, "-m", "livesr", "serve", "--port", "0", *options]
        before = _cores()
        if core is not None:
            _stay_on([core])  # a child inherits it
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if core is not None:
            _stay_on(before)
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._drain()
            raise SystemExit(f"The server did not start: {''.join(self._said)}")
        self.url = line.split()[1].replace("http", "ws", 1) + "v1/stream"
        self.capacity = self._capacity()
        # What the server says of each session would fill the pipe and hold it up.
        self._drained = Thread(target=self._drain, daemon=True)
        self._drained.start()

    def _capacity(self) -> int:
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self._said.append(line)
            with suppress(ValueError):  # a traceback is no JSON
                if (told := json.loads(line))["event"] == "worker ready":
                    return int(told["capacity"])
        raise SystemExit(f"No worker became ready: {''.join(self._said)}")

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self._said.extend(self.process.stderr)

    def processes(self) -> list[int]:
        """Process ids of the parent and its workers.

        Raises:
            SystemExit: if the server has ended, with the last lines of its log.
        """
        if self.process.poll() is not None:
            self._drained.join(timeout=5)
            raise SystemExit(f"The server has ended: {''.join(self._said)}")
        parent = self.process.pid
        path = Path(f"/proc/{parent}/task/{parent}/children")
        return [parent, *map(int, path.read_text().split())]

    def seconds(self) -> float:
        """Processor time of all its processes so far."""
        total = 0.0
        for number in self.processes():
            parts = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            total += (int(parts[11]) + int(parts[12])) / _TICKS
        return total

    def bytes(self) -> int:
        """Resident memory of all its processes, in bytes."""
        return sum(
            int(Path(f"/proc/{number}/statm").read_text().split()[1]) * PAGESIZE
            for number in self.processes()
        )

    def stop(self) -> None:
        """Stop the server."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


async def voice(url: str, plan: Plan, sound: bytes, found: Outcome) -> None:
    """Run one voice."""
    await asyncio.sleep(random.random() * max(plan.hop, 0.25))
    try:
        options: dict[str, Any] = {"subprotocols": ["livesr.v1"], "max_size": None}
        async with connect(url, compression=None, **options) as socket:
            await socket.send(json.dumps({"type": "session.update", "hop": plan.hop}))
            sent: list[float] = []
            taker = asyncio.create_task(_take(socket, plan.packet, sent, found))
            size = round(plan.packet * SAMPLE_RATE) * 2
            began = time.perf_counter()
            for number in range(round(plan.seconds / plan.packet)):
                due = began + (number + 1) * plan.packet
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                start = number * size % (len(sound) - size)
                sent.append(time.perf_counter())
                await socket.send(sound[start : start + size])
            await socket.send('{"type": "session.end"}')
            await taker
    except InvalidStatus:
        found.refused += 1
    except (ConnectionClosed, OSError, TimeoutError):
        found.dropped += 1


async def _take(socket: object, seconds: float, sent: list[float], found: Outcome) -> None:
    async for text in socket:  # type: ignore[attr-defined]
        message = json.loads(text)
        if message["type"] == "reading":
            now = time.perf_counter()
            packet = math.ceil(round(message["end"] / seconds, 6)) - 1
            if message["end"] > _SETTLE_SECONDS and packet < len(sent):
                found.delays.append(now - sent[packet])
        elif message["type"] == "session.ended":
            found.lost += message["lost_seconds"]
            found.processed += message["heard_seconds"]


async def _run(url: str, voices: int, plan: Plan) -> Outcome:
    rng = np.random.default_rng(0)
    noise = 3000 * rng.standard_normal(10 * SAMPLE_RATE)
    sound = noise.clip(-32768, 32767).astype("<i2").tobytes()
    found = Outcome()
    speaking = (voice(url, plan, sound, found) for _ in range(voices))
    await asyncio.gather(*speaking)
    return found


def curve(
    counts: list[int], plan: Plan, options: list[str], *, pin: bool
) -> tuple[list[list[str]], int]:
    """A row of the table for each number of voices, and the capacity that the server measured.

    Args:
        counts: numbers of voices, one run each.
        plan: of each voice.
        options: of `livesr serve`.
        pin: whether the server has a core of its own.
    """
    cores = _cores()
    core = cores[0] if pin and len(cores) > 1 else None
    server = Server(options, core)
    if core is not None:
        _stay_on(cores[1:])
    rows: list[list[str]] = []
    try:
        # First as many voices as share a call of the network: what it allocates for them is the
        # worker's and not a voice's.
        asyncio.run(_run(server.url, 8, Plan(3.0, plan.hop, plan.packet)))
        time.sleep(_RETURN_SECONDS)
        idle = server.bytes()
        for count in counts:
            before, began = server.seconds(), time.perf_counter()
            memory = asyncio.run(_watched(server, count, plan, rows))
            spent = (server.seconds() - before) / (time.perf_counter() - began)
            admitted = count - int(rows[-1][1])
            rows[-1] += [f"{spent:.0%}", f"{(memory - idle) / max(1, admitted) / 1e6:.2f} MB"]
    finally:
        server.stop()
        if core is not None:
            _stay_on(cores)
    return rows, server.capacity


async def _watched(server: Server, count: int, plan: Plan, rows: list[list[str]]) -> int:
    running = asyncio.create_task(_run(server.url, count, plan))
    await asyncio.sleep(0.8 * plan.seconds)
    memory = server.bytes()
    found = await running
    delays = sorted(found.delays) or [math.nan]
    marks = [delays[min(len(delays) - 1, int(share * len(delays)))] for share in (0.5, 0.95, 0.99)]
    share = found.lost / max(1e-9, found.lost + found.processed)
    rows.append(
        [
            str(count),
            str(found.refused),
            *(f"{mark * 1e3:.0f} ms" for mark in marks),
            f"{found.lost:.2f} s ({share:.1%})" + (f", {found.dropped} cut" * bool(found.dropped)),
        ]
    )
    return memory


def main() -> None:
    """Print the curve."""
    parser = argparse.ArgumentParser(prog="python -m livesr.serve.bench", description=__doc__)
    parser.add_argument("--voices", type=int, nargs="+", default=[1, 8, 16, 32, 64, 128])
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of each run")
    parser.add_argument("--hop", type=float, default=HOP_SECONDS)
    parser.add_argument("--model")
    parser.add_argument("--packet", type=float, default=0.02, help="seconds of sound in a message")
    parser.add_argument(
        "--max-voices", type=int, default=0, help="0: the server measures its capacity"
    )
    parser.add_argument("--no-pin", action="store_true", help="let the server use every core")
    parser.add_argument("--write", type=Path, help="a page with two marks for this model")
    told = parser.parse_args()
    if not all(0 < count <= _MOST_VOICES for count in told.voices) or not 2 < told.seconds <= 600:
        parser.error(f"1 to {_MOST_VOICES} voices, for 3 to 600 s")
    plan = Plan(told.seconds, told.hop, told.packet)
    options = ["--max-voices", str(told.max_voices)]
    options += ["--model", told.model] if told.model else []
    load = Path("/proc/loadavg").read_text().split()[0] if sys.platform == "linux" else "unknown"
    rows, capacity = curve(told.voices, plan, options, pin=not told.no_pin)
    model = told.model or DEFAULT
    title = (
        f"{model}, one worker, hop {told.hop:g} s, {told.packet * 1e3:g} ms of sound in a message, "
        f"{told.seconds:g} s for each row; capacity {capacity} voices; load average before: {load}"
    )
    print(title)
    shown = Table(box=None, header_style="bold")
    for name in _COLUMNS:
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(*row)
    Console(width=110, highlight=False).print(shown)
    if told.write:
        lines = [f"{title}:", "", *table(_COLUMNS, rows, numbers=True)]
        replace_part(told.write, f"load curve: {model}", lines)


if __name__ == "__main__":
    main()
