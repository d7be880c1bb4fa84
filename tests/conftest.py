"""Shared fixtures: real speech that comes with the repo, and a tiny network made on the spot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from livesr import Recognizer
from tests.helpers.tiny import DATA, save_tiny
from tests.helpers.virtual import AVAILABLE, VirtualMicrophone

os.environ["LIVESR_CONFIG"] = os.devnull  # what is tested is not this user's own choice
# A shell's background job ignores it, and so do the commands that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


_REAL_TIME = {"plugged", "terminal", "small"}  # fixtures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A microphone or a terminal that others keep waiting would make a test fail."""
    for item in items:
        if isinstance(item, pytest.Function) and _REAL_TIME & set(item.fixturenames):
            item.add_marker("alone")


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
    """The one virtual microphone of this process; PortAudio reads its place once."""
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


@pytest.fixture
def other(microphone: VirtualMicrophone) -> Iterator[VirtualMicrophone]:
    """A second interface, plugged in."""
    assert microphone.other is not None
    microphone.other.up()
    yield microphone.other
    microphone.other.down()


@pytest.fixture(scope="session")
def clip_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conversation as a wav, which paplay reads."""
    samples, rate = sf.read(DATA / "conversation.flac")
    path = tmp_path_factory.mktemp("clip") / "conversation.wav"
    sf.write(path, samples, rate)
    return path
