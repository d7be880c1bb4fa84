"""Readings as OSC messages, for sound, light and pictures (Max, TouchDesigner, QLab).

pip install 'livesr[osc]'
python examples/osc.py 127.0.0.1 9000             the default microphone
python examples/osc.py 127.0.0.1 9000 talk.wav    a recording, in real time

Each reading is one bundle: /livesr/end (seconds), /livesr/status, /livesr/label ("" where there
is none), /livesr/speech, /livesr/level (dBFS), and /livesr/emotion/NAME for every emotion.
"""

import sys
from collections.abc import Iterable

from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import UDPClient

import livesr


def bundle(reading: livesr.Reading) -> OscBundle:
    values = {
        "end": reading.end,
        "status": reading.status,
        "label": reading.label or "",
        "speech": reading.speech,
        "level": reading.level_dbfs,
        **{f"emotion/{name}": value for name, value in reading.smoothed.items()},
    }
    builder = OscBundleBuilder(IMMEDIATELY)
    for name, value in values.items():
        message = OscMessageBuilder(f"/livesr/{name}")
        message.add_arg(value)
        builder.add_content(message.build())
    return builder.build()


def send(readings: Iterable[livesr.Reading], client: UDPClient) -> None:
    for reading in readings:
        client.send(bundle(reading))


if __name__ == "__main__":
    host, port, *recording = sys.argv[1:]
    source = livesr.replay(recording[0], pace=True) if recording else livesr.listen()
    send(source, UDPClient(host, int(port)))
