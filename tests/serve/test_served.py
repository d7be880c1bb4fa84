"""Served is replayed: whatever the chunks, rates and encodings, and however many speak at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr

import livesr
from tests.helpers.server import Server, collected, readings, serving, tell, until

SUBTYPES = {"s16le": "PCM_16", "f32le": "FLOAT", "mulaw": "ULAW", "alaw": "ALAW"}


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Server]:
    with serving("--model", str(tiny)) as server:
        yield server


def encoded(path: Path, samples: np.ndarray, rate: int, encoding: str) -> bytes:
    """Samples as a client sends them, and beside it the file that replay reads."""
    sf.write(path, samples, rate, subtype=SUBTYPES[encoding], format="WAV")
    with sf.SoundFile(path) as file:
        if encoding == "s16le":
            return file.read(dtype="int16").astype("<i2").tobytes()
        if encoding == "f32le":
            return file.read(dtype="float32").astype("<f4").tobytes()
    raw = path.with_suffix(".raw")
    sf.write(raw, samples, rate, subtype=SUBTYPES[encoding], format="RAW")
    return raw.read_bytes()


def speak(server: Server, data: bytes, rng: random.Random, **update: Any) -> list[dict[str, Any]]:
    """A whole session, the sound cut at random, also within a sample."""
    with server.connect() as socket:
        tell(socket, "session.update", mode="lossless", **update)
        start = 0
        while start < len(data):
            size = rng.choice((1, 3, 160, 641, 4000, 64_001, 300_000))
            size = size if size > 100 or rng.random() < 0.05 else 640
            socket.send(data[start : start + size])
            start += size
        tell(socket, "session.end")
        return collected(socket)


def test_eight_clients_at_once(
    server: Server, tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    rng = random.Random(21)
    kinds = [
        (16000, 1, "s16le"),
        (8000, 1, "mulaw"),
        (8000, 2, "alaw"),
        (48000, 1, "f32le"),
        (44100, 2, "s16le"),
        (11025, 1, "s16le"),
        (48000, 3, "f32le"),
        (16000, 1, "alaw"),
    ]
    plans = []
    for number, (rate, channels, encoding) in enumerate(kinds):
        first = rng.randrange(len(speech) - 160_000)
        part = soxr.resample(speech[first : first + rng.randrange(90_000, 160_000)], 16000, rate)
        columns = [part * (1 - 0.3 * channel) for channel in range(channels)]
        path = tmp_path / f"{number}.wav"
        data = encoded(path, np.stack(columns, axis=1), rate, encoding)
        hop = rng.choice((0.1, 0.25, 0.25, 0.5))
        plans.append((path, data, hop, random.Random(number), (rate, channels, encoding)))
    found: dict[Path, list[dict[str, Any]]] = {}

    def client(plan: Any) -> None:
        path, data, hop, chance, (rate, channels, encoding) = plan
        found[path] = speak(
            server, data, chance, sample_rate=rate, channels=channels, encoding=encoding, hop=hop
        )

    threads = [threading.Thread(target=client, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path, data, hop, _, (rate, channels, encoding) in plans:
        told = found[path]
        expected = [r.to_dict() for r in livesr.replay(path, model=tiny, hop=hop)]
        assert readings(told) == expected, (rate, channels, encoding)
        assert [m["seq"] for m in told if m["type"] == "reading"] == list(range(len(expected)))
        width = {"s16le": 2, "f32le": 4}.get(encoding, 1)
        assert told[-1]["heard_seconds"] == len(data) / width / channels / rate
        assert told[-1]["lost_seconds"] == 0
        assert "error" not in {message["type"] for message in told}


def test_without_a_configuration_sound_is_16_khz_mono(
    server: Server, tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    data = encoded(tmp_path / "a.wav", speech[:40_000], 16000, "s16le")
    with server.connect() as socket:
        socket.send(data[:641])
        created = until(socket, "session.created")[-1]
        assert created["position"] == 0
        assert created["labels"] == ["angry", "happy", "neutral", "sad"]
        socket.send(data[641:])
        tell(socket, "session.end")
        told = collected(socket)
        assert socket.close_code == 1000
    assert readings(told) == [r.to_dict() for r in livesr.replay(tmp_path / "a.wav", model=tiny)]


def test_one_channel_of_three(
    server: Server, tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    sound = np.stack([0 * speech[:40_000], speech[:40_000], -speech[:40_000]], axis=1)
    data = encoded(tmp_path / "three.wav", sound, 16000, "s16le")
    encoded(tmp_path / "second.wav", sound[:, 1], 16000, "s16le")
    told = speak(server, data, random.Random(1), channels=3, channel=2)
    expected = livesr.replay(tmp_path / "second.wav", model=tiny)
    assert readings(told) == [reading.to_dict() for reading in expected]


def test_channels_that_cancel_each_other_out_are_told(
    server: Server, speech: np.ndarray, tmp_path: Path
) -> None:
    sound = np.stack([speech[:60_000], -speech[:60_000]], axis=1)
    for encoding in ("s16le", "f32le"):
        data = encoded(tmp_path / "two.wav", sound, 16000, encoding)
        told = speak(server, data, random.Random(1), channels=2, encoding=encoding)
        codes = [message["code"] for message in told if message["type"] == "error"]
        assert codes == ["channels_cancel"]


def test_without_attention_readings_are_short(server: Server, speech: np.ndarray) -> None:
    data = (speech[:20_000] * 32767).astype("<i2").tobytes()
    told = speak(server, data, random.Random(2), attention=False)
    assert readings(told)
    assert not any("attention" in message for message in told)


def test_skip_reset_and_mark_in_order(server: Server, tiny: Path, speech: np.ndarray) -> None:
    """The same as an app that pushes, skips and resets by itself."""
    ints = (speech * 32767).astype("<i2")
    own = livesr.Recognizer(tiny)
    expected = own.push(ints[:10_001])
    expected += own.skip(7_000)
    expected += own.push(ints[10_001:50_000])
    own.reset(start=57_000 / 16000)
    expected += own.push(ints[50_000:80_000])
    expected += own.finish()
    with server.connect() as socket:
        tell(socket, "session.update", mode="lossless")
        socket.send(ints[:10_001].tobytes()[:-1])
        tell(socket, "mark", text="half a sample is missing")
        socket.send(ints[:10_001].tobytes()[-1:])
        tell(socket, "skip", samples=7_000)
        socket.send(ints[10_001:50_000].tobytes())
        tell(socket, "reset")
        socket.send(ints[50_000:80_000].tobytes())
        tell(socket, "mark", text="here")
        tell(socket, "session.end")
        told = collected(socket)
    assert readings(told) == [reading.to_dict() for reading in expected]
    gap = next(message for message in told if message["type"] == "gap")
    assert gap == {
        "type": "gap",
        "at": 10_001 / 16000,
        "seconds": 7_000 / 16000,
        "samples": 7_000,
        "cause": "skipped",
    }
    marks = [(m["at"], m["text"]) for m in told if m["type"] == "mark"]
    assert marks == [(10_000 / 16000, "half a sample is missing"), (87_000 / 16000, "here")]
    assert told[-1]["lost_seconds"] == 7_000 / 16000


def test_samples_that_are_not_finite_or_too_large_become_silence(
    server: Server, tiny: Path, speech: np.ndarray
) -> None:
    sound = speech[:30_000].copy()
    sound[5_000:5_100] = np.nan
    sound[9_000] = 1e9
    told = speak(server, sound.astype("<f4").tobytes(), random.Random(3), encoding="f32le")
    sound[5_000:5_100] = sound[9_000] = 0
    own = livesr.Recognizer(tiny)
    expected = own.push(sound) + own.finish()
    assert readings(told) == [reading.to_dict() for reading in expected]
    errors = [message for message in told if message["type"] == "error"]
    assert {message["code"] for message in errors} == {"bad_samples"}


def test_utterances_have_the_means_of_their_readings(server: Server, speech: np.ndarray) -> None:
    ints = (speech[:160_000] * 32767).astype("<i2")
    ints[60_000:100_000] = 0
    told = speak(server, ints.tobytes(), random.Random(4))
    kinds = [m["type"] for m in told if m["type"].startswith("utterance")]
    assert kinds == ["utterance.start", "utterance.end"] * (len(kinds) // 2)
    assert len(kinds) >= 4
    for end in (m for m in told if m["type"] == "utterance.end"):
        within = [
            m
            for m in told
            if m["type"] == "reading"
            and m["speech"] > 0.5
            and end["start"] < m["end"] <= end["end"]
        ]
        for label, mean in end["probabilities"].items():
            assert mean == pytest.approx(np.mean([m["probabilities"][label] for m in within]))
        shown = [m["label"] for m in within if m["label"]]
        assert (end["label"] in shown) if shown else end["label"] is None
        assert end["seconds"] == pytest.approx(end["end"] - end["start"])
