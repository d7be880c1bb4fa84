"""kill -9 at random moments, then the same command again: the same rows, each once."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from livesr.archive.outputs import CHECKPOINT, READINGS, SUMMARY
from tests.archive.processes import below, clear, kill, start, until
from tests.archive.test_archive import assert_replayed

FILES = 24
ANSWER = 180.0  # seconds: machines of tests are busy


@pytest.fixture
def source(tmp_path: Path, speech: np.ndarray) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(FILES):
        clip = np.roll(speech, -number * 16000)[: (8 + number % 5) * 16000]
        sf.write(folder / f"{number:02}.wav", clip, 16000)
    return folder


def scored(out: Path) -> int:
    return sum(1 for _ in (out / READINGS).glob("*.parquet"))


def assert_whole(out: Path) -> None:
    assert_replayed(out, None)
    rows = pd.read_parquet(out / SUMMARY)
    assert len(rows) == FILES
    assert set(rows["status"]) == {"ok"}
    assert not [
        path for path in out.rglob("*") if path.name.endswith((".part", ".pending.parquet"))
    ]
    assert set(pd.read_parquet(out / CHECKPOINT)["key"]) == set(rows["key"])


def victim(whom: str, process: subprocess.Popen[bytes]) -> int | None:
    """The driver, the raylet or one of the scorers, if it runs."""
    if whom == "driver":
        return process.pid
    wanted = "raylet/raylet" if whom == "raylet" else "MapWorker"
    found = [pid for pid, line in below(process.pid).items() if wanted in line]
    return random.choice(found) if found else None


def strike(whom: str, source: Path, out: Path, log: Path, moment: random.Random) -> None:
    """Start a run and kill one of its processes, when some more files are scored or any time."""
    process = start(source, out, "--workers", 2, log=log)
    more = scored(out) + moment.randrange(4)
    until(lambda: victim(whom, process) is not None or process.poll() is not None, ANSWER)
    if moment.random() < 0.7:
        until(lambda: scored(out) > more or process.poll() is not None, ANSWER)
    else:
        until(lambda: process.poll() is not None, moment.uniform(0, 5))
    started = below(process.pid)
    if (pid := victim(whom, process)) is not None:
        kill(pid)
    if whom == "worker":
        assert process.wait(ANSWER) in (0, 2), log.read_text()
    clear(process, started)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["driver", "worker", "raylet"])
def test_ten_kills_lose_and_double_nothing(whom: str, source: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moment = random.Random(seed)
    for _ in range(10):
        strike(whom, source, out, log, moment)
        if scored(out) == FILES:  # all is done: what could be lost now is the summary
            for path in list((out / READINGS).iterdir())[: FILES // 2]:
                path.unlink()
            for folder in (SUMMARY, CHECKPOINT):
                for path in (out / folder).iterdir():
                    path.unlink()
    process = start(source, out, "--workers", 2, log=log)
    assert process.wait(ANSWER) == 0, log.read_text()
    assert_whole(out)


@pytest.mark.slow
def test_a_stop_is_told_and_goes_on(source: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = start(source, out, "--workers", 1, log=log)
    assert until(lambda: scored(out) >= 2, ANSWER)
    started = below(process.pid)
    kill(process.pid, signal.SIGINT)
    assert process.wait(ANSWER) == 128 + signal.SIGINT, log.read_text()
    assert "are left. The same command goes on" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert until(lambda: not below(process.pid), 30)
    clear(process, started)
    process = start(source, out, "--workers", 2, log=log)
    assert process.wait(ANSWER) == 0, log.read_text()
    assert_whole(out)
