"""livesr: how a voice sounds, live.

import livesr

recognizer = livesr.Recognizer()
for reading in recognizer.push(samples, sample_rate=48000):
    print(reading.end, reading.label, reading.smoothed)
"""

from livesr.errors import AudioError, DeviceError, LivesrError, ModelError
from livesr.event import Event
from livesr.inputs import Device, devices
from livesr.listener import Listener, listen
from livesr.many import push_all
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.replay import replay

__version__ = "0.1.0"

__all__ = [
    "AudioError",
    "Device",
    "DeviceError",
    "Event",
    "Listener",
    "LivesrError",
    "ModelError",
    "Reading",
    "Recognizer",
    "devices",
    "listen",
    "push_all",
    "replay",
]
