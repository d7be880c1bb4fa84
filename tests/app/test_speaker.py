"""The sound of a replay, on a real output: played whole, from any place, and the replay's clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from livesr.app.gaps import Gaps
from livesr.app.speaker import Speaker
from livesr.files.soundfile import SoundFile
from tests.helpers.tiny import DATA
from tests.helpers.virtual import VirtualMicrophone
from tests.helpers.waiting import until

CLIP = DATA / "conversation.flac"
RATE = 16_000


def found(played: np.ndarray, sought: np.ndarray) -> tuple[float, float]:
    """Where in what was played (s), and how like it is (1: the same but for loudness)."""
    place = int(np.correlate(played, sought, "valid").argmax())
    there = played[place : place + len(sought)]
    norms = np.linalg.norm(there) * np.linalg.norm(sought)
    return place / RATE, float(np.dot(there, sought) / norms)


@pytest.mark.slow
def test_it_is_played_from_any_place_and_tells_the_time(
    microphone: VirtualMicrophone, tmp_path: Path, speech: np.ndarray
) -> None:
    raw = tmp_path / "played.raw"
    command = ["parec", "-d", "vmic.monitor", "--rate=16000", "--channels=1", "--raw"]
    with raw.open("wb") as file, subprocess.Popen(command, stdout=file) as recorder:
        speaker = Speaker(lambda: SoundFile(CLIP))
        time.sleep(0.5)
        for start in (3.0, 10.0):
            speaker.go(start)
            began = time.monotonic()
            time.sleep(1.5)
            assert start + 0.5 < speaker.now() < start + time.monotonic() - began + 0.1
            speaker.stop()
            stood = speaker.now()
            time.sleep(0.3)
            assert speaker.now() == stood
        speaker.close()
        time.sleep(0.3)
        recorder.terminate()
    played = np.fromfile(raw, np.int16).astype(np.float32) / 32768
    places = []
    for start in (3.0, 10.0):
        sought = speech[round((start + 0.2) * RATE) : round((start + 0.7) * RATE)]
        place, likeness = found(played, sought)
        assert likeness > 0.98
        places.append(place)
    assert places[0] < places[1]


def test_the_clock_reaches_the_end(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.zeros((24_000, 3)), 48_000)  # more channels than are played
    speaker = Speaker(lambda: SoundFile(tmp_path / "a.wav"))
    speaker.go(0.0)
    for _ in range(100):
        if speaker.now() > 0.5:
            break
        time.sleep(0.05)
    else:
        pytest.fail("it stands before the end")
    speaker.close()


def test_one_channel_is_played_alone(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    call = np.zeros((32_000, 2))
    call[:, 1] = 0.5 * np.sin(np.arange(32_000))
    sf.write(tmp_path / "a.wav", call, RATE)
    loudest = []
    for channel in (1, 2):
        raw = tmp_path / "played.raw"
        command = ["parec", "-d", "vmic.monitor", "--rate=16000", "--channels=1", "--raw"]
        with raw.open("wb") as file, subprocess.Popen(command, stdout=file) as recorder:
            speaker = Speaker(lambda: SoundFile(tmp_path / "a.wav"), channel=channel)
            time.sleep(0.5)
            speaker.go(0.0)
            time.sleep(1.0)
            speaker.close()
            recorder.terminate()
        loudest.append(int(np.abs(np.fromfile(raw, np.int16)).max()))
    assert loudest[0] == 0
    assert loudest[1] > 10_000


def test_an_output_that_has_gone_is_an_error_and_no_endless_wait(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(60 * RATE), RATE)
    sound, out = str(tmp_path / "a.wav"), tmp_path / "a.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "livesr", "replay", sound, "--play", "--jsonl", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **microphone.environment},
    ) as process:
        until(lambda: out.exists() and out.read_text().count("\n") > 2)
        microphone.down()
        try:
            assert process.wait(timeout=30) == 3
        finally:
            microphone.up()
        assert process.stderr is not None
        assert b"sound output" in process.stderr.read()


def test_what_a_recording_leaves_out_is_passed_at_once(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(48_000), 48_000)
    speaker = Speaker(lambda: SoundFile(tmp_path / "a.wav"), Gaps(((0.2, 60.0),)))
    for start, before in ((0.0, 0.0), (60.4, 60.4)):  # each before the sound's end
        speaker.go(start)
        assert before <= speaker.now() < before + 0.2
        for _ in range(100):
            if speaker.now() > 60.6:
                break
            time.sleep(0.05)
        else:
            pytest.fail("it waits for sound that was never written")
        speaker.stop()
    speaker.close()


@pytest.mark.parametrize("output", [True, False])
def test_replay_play(microphone: VirtualMicrophone, tmp_path: Path, output: bool) -> None:
    samples, rate = sf.read(CLIP, frames=2 * RATE)
    sf.write(tmp_path / "a.wav", samples, rate)
    # Without the interface's own configuration there is none, but for cards of this machine.
    environment = {**os.environ, **microphone.environment}
    if not output:
        environment["ALSA_CONFIG_PATH"] = "/usr/share/alsa/alsa.conf"
        environment["PULSE_SERVER"] = "unix:/nowhere"
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-m", "livesr", "replay", tmp_path / "a.wav", "--play", "--jsonl", "-"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert told.returncode == 0
    assert told.stdout.count("\n") == 8
    assert time.monotonic() - began > 2
    assert ("silently" in told.stderr) == (not output)
