"""kill -9 at random moments, then the same command again: the same rows, each once.

A few kills here; LIVESR_KILLS=10 for the long run, as before a release.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pandas as pd
import pytest

from livesr.archive.outputs import CHECKPOINT, READINGS, SUMMARY
from tests.archive.processes import (
    FILES,
    PATIENCE,
    below,
    chosen_process,
    clear,
    kill,
    run_to_its_end,
    scored,
    start,
    until,
)
from tests.archive.test_archive import assert_replayed

WHOM = ("driver", "worker", "raylet")
KILLS = max(len(WHOM), int(os.environ.get("LIVESR_KILLS", "4")))  # each of them is killed
pytestmark = pytest.mark.timeout(1800)


def assert_all_scored_once(out: Path) -> None:
    assert_replayed(out, None)
    rows = pd.read_parquet(out / SUMMARY)
    assert len(rows) == FILES
    assert set(rows["status"]) == {"ok"}
    assert not [
        path for path in out.rglob("*") if path.name.endswith((".part", ".pending.parquet"))
    ]
    assert set(pd.read_parquet(out / CHECKPOINT)["key"]) == set(rows["key"])


def run_and_kill(whom: str, many: Path, out: Path, log: Path, moment: random.Random) -> bool:
    """Start a run and kill one of its processes, when some more files are scored or any time.

    Returns:
        whether it still ran: on a busy machine Ray may not have started.
    """
    process = start(many, out, "--workers", 2, log=log)
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
    pid = chosen_process(whom, process)
    killed = pid is not None and process.poll() is None
    if pid is not None and killed:
        kill(pid)
    if whom == "worker":
        assert process.wait(PATIENCE) in (0, 2), log.read_text()
    clear(process, started)
    return killed


def remove_half(out: Path) -> None:
    """Of what a finished run wrote: what could be lost now is the summary."""
    for path in list((out / READINGS).iterdir())[: FILES // 2]:
        path.unlink()
    for folder in (SUMMARY, CHECKPOINT):
        for path in (out / folder).iterdir():
            path.unlink()


@pytest.mark.slow
def test_kills_lose_no_row_and_write_none_twice(many: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moment = random.Random(seed)
    for number in range(KILLS):
        whom, killed, tries = WHOM[number % len(WHOM)], False, 0
        while not killed and tries < 5:
            killed, tries = run_and_kill(whom, many, out, log, moment), tries + 1
            print(f"{whom} killed: {killed}; {scored(out)} of {FILES} scored", flush=True)
            if scored(out) == FILES:
                remove_half(out)
        assert killed, log.read_text()
    run_to_its_end(many, out, "--workers", 2, log=log)
    assert_all_scored_once(out)


def run_and_signal(number: signal.Signals, many: Path, out: Path, log: Path) -> None:
    """Start a run and send it a signal when two more files are scored."""
    more = scored(out) + 2
    process = start(many, out, "--workers", 1, log=log)
    assert until(lambda: scored(out) >= more, PATIENCE), log.read_text()
    started = below(process.pid)
    kill(process.pid, number)
    assert process.wait(PATIENCE) == 128 + number, log.read_text()
    assert "are left. Give the same command again" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert until(lambda: not below(process.pid), 30)
    clear(process, started)


@pytest.mark.slow
def test_a_signal_says_what_is_left_and_the_next_run_scores_it(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in (signal.SIGINT, signal.SIGTERM):
        run_and_signal(number, many, out, tmp_path / number.name)
    run_to_its_end(many, out, "--workers", 2, log=tmp_path / "log")
    assert_all_scored_once(out)
