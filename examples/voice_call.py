"""A voice call's feed, as Discord and WebRTC give it: 48 kHz stereo int16, 20 ms a packet.

Nothing is sent in silence, and packets get lost: the packet's timestamp (in samples)
tells, and `skip` keeps the stream's clock true. Call `Speaker.take` from your library's audio
callback, one Speaker for each person in the call.
"""

import numpy as np

import livesr

RATE, CHANNELS = 48000, 2


class Speaker:
    def __init__(self, name: str) -> None:
        self.name = name
        self.recognizer = livesr.Recognizer()
        self.next_timestamp: int | None = None

    def take(self, packet: bytes, timestamp: int) -> list[livesr.Reading]:
        samples = np.frombuffer(packet, np.int16).reshape(-1, CHANNELS)
        # Timestamps are 32 bits wide and wrap; a packet that comes too late is left out.
        lost = 0 if self.next_timestamp is None else (timestamp - self.next_timestamp) % 2**32
        if lost >= 2**31:
            return []
        self.next_timestamp = (timestamp + len(samples)) % 2**32
        readings = self.recognizer.skip(lost, RATE) if lost else []
        return readings + self.recognizer.push(samples, RATE)
