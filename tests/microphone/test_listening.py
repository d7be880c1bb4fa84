"""`listen` on a real PortAudio stream from a virtual microphone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import livesr
from livesr import DeviceError, Event, Listener, LivesrError, Reading
from livesr.app.outputs import Outputs
from livesr.app.terminal import OutputRun, show_listening
from livesr.app.ui.view import View
from livesr.event import Item
from livesr.files.replay import play
from tests.helpers.terminal import Terminal
from tests.helpers.tiny import DATA
from tests.helpers.virtual import VirtualMicrophone
from tests.helpers.waiting import until

CLIP = DATA / "conversation.flac"
TMUX = pytest.mark.skipif(
    shutil.which("tmux") is None and "CI" not in os.environ, reason="tmux is not installed"
)
LISTEN = (sys.executable, "-m", "livesr", "listen", "--device", "vmic")


def collect(
    listener: Listener, enough: Callable[[list[Item]], bool], most: float = 30
) -> list[Item]:
    """Items until there are enough, then those of the end."""
    items: list[Item] = []
    end = time.monotonic() + most
    while not enough(items):
        assert time.monotonic() < end, items
        items += listener.items(0.2) or []
    listener.stop()
    while more := listener.items(0):
        items += more
    return items


def readings(items: list[Item]) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def events(items: list[Item], kind: str) -> list[Event]:
    return [item for item in items if isinstance(item, Event) and item.kind == kind]


def test_live_equals_the_replay_of_its_recording(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path
) -> None:
    record, out = tmp_path / "live.flac", tmp_path / "live.jsonl"
    with microphone.play(clip_wav) as player:
        options = ["--seconds", "12", "--record", str(record), "--jsonl", str(out)]
        told = subprocess.run([*LISTEN, *options], capture_output=True, text=True, check=True)
        player.kill()
    assert told.stderr == ""
    again = subprocess.run(
        [sys.executable, "-m", "livesr", "replay", str(record), "--jsonl", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout == out.read_text()
    live = [json.loads(line) for line in out.read_text().splitlines()]
    assert live[-1]["end"] >= 12
    # The file played, replayed, says the same, but for where it began and the device's path.
    played = [reading.to_dict() for reading in livesr.replay(CLIP, hop=0.02, end=16.0)]
    # From 3.75 s on: the first windows lack what was played before they began.
    assert best_match(live[14:-1], played) < 0.1


def best_match(live: list[dict], played: list[dict]) -> float:
    """Median of the differences of readings' probabilities, each at the delay where it is least.

    The player stutters on a busy machine: that spoils some readings, and delays all later ones.
    """
    ours = np.array([list(r["probabilities"].values()) for r in live])
    theirs = np.array([list(r["probabilities"].values()) for r in played])
    ends = [r["end"] for r in played]
    differences = []
    for delay in np.arange(-3.0, 3.0, 0.02):
        at = np.searchsorted(ends, [r["end"] + delay for r in live]).clip(0, len(ends) - 1)
        differences.append(np.abs(ours - theirs[at]).max(axis=1))
    return float(np.median(np.min(differences, axis=0)))


@pytest.mark.slow
def test_events_apart_and_no_attention(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    out, events = tmp_path / "a.jsonl", tmp_path / "events.jsonl"
    options = ["--seconds", "1", "--jsonl", str(out), "--events", str(events), "--no-attention"]
    subprocess.run([*LISTEN, *options], capture_output=True, check=True)
    readings = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(readings) >= 4
    assert all("end" in line and "attention" not in line for line in readings)
    assert [json.loads(line)["event"] for line in events.read_text().splitlines()] == ["session"]


@pytest.mark.slow
def test_a_stopped_worker_drops_whole_hops_counts_them_and_keeps_time(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path
) -> None:
    slept: list[float] = []
    got: list[Reading] = []

    def slow(reading: Reading) -> None:
        got.append(reading)
        if reading.end >= 1 and not slept:
            slept.append(reading.end)
            time.sleep(5)

    with microphone.play(clip_wav) as player:
        listener = livesr.listen("vmic", record=tmp_path / "a.flac", on_reading=slow)
        with listener:
            began = time.monotonic()
            while not got or got[-1].end < 9:
                time.sleep(0.05)
                assert time.monotonic() < began + 15
            elapsed = time.monotonic() - began
        player.kill()
    assert got[-1].end == pytest.approx(elapsed, abs=0.6)  # the clock is true
    items = list(play(tmp_path / "a.flac"))
    assert readings(items) == got
    (gap,) = events(items, "gap")
    assert gap.text == "the machine was too slow"
    assert 3.5 <= gap.seconds <= 4.5
    assert gap.seconds * 4 == pytest.approx(round(gap.seconds * 4), abs=0.001)  # whole hops
    assert sum(reading.gap for reading in got) == pytest.approx(gap.seconds)
    assert listener.dropped_seconds == pytest.approx(gap.seconds)


@pytest.mark.slow
def test_a_microphone_that_goes_and_comes_back(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path
) -> None:
    with livesr.listen("vmic", record=tmp_path / "a.flac") as listener:
        began = time.monotonic()
        with microphone.play(clip_wav) as player:
            early: list[Item] = []
            while len(readings(early)) < 8:
                early += listener.items(0.2) or []
            microphone.down()
            player.wait()
        gone = time.monotonic()
        while not listener.trouble:
            assert time.monotonic() < gone + 30
            time.sleep(0.02)
        assert "vmic has gone" in listener.trouble
        time.sleep(max(0.0, gone + 3 - time.monotonic()))
        microphone.up()
        with microphone.play(clip_wav) as player:
            rest = collect(listener, lambda items: listener.seconds > gone - began + 8)
            player.kill()
        elapsed = time.monotonic() - began
    items = early + rest
    assert [event.text for event in events(items, "device")] == ["vmic has gone", "vmic is back"]
    (gap,) = events(items, "gap")
    assert gap.text == "the microphone had gone"
    assert 3 < gap.seconds < 7.5
    assert readings(items)[-1].end == pytest.approx(elapsed, abs=0.6)
    assert readings(items)[-1].label is not None
    assert list(play(tmp_path / "a.flac")) == items


def test_without_reconnect_a_lost_microphone_is_status_3(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    command = [*LISTEN, "--no-reconnect", "--jsonl", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until(lambda: out.exists() and out.read_text().count("\n") > 4)
        microphone.down()
        assert process.wait(timeout=60) == 3
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert told == "livesr: vmic has gone; plug it in and listen again.\n"
    assert json.loads(out.read_text().splitlines()[-1])["end"] > 1
    microphone.up()


def test_a_process_that_was_stopped_has_not_lost_its_microphone(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    command = [*LISTEN, "--no-reconnect", "--seconds", "8", "--jsonl", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until(lambda: out.exists() and out.read_text().count("\n") > 2)
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=40) == 0
        assert process.stderr is not None and process.stderr.read() == b""
    assert json.loads(out.read_text().splitlines()[-1])["end"] >= 8


def test_seconds_go_on_while_the_microphone_is_gone(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    command = [*LISTEN, "--seconds", "6", "--jsonl", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until(lambda: out.exists() and out.read_text().count("\n") > 4)
        microphone.down()
        assert process.wait(timeout=30) == 0
    assert json.loads(out.read_text().splitlines()[-1]).get("end", 0) < 6
    microphone.up()


def test_a_command_that_cannot_begin_leaves_no_recording(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    command = [*LISTEN, "--record", str(tmp_path / "r.flac"), "--jsonl", str(tmp_path / "no" / "x")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_ends_early_is_status_3(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    limit = "import resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, -1));"
    limit += (
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from livesr.__main__ import main; main()"
    )
    record = tmp_path / "r.wav"
    command = [sys.executable, "-c", limit, *LISTEN[3:], "--seconds", "3", "--record", str(record)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 3
    assert f"livesr: {record} cannot be recorded to any further" in told.stderr


def test_nothing_but_zeros_is_reported(microphone: VirtualMicrophone) -> None:
    with livesr.listen("vmic") as listener:
        items = collect(listener, lambda items: bool(events(items, "silence")))
    (silence,) = events(items, "silence")
    assert "muted" in silence.text
    assert 1.8 < silence.at < 3
    assert {reading.label for reading in readings(items)} == {None}


def test_pause_reset_and_mark(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path
) -> None:
    with microphone.play(clip_wav) as player:
        with livesr.listen("vmic", record=tmp_path / "a.wav") as listener:
            until(lambda: listener.seconds > 1.5)
            listener.mark("here")
            listener.pause()
            assert listener.paused  # at once: who asks a moment later goes on
            began = time.monotonic()
            time.sleep(1.5)
            listener.resume()
            paused = time.monotonic() - began
            until(lambda: listener.seconds > 4.0)
            listener.reset()
            items = collect(listener, lambda items: listener.seconds > 5.5)
        player.kill()
    kinds = [event.kind for event in items if isinstance(event, Event)]
    assert kinds == ["session", "mark", "gap", "reset"]
    (gap,) = events(items, "gap")
    assert gap.text == "paused"
    assert gap.seconds == pytest.approx(paused, abs=0.3)
    assert listener.dropped_seconds == 0
    (reset,) = events(items, "reset")
    after = [reading for reading in readings(items) if reading.end > reset.at]
    assert after[0].status == "warming-up"
    assert after[0].start == pytest.approx(reset.at)
    assert list(play(tmp_path / "a.wav")) == items


def test_an_iterator_and_a_stop_from_another_thread(microphone: VirtualMicrophone) -> None:
    listener = livesr.listen("vmic", hop=0.1)
    threading.Timer(1.2, listener.stop).start()
    began = time.monotonic()
    ends = [reading.end for reading in listener]
    assert time.monotonic() - began < 20
    assert len(ends) >= 8
    assert np.allclose(np.diff(ends[:-1]), 0.1)
    with pytest.raises(LivesrError, match="started before"):
        listener.start()
    assert threading.active_count() < 5


def test_a_stop_from_the_callback_and_leaving_the_loop(microphone: VirtualMicrophone) -> None:
    got: list[Reading] = []

    def one(reading: Reading) -> None:
        got.append(reading)
        listener.stop()

    with livesr.listen("vmic", on_reading=one) as listener:
        until(lambda: got)
    for reading in livesr.listen("vmic"):
        assert reading.status == "warming-up"
        break


def test_what_a_callback_raises_is_not_lost(microphone: VirtualMicrophone) -> None:
    def broken(_reading: Reading) -> None:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        livesr.listen("vmic", on_reading=broken) as listener,
    ):
        until(lambda: not listener.running)


def test_async(microphone: VirtualMicrophone) -> None:
    async def listen() -> list[float]:
        ends = []
        async with livesr.listen("vmic") as listener:
            async for reading in listener:
                ends.append(reading.end)
                if len(ends) == 5:
                    break
        return ends

    assert asyncio.run(listen()) == [0.25, 0.5, 0.75, 1.0, 1.25]


def test_two_listeners_at_once(microphone: VirtualMicrophone) -> None:
    with livesr.listen("vmic") as one, livesr.listen("vmic") as two:
        until(lambda: min(one.seconds, two.seconds) > 1)
    for listener in (one, two):
        assert len(listener.items(0) or []) >= 4


def test_devices_are_found_by_number_and_by_words(microphone: VirtualMicrophone) -> None:
    from livesr.microphone.devices import find  # noqa: PLC0415

    vmic = find("vmic")
    assert (vmic.name, vmic.api) == ("vmic", "ALSA")
    assert find("VMIC alsa") == find(vmic.index) == find(str(vmic.index)) == vmic
    assert vmic in livesr.devices()
    with pytest.raises(DeviceError, match=r"More than one input has 'alsa'.*0 vmic, ALSA"):
        find("alsa")
    with pytest.raises(DeviceError, match="No input has 'nosuch' in its name"):
        find("nosuch")
    with pytest.raises(DeviceError, match="the number 99"):
        find(99)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def test_the_table_of_devices(microphone: VirtualMicrophone) -> None:
    told = run("-m", "livesr", "devices")
    assert told.returncode == 0
    assert told.stderr == ""
    (row,) = [line for line in told.stdout.splitlines() if " vmic " in line]
    assert "ALSA" in row
    assert "44100*" in row


def test_no_microphone_at_all_is_one_line(plugged: VirtualMicrophone, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("</usr/share/alsa/alsa.conf>\n")
    for command in ("devices", "listen"):
        nothing = {"ALSA_CONFIG_PATH": str(tmp_path / "none"), "PULSE_SERVER": "unix:/nowhere"}
        told = run("-m", "livesr", command, **nothing)
        if told.returncode == 0:
            pytest.skip("this machine has a sound card")
        assert told.returncode == 2
        assert told.stderr.startswith("livesr: No microphone was found")
        assert told.stderr.count("\n") == 1


@pytest.mark.slow
def test_without_portaudio_the_rest_works() -> None:
    hidden = "import ctypes.util, sys; ctypes.util.find_library = lambda name: None; "
    main = hidden + "sys.argv[0] = 'livesr'; from livesr.__main__ import main; main()"
    assert run("-c", main, "--help").returncode == 0
    assert "Turning points" in run("-c", main, "replay", str(CLIP)).stdout
    for command in ("listen", "devices"):
        told = run("-c", main, command)
        assert told.returncode == 2
        assert "apt install libportaudio2" in told.stderr
        assert told.stderr.count("\n") == 1


def test_a_recording_that_exists_is_kept(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"precious")
    told = run(*LISTEN[1:], "--record", str(tmp_path / "a.flac"))
    assert told.returncode == 2
    assert "exists" in told.stderr
    assert (tmp_path / "a.flac").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_however_it_ends_files_are_whole(
    microphone: VirtualMicrophone, tmp_path: Path, number: signal.Signals
) -> None:
    record, out = tmp_path / "a.flac", tmp_path / "a.jsonl"
    command = [*LISTEN, "--record", str(record), "--jsonl", str(out)]
    # Under nohup, or in a shell's background, it would inherit that the signal is ignored.
    before = signal.signal(number, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        signal.signal(number, before)
        until(lambda: out.exists() and out.read_text().count("\n") > 4)
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [json.loads(json.dumps(item.to_dict())) for item in play(record)] == told


def test_a_signal_between_two_readings_loses_neither(
    microphone: VirtualMicrophone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, out = tmp_path / "a.flac", tmp_path / "a.jsonl"
    view = View(source="vmic", model="")
    output_run = OutputRun(view, Outputs(jsonl=str(out)))
    take = output_run.take
    taken: list[Item] = []
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs this in the background

    def slow(item: Item) -> None:
        taken.append(item)
        if len(taken) == 1:
            time.sleep(1.5)  # some gather
        if len(taken) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        take(item)

    monkeypatch.setattr(output_run, "take", slow)
    ends = pytest.raises((SystemExit, KeyboardInterrupt))
    with livesr.listen("vmic", record=record) as listener, ends as ended:
        show_listening(output_run, view, listener, None)
    assert str(ended.value) == str(128 + signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(told) > 4
    assert [json.loads(json.dumps(item.to_dict())) for item in play(record)] == told


@pytest.fixture(
    params=[
        (60, 20),
        *(pytest.param(size, marks=pytest.mark.slow) for size in ((110, 34), (200, 60))),
    ],
    ids=str,
)
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, *request.param)
    yield terminal
    terminal.close()


@TMUX
def test_the_view(
    microphone: VirtualMicrophone, clip_wav: Path, tmp_path: Path, terminal: Terminal
) -> None:
    out = tmp_path / "a.jsonl"
    with microphone.play(clip_wav) as player:
        terminal.type(shlex.join([*LISTEN, "--jsonl", str(out)]), "Enter")
        # During speech, how sure that is passes 90 % at many readings, and 100 % at few.
        speaks = re.compile(r"\b(9\d|100)%")
        screen = terminal.until(
            lambda text: "vmic" in text.split("\n")[0] and speaks.search(text) is not None
        )
        for shown in (
            "▲ angry",
            "● happy",
            "■ neutral",
            "▼ sad",
            "dBFS",
            "which moments",
            "q quit",
        ):
            assert shown in screen
        terminal.type("m")
        terminal.until(lambda text: "marked" in text)
        terminal.type("Space")
        terminal.until(lambda text: "paused" in text)
        terminal.type("Space")
        terminal.until(lambda text: "paused" not in text)
        terminal.type("r")
        terminal.until(lambda text: "another speaker" in text)
        terminal.resize(80, 24)
        terminal.until(lambda text: "q quit" in text and "which moments" in text)
        microphone.down()
        terminal.until(lambda text: "vmic has gone; waiting for it" in text)
        assert "ALSA lib" not in terminal.screen()
        terminal.type("q")
        terminal.until(lambda text: "s of sound" in text)
        terminal.type("echo status $? back-$((40+2))", "Enter")
        assert "status 0" in terminal.until(lambda text: "back-42" in text)
        player.wait()
    kinds = [json.loads(line).get("event") for line in out.read_text().splitlines()]
    assert "gap" in kinds  # of the pause; a busy machine may lose more
    others = [kind for kind in kinds if kind and kind != "gap"]
    assert others == ["session", "mark", "reset", "device"]


@TMUX
def test_a_closed_terminal_ends_it(microphone: VirtualMicrophone, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, 80, 24)
    out, record, pid = tmp_path / "a.jsonl", tmp_path / "a.flac", tmp_path / "pid"
    command = shlex.join([*LISTEN, "--jsonl", str(out), "--record", str(record)])
    terminal.type(f"{command} 2>{tmp_path}/err & echo $! >{pid}; fg", "Enter")
    until(lambda: out.exists() and out.read_text().count("\n") > 4)
    terminal.close()
    process = Path(f"/proc/{pid.read_text().strip()}/stat")
    # Its parent has ended too, so nothing may wait for it.
    until(lambda: not process.exists() or process.read_text().split()[2] == "Z", most=30)
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [json.loads(json.dumps(item.to_dict())) for item in play(record)] == told
    assert "Traceback" not in (tmp_path / "err").read_text()


@pytest.mark.slow
def test_a_busy_machine_loses_nothing_uncounted(
    microphone: VirtualMicrophone, clip_wav: Path
) -> None:
    options = ["--microphone", "--device", "vmic", "--seconds", "8", "--load", "2"]
    with microphone.play(clip_wav) as player:
        told = run("-m", "livesr", "bench", *options)  # it fails where a reading is missing
        player.kill()
    assert told.returncode == 0, told.stderr
    assert "8 s each" in told.stdout
    assert "acrnn-whisper" in told.stdout


def test_a_device_that_drops_sound_is_noticed(
    microphone: VirtualMicrophone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the times that PortAudio reports are made up: no driver here drops sound on demand."""
    from livesr.microphone.devices import find  # noqa: PLC0415
    from livesr.microphone.stream import Microphone  # noqa: PLC0415

    opened = Microphone(find("vmic"), lambda: None)
    opened.close()
    opened._count = opened._seen = 0
    opened.ring.written = 0
    clock = [100.0]
    monkeypatch.setattr("livesr.microphone.stream.time.monotonic", lambda: clock[0])

    class Times:
        inputBufferAdcTime = currentTime = 1.0

    def call(count: int) -> None:
        for _ in range(count):
            opened._callback(np.zeros((441, 2), np.float32), 441, Times, None)
            clock[0] += 0.01

    call(30)
    assert opened.losses() == []
    clock[0] += 0.5
    call(2)
    assert opened.losses() == []
    assert opened.checked == 30 * 441  # what follows waits until it is certain
    call(8)
    assert opened.losses() == [(30 * 441, pytest.approx(22_050, abs=2))]
    assert opened.checked == 40 * 441
    clock[0] += 0.05  # mere lateness
    call(20)
    assert opened.losses() == []


def test_seconds_are_of_sound_and_not_of_readings(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    told = run(*LISTEN[1:], "--seconds", "1", "--hop", "3", "--jsonl", str(out))
    assert told.returncode == 0, told.stderr
    assert 1 <= json.loads(out.read_text().splitlines()[-1])["end"] < 2.5
