"""What the world does to a program that listens: disks, pipes, signals, clocks, devices."""

from __future__ import annotations

import json
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import livesr
from livesr import Event, LivesrError, Reading, Recognizer
from livesr.files.recording import Recording, events_path
from livesr.files.replay import ReplaySettings, play
from livesr.files.soundfile import SoundFile
from livesr.microphone.capture import Capture
from livesr.microphone.stream import Microphone
from tests.helpers.virtual import VirtualMicrophone
from tests.helpers.waiting import until
from tests.microphone.test_listening import LISTEN, collect, events, readings

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["flac", "wav"])
def test_a_disk_that_fills_ends_the_recording_and_not_the_listening(
    tmp_path: Path, tiny: Path, speech: np.ndarray, kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    capture, alone = Capture(Recognizer(tiny), Recording(path)), Capture(Recognizer(tiny))
    items, same = [], []
    with full_disk(70_001):
        for start in range(0, 100_000, 1600):
            block = speech[start : start + 1600, None]
            items += capture.push(block)
            same += alone.push(block)
        items += capture.finish()
    same += alone.finish()
    (told,) = (item for item in items if isinstance(item, Event))
    assert told.kind == "recording"
    assert "is the disk full?" in told.text
    assert readings(items) == same
    assert "What was recorded can be replayed" in told.text
    # What was recorded is whole frames, and says what was said.
    with SoundFile(path) as sound:
        found = sum(map(len, sound.blocks()))
        assert sound.findings == []
    assert told.at - 0.3 < found / 16000 <= told.at + 0.1
    *replayed, _last = readings(list(play(path, ReplaySettings(model=tiny))))
    assert replayed == same[: len(replayed)]
    assert len(replayed) >= int(told.at * 4) - 2


@pytest.mark.parametrize("kind", ["flac", "wav"])
def test_a_disk_that_is_full_for_an_event_leaves_a_whole_recording(
    tmp_path: Path, speech: np.ndarray, kind: str
) -> None:
    """A FLAC writes its last block when it is closed."""
    path = tmp_path / f"a.{kind}"
    recording = Recording(path)
    for start in range(0, 48_000, 1600):
        recording.write(speech[start : start + 1600])
    events_path(path).write_bytes(bytes(path.stat().st_size + 3000))
    with (
        full_disk(path.stat().st_size + 1000),
        pytest.raises(LivesrError, match="What was recorded can be replayed"),
    ):
        recording.event(Event("mark", 3.0))
    with SoundFile(path) as sound:
        assert sum(map(len, sound.blocks())) > 40_000
        assert not any("damaged" in finding.text for finding in sound.findings)


@pytest.mark.parametrize("most", [0, 20, 44, 60, 100, 1_000])
@pytest.mark.parametrize("kind", ["flac", "wav"])
def test_a_disk_that_is_full_at_once_leaves_no_file(
    tmp_path: Path, speech: np.ndarray, kind: str, most: int
) -> None:
    with full_disk(most), pytest.raises(LivesrError, match="cannot be recorded to") as told:
        recording = Recording(tmp_path / f"a.{kind}")
        recording.event(Event("mark", 0.0))
        for start in range(48_000, 64_000, 1600):
            recording.write(speech[start : start + 1600])
    assert "can be replayed" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@FULL
def test_listening_to_a_full_disk_is_one_sentence(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    record = tmp_path / "a.flac"
    told = subprocess.run(
        [*LISTEN, "--jsonl", "/dev/full", "--record", str(record), "--seconds", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 3  # listening went on, and the recording with it
    assert told.stderr == "livesr: /dev/full cannot be written further: No space left on device.\n"
    assert readings(list(play(record)))  # which was closed properly


def test_a_reader_that_leaves_ends_listening(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    record = tmp_path / "a.flac"
    command = shlex.join([*LISTEN, "--record", str(record), "--jsonl", "-"])
    told = subprocess.run(
        f"{command} | head -n 2", shell=True, capture_output=True, text=True, timeout=30, check=True
    )
    assert len(told.stdout.splitlines()) == 2
    assert "Traceback" not in told.stderr
    assert "Exception" not in told.stderr
    assert len(readings(list(play(record)))) >= 2


@pytest.mark.slow
def test_a_stopped_process_goes_on_with_a_true_clock(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    record, out = tmp_path / "a.flac", tmp_path / "a.jsonl"
    command = [*LISTEN, "--record", str(record), "--jsonl", str(out)]

    def lines() -> int:
        return out.read_text().count("\n") if out.exists() else 0

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until(lambda: lines() > 4)
        first, began = json.loads(out.read_text().splitlines()[-1])["end"], time.monotonic()
        process.send_signal(signal.SIGSTOP)
        time.sleep(12)  # longer than the ring
        stopped = lines()
        process.send_signal(signal.SIGCONT)
        until(lambda: lines() > stopped + 20)
        elapsed = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert process.stderr.read() == b""
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [item.to_dict() for item in play(record)] == told
    ends = [item["end"] for item in told if "end" in item]
    # The stop is 12 s; a worker on a busy machine may be 2 s behind, and a hop or two.
    assert ends[-1] - first == pytest.approx(elapsed, abs=3.0)


@pytest.mark.slow
def test_a_night_asleep_is_a_gap(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock alone is made up: no test can put its machine to sleep."""
    real, asleep = time.monotonic, [0.0]
    monkeypatch.setattr("livesr.microphone.stream.time.monotonic", lambda: real() + asleep[0])
    with (
        microphone.play(clip_wav) as player,
        livesr.listen("vmic", record=tmp_path / "a.flac") as listener,
    ):
        until(lambda: listener.seconds > 3)
        asleep[0] = 600.0
        until(lambda: listener.seconds > 606, most=30)
        items = collect(listener, lambda items: True)
        player.kill()
    assert sum(event.seconds for event in events(items, "gap")) == pytest.approx(600, abs=1.0)
    ends = [reading.end for reading in readings(items)]
    assert ends == sorted(ends)
    assert len(ends) < 80  # not one for each hop of the night
    assert list(play(tmp_path / "a.flac")) == items


@pytest.mark.slow
def test_a_device_that_delivers_what_is_not_sound(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is in some blocks is made up: no driver here does it on demand."""
    real, count = Microphone._callback, [0]

    def broken(self: Microphone, block: np.ndarray, *rest: Any) -> None:
        count[0] += 1
        if 40 <= count[0] < 60:
            block = np.full_like(block, (np.nan, np.inf, 1e30)[count[0] % 3])
        real(self, block, *rest)

    monkeypatch.setattr(Microphone, "_callback", broken)
    with (
        microphone.play(clip_wav) as player,
        livesr.listen("vmic", record=tmp_path / "a.flac") as listener,
    ):
        levels = []
        while listener.seconds < 5:
            levels.append(listener.level())
            time.sleep(0.02)
        items = collect(listener, lambda items: True)
        player.kill()
    gaps = events(items, "gap")
    assert {gap.text for gap in gaps} == {"the device delivered what is not sound"}
    assert np.isfinite(levels).all()
    assert readings(items)[-1].gap == 0
    assert list(play(tmp_path / "a.flac")) == items


LISTENERS = """
import os, sys, threading
import livesr
from tests.soak import memory_mb

for _ in range(5):
    for _ in range(50):
        with livesr.listen("vmic", model=sys.argv[1]):
            pass
    print(threading.active_count(), len(os.listdir("/proc/self/fd")), memory_mb())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process holds")
def test_nothing_is_left_of_200_listeners(microphone: VirtualMicrophone, tiny: Path) -> None:
    """In a process of their own: what other tests left behind moves the memory of this one."""
    told = subprocess.run(
        [sys.executable, "-c", LISTENERS, str(tiny)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    left = [[float(word) for word in line.split()] for line in told.stdout.splitlines()]
    threads, files, memory = zip(*left, strict=True)
    assert len(left) == 5
    assert len(set(threads)) == len(set(files)) == 1
    # What leaks grows every time; an allocator's own moods do not.
    assert min(np.diff(memory)) < 0.5


@pytest.mark.slow
def test_a_device_at_another_rate(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back at another rate than it went."""
    rates: list[int] = []
    real = Microphone._ways

    def ways(self: Microphone) -> Iterator[tuple[int, int]]:
        rate, channels = next(iter(real(self)))
        rates.append(48_000 if rates else rate)
        yield rates[-1], channels

    monkeypatch.setattr(Microphone, "_ways", ways)
    with livesr.listen("vmic", model=tiny, record=tmp_path / "a.flac") as listener:
        until(lambda: listener.seconds > 1)
        before, began = listener.rate, time.monotonic() - listener.seconds
        microphone.down()
        until(lambda: listener.trouble)
        microphone.up()
        until(lambda: not listener.trouble)
        back = listener.seconds
        until(lambda: listener.seconds > back + 2)
        assert (before, listener.rate) == (44_100, 48_000)
        elapsed = time.monotonic() - began
        items = collect(listener, lambda items: True)
    found = [item for item in items if isinstance(item, Reading)]
    assert found[-1].end == pytest.approx(elapsed, abs=0.6)
    assert list(play(tmp_path / "a.flac", ReplaySettings(model=tiny))) == items


@pytest.mark.slow
def test_a_sound_server_that_hangs_holds_up_nothing(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    """PortAudio then waits without limit: to close the stream, to open it, to list devices."""
    record, out = tmp_path / "a.flac", tmp_path / "a.jsonl"
    command = [*LISTEN, "--record", str(record), "--jsonl", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        until(lambda: out.exists() and out.read_text().count("\n") > 4)
        with microphone.frozen():
            until(lambda: "vmic has gone" in out.read_text())
            time.sleep(1)  # it tries to open it again
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 128 + signal.SIGTERM
            assert process.stderr.read() == b""
            listed = subprocess.run(
                [sys.executable, "-m", "livesr", "devices"],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
    assert (listed.returncode, listed.stdout) == (2, "")
    assert listed.stderr == (
        "livesr: The sound system has not answered for 15 s; restart it, then try again.\n"
    )
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [item.to_dict() for item in play(record)] == told


@pytest.mark.slow
def test_a_sound_server_that_hung_goes_on(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path
) -> None:
    with livesr.listen("vmic", model=tiny, record=tmp_path / "a.flac") as listener:
        until(lambda: listener.seconds > 1)
        with microphone.frozen():
            until(lambda: listener.trouble)
            time.sleep(1)
        until(lambda: not listener.trouble)
        back = listener.seconds
        until(lambda: listener.seconds > back + 1)
        items = collect(listener, lambda items: True)
    assert [event.text for event in events(items, "device")] == ["vmic has gone", "vmic is back"]
    assert list(play(tmp_path / "a.flac", ReplaySettings(model=tiny))) == items
