"""What a program may do with a listener, on real PortAudio streams from virtual microphones."""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import livesr
from livesr import AudioError, DeviceError, LivesrError, Reading, Recognizer
from livesr.files.recording import read_events
from livesr.files.replay import ReplaySettings, play
from livesr.microphone.capture import Capture
from livesr.microphone.devices import find, refresh
from livesr.microphone.stream import Microphone
from tests.helpers.virtual import VirtualMicrophone
from tests.helpers.waiting import until
from tests.microphone.test_listening import collect, events, readings


def sleepy(seconds: float, at: float = 1.0) -> Callable[[Reading], None]:
    """A callback that keeps the worker busy once."""
    slept: list[float] = []

    def one(reading: Reading) -> None:
        if reading.end >= at and not slept:
            slept.append(reading.end)
            time.sleep(seconds)

    one.slept = slept  # type: ignore[attr-defined]
    return one


def test_a_session_begins_with_how_it_is_listened_to(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path
) -> None:
    record = tmp_path / "a.flac"
    before = datetime.now().astimezone()
    with livesr.listen("vmic", model=tiny, hop=0.5, channel=1, record=record) as listener:
        items = collect(listener, lambda items: len(readings(items)) > 1)
    session = items[0]
    assert isinstance(session, livesr.Event)
    assert (session.kind, session.at) == ("session", 0)
    about = dict(session.about)
    started = datetime.fromisoformat(str(about.pop("started")))
    assert before <= started + timedelta(seconds=0.01) <= datetime.now().astimezone()
    assert about == {
        "livesr": livesr.__version__,
        "model": "tiny",
        "model_sha256": hashlib.sha256(tiny.read_bytes()).hexdigest(),
        "hop": 0.5,
        "channel": 1,
        "profile": None,
    }
    half = ReplaySettings(tiny, hop=0.5)
    assert list(play(record, half)) == items  # without a clock
    first, note, *_ = play(record, ReplaySettings(hop=0.5))
    assert first == session
    assert isinstance(note, livesr.Event)
    assert "listened to with the model tiny" in note.text


def test_a_session_with_a_profile_is_of_the_profiles_model(tiny: Path) -> None:
    listener = livesr.Listener("vmic", profile=livesr.Profile(tiny, name="me"))
    about = listener._worker._about
    assert (about["model"], about["profile"]) == ("tiny", "me")
    assert about["model_sha256"] == hashlib.sha256(tiny.read_bytes()).hexdigest()


@pytest.mark.parametrize("what", ["mark", "reset", "pause"])
def test_what_is_asked_for_just_before_the_end_is_done(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path, what: str
) -> None:
    """The worker sleeps in its callback meanwhile, so that nothing is carried out at once."""
    slow = sleepy(0.6)
    record = tmp_path / "a.flac"
    with livesr.listen("vmic", model=tiny, record=record, on_reading=slow) as listener:
        until(lambda: slow.slept)  # type: ignore[attr-defined]
        getattr(listener, what)()
        time.sleep(0.3)
    session, event = read_events(record)
    assert session.kind == "session"
    assert event.kind == {"mark": "mark", "reset": "reset", "pause": "gap"}[what]
    assert 0.9 < event.at < 1.6
    if what == "pause":
        assert event.text == "paused"
        assert event.seconds == pytest.approx(0.3, abs=0.15)
    items = list(play(record, ReplaySettings(model=tiny)))
    assert events(items, event.kind) == [event]


def test_a_mark_and_a_stop_from_the_callback(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path
) -> None:
    def one(reading: Reading) -> None:
        if reading.end >= 1 and not done:
            done.append(reading)
            listener.mark("here")
            listener.stop()

    done: list[Reading] = []
    with livesr.listen("vmic", model=tiny, record=tmp_path / "a.wav", on_reading=one) as listener:
        until(lambda: not listener.running)
    _session, event = read_events(tmp_path / "a.wav")
    assert (event.kind, event.text) == ("mark", "here")


def test_a_listener_before_its_start_and_after_its_end(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    listener = livesr.listen("vmic", model=tiny)
    for name in ("device", "rate"):
        with pytest.raises(LivesrError, match="has not been started"):
            getattr(listener, name)
    assert (listener.seconds, listener.dropped_seconds) == (0, 0)
    assert (listener.running, listener.paused, listener.trouble) == (False, False, "")
    assert listener.level() == (-120, -120)
    assert np.isnan(listener.latency(50)).all()
    assert listener.items(0) == []
    listener.stop()  # nothing has begun, so nothing ends
    listener.mark("at the start")
    listener.start()
    items = collect(listener, lambda items: len(readings(items)) > 2)
    (mark,) = events(items, "mark")
    assert mark.at < 0.1
    assert not listener.running
    assert listener.level() == (-120, -120)
    assert listener.device.name == "vmic"
    listener.stop()


def test_a_start_that_failed_may_be_tried_again(microphone: VirtualMicrophone, tiny: Path) -> None:
    microphone.down()
    listener = livesr.listen("vmic", model=tiny)
    with pytest.raises(DeviceError):
        listener.start()
    microphone.up()
    with listener:
        until(lambda: listener.seconds > 0.5)


@pytest.mark.parametrize("device", [0.0, True, "", " ", b"vmic", [0], -0.5])
def test_what_names_no_microphone(device: Any) -> None:
    with pytest.raises(DeviceError, match="names no microphone"):
        livesr.listen(device)


@pytest.mark.parametrize("channel", [0, -1, 1.0, True, "2"])
def test_what_numbers_no_input(channel: Any) -> None:
    with pytest.raises(AudioError, match="count channels from 1"):
        livesr.listen("vmic", channel=channel)


def test_a_number_of_any_integer_type_names_a_microphone(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    index = find("vmic").index
    with livesr.listen(np.int64(index), model=tiny) as listener:  # type: ignore[arg-type]
        assert listener.device.name == "vmic"


def test_a_timeout_on_anext_loses_nothing(microphone: VirtualMicrophone, tiny: Path) -> None:
    async def listen() -> tuple[int, list[float]]:
        ends: list[float] = []
        timeouts = 0
        async with livesr.listen("vmic", model=tiny) as listener:
            readings = aiter(listener)
            while len(ends) < 6:
                try:
                    ends.append((await asyncio.wait_for(anext(readings), 0.07)).end)
                except TimeoutError:
                    timeouts += 1
        return timeouts, ends

    timeouts, ends = asyncio.run(listen())
    assert timeouts
    assert np.allclose(ends, 0.25 * np.arange(1, 7))


def test_async_without_with_starts_and_ends_by_itself(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path
) -> None:
    async def listen() -> livesr.Listener:
        listener = livesr.listen("vmic", model=tiny, record=tmp_path / "a.flac")
        readings = aiter(listener)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(readings), 0.001)  # while it is being started
        async for reading in readings:
            if reading.end >= 1:
                break
        del readings
        assert listener.running
        return listener

    listener = asyncio.run(listen())
    until(lambda: not listener.running)
    assert len(readings(list(play(tmp_path / "a.flac", ReplaySettings(model=tiny))))) >= 4


def test_a_listener_that_ended_is_not_kept(microphone: VirtualMicrophone, tiny: Path) -> None:
    async def first() -> weakref.ref[livesr.Listener]:
        listener = livesr.listen("vmic", model=tiny)
        async for _ in listener:
            break
        return weakref.ref(listener)

    kept = asyncio.run(first())

    def gone() -> bool:
        gc.collect()
        return kept() is None

    until(gone)


def test_two_async_consumers_take_turns(microphone: VirtualMicrophone, tiny: Path) -> None:
    async def take(listener: livesr.Listener, ends: list[float]) -> None:
        async for reading in listener:
            ends.append(reading.end)

    async def listen() -> tuple[list[float], list[float]]:
        one: list[float] = []
        two: list[float] = []
        async with livesr.listen("vmic", model=tiny, hop=0.1) as listener:
            tasks = [asyncio.create_task(take(listener, ends)) for ends in (one, two)]
            await asyncio.sleep(2)
        await asyncio.gather(*tasks)  # the end reaches both
        return one, two

    one, two = asyncio.run(listen())
    assert min(len(one), len(two)) >= 5
    assert sorted(one + two) == pytest.approx(0.1 * np.arange(1, len(one + two) + 1), abs=0.1)
    assert len(set(one + two)) == len(one + two)


def test_an_async_callback_is_awaited_in_order(microphone: VirtualMicrophone, tiny: Path) -> None:
    got: list[float] = []

    async def one(scale: float, reading: Reading) -> None:
        await asyncio.sleep(0.02 * (len(got) % 3))
        got.append(scale * reading.end)

    async def listen() -> None:
        callback = functools.partial(one, 4)
        async with livesr.listen("vmic", model=tiny, on_reading=callback) as listener:
            while listener.seconds < 2:
                await asyncio.sleep(0.05)

    asyncio.run(listen())
    assert got[:8] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_an_async_callback_raises_ends_the_listening(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    async def broken(_reading: Reading) -> None:
        raise ZeroDivisionError

    async def listen() -> None:
        async with livesr.listen("vmic", model=tiny, on_reading=broken) as listener:
            while listener.running:
                await asyncio.sleep(0.05)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(listen())


def test_an_async_callback_without_an_event_loop_is_refused(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    async def one(_reading: Reading) -> None: ...

    with pytest.raises(LivesrError, match="use 'async with"):
        livesr.listen("vmic", model=tiny, on_reading=one).start()
    hidden = livesr.listen("vmic", model=tiny, on_reading=lambda reading: one(reading))  # noqa: PLW0108
    with pytest.raises(LivesrError, match="returned an awaitable"), hidden:
        until(lambda: not hidden.running)


@pytest.mark.slow
def test_one_of_two_listeners_loses_its_device_ten_times_and_the_other_nothing(
    microphone: VirtualMicrophone, other: VirtualMicrophone, tiny: Path, tmp_path: Path
) -> None:
    record = tmp_path / "steady.flac"
    with (
        livesr.listen("other", model=tiny, record=record) as steady,
        livesr.listen("vmic", model=tiny, record=tmp_path / "unsteady.flac") as unsteady,
    ):
        began = time.monotonic() - steady.seconds
        for _ in range(10):
            until(lambda: unsteady.seconds > 0 and not unsteady.trouble)
            microphone.down()
            until(lambda: unsteady.trouble)
            microphone.up()
            until(lambda: not unsteady.trouble)
        before = unsteady.seconds
        until(lambda: unsteady.seconds > before + 1)
        elapsed = time.monotonic() - began
        seconds = steady.seconds
        items = collect(steady, lambda items: True)
        others = collect(unsteady, lambda items: True)
    assert seconds == pytest.approx(elapsed, abs=0.5)
    assert [event for event in events(items, "gap") + events(items, "device")] == []
    assert steady.dropped_seconds == 0
    ends = [reading.end for reading in readings(items)]
    assert np.allclose(np.diff(ends[:-1]), 0.25)
    assert list(play(record, ReplaySettings(model=tiny))) == items
    back = [event for event in events(others, "device") if "is back" in event.text]
    assert len(back) == 10
    assert list(play(tmp_path / "unsteady.flac", ReplaySettings(model=tiny))) == others


def test_portaudio_is_not_restarted_under_an_open_stream(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    """Not under a listener's, nor under one that the program itself opened."""
    import sounddevice  # noqa: PLC0415

    assert refresh()
    with livesr.listen("vmic", model=tiny) as listener:
        until(lambda: listener.seconds > 0.5)
        assert not refresh()
        assert livesr.devices()
        before = listener.seconds
        until(lambda: listener.seconds > before + 1)
        assert listener.dropped_seconds == 0
    with pytest.raises(sounddevice.PortAudioError):
        sounddevice.InputStream(device=find("vmic").index, channels=999)
    assert refresh()  # what failed to open is no open stream
    with sounddevice.InputStream(device=find("vmic").index, channels=1) as own:
        assert not refresh()
        assert own.active
    assert refresh()


def test_a_microphone_plugged_in_after_the_program_began(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    assert "other" not in [device.name for device in livesr.devices()]
    assert microphone.other is not None
    microphone.other.up()
    try:
        with livesr.listen("other", model=tiny) as listener:
            until(lambda: listener.seconds > 0.5)
    finally:
        microphone.other.down()
    assert "other" not in [device.name for device in livesr.devices()]


@pytest.mark.slow
def test_a_portaudio_that_does_not_come_back_at_once(
    microphone: VirtualMicrophone, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its refusal to start is made up: PortAudio does not refuse on demand."""
    import sounddevice  # noqa: PLC0415

    real, refused = sounddevice._initialize, []

    def refuse() -> None:
        refused.append(1)
        raise sounddevice.PortAudioError("Error initializing PortAudio: host error", -9999)

    with livesr.listen("vmic", model=tiny) as listener:
        until(lambda: listener.seconds > 0.5)
        monkeypatch.setattr(sounddevice, "_initialize", refuse)
        microphone.down()
        until(lambda: len(refused) > 2)
        assert listener.running
        assert "vmic has gone" in listener.trouble
        with pytest.raises(DeviceError, match="PortAudio does not start"):
            livesr.devices()
        monkeypatch.setattr(sounddevice, "_initialize", real)
        microphone.up()
        until(lambda: not listener.trouble)
        before = listener.seconds
        until(lambda: listener.seconds > before + 0.5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_told_so(microphone: VirtualMicrophone, tiny: Path) -> None:
    with livesr.listen("vmic", model=tiny) as listener:
        next(iter(listener))
        reader, writer = os.pipe()
        if not (child := os.fork()):
            told = []
            for what in (
                lambda: livesr.listen("vmic", model=tiny).start(),
                livesr.devices,
                lambda: listener.items(1),
            ):
                try:
                    what()
                    told.append("nothing")
                except LivesrError as error:
                    told.append(f"{type(error).__name__} {error}")
                except BaseException as error:
                    told.append(repr(error))
            listener.stop()
            os.write(writer, "\n".join(told).encode())
            os._exit(0)
        os.waitpid(child, 0)
        one, two, three = os.read(reader, 10_000).decode().splitlines()
        for line in (one, two):
            assert line.startswith("DeviceError This process was forked")
            assert "'spawn'" in line
        assert three.startswith("LivesrError This listener belongs to the process that made it")
        before = listener.seconds
        until(lambda: listener.seconds > before + 0.5)  # the parent goes on


def test_a_callback_of_portaudio_never_raises(
    microphone: VirtualMicrophone, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails inside it is the device's fault, and the device is opened again."""
    real, calls = Microphone._take, itertools.count()

    def broken(self: Microphone, *rest: Any) -> None:
        if next(calls) == 50:
            raise MemoryError
        real(self, *rest)

    monkeypatch.setattr(Microphone, "_take", broken)
    with livesr.listen("vmic", model=tiny) as listener:
        items = collect(listener, lambda items: len(events(items, "device")) == 2)
    assert [event.text for event in events(items, "device")] == ["vmic has gone", "vmic is back"]


def test_commands_from_many_threads_are_all_carried_out(
    microphone: VirtualMicrophone, tiny: Path
) -> None:
    """Commands and PortAudio's wake-ups share a queue; none is lost on the way."""

    def press(name: str) -> None:
        for number in range(200):
            listener.mark(f"{name}{number}")

    with livesr.listen("vmic", model=tiny, hop=0.02) as listener:
        threads = [threading.Thread(target=press, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    items = listener.items(0) or []
    marks = [event.text for event in events(items, "mark")]
    for name in "abcd":
        assert [m for m in marks if m[0] == name] == [f"{name}{number}" for number in range(200)]


@pytest.mark.slow
def test_with_a_long_hop_a_slow_worker_drops_only_sound_that_came(
    microphone: VirtualMicrophone, tiny: Path, tmp_path: Path
) -> None:
    """At 3 s a hop, 2.3 s behind is not even a hop: nothing is dropped, and no time is made up."""
    slow = sleepy(2.3, at=3)
    ahead = []
    record = tmp_path / "a.flac"
    with livesr.listen("vmic", model=tiny, hop=3.0, record=record, on_reading=slow) as listener:
        began = time.monotonic()
        while time.monotonic() < began + 7:
            time.sleep(0.01)
            ahead.append(listener.seconds - (time.monotonic() - began))
        ring = listener._worker.microphone.ring  # type: ignore[union-attr]
        assert ring.read <= ring.written
    assert slow.slept  # type: ignore[attr-defined]
    assert max(ahead) < 0.2
    assert {event.kind for event in read_events(record)} <= {"session", "silence"}


@pytest.mark.parametrize("hop", [0.02, 0.25, 0.7, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("behind", [1.9, 2.1, 3.3, 6.1, 7.4])
def test_dropped_sound_is_whole_hops_and_has_come(tiny: Path, hop: float, behind: float) -> None:
    """The worker alone, with a ring buffer that holds so much unread sound."""
    from livesr.microphone.ring import Ring  # noqa: PLC0415
    from livesr.microphone.worker import Worker  # noqa: PLC0415

    class Filled:
        rate, hears_all = 16_000, True
        ring = Ring(160_000, 1)

    filled = Filled()
    filled.ring = Ring(160_000, 1)
    for start in range(0, round(behind * 16_000), 160):
        filled.ring.push(np.zeros((min(160, round(behind * 16_000) - start), 1), np.float32))
    items: list[Any] = []
    worker = Worker(None, Recognizer(tiny, hop=hop), None, True, items.extend)
    worker.capture.begin(16_000)
    worker._hear_until(filled, filled.ring.written)  # type: ignore[arg-type]
    assert filled.ring.read == filled.ring.written
    assert worker.capture.seconds == pytest.approx(behind, abs=1e-3)
    gaps = events(items, "gap")
    if behind <= max(2, 2 * hop):
        assert gaps == []
    else:
        (gap,) = gaps
        assert gap.seconds <= behind
        assert gap.seconds / hop == pytest.approx(round(gap.seconds / hop))


@pytest.fixture(scope="module")
def on_input_3(tmp_path_factory: pytest.TempPathFactory, speech: np.ndarray) -> Path:
    """Speech on the third of four channels, 48 kHz."""
    path = tmp_path_factory.mktemp("quad") / "quad.wav"
    samples = np.zeros((len(speech) * 3, 4), np.float32)
    samples[:, 2] = np.repeat(speech, 3)
    sf.write(path, samples, 48_000)
    return path


@pytest.mark.slow
def test_a_voice_on_input_3_of_an_interface(
    microphone: VirtualMicrophone, on_input_3: Path, tmp_path: Path
) -> None:
    with (
        microphone.play(on_input_3, "quad") as player,
        livesr.listen("quad", channel=3, record=tmp_path / "a.flac") as listener,
    ):
        items = collect(listener, lambda items: listener.seconds > 6)
        player.kill()
    assert any(reading.status == "speech" for reading in readings(items))
    assert max(reading.level_dbfs for reading in readings(items)) > -40
    assert events(items, "silence") == []
    assert list(play(tmp_path / "a.flac")) == items


def test_inputs_that_are_not_heard_are_named_first(
    microphone: VirtualMicrophone, on_input_3: Path, tiny: Path
) -> None:
    with (
        microphone.play(on_input_3, "quad") as player,
        livesr.listen("quad", model=tiny) as listener,
    ):
        items = collect(listener, lambda items: bool(events(items, "silence")))
        player.kill()
    (silence,) = events(items, "silence")
    inputs = listener.device.channels
    assert silence.text.startswith(
        f"inputs 1 to 2 of {inputs} are silent: the voice may be on another input (--channel N"
    )
    assert silence.text.index("another input") < silence.text.index("muted")


@pytest.mark.slow
def test_two_inputs_that_cancel_each_other_out(
    microphone: VirtualMicrophone, speech: np.ndarray, tiny: Path, tmp_path: Path
) -> None:
    """A balanced cable's two halves: each holds the voice, their mean nothing."""
    voice = np.repeat(speech, 3)
    samples = np.stack([voice, -voice, 0 * voice, 0 * voice], axis=1)
    sf.write(tmp_path / "quad.wav", samples, 48_000)
    record = tmp_path / "a.flac"
    with (
        microphone.play(tmp_path / "quad.wav", "quad") as player,
        livesr.listen("quad", model=tiny, record=record) as listener,
    ):
        items = collect(listener, lambda items: listener.seconds > 5)
        assert "channels cancel each other out" in listener._worker.trouble
        player.kill()
    (silence,) = [e for e in events(items, "silence") if "cancel" in e.text]
    assert "--channel 1" in silence.text
    assert list(play(record, ReplaySettings(model=tiny))) == items


def test_listen_on_the_command_line_hears_one_channel(
    microphone: VirtualMicrophone, on_input_3: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    command = [sys.executable, "-m", "livesr", "listen", "--device", "quad", "--channel", "3"]
    with microphone.play(on_input_3, "quad") as player:
        subprocess.run([*command, "--seconds", "5", "--jsonl", out], check=True, timeout=60)
        player.kill()
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert any(line.get("status") == "speech" for line in told)
    assert not any(line.get("event") == "silence" for line in told)


def test_an_input_that_the_device_does_not_have(microphone: VirtualMicrophone, tiny: Path) -> None:
    inputs = find("vmic").channels
    with pytest.raises(DeviceError, match=f"no input 64; they are counted from 1 to {inputs}"):
        livesr.listen("vmic", model=tiny, channel=64).start()


def test_the_position_that_another_thread_reads_is_never_ahead(
    tiny: Path, speech: np.ndarray
) -> None:
    """Of what was pushed; a capture's seconds never go back either."""
    recognizer = Recognizer(tiny, hop=0.02)
    capture = Capture(Recognizer(tiny, hop=0.02))
    pushed, over = [0], threading.Event()
    faults: list[tuple[str, float, float]] = []

    def watch() -> None:
        before = 0.0
        while not over.is_set():
            position, seconds = recognizer.position, capture.seconds
            if position > pushed[0]:
                faults.append(("ahead", position, pushed[0]))
            if seconds < before:
                faults.append(("back", seconds, before))
            before = seconds

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for start in range(0, 48_000, 480):
            block = speech[start : start + 480]
            pushed[0] += len(block)
            recognizer.push(block)
            capture.push(block[:, None])
            assert capture.seconds == recognizer.position / 16_000
    finally:
        over.set()
        watcher.join()
        sys.setswitchinterval(interval)
    assert faults == []


@pytest.mark.parametrize("text", [5, None, b"x", {"a": 1}])
def test_a_mark_is_a_text(tiny: Path, text: Any) -> None:
    with pytest.raises(LivesrError, match="mark's text"):
        livesr.listen(model=tiny).mark(text)


def test_a_recording_that_cannot_be_made_leaves_the_microphone_free(
    microphone: VirtualMicrophone, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[None] = []
    close = Microphone.close
    monkeypatch.setattr(Microphone, "close", lambda self: closed.append(close(self)))
    for record in ("", 5, "m\0.flac"):
        with pytest.raises(LivesrError):
            livesr.listen(model=tiny, record=record).start()  # type: ignore[arg-type]
    assert len(closed) == 3


def test_a_microphone_that_is_back_is_not_silent_at_once(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker alone: what the one before did not deliver says nothing of this one."""
    from livesr.microphone.worker import Worker  # noqa: PLC0415

    device = SimpleNamespace(name="vmic")
    gone: Any = SimpleNamespace(device=device, fault=None, captured_until=1.0, close=lambda: None)
    back: Any = SimpleNamespace(device=device, rate=16_000, hears_all=True, captured_from=1.0)
    items: list[Any] = []
    worker = Worker(None, Recognizer(tiny), None, True, items.extend)
    worker.microphone = gone
    monkeypatch.setattr(worker, "_opened", lambda _: back)
    worker._silent = 31_000
    assert worker._reopen(gone) is back
    tenth = np.zeros((1600, 1), np.float32)
    for number in range(1, 22):
        worker._watch_silence(back, tenth)
        assert bool(events(items, "silence")) == (number == 21)
