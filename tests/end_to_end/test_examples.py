"""The examples, run as they stand."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

import livesr
from tests.helpers.tiny import DATA

EXAMPLES = Path(__file__).parents[2] / "examples"
README = EXAMPLES.parent / "README.md"


@pytest.fixture
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(EXAMPLES / "websocket_server.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_the_websocket_server_gives_the_readings_of_a_replay(server: str) -> None:
    from websockets.sync.client import connect  # noqa: PLC0415

    samples, rate = sf.read(DATA / "banglaser.flac", dtype="int16")
    with connect(server) as client:
        client.send(str(rate))
        for start in range(0, len(samples), 999):
            client.send(samples[start : start + 999].astype("<i2").tobytes())
        client.send("")
        told = [json.loads(message) for message in client]
    assert told == [reading.to_dict() for reading in livesr.replay(DATA / "banglaser.flac")]


def test_the_websocket_server_refuses_half_a_sample(server: str) -> None:
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415
    from websockets.sync.client import connect  # noqa: PLC0415

    with connect(server) as client:
        client.send("16000")
        client.send(b"abc")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


def test_the_voice_call_keeps_time_across_lost_packets() -> None:
    sys.path.insert(0, str(EXAMPLES))
    from voice_call import RATE, Speaker  # noqa: PLC0415

    samples, rate = sf.read(DATA / "conversation.flac", dtype="float32")
    mono = soxr.resample(samples[: 9 * rate], rate, RATE)
    stereo = np.stack([mono, mono], axis=1)
    packets = (np.clip(stereo, -1, 1) * 32767).astype(np.int16).reshape(-1, 960, 2)
    speaker, readings = Speaker("somebody"), []
    first = 2**32 - 48000  # timestamps wrap after a second
    for index, packet in enumerate(packets):
        if 200 <= index < 300 or index == 30:  # two seconds of silence, and one lost packet
            continue
        readings += speaker.take(packet.tobytes(), (first + 960 * index) % 2**32)
    assert speaker.take(packets[0].tobytes(), first) == []
    readings += speaker.recognizer.finish()
    assert readings[-1].end == pytest.approx(9, abs=1e-3)
    assert sum(reading.gap for reading in readings) == pytest.approx(2.02, abs=1e-3)
    assert any(reading.status == "no-speech" for reading in readings if reading.gap)
    assert {reading.label for reading in readings} > {None}


def test_the_readme_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's snippets run, with a real recording in the microphone's place."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    samples, rate = sf.read(DATA / "conversation.flac")
    sf.write(tmp_path / "talk.wav", samples[: 4 * rate], rate)
    monkeypatch.chdir(tmp_path)
    push = next(block for block in blocks if "push(" in block)
    names = {"microphone": [np.zeros((4800, 2), np.int16)] * 30}
    exec(compile(push, "README.md", "exec"), names)
    assert names["readings"]
