"""The command line in a process of its own, and what Ray started below it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from livesr.archive.outputs import READINGS

ARCHIVE = (sys.executable, "-m", "livesr", "archive")
PATIENCE = 400.0  # seconds: machines of tests are busy
FILES = 24  # of the fixture `many`


def start(*arguments: object, log: Path) -> subprocess.Popen[bytes]:
    """`livesr archive` in a session of its own, as a shell starts it."""
    return _start([*ARCHIVE, *map(str, arguments)], log)


def run_to_its_end(*arguments: object, log: Path) -> None:
    """`livesr archive` until it ends with status 0.

    On a busy machine Ray may not start in time; livesr says so, and the command is given again.
    """
    for _ in range(5):
        status = start(*arguments, log=log).wait(PATIENCE)
        if status == 0:
            return
        assert "the machine is busy, try again" in log.read_text().splitlines()[-1], log.read_text()
    raise AssertionError(log.read_text())


def start_python(code: str, log: Path) -> subprocess.Popen[bytes]:
    """Python code, in the same way."""
    return _start([sys.executable, "-c", code], log)


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def below(pid: int) -> dict[int, str]:
    """Processes that a process started, and those they started: pid -> command line."""
    parents: dict[int, list[int]] = {}
    lines: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents.setdefault(int(fields[1]), []).append(int(folder.name))
                lines[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    found: dict[int, str] = {}

    def walk(parent: int) -> Iterator[int]:
        for child in parents.get(parent, []):
            yield child
            yield from walk(child)

    for child in walk(pid):
        found[child] = lines.get(child, "")
    return found


def chosen_process(whom: str, process: subprocess.Popen[bytes]) -> int | None:
    """The driver, the raylet or one of the scorers, if it runs."""
    if whom == "driver":
        return process.pid
    wanted = "raylet/raylet" if whom == "raylet" else "MapWorker"
    found = [pid for pid, line in below(process.pid).items() if wanted in line]
    return random.choice(found) if found else None


def scored(out: Path) -> int:
    """How many files of an archive have their readings."""
    return sum(1 for _ in (out / READINGS).glob("*.parquet"))


def alive(pid: int) -> bool:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def until(what: Callable[[], bool], seconds: float) -> bool:
    """Whether it became so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return what()


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def clear(process: subprocess.Popen[bytes], started: dict[int, str]) -> None:
    """See that nothing is left of a run that was killed; what lingers ends by itself."""
    until(lambda: not any(map(alive, started)), 30)
    for pid, line in started.items():
        if alive(pid) and "ray" in line:
            kill(pid)
    process.wait(PATIENCE)  # a run whose raylet was killed as it started starts Ray again
