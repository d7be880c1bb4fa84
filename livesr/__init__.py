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
from livesr.files.replay import replay
from livesr.microphone.devices import Device, devices
from livesr.microphone.listener import Listener, listen
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.recognizer import Recognizer
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
    "Profile",
    "ProfileError",
    "Reading",
    "Recognizer",
    "__version__",
    "devices",
    "listen",
    "push_all",
    "replay",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless the program asks
