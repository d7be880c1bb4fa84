"""livesr: real-time speech emotion recognition.

import livesr

recognizer = livesr.Recognizer()
for reading in recognizer.push(samples, sample_rate=48000):
    print(reading.end, reading.label, reading.smoothed)
"""

import logging

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
from livesr.version import __version__

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

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless the program asks
