"""The benches print their tables; no test depends on what they measure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from livesr.app.bench import first_line_seconds
from livesr.errors import LivesrError


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


def test_the_first_reading_is_timed_until_there_is_one() -> None:
    clip = str(Path(__file__).parents[1] / "data" / "banglaser.flac")
    replay = [sys.executable, "-m", "livesr", "replay", "--jsonl", "-"]
    slow = "import time; time.sleep(0.5); print('\"probabilities\"', flush=True); time.sleep(3600)"
    assert first_line_seconds([sys.executable, "-c", slow]) >= 0.5  # and its end is not waited for
    first_line_seconds([*replay, clip])  # which raises where there is no reading
    with pytest.raises(LivesrError, match=r"absent\.flac` printed no reading"):
        first_line_seconds([*replay, "absent.flac"])
