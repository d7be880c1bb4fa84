"""The benches print their tables; no test depends on what they measure."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_quick_bench_prints_every_table() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "livesr", "bench", "--quick"],
        capture_output=True,
        text=True,
        check=True,
    )
    for title in ("The network:", "A hop of 250 ms, stage by stage", "As a whole"):
        assert title in told.stdout
    for row in ("voice activity", "decision", "times real time", "resident memory after 5 min"):
        assert row in told.stdout
