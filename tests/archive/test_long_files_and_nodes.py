"""kill -9 inside a long file, and of one of two nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from livesr.archive.outputs import STATES
from tests.archive.processes import (
    PATIENCE,
    below,
    chosen_process,
    clear,
    kill,
    scored,
    start,
    start_python,
    until,
)
from tests.archive.test_archive import assert_replayed
from tests.archive.test_kills import assert_all_scored_once

pytestmark = pytest.mark.timeout(1800)


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
def test_kills_inside_a_long_file_resume_from_its_state(tmp_path: Path, speech: np.ndarray) -> None:
    """States every 5 s of sound here, where it is every 10 minutes of files over an hour."""
    sound, out, log = tmp_path / "long.flac", tmp_path / "out", tmp_path / "log"
    sf.write(sound, np.tile(speech, 20), 16000)
    code = (
        "import sys; from livesr.archive.run import Archive, run; "
        "from livesr.archive.settings import Checkpoints, Scoring; "
        f"sys.exit(run(Archive([{str(sound)!r}], {str(out)!r}, Scoring(), workers=1, "
        "checkpoints=Checkpoints(longer_than=60.0, every=5.0))))"
    )
    seen = [0]

    def look() -> int:
        seen.append(saved_frames(out) or seen[-1])
        return seen[-1]

    process = started_and_saved(code, out, log)
    worker = chosen_process("worker", process)
    assert worker is not None
    kill(worker)
    first = look()
    # Ray gives the file to another worker of the same run, whose driver is killed then.
    assert until(lambda: look() > first or process.poll() is not None, PATIENCE), log.read_text()
    assert process.poll() is None, log.read_text()
    started = below(process.pid)
    kill(process.pid)
    clear(process, started)
    second = look()
    process = start_python(code, log=log)
    assert until(lambda: look() >= 0 and process.poll() is not None, PATIENCE), log.read_text()
    assert process.returncode == 0, log.read_text()
    assert seen == sorted(seen), "it began again"
    assert seen[-1] > second > first, "it did not resume"
    assert_replayed(out, None)
    assert not list((out / STATES).iterdir())


@pytest.mark.slow
def test_two_nodes_one_of_them_killed_give_the_same_dataset(many: Path, tmp_path: Path) -> None:
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
        process = start(many, out, "--address", address, log=log)
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
