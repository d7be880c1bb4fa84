"""Files: every format and rate is the same stream; pace; what is written."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import livesr
from livesr import Reading, Recognizer
from livesr.model.metadata import LABELS
from livesr.summary import Summary
from tests.helpers import commands
from tests.helpers.tiny import DATA

CLIP = DATA / "conversation.flac"


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 16000, 1), ("a.flac", 44100, 2), ("a.ogg", 48000, 1), ("a.mp3", 44100, 2)],
)
def test_a_replay_gives_the_readings_of_a_live_stream(
    tmp_path: Path, tiny: Path, speech: np.ndarray, name: str, rate: int, channels: int
) -> None:
    path = tmp_path / name
    sf.write(path, np.repeat(speech[: rate * 3, None], channels, axis=1), rate)
    samples, _ = sf.read(path, dtype="float32", always_2d=True)
    live = Recognizer(tiny)
    readings = []
    for start in range(0, len(samples), 441):
        readings += live.push(samples[start : start + 441], rate)
    assert list(livesr.replay(path, model=tiny)) == readings + live.finish()


def test_pace_waits_as_a_microphone_would(tiny: Path) -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    paced = livesr.replay(CLIP, model=tiny, pace=True, clock=lambda: now[0], sleep=sleep)
    first = next(paced)
    assert now[0] == pytest.approx(100 + first.end)
    now[0] += 7  # a caller that is slow is not made slower
    second = next(paced)
    assert slept[-1] == 0
    assert second == list(livesr.replay(CLIP, model=tiny))[1]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    told = commands.livesr(*arguments)
    told.check_returncode()
    return told


def test_jsonl_is_the_readings(tmp_path: Path) -> None:
    told = cli("replay", str(CLIP), "--jsonl", "-")
    expected = [reading.to_dict() for reading in livesr.replay(CLIP)]
    assert [json.loads(text) for text in told.stdout.splitlines()] == expected
    assert "s of sound" in told.stderr
    cli("replay", str(CLIP), "--jsonl", str(tmp_path / "a.jsonl"), "--csv", str(tmp_path / "a.csv"))
    assert (tmp_path / "a.jsonl").read_text() == told.stdout
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected)
    assert float(rows[9]["smoothed_angry"]) == expected[9]["smoothed"]["angry"]
    assert rows[9]["label"] == (expected[9]["label"] or "")


def test_plain_lines_and_a_summary_when_not_a_terminal() -> None:
    lines = cli("replay", str(CLIP)).stdout.splitlines()
    readings = list(livesr.replay(CLIP))
    assert sum(" dBFS" in line for line in lines) == len(readings)
    assert any(line.startswith("Turning points: ") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_reader_that_leaves_early_is_no_error() -> None:
    told = subprocess.run(
        f"{sys.executable} -m livesr replay {CLIP} --jsonl - | head -n 2",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(told.stdout.splitlines()) == 2
    assert "Traceback" not in told.stderr
    assert "Exception" not in told.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "options",
    ["--jsonl /dev/full", "> /dev/full", pytest.param("--csv /dev/full", marks=pytest.mark.slow)],
)
def test_a_full_disk_is_one_sentence(options: str) -> None:
    told = subprocess.run(
        f"{sys.executable} -m livesr replay {CLIP} {options}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 3  # an output could not be written to its end
    assert "cannot be written further: No space left on device" in told.stderr
    assert "Traceback" not in told.stderr


def test_models_lists_what_is_bundled() -> None:
    assert "acrnn-whisper (default)" in cli("models").stdout


def reading(end: float, status: str, label: str | None = None) -> Reading:
    even = dict.fromkeys(LABELS, 0.25)
    none = np.zeros(0)
    return Reading(0, end, status, label, None, even, even, none, none, 1.0, -20.0)  # type: ignore[arg-type]


def test_summary_counts_time() -> None:
    summary = Summary(LABELS)
    for item in (
        reading(0.5, "warming-up"),
        reading(1.0, "speech", "sad"),
        reading(2.0, "speech", "sad"),
        reading(2.5, "unsure"),
        reading(3.0, "speech", "happy"),
        reading(5.0, "no-speech"),
    ):
        summary.add(item)
    assert summary.shares == {"angry": 0, "happy": 0.25, "neutral": 0, "sad": 0.75}
    assert summary.turns == [(1.0, "sad"), (3.0, "happy")]
