"""livesr: real-time speech emotion recognition.

import livesr

recognizer = livesr.Recognizer()
for reading in recognizer.push(samples, sample_rate=48000):
    print(reading.end, reading.label, reading.smoothed)
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from livesr.version import __version__

if TYPE_CHECKING:
    from livesr.batch import push_all
    from livesr.errors import (
        AudioError,
        AudioWarning,
        DeviceError,
        LivesrError,
        ModelError,
        ProfileError,
    )
    from livesr.event import Event
    from livesr.files.judge import SavedSession, judge, read_session
    from livesr.files.replay import replay
    from livesr.files.soundfile import RawFormat
    from livesr.microphone.devices import Device, devices
    from livesr.microphone.listener import Listener, listen
    from livesr.model.load import models
    from livesr.model.metadata import ModelInfo
    from livesr.picture import plot
    from livesr.profile import Profile
    from livesr.reading import Reading
    from livesr.recognizer import Recognizer
    from livesr.summary import Summary
    from livesr.table import to_frame

__all__ = [
    "AudioError",
    "AudioWarning",
    "Device",
    "DeviceError",
    "Event",
    "Listener",
    "LivesrError",
    "ModelError",
    "ModelInfo",
    "Profile",
    "ProfileError",
    "RawFormat",
    "Reading",
    "Recognizer",
    "SavedSession",
    "Summary",
    "__version__",
    "devices",
    "judge",
    "listen",
    "models",
    "plot",
    "push_all",
    "read_session",
    "replay",
    "to_frame",
]

# A public name's module is imported when the name is first used: NumPy and onnxruntime take a
# while, and `livesr --help` needs neither. A test compares this table with the
# imports above, which type checkers read.
_NAMES = {
    "livesr.batch": ("push_all",),
    "livesr.errors": (
        "AudioError",
        "AudioWarning",
        "DeviceError",
        "LivesrError",
        "ModelError",
        "ProfileError",
    ),
    "livesr.event": ("Event",),
    "livesr.files.judge": (
        "SavedSession",
        "judge",
        "read_session",
    ),
    "livesr.files.replay": ("replay",),
    "livesr.files.soundfile": ("RawFormat",),
    "livesr.microphone.devices": (
        "Device",
        "devices",
    ),
    "livesr.microphone.listener": (
        "Listener",
        "listen",
    ),
    "livesr.model.load": ("models",),
    "livesr.model.metadata": ("ModelInfo",),
    "livesr.picture": ("plot",),
    "livesr.profile": ("Profile",),
    "livesr.reading": ("Reading",),
    "livesr.recognizer": ("Recognizer",),
    "livesr.summary": ("Summary",),
    "livesr.table": ("to_frame",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # else any name would do for a type checker

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless the program asks
