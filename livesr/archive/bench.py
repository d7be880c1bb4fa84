"""What an archive costs beyond `replay` alone: `python -m livesr.archive.bench SOUND`.

Other work on a machine changes times by the clock by much, and processor times by less (caches are
shared). So the bench

- reads the processor time of the command and of every process that it starts from /proc (Linux);
- runs what it compares in turn, several times (`--rounds`), and gives medians of the ratios
  within a round;
- reports the start of a run, the scorers, and everything beside them separately. Ray's processes
  cost the same for each second by the clock, however much the scorers get done in it.
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
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import soundfile as sf

from livesr.app.marked import replace_part, table
from livesr.files.replay import replay

_TICKS = 100  # of /proc's times, a second
_BARE_CLIPS = 1000  # of the short clips, that are also scored by `replay` alone
_POLL_SECONDS = 0.5  # reading /proc takes some milliseconds of the machine that is measured


Row = tuple[str, str]  # of a table: what, and the measured value


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run cost.

    Attributes:
        clock: seconds by the clock.
        work: seconds of processor time, of all processes.
        scorers: of these, the scorers' own.
        memory: peak of a scorer, in bytes.
    """

    clock: float
    work: float
    scorers: float = 0.0
    memory: int = 0

    @property
    def beside(self) -> float:
        """Seconds of processor time of everything but the scorers."""
        return self.work - self.scorers

    def __sub__(self, other: Cost) -> Cost:
        """What this run cost more than the other."""
        return Cost(
            self.clock - other.clock,
            self.work - other.work,
            self.scorers - other.scorers,
            self.memory,
        )


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


def archive(source: Path, *options: str) -> Cost:
    """Run the command, with a new folder of results, and measure it.

    Raises:
        RuntimeError: if it fails.
    """
    with tempfile.TemporaryDirectory(dir=source.parent) as out:
        began = time.monotonic()
        command = [sys.executable, "-m", "livesr", "archive", str(source), out, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        work: dict[int, float] = {}
        scorers: dict[int, float] = {}
        memory = 0
        while process.poll() is None:
            for pid, (seconds, line) in tree(process.pid).items():
                work[pid] = seconds
                if "MapWorker" in line:
                    scorers[pid] = seconds
                    memory = max(memory, _largest(pid))
            time.sleep(_POLL_SECONDS)
        clock = time.monotonic() - began
        output = process.stdout.read().decode(errors="replace") if process.stdout else ""
    if process.returncode:
        raise RuntimeError(output)
    return Cost(clock, sum(work.values()), sum(scorers.values()), memory)


def bare(files: list[Path], processes: int = 1) -> Cost:
    """Score files with `replay` in so many processes, which have loaded the model before."""
    with ProcessPoolExecutor(processes, initializer=_first, initargs=(files[0],)) as pool:
        list(pool.map(time.sleep, [1.0] * processes))  # so that each of them has started
        began = time.monotonic()
        work = sum(pool.map(_replayed, files))
        return Cost(time.monotonic() - began, work, work)


def _first(file: Path) -> None:
    next(iter(replay(file)))


def _replayed(file: Path) -> float:
    """Processor seconds of `replay`."""
    began = time.process_time()
    for _ in replay(file):
        pass
    return time.process_time() - began


def in_turn(rounds: int, runs: dict[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """Make these runs in turn, so many times, and say what each cost."""
    found: dict[str, list[Cost]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            cost = run()
            found[name].append(cost)
            print(
                f"  round {number + 1}, {name}: {cost.work:.1f} s of processor time, "
                f"{cost.scorers:.1f} s of it scoring; {cost.clock:.0f} s by the clock",
                flush=True,
            )
    return found


def _middle(costs: list[Cost]) -> Cost:
    return Cost(
        median(cost.clock for cost in costs),
        median(cost.work for cost in costs),
        median(cost.scorers for cost in costs),
        max(cost.memory for cost in costs),
    )


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


def start_up(folder: Path, sound: Path, rounds: int) -> tuple[dict[int, Cost], list[Row]]:
    """The cost of runs that score 2 s of sound with each of 1 and 2 workers."""
    runs: dict[str, Callable[[], Cost]] = {}
    for workers in (1, 2):
        made(folder / f"start-{workers}", sound, workers, 2)
        runs[f"{workers}"] = partial(
            archive, folder / f"start-{workers}", "--workers", f"{workers}"
        )
    costs = in_turn(rounds, runs)
    found = {workers: _middle(costs[f"{workers}"]) for workers in (1, 2)}
    load = Path("/proc/loadavg").read_text().split()[0]
    return found, [
        (
            "start and end of a run, whatever its size",
            f"{found[1].work:.1f} s of processor time with 1 worker, {found[2].work:.1f} s with 2; "
            f"{found[1].clock:.0f} and {found[2].clock:.0f} s by the clock (load average {load}, "
            f"{os.cpu_count()} processors)",
        )
    ]


def long_files(
    folder: Path, sound: Path, files: int, minutes: float, rounds: int, start: dict[int, Cost]
) -> list[Row]:
    """Long files with `replay` in 1 and 2 processes, and in an archive with 1 and 2 workers."""
    paths = made(folder / "long", sound, files, minutes * 60)
    what = f"{files} files of {minutes:g} minutes"
    runs: dict[str, Callable[[], Cost]] = {
        "alone": lambda: bare(paths),
        "two alone": lambda: bare(paths, 2),
    }
    for workers in (1, 2):
        runs[f"{workers}"] = partial(archive, folder / "long", "--workers", f"{workers}")
    costs = in_turn(rounds, runs)
    alone = _middle(costs["alone"])
    per_hour = alone.work / (files * minutes / 60)
    rows = [
        (
            f"`replay` alone, {what}",
            f"{alone.work:.1f} s of processor time, {alone.clock:.0f} s by the clock; "
            f"{per_hour:.0f} s for an hour of sound",
        )
    ]
    for workers in (1, 2):
        nets = [cost - start[workers] for cost in costs[f"{workers}"]]
        pairs = list(zip(nets, costs["alone" if workers == 1 else "two alone"], strict=True))
        net = _middle(nets)
        own = median(net.scorers / one.work for net, one in pairs) - 1
        beside = median(max(0.0, net.beside) / max(0.1, net.clock) for net in nets)
        rows.append(
            (
                f"archive, {workers} worker{'s'[: workers - 1]}, {what}",
                f"{net.work:.1f} s of processor time without the start, "
                f"{median(net.work / one.work for net, one in pairs) - 1:+.1%} over `replay` in "
                f"{workers} process{'es'[: 2 * workers - 2]}: the "
                f"scorers {own:+.1%}, and beside them {beside:.3f} s for each second by the clock, "
                f"of which there were {net.clock:.0f} (with a free core for each worker "
                f"{own + beside / workers:+.1%} in all); {net.memory / 1e6:.0f} MB a worker",
            )
        )
    faster = median(
        (one - start[1]).clock / max(0.1, (two - start[2]).clock)
        for one, two in zip(costs["1"], costs["2"], strict=True)
    )
    possible = median(
        one.clock / two.clock for one, two in zip(costs["alone"], costs["two alone"], strict=True)
    )
    got = {
        workers: median(
            net.scorers / max(0.1, net.clock)
            for net in (cost - start[workers] for cost in costs[f"{workers}"])
        )
        for workers in (1, 2)
    }
    return [
        *rows,
        (
            "speed-up from 1 to 2 workers, by the clock, without the start",
            f"{faster:.2f}, and of `replay` from 1 to 2 processes {possible:.2f}; one worker got "
            f"{got[1]:.0%} of a core, two got {got[2]:.0%}",
        ),
        ("1,000 hours of sound", f"{1000 * per_hour / 3600:.1f} processor hours"),
    ]


def short_clips(
    folder: Path, sound: Path, clips: int, rounds: int, start: dict[int, Cost]
) -> list[Row]:
    """Clips of 5 s in an archive with 2 workers, and some of them in 2 processes of `replay`."""
    paths = made(folder / "clips", sound, clips, 5.0)
    sample = paths[:: max(1, clips // _BARE_CLIPS)]
    costs = in_turn(
        rounds,
        {
            "alone": lambda: bare(sample, 2),
            "clips": lambda: archive(folder / "clips", "--workers", "2"),
        },
    )
    alone = 1000 * _middle(costs["alone"]).work / len(sample)
    nets = [cost - start[2] for cost in costs["clips"]]
    pairs = list(zip(nets, costs["alone"], strict=True))
    scale = len(sample) / clips
    extra = median(scale * net.work / one.work for net, one in pairs) - 1
    own = median(scale * net.scorers / one.work for net, one in pairs) - 1
    return [
        (
            f"{clips} clips of 5 s, 2 workers",
            f"{alone:.1f} ms of processor time a clip in two processes of `replay`; "
            f"{extra:+.0%} in the archive, in its scorers alone {own:+.0%}; "
            f"{_middle(costs['clips']).clock:.0f} s by the clock",
        )
    ]


def day(folder: Path, sound: Path, hours: float, start: dict[int, Cost]) -> list[Row]:
    """One file of many hours."""
    made(folder / "day", sound, 1, hours * 3600)
    net = archive(folder / "day", "--workers", "1") - start[1]
    return [
        (
            f"a file of {hours:g} hours",
            f"{net.memory / 1e6:.0f} MB a worker, {net.work / hours:.0f} s of processor time for "
            "an hour of sound",
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
    parser.add_argument("--rounds", type=int, default=3, help="times that each run is made")
    parser.add_argument("--write", type=Path, help="a page with marks for the measured parts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, sound = Path(temporary), given.sound
        start, rows = start_up(folder, sound, given.rounds)
        parts: dict[str, Callable[[], list[Row]]] = {"start": lambda: rows}
        if given.files:
            parts["long files"] = lambda: long_files(
                folder, sound, given.files, given.minutes, given.rounds, start
            )
        if given.clips:
            parts["short clips"] = lambda: short_clips(
                folder, sound, given.clips, given.rounds, start
            )
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
