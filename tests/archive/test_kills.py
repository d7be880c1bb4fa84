"""kill -9 at random moments, then the same command again: the same rows, each once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from livesr.archive.outputs import CHECKPOINT, READINGS, STATES, SUMMARY
from tests.archive.processes import (
    PATIENCE,
    below,
    clear,
    kill,
    run_to_its_end,
    start,
    start_python,
    until,
)
from tests.archive.test_archive import assert_replayed

FILES = 24
pytestmark = pytest.mark.timeout(1800)


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


def assert_all_scored_once(out: Path) -> None:
    assert_replayed(out, None)
    rows = pd.read_parquet(out / SUMMARY)
    assert len(rows) == FILES
    assert set(rows["status"]) == {"ok"}
    assert not [
        path for path in out.rglob("*") if path.name.endswith((".part", ".pending.parquet"))
    ]
    assert set(pd.read_parquet(out / CHECKPOINT)["key"]) == set(rows["key"])


def chosen_process(whom: str, process: subprocess.Popen[bytes]) -> int | None:
    """The driver, the raylet or one of the scorers, if it runs."""
    if whom == "driver":
        return process.pid
    wanted = "raylet/raylet" if whom == "raylet" else "MapWorker"
    found = [pid for pid, line in below(process.pid).items() if wanted in line]
    return random.choice(found) if found else None


def run_and_kill(whom: str, source: Path, out: Path, log: Path, moment: random.Random) -> None:
    """Start a run and kill one of its processes, when some more files are scored or any time."""
    process = start(source, out, "--workers", 2, log=log)
    more = scored(out) + moment.randrange(4)
    until(
        lambda: chosen_process(whom, process) is not None or process.poll() is not None,
        PATIENCE,
    )
    if moment.random() < 0.7:
        until(lambda: scored(out) > more or process.poll() is not None, PATIENCE)
    else:
        until(lambda: process.poll() is not None, moment.uniform(0, 5))
    started = below(process.pid)
    if (pid := chosen_process(whom, process)) is not None:
        kill(pid)
    if whom == "worker":
        assert process.wait(PATIENCE) in (0, 2), log.read_text()
    clear(process, started)


@pytest.mark.slow
def test_ten_kills_lose_no_row_and_write_none_twice(source: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moment = random.Random(seed)
    for number in range(10):
        whom = ("driver", "worker", "raylet")[number % 3]
        run_and_kill(whom, source, out, log, moment)
        print(f"{whom} killed: {scored(out)} of {FILES} scored", flush=True)
        if scored(out) == FILES:  # all is done: what could be lost now is the summary
            for path in list((out / READINGS).iterdir())[: FILES // 2]:
                path.unlink()
            for folder in (SUMMARY, CHECKPOINT):
                for path in (out / folder).iterdir():
                    path.unlink()
    run_to_its_end(source, out, "--workers", 2, log=log)
    assert_all_scored_once(out)


def saved_frames(out: Path) -> int:
    """How far the saved state of the only long file is; 0 without one."""
    for path in (out / STATES).glob("*.parquet"):
        with suppress(OSError, pa.ArrowInvalid):
            return int((pq.read_schema(path).metadata or {})[b"livesr.frames"])
    return 0


def started_and_saved(code: str, out: Path, log: Path) -> subprocess.Popen[bytes]:
    """A run that has saved a state after a minute of sound; Ray may not start at the first try."""
    for _ in range(5):
        process = start_python(code, log=log)
        running = process.poll
        until(lambda: saved_frames(out) > 60 * 16000 or running() is not None, PATIENCE)  # noqa: B023
        if running() is None:
            break
    assert saved_frames(out) > 60 * 16000, log.read_text()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["worker", "driver"])
def test_a_kill_inside_a_long_file_resumes_from_its_state(
    tmp_path: Path, speech: np.ndarray, whom: str
) -> None:
    """States every 5 s of sound here, where it is every 10 minutes of files over an hour."""
    sound, out, log = tmp_path / "long.flac", tmp_path / "out", tmp_path / "log"
    sf.write(sound, np.tile(speech, 12), 16000)
    code = (
        "import sys; from livesr.archive.run import Archive, run; "
        "from livesr.archive.settings import Checkpoints, Scoring; "
        f"sys.exit(run(Archive([{str(sound)!r}], {str(out)!r}, Scoring(), workers=1, "
        "checkpoints=Checkpoints(longer_than=60.0, every=5.0))))"
    )
    process = started_and_saved(code, out, log)
    started = below(process.pid)
    pid = chosen_process(whom, process)
    assert pid is not None
    kill(pid)
    before = saved_frames(out)
    if whom == "driver":
        clear(process, started)
        process = start_python(code, log=log)
    seen = [before]

    def ended() -> bool:
        seen.append(saved_frames(out) or seen[-1])
        return process.poll() is not None

    assert until(ended, PATIENCE), log.read_text()
    assert process.returncode == 0, log.read_text()
    assert seen == sorted(seen), "it began again"
    assert seen[-1] > before, "it did not resume"
    assert_replayed(out, None)
    assert not list((out / STATES).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_what_is_left_and_the_next_run_scores_it(
    source: Path, tmp_path: Path, number: int
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = start(source, out, "--workers", 1, log=log)
    assert until(lambda: scored(out) >= 2, PATIENCE)
    started = below(process.pid)
    kill(process.pid, number)
    assert process.wait(PATIENCE) == 128 + number, log.read_text()
    assert "are left. Give the same command again" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert until(lambda: not below(process.pid), 30)
    clear(process, started)
    run_to_its_end(source, out, "--workers", 2, log=log)
    assert_all_scored_once(out)


@pytest.mark.slow
def test_two_nodes_one_of_them_killed_give_the_same_dataset(source: Path, tmp_path: Path) -> None:
    """Two raylets on this machine, a worker on each; one of them is killed in mid-run."""
    out, log = tmp_path / "out", tmp_path / "log"
    code = (
        "import sys, time; from ray.cluster_utils import Cluster; "
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1}); "
        "cluster.add_node(num_cpus=1); print(cluster.address, flush=True); sys.stdin.read(); "
        "cluster.shutdown()"
    )
    nodes = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert nodes.stdin and nodes.stdout
    try:
        address = nodes.stdout.readline().strip()
        process = start(source, out, "--address", address, log=log)
        assert until(lambda: scored(out) >= 3 or process.poll() is not None, PATIENCE)
        raylets = [pid for pid, line in below(nodes.pid).items() if "raylet/raylet" in line]
        assert len(raylets) == 2
        kill(raylets[-1])  # a spot machine that is taken away
        assert process.wait(2 * PATIENCE) == 0, log.read_text()
    finally:
        started = below(nodes.pid)
        nodes.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            nodes.wait(60)
        for pid in (nodes.pid, *started):
            kill(pid)
    assert_all_scored_once(out)
