"""Shared fixtures: real speech that comes with the repo, and a tiny network made on the spot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile as sf
from virtual import AVAILABLE, VirtualMicrophone

from export.graph import build
from export.widths import Widths, weight_shapes
from livesr import Recognizer
from livesr.metadata import LABELS, ModelInfo

DATA = Path(__file__).parent / "data"
TINY = Widths(maps=(4, 6, 6), linear=8, cells=4, dense=8)


def tiny_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (2 * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in weight_shapes(TINY).items()
    }


def tiny_info(**changes: Any) -> ModelInfo:
    values: dict[str, Any] = {
        "name": "tiny",
        "labels": LABELS,
        "mean": np.full(40, -4.0),
        "deviation": np.full(40, 2.0),
        "temperature": 0.5,
        "training_data": "none",
        "licence": "MIT",
        "version": "0",
    }
    return ModelInfo(**{**values, **changes})


def save_tiny(path: Path, info: ModelInfo | None = None, seed: int = 0) -> Path:
    onnx.save(build(TINY, tiny_weights(seed), info or tiny_info()), path)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def recognizer(tiny: Path) -> Recognizer:
    return Recognizer(tiny)


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Half a minute of German, two actors, four emotions; float32, 16 kHz."""
    return sf.read(DATA / "conversation.flac", dtype="float32")[0]


@pytest.fixture(scope="session")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    """The one virtual microphone of this run; PortAudio reads its place once."""
    if not AVAILABLE and "CI" not in os.environ:
        pytest.skip("pulseaudio is not installed")
    microphone = VirtualMicrophone(tmp_path_factory.mktemp("vmic"))
    os.environ.update(microphone.environment)
    microphone.up()
    yield microphone
    microphone.down()


@pytest.fixture
def microphone(plugged: VirtualMicrophone) -> VirtualMicrophone:
    """It, plugged in."""
    plugged.down()
    plugged.up()
    return plugged


@pytest.fixture(scope="session")
def clip_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conversation as a wav, which paplay reads."""
    samples, rate = sf.read(DATA / "conversation.flac")
    path = tmp_path_factory.mktemp("clip") / "conversation.wav"
    sf.write(path, samples, rate)
    return path
