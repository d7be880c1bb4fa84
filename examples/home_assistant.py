"""A sensor "Emotion" in Home Assistant, through MQTT discovery.

pip install 'livesr[mqtt]'
python examples/home_assistant.py localhost 1883             the default microphone
python examples/home_assistant.py localhost 1883 talk.wav    a recording, in real time

Home Assistant makes the sensor. Its state is the emotion, or why there is none; it is
sent when it changes, so that the history stays small. Without livesr it is "unavailable".
"""

import json
import sys
from collections.abc import Iterable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

import livesr

DISCOVERY, ONLINE = "homeassistant/sensor/livesr/emotion/config", "livesr/online"
STATE, ATTRIBUTES = "livesr/emotion/state", "livesr/emotion/attributes"


def announce(client: mqtt.Client, labels: tuple[str, ...]) -> None:
    about = {"name": "livesr", "sw_version": livesr.__version__}
    sensor = {
        "name": "Emotion",
        "unique_id": "livesr_emotion",
        "device_class": "enum",
        "options": [*labels, "no-speech", "unsure", "warming-up"],
        "icon": "mdi:account-voice",
        "state_topic": STATE,
        "json_attributes_topic": ATTRIBUTES,
        "availability_topic": ONLINE,
        "device": {"identifiers": ["livesr"], **about},
        "origin": about,
    }
    client.publish(DISCOVERY, json.dumps(sensor), qos=1, retain=True)
    client.publish(ONLINE, "online", qos=1, retain=True)


def send(readings: Iterable[livesr.Reading], client: mqtt.Client) -> None:
    before = None
    for reading in readings:
        if (state := reading.label or reading.status) != before:
            values = json.dumps(reading.to_dict(attention=False))
            client.publish(ATTRIBUTES, values, qos=1, retain=True)
            client.publish(STATE, state, qos=1, retain=True)
            before = state
    client.publish(ONLINE, "offline", qos=1, retain=True).wait_for_publish(5)


if __name__ == "__main__":
    host, port, *recording = sys.argv[1:]
    source = livesr.replay(recording[0], pace=True) if recording else livesr.listen()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)  # before connecting: username_pw_set
    client.will_set(ONLINE, "offline", qos=1, retain=True)
    labels = livesr.Recognizer().labels
    client.on_connect = lambda client, *_: announce(client, labels)  # also after it was cut
    client.connect(host, int(port))
    client.loop_start()
    send(source, client)
    client.disconnect()
    client.loop_stop()  # waits until the good-bye is sent; without it the broker sends the will
