"""Every mistake gets one clear sentence, and the stream goes on as if it had not been made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile as sf

import livesr
from livesr import AudioError, LivesrError, ModelError, Recognizer
from livesr.model.load import load_model
from livesr.model.metadata import METADATA_KEY
from livesr.settings import FrontEndSettings
from tests.helpers import commands
from tests.helpers.tiny import save_tiny, tiny_info

OK = np.zeros(100, np.float32)
NAN, INFINITE = OK.copy(), OK.copy()
NAN[7], INFINITE[9] = np.nan, -np.inf


class Tensor:
    """As torch's: numpy asks it for an array, and it complains in its own way."""

    def __init__(self, complaint: Exception) -> None:
        self.complaint = complaint

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise self.complaint


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (NAN, "Sample 7 of 100 is NaN"),
        (INFINITE, "Sample 9 of 100 is infinite"),
        (np.stack((OK, NAN), axis=1), "Sample 7 of 100 is NaN"),
        (OK + 20_000, r"lie in \[-1, 1\]"),
        (OK.astype(np.uint8), "type uint8"),
        (OK.astype(np.int64), "type int64"),
        (OK.astype(complex), "type complex128"),
        (OK > 0, "type bool"),
        (np.array(["a"]), "type <U1"),
        (None, "no array of samples"),
        (np.zeros((2, 2, 2), np.float32), "3 axes"),
        (np.zeros((2, 1000), np.float32), "1000 channels"),
        ([[1.0, 2.0], [3.0]], "not an array"),
        (b"abc", "3 bytes are not whole int16 samples"),
        (bytearray(641), "641 bytes"),
        (np.ones((1, 48), np.int16), "48 channels; pass .n, channels., so transpose"),
        (Tensor(RuntimeError("Can't call numpy()\non Tensor.")), "Can't call numpy.. on Tensor"),
        (Tensor(TypeError("can't convert cuda:0")), "can't convert cuda:0.; pass .n. or"),
        (Tensor(KeyError("mine")), "mine"),
    ],
)
def test_samples_that_cannot_be(recognizer: Recognizer, samples: Any, message: str) -> None:
    recognizer.push(OK)
    before = recognizer.state()
    with pytest.raises(AudioError, match=message):
        recognizer.push(samples)
    assert recognizer.state() == before


def test_one_row_is_a_frame_only_of_as_many_channels_as_the_stream_has(
    recognizer: Recognizer,
) -> None:
    recognizer.push(np.zeros((1, 2), np.float32))  # stereo, one frame of it
    recognizer.push(np.zeros((100, 2), np.float32))
    recognizer.push(np.zeros((1, 2), np.float32))
    before = recognizer.state()
    with pytest.raises(AudioError, match="4 channels; pass"):
        recognizer.push(np.zeros((1, 4), np.float32))
    assert recognizer.state() == before
    recognizer.reset()
    recognizer.push(np.zeros((50, 12), np.float32))
    recognizer.push(np.zeros((1, 12), np.float32))
    assert recognizer.position == 51


@pytest.mark.parametrize("channel", [0, -1, 65, 1.0, True, "1", 10**400])
def test_channels_that_cannot_be(recognizer: Recognizer, channel: Any) -> None:
    before = recognizer.state()
    with pytest.raises(AudioError, match="from 1 to 64"):
        recognizer.push(OK, channel=channel)
    with pytest.raises(AudioError, match="Channel 3 is asked for, but these samples have 2"):
        recognizer.push(np.stack((OK, OK), axis=1), channel=3)
    with pytest.raises(AudioError, match="Channel 2 is asked for, but these samples have one"):
        recognizer.push(OK, channel=2)
    assert recognizer.state() == before


@pytest.mark.parametrize(
    "rate",
    [
        0,
        -16000,
        pytest.param(10**5000, id="endless"),
        float("inf"),
        7999,
        192_001,
        16000.5,
        float("nan"),
        "16000",
        None,
        True,
    ],
)
def test_rates_that_cannot_be(recognizer: Recognizer, rate: Any) -> None:
    with pytest.raises(AudioError, match="rate"):
        recognizer.push(OK, rate)


def test_another_rate_in_mid_stream(recognizer: Recognizer) -> None:
    recognizer.push(OK, 48000)
    before = recognizer.state()
    with pytest.raises(AudioError, match="runs at 48000 Hz and cannot go on at 44100 Hz"):
        recognizer.push(OK, 44100)
    assert recognizer.state() == before


def test_push_after_finish(recognizer: Recognizer) -> None:
    recognizer.push(OK)
    recognizer.finish()
    with pytest.raises(AudioError, match="reset"):
        recognizer.push(OK)
    recognizer.reset()
    assert recognizer.push(OK) == []


def changed(**changes: Any) -> dict[str, Any]:
    return {**tiny_info().to_metadata(), **changes}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (changed(labels=["angry", "happy"]), r"probabilities are float32 \(1, 4\)"),
        (changed(labels=["angry", "happy", "sad", "sad"]), r"cannot be read .*labels"),
        (changed(labels="sad"), r"cannot be read .*labels"),
        (changed(name="\x1b[31mred"), r"cannot be read .*name"),
        (changed(name="a" * 50_000), r"cannot be read .*name"),
        (changed(format=99), "format is 99, livesr needs 1"),
        (
            changed(front_end={**FrontEndSettings().to_dict(), "sample_rate": 8000}),
            "front end's sample_rate is 8000, livesr needs 16000",
        ),
        (
            changed(front_end={**FrontEndSettings().to_dict(), "log_floor": 1e-6}),
            "front end's log_floor is 1e-06",
        ),
        (changed(standardisation={"mean": [0], "deviation": [1]}), "cannot be read"),
        (changed(decision={"nonsense": 1}), "cannot be read"),
        (changed(decision={"memory_seconds": 0}), "memory_seconds is 0"),
        (changed(decision={"window_seconds": "3"}), "window_seconds is '3'"),
        (changed(decision={"least_margin": float("nan")}), "least_margin is nan"),
        (changed(standardisation={"mean": [float("nan")] * 40, "deviation": [1] * 40}), "standard"),
        (changed(standardisation={"mean": [0] * 40, "deviation": [1e-300] * 40}), "standard"),
        (
            changed(standardisation={"mean": [10**400] * 40, "deviation": [1] * 40}),
            "cannot be read",
        ),
        (changed(front_end=["sample_rate"]), "cannot be read"),
        ({"temperature": 1.0}, "cannot be read"),
    ],
)
def test_models_that_do_not_fit(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    path = tmp_path / "odd.onnx"
    model = onnx.load(save_tiny(path))
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    onnx.save(model, path)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_models(tmp_path: Path, tiny: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("hello")
    empty = tmp_path / "empty.onnx"
    empty.touch()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(tiny.read_bytes()[:5000])
    plain = onnx.load(tiny)
    del plain.metadata_props[:]
    foreign = tmp_path / "foreign.onnx"
    onnx.save(plain, foreign)
    for path, message in (
        (text, "not an ONNX model"),
        (empty, "not an ONNX model"),
        (cut, "not an ONNX model"),
        (foreign, "not a livesr model"),
        (tmp_path, "is a directory"),
        ("", "name is empty"),
        (tmp_path / ("a" * 300), "neither a bundled model nor a file"),
        (tmp_path / "none.onnx", "neither a bundled model nor a file"),
        ("no-such-name", "Bundled: acrnn-compact"),
    ):
        with pytest.raises(ModelError, match=message):
            Recognizer(path)


@pytest.fixture(scope="session")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not audio at all")
    sf.write(folder / "header.wav", np.zeros(0), 16000)
    sf.write(folder / "slow.wav", np.zeros(4000), 4000)
    nan = np.zeros(32_000, np.float32)
    nan[20_000] = np.nan
    sf.write(folder / "nan.wav", nan, 16000, subtype="FLOAT")
    whole = folder / "whole.wav"
    sf.write(whole, np.zeros(48_000), 16000)
    (folder / "truncated.wav").write_bytes(whole.read_bytes()[:50_000])
    (folder / "folder.wav").mkdir()
    (folder / "a.raw").write_bytes(bytes(1000))
    sf.write(folder / "wide.wav", np.zeros((100, 65)), 16000)
    fast = bytearray(whole.read_bytes())
    fast[24:28] = (2**31 - 1).to_bytes(4, "little")
    (folder / "fast.wav").write_bytes(fast)
    sf.write(folder / "endless.sds", np.zeros(8000), 16000, format="SDS")
    promise = bytearray((folder / "endless.sds").read_bytes()[:40])
    promise[10:13] = b"\x7f\x7f\x7f"  # words, 7 bits a byte
    (folder / "endless.sds").write_bytes(promise)
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.wav", "is empty"),
        ("text.wav", "is not a sound file"),
        ("header.wav", "holds no audio"),
        ("slow.wav", "4000 Hz is not supported"),
        ("nan.wav", "after 1.00 s: Sample 4000 of 8000 is NaN"),
        ("folder.wav", "is a (directory|folder)"),
        ("missing.wav", "does not exist"),
        ("a.raw", "has no header"),
        ("a" * 300 + ".wav", "cannot be read: File name too long"),
        ("fast.wav", "2147483647 Hz is not supported"),
        ("wide.wav", "has 65 channels"),
        ("endless.sds", "more than its 40 bytes can hold"),
    ],
)
def test_files_that_cannot_be_read(bad_files: Path, tiny: Path, name: str, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        list(livesr.replay(bad_files / name, model=tiny))
    told = commands.livesr("replay", str(bad_files / name))
    assert told.returncode == (3 if name == "nan.wav" else 2)  # half of that file is used
    assert told.stderr.count("\n") == 1
    assert told.stderr.startswith("livesr: ")
    assert "Traceback" not in told.stderr
    assert re.search(message, told.stderr)


def test_a_truncated_wav_is_read_to_its_end(bad_files: Path, tiny: Path) -> None:
    readings = list(livesr.replay(bad_files / "truncated.wav", model=tiny))
    assert readings[-1].end == pytest.approx((50_000 - 44) / 2 / 16_000, abs=1e-4)


def test_nothing_written_before_an_error_is_lost(bad_files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    told = commands.livesr("replay", str(bad_files / "nan.wav"), "--jsonl", str(out))
    assert told.returncode == 3
    assert len(out.read_text().splitlines()) == 4  # the second before the NaN


def test_options_that_cannot_be(bad_files: Path, tmp_path: Path) -> None:
    sound = str(bad_files / "whole.wav")
    for arguments, message in (
        (["--model", "nobody"], "neither a bundled model nor a file"),
        (["--hop", "0.025"], "multiple of 0.01"),
        (["--jsonl", str(tmp_path / "none" / "a.jsonl")], "cannot be written"),
        (["--csv", "/nowhere/at/all.csv"], "cannot be written"),
        (["--jsonl", "-", "--csv", "-"], "would mix on standard output"),
        (["--nonsense"], "No such option"),
    ):
        told = commands.livesr("replay", sound, *arguments)
        assert told.returncode == 2, arguments
        assert message in told.stderr
        assert "Traceback" not in told.stderr


def test_errors_are_one_family() -> None:
    for kind in (AudioError, ModelError, livesr.DeviceError):
        assert issubclass(kind, LivesrError)


def test_the_name_of_a_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    told = commands.livesr("replay", str(tmp_path / "a\x1b]2;\nb.wav"))
    assert told.returncode == 2
    assert "a?]2;?b.wav does not exist" in told.stderr
    assert len(told.stderr.splitlines()) == 1
