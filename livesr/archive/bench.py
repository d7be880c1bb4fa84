"""What an archive costs beyond `replay` alone: `python -m livesr.archive.bench SOUND`.

Processor time of the command and of every process that it starts is read from /proc (Linux). Other
work on the machine changes it less than it changes the times by the clock.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from livesr.app.marked import replace_part, table
from livesr.files.replay import replay

_TICKS = 100  # of /proc's times, a second
_BARE_CLIPS = 1000  # of the short clips, that are also scored by `replay` alone


Row = tuple[str, str]  # of a table: what, and the measured value


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock, seconds of processor time, and the peak memory of a worker in bytes."""

    clock: float
    work: float
    memory: int


def tree(pid: int) -> dict[int, tuple[float, str]]:
    """Processor seconds and command line of a process and of all processes below it."""
    parents: dict[int, list[int]] = {}
    found: dict[int, tuple[float, str]] = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            number = int(folder.name)
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
            parents.setdefault(int(fields[1]), []).append(number)
            found[number] = (int(fields[11]) + int(fields[12])) / _TICKS, line
    below, waiting = {}, [pid]
    while waiting:
        number = waiting.pop()
        if number in found:
            below[number] = found[number]
        waiting += parents.get(number, [])
    return below


def _largest(pid: int) -> int:
    """Peak resident memory of a process, in bytes."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        held = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(held[1]) * 1024 if held else 0
    return 0


def archive(source: Path, out: Path, *options: str) -> Cost:
    """Run the command and measure it.

    Raises:
        RuntimeError: if it fails.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "livesr", "archive", str(source), str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    work: dict[int, float] = {}
    memory = 0
    while process.poll() is None:
        for pid, (seconds, line) in tree(process.pid).items():
            work[pid] = seconds
            if "MapWorker" in line:
                memory = max(memory, _largest(pid))
        time.sleep(0.2)
    output = process.stdout.read().decode(errors="replace") if process.stdout else ""
    if process.returncode:
        raise RuntimeError(output)
    return Cost(time.monotonic() - began, sum(work.values()), memory)


def bare(files: list[Path]) -> Cost:
    """Score files with `replay` in this process; the model is loaded before."""
    list(replay(files[0]))[:1]
    began, worked = time.monotonic(), time.process_time()
    for path in files:
        for _ in replay(path):
            pass
    return Cost(time.monotonic() - began, time.process_time() - worked, 0)


def made(folder: Path, sound: Path, count: int, seconds: float) -> list[Path]:
    """Make files of so many seconds, each a different part of a sound that is repeated."""
    samples, rate = sf.read(sound, dtype="float32")
    folder.mkdir(parents=True)
    files, length = [], round(seconds * rate)
    for number in range(count):
        turned = np.roll(samples, -number * 4001)
        path = folder / f"{number:05}.flac"
        with sf.SoundFile(path, "w", rate, 1) as file:
            left = length
            while left:
                file.write(turned[:left])
                left -= len(turned[:left])
        files.append(path)
    return files


def start_up(folder: Path, sound: Path) -> tuple[Cost, list[Row]]:
    """The cost of a run that scores 2 s of sound."""
    made(folder / "one", sound, 1, 2)
    cost = archive(folder / "one", folder / "one-out", "--workers", "1")
    load = Path("/proc/loadavg").read_text().split()[0]
    return cost, [
        (
            "start and end of a run, whatever its size",
            f"{cost.work:.1f} s of processor time, {cost.clock:.0f} s by the clock (load average "
            f"{load}, {os.cpu_count()} processors)",
        )
    ]


def long_files(folder: Path, sound: Path, files: int, minutes: float, start: Cost) -> list[Row]:
    """Long files with `replay` alone, and in an archive with 1 and with 2 workers."""
    paths = made(folder / "long", sound, files, minutes * 60)
    what = f"{files} files of {minutes:g} minutes"
    alone = bare(paths)
    costs = {
        workers: archive(folder / "long", folder / f"long-{workers}", "--workers", str(workers))
        for workers in (1, 2)
    }
    per_hour = alone.work / (files * minutes / 60)
    rows = [
        (
            f"`replay` alone, {what}",
            f"{alone.work:.1f} s of processor time, {alone.clock:.0f} s by the clock; "
            f"{per_hour:.0f} s for an hour of sound",
        )
    ]
    for workers, cost in costs.items():
        over = (cost.work - start.work) / alone.work - 1
        rows.append(
            (
                f"archive, {workers} worker{'s'[: workers - 1]}, {what}",
                f"{cost.work:.1f} s of processor time, {over:+.1%} over `replay` without the "
                f"start; {cost.clock:.0f} s by the clock, {cost.memory / 1e6:.0f} MB a worker",
            )
        )
    faster = (costs[1].clock - start.clock) / max(0.1, costs[2].clock - start.clock)
    return [
        *rows,
        ("speed-up from 1 to 2 workers, by the clock, without the start", f"{faster:.2f}"),
        ("1,000 hours of sound", f"{1000 * per_hour / 3600:.1f} processor hours"),
    ]


def short_clips(folder: Path, sound: Path, clips: int, start: Cost) -> list[Row]:
    """Clips of 5 s in an archive with 2 workers, and some of them with `replay` alone."""
    paths = made(folder / "clips", sound, clips, 5.0)
    sample = paths[:: max(1, clips // _BARE_CLIPS)]
    alone = 1000 * bare(sample).work / len(sample)
    cost = archive(folder / "clips", folder / "clips-out", "--workers", "2")
    extra = 1000 * (cost.work - start.work) / clips - alone
    return [
        (
            f"{clips} clips of 5 s, 2 workers",
            f"{alone:.1f} ms of processor time a clip in `replay` ({len(sample)} of them); the "
            f"archive adds {extra:.1f} ms, {extra / alone:.0%}; {cost.clock:.0f} s by the clock",
        )
    ]


def day(folder: Path, sound: Path, hours: float, start: Cost) -> list[Row]:
    """One file of many hours."""
    made(folder / "day", sound, 1, hours * 3600)
    cost = archive(folder / "day", folder / "day-out", "--workers", "1")
    return [
        (
            f"a file of {hours:g} hours",
            f"{cost.memory / 1e6:.0f} MB a worker, {(cost.work - start.work) / hours:.0f} s of "
            "processor time for an hour of sound",
        )
    ]


def main() -> None:
    """Measure, print, and write into a page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sound", type=Path, help="speech that the files are made of")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a long file")
    parser.add_argument("--files", type=int, default=8, help="number of long files; 0 for none")
    parser.add_argument("--clips", type=int, default=10_000, help="number of clips; 0 for none")
    parser.add_argument("--hours", type=float, default=6.0, help="length of one file; 0 for none")
    parser.add_argument("--write", type=Path, help="a page with marks for the measured parts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, sound = Path(temporary), given.sound
        start, rows = start_up(folder, sound)
        parts: dict[str, Callable[[], list[Row]]] = {"start": lambda: rows}
        if given.files:
            parts["long files"] = lambda: long_files(
                folder, sound, given.files, given.minutes, start
            )
        if given.clips:
            parts["short clips"] = lambda: short_clips(folder, sound, given.clips, start)
        if given.hours:
            parts["a long file"] = lambda: day(folder, sound, given.hours, start)
        for part, measure in parts.items():
            measured = measure()
            for what, value in measured:
                print(f"{what}: {value}", flush=True)
            if given.write:
                lines = table(["What", "Measured"], measured)
                replace_part(given.write, f"archive figures: {part}", lines)


if __name__ == "__main__":
    main()
