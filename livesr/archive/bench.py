"""What an archive costs beside bare `replay`: `python -m livesr.archive.bench SOUND`.

Processor time is read from /proc (Linux), of the command and of every process that it starts, so
that it holds on a machine that does other things too; times by the clock do not.
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

from livesr.files.replay import replay

_TICKS = 100  # of /proc's times, a second
_MARK = "<!-- archive figures -->"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a run: seconds by the clock, processor seconds, and the largest scorer's bytes."""

    clock: float
    work: float
    memory: int


def tree(pid: int) -> dict[int, tuple[float, str]]:
    """Processor seconds and command line of a process and all below it."""
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
    """Most bytes that a process has held, without files that others hold too."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        held = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(held[1]) * 1024 if held else 0
    return 0


def archive(source: Path, out: Path, *options: str) -> Cost:
    """Run the command, and watch it.

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
    told = process.stdout.read().decode(errors="replace") if process.stdout else ""
    if process.returncode:
        raise RuntimeError(told)
    return Cost(time.monotonic() - began, sum(work.values()), memory)


def bare(files: list[Path]) -> Cost:
    """The same files through `replay` in this process, which has loaded its model."""
    list(replay(files[0]))[:1]
    began, worked = time.monotonic(), time.process_time()
    for path in files:
        for _ in replay(path):
            pass
    return Cost(time.monotonic() - began, time.process_time() - worked, 0)


def made(folder: Path, sound: Path, count: int, seconds: float) -> list[Path]:
    """Files of so many seconds, each another piece of a sound that goes round."""
    samples, rate = sf.read(sound, dtype="float32")
    folder.mkdir(parents=True)
    files, length = [], round(seconds * rate)
    for number in range(count):
        at = number * 4001 % len(samples)
        path = folder / f"{number:05}.flac"
        with sf.SoundFile(path, "w", rate, 1) as file:
            left = length
            while left:
                piece = np.roll(samples, -at)[:left] if left < len(samples) else samples
                file.write(piece)
                left -= len(piece)
        files.append(path)
    return files


def run(sound: Path, minutes: float, files: int, clips: int, hours: float) -> list[str]:
    """Lines of a Markdown table, each a figure."""
    rows: list[tuple[str, str]] = []
    busy = Path("/proc/loadavg").read_text().split()[0]
    load = f"{busy} processes wanted {os.cpu_count()} processors"
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)

        def told(what: str, value: str) -> None:
            print(f"{what}: {value}", flush=True)
            rows.append((what, value))

        told("beside it, at the start", load)
        made(place / "one", sound, 1, 2)
        start = archive(place / "one", place / "one-out", "--workers", "1")
        told(
            "starting and ending a run, whatever its size",
            f"{start.work:.1f} s of processor time, {start.clock:.0f} s by the clock",
        )
        if files:
            _long(place, sound, files, minutes, start, told)
        if clips:
            _short(place, sound, clips, start, told)
        if hours:
            made(place / "day", sound, 1, hours * 3600)
            cost = archive(place / "day", place / "day-out", "--workers", "1")
            told(
                f"a file of {hours:g} hours",
                f"{cost.memory / 1e6:.0f} MB a worker at most, "
                f"{(cost.work - start.work) / hours:.0f} s of processor time an hour",
            )
    return ["| What | Measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]


def _long(
    place: Path,
    sound: Path,
    files: int,
    minutes: float,
    start: Cost,
    told: Callable[[str, str], None],
) -> None:
    paths = made(place / "long", sound, files, minutes * 60)
    alone = bare(paths)
    what = f"{files} files of {minutes:g} minutes"
    one = archive(place / "long", place / "long-1", "--workers", "1")
    two = archive(place / "long", place / "long-2", "--workers", "2")
    per_hour = alone.work / (files * minutes / 60)
    told(
        f"`replay` alone, {what}",
        f"{alone.work:.1f} s of processor time, {alone.clock:.0f} s by the clock; "
        f"{per_hour:.0f} s an hour of sound",
    )
    for workers, cost in ((1, one), (2, two)):
        over = (cost.work - start.work) / alone.work - 1
        told(
            f"archive, {workers} worker{'s'[: workers - 1]}, {what}",
            f"{cost.work:.1f} s of processor time, {over:+.1%} over `replay` without the start; "
            f"{cost.clock:.0f} s by the clock, {cost.memory / 1e6:.0f} MB a worker at most",
        )
    told(
        "from 1 to 2 workers, without the start, by the clock",
        f"{(one.clock - start.clock) / max(0.1, two.clock - start.clock):.2f} times as fast",
    )
    told("1,000 hours, at what is measured", f"{1000 * per_hour / 3600:.1f} processor hours")


def _short(
    place: Path, sound: Path, clips: int, start: Cost, told: Callable[[str, str], None]
) -> None:
    paths = made(place / "clips", sound, clips, 5.0)
    alone = bare(paths)
    cost = archive(place / "clips", place / "clips-out", "--workers", "1")
    each = 1000 * (cost.work - start.work - alone.work) / clips
    told(
        f"{clips} clips of 5 s",
        f"{1000 * alone.work / clips:.1f} ms of processor time a clip in `replay`; archive adds "
        f"{each:.1f} ms, {each * clips / alone.work / 10:.0f} % of it",
    )


def main() -> None:
    """Measure, print, and write between the marks of a page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sound", type=Path, help="speech to make files of")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a long file")
    parser.add_argument("--files", type=int, default=8, help="long files; 0 for none")
    parser.add_argument("--clips", type=int, default=10_000, help="of 5 s; 0 for none")
    parser.add_argument("--hours", type=float, default=6.0, help="of one file; 0 for none")
    parser.add_argument("--write", type=Path, help="a page with two marks to write between")
    given = parser.parse_args()
    lines = run(given.sound, given.minutes, given.files, given.clips, given.hours)
    table = "\n".join(lines)
    print(table)
    if given.write:
        before, _, rest = given.write.read_text(encoding="utf-8").partition(_MARK)
        after = rest.partition(_MARK)[2]
        text = f"{before}{_MARK}\n{table}\n{_MARK}{after}"
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
