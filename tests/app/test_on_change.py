"""--exec: a command of the user's at each change of label."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from livesr import replay
from livesr.app.on_change import OnChange
from livesr.errors import LivesrError
from livesr.event import Event
from tests.app.test_report import reading
from tests.helpers.commands import livesr
from tests.helpers.tiny import DATA


def test_each_change_is_told_once(tmp_path: Path) -> None:
    command = (
        f'echo "$LIVESR_BEFORE>$LIVESR_LABEL $LIVESR_PROBABILITY $LIVESR_TIME" >> {tmp_path}/told'
    )
    with OnChange(command) as hook:
        for end, said in ((0.25, "warming-up"), (1, "sad"), (2, "sad"), (3, "unsure"), (4, "sad")):
            hook.write(reading(end, said))
        hook.write(Event("mark", 4.1))
        while not (tmp_path / "told").exists():
            time.sleep(0.02)
        time.sleep(0.1)
        hook.write(reading(5, "angry"))
    assert (tmp_path / "told").read_text() == ">sad 0.700 1.00\nsad>angry 0.700 5.00\n"


def test_nothing_waits_for_it_and_the_newest_change_counts(tmp_path: Path) -> None:
    began = time.monotonic()
    with OnChange(f"sleep 1; echo $LIVESR_LABEL >> {tmp_path}/told") as hook:
        for number in range(40):
            hook.write(reading((number + 1) / 4, ("sad", "angry", "happy")[number % 3]))
        assert time.monotonic() - began < 0.9
    assert (tmp_path / "told").read_text().split() == ["sad", "sad"]  # the first and the 40th


def test_one_that_fails_is_told_of_once() -> None:
    with pytest.raises(LivesrError, match="ended with status 7"), OnChange("exit 7") as hook:
        hook.write(reading(1, "sad"))


def test_one_that_failed_is_not_run_again(tmp_path: Path) -> None:
    command = f"echo $LIVESR_LABEL >> {tmp_path}/told; sleep 0.3; exit 7"
    with OnChange(command) as hook:
        for end, said in ((1, "sad"), (2, "angry")):
            hook.write(reading(end, said))
        time.sleep(0.6)
        with pytest.raises(LivesrError, match="not run again"):
            hook.write(reading(3, "angry"))
    assert (tmp_path / "told").read_text() == "sad\n"


@pytest.mark.slow
def test_the_program_runs_it(tmp_path: Path) -> None:
    clip = str(DATA / "conversation.flac")
    told = livesr("replay", clip, "--exec", f"echo $LIVESR_LABEL >> {tmp_path}/told")
    assert (told.returncode, told.stderr) == (0, "")
    labels = (tmp_path / "told").read_text().split()
    shown = [reading.label for reading in replay(clip)]
    assert labels[0] == next(filter(None, shown))
    assert set(labels) == set(filter(None, shown))
    told = livesr("replay", clip, "--exec", "exit 7")
    assert told.returncode == 3
    assert told.stderr.count("\n") == 1 and "status 7" in told.stderr
