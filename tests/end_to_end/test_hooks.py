"""The hooks in `examples/`, each against the real other side on this machine.

An OSC receiver (liblo's oscdump), an MQTT broker (mosquitto), Pipecat's own pipeline, and
LiveKit's own `AgentSession`. Their packages are large and pin much, so `.ci/run` installs them in
an environment of its own and runs these tests there; elsewhere those are skipped whose package is
missing.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import livesr
from tests.helpers.tiny import DATA
from tests.helpers.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 6


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of the bundled conversation, with a label in them."""
    samples, rate = sf.read(DATA / "conversation.flac")
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    sf.write(path, samples[: SECONDS * rate], rate)
    return path


@pytest.fixture(scope="module")
def readings(talk: Path) -> list[livesr.Reading]:
    found = list(livesr.replay(talk))
    assert any(reading.label for reading in found)
    return found


def example(name: str) -> Any:
    """An example as a module."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES))


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_osc_says_what_a_replay_does(
    talk: Path, readings: list[livesr.Reading], tmp_path: Path
) -> None:
    """`oscdump` is another implementation of the protocol."""
    pytest.importorskip("pythonosc")
    port, out = free_port(socket.SOCK_DGRAM), tmp_path / "out"
    with (
        out.open("w") as file,
        subprocess.Popen(["stdbuf", "-oL", program("oscdump"), str(port)], stdout=file) as receiver,
    ):
        try:
            # It binds its port some time after it has begun.
            until(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text())
            osc = [sys.executable, str(EXAMPLES / "osc.py"), "127.0.0.1", str(port), str(talk)]
            subprocess.run(osc, check=True, timeout=180)
            until(lambda: out.read_text().count("/livesr/end ") == len(readings))
        finally:
            receiver.terminate()
    told: dict[str, list[str]] = {}
    for line in out.read_text().splitlines():
        _time, address, _types, value = line.split(maxsplit=3)
        told.setdefault(address.removeprefix("/livesr/"), []).append(value.strip('"'))
    assert told["label"] == [reading.label or "" for reading in readings]
    assert told["status"] == [reading.status for reading in readings]
    for name in readings[0].smoothed:
        ours = [reading.smoothed[name] for reading in readings]
        assert np.allclose([float(value) for value in told[f"emotion/{name}"]], ours, atol=1e-6)
    assert np.allclose([float(end) for end in told["end"]], [reading.end for reading in readings])


# Home Assistant's documented configuration variables of an MQTT sensor, and of a device and an
# origin in a discovery message.
_SENSOR = set(
    re.findall(
        r"\w+",
        """availability availability_mode availability_template availability_topic
        default_entity_id device device_class enabled_by_default encoding entity_category
        entity_picture expire_after force_update group icon json_attributes_template
        json_attributes_topic last_reset_value_template name options origin payload_available
        payload_not_available platform qos state_class state_topic suggested_display_precision
        unique_id unit_of_measurement value_template""",
    )
)
_DEVICE = set(
    re.findall(
        r"\w+",
        """configuration_url connections hw_version identifiers manufacturer model model_id name
        serial_number suggested_area sw_version via_device""",
    )
)
_ORIGIN = {"name", "sw_version", "support_url"}


def check_discovery(topic: str, sensor: dict[str, Any]) -> None:
    """As Home Assistant reads it: only what it knows, and what its rules ask for."""
    prefix, component, *names, last = topic.split("/")
    assert (prefix, component, last) == ("homeassistant", "sensor", "config")
    assert 1 <= len(names) <= 2  # a node, which may be left out, and an object
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in names)
    assert set(sensor) <= _SENSOR
    assert sensor["state_topic"]
    assert sensor["device"]["identifiers"] or sensor["device"]["connections"]
    assert set(sensor["device"]) <= _DEVICE
    assert sensor["unique_id"]  # without it there is no device
    assert set(sensor["origin"]) <= _ORIGIN
    assert sensor["origin"]["name"]
    assert sensor["device_class"] == "enum"
    assert "state_class" not in sensor  # an enum has neither
    assert "unit_of_measurement" not in sensor
    assert len(set(sensor["options"])) == len(sensor["options"])
    assert not ("availability" in sensor and "availability_topic" in sensor)
    assert sensor["icon"].startswith("mdi:")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """A mosquitto of its own; its port."""
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    command = [program("mosquitto"), "-c", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers)
        yield port
        process.terminate()


@pytest.mark.slow
def test_home_assistant_gets_a_sensor(
    talk: Path, readings: list[livesr.Reading], broker: int
) -> None:
    mqtt = pytest.importorskip("paho.mqtt.client")
    told: list[tuple[str, str, bool]] = []
    subscribed: list[bool] = []
    watcher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    watcher.on_subscribe = lambda *_: subscribed.append(True)
    watcher.on_message = lambda _client, _data, message: told.append(
        (message.topic, message.payload.decode(), message.retain)
    )
    watcher.connect("127.0.0.1", broker)
    watcher.subscribe("#", qos=1)
    watcher.loop_start()
    until(lambda: subscribed)

    def sent(topic: str) -> list[str]:
        return [payload for where, payload, _ in told if where == topic]

    command = [sys.executable, str(EXAMPLES / "home_assistant.py"), "127.0.0.1", str(broker)]
    subprocess.run([*command, str(talk)], check=True, timeout=180)
    until(lambda: "offline" in sent("livesr/online"))
    assert sent("livesr/online") == ["online", "offline"]
    (discovery,) = [(topic, payload) for topic, payload, _ in told if topic.endswith("/config")]
    sensor = json.loads(discovery[1])
    check_discovery(discovery[0], sensor)
    states = [reading.label or reading.status for reading in readings]
    changes = [i for i, state in enumerate(states) if i == 0 or state != states[i - 1]]
    assert sent(sensor["state_topic"]) == [states[i] for i in changes]
    assert set(sent(sensor["state_topic"])) <= set(sensor["options"])
    attributes = [json.loads(payload) for payload in sent(sensor["json_attributes_topic"])]
    assert attributes == [readings[i].to_dict(attention=False) for i in changes]

    # Killed, it cannot say good-bye: the broker does.
    with subprocess.Popen([*command, str(talk)]) as process:
        until(lambda: sent(sensor["availability_topic"])[2:] == ["online"])
        process.send_signal(signal.SIGKILL)
    until(lambda: sent(sensor["availability_topic"])[2:] == ["online", "offline"])
    watcher.loop_stop()
    watcher.disconnect()

    # Who comes later finds it all: it is retained.
    late: dict[str, bool] = {}
    watcher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    watcher.on_message = lambda _client, _data, message: late.update(
        {message.topic: message.retain}
    )
    watcher.connect("127.0.0.1", broker)
    watcher.subscribe("#", qos=1)
    watcher.loop_start()
    until(lambda: len(late) == 4)
    assert all(late.values())
    watcher.loop_stop()


def pieces(talk: Path, milliseconds: int) -> tuple[int, list[np.ndarray]]:
    """int16 samples, as a call delivers them."""
    samples, rate = sf.read(talk, dtype="int16")
    size = rate * milliseconds // 1000
    return rate, [samples[start : start + size] for start in range(0, len(samples), size)]


def last_labelled(talk: Path) -> str:
    samples, rate = sf.read(talk, dtype="int16")
    found = livesr.Recognizer().push(samples, rate)
    return [reading for reading in found if reading.label][-1].to_rcs()


def test_pipecat_hears_how_the_user_sounds(talk: Path) -> None:
    pytest.importorskip("pipecat.frames.frames")
    from pipecat.frames.frames import InputAudioRawFrame, TranscriptionFrame  # noqa: PLC0415
    from pipecat.tests.utils import SleepFrame, run_test  # noqa: PLC0415

    rate, sound = pieces(talk, 20)
    frames: list[Any] = [
        InputAudioRawFrame(audio=piece.tobytes(), sample_rate=rate, num_channels=1)
        for piece in sound
    ]
    # Sound overtakes words in a pipeline's queue: a transcription comes some time after it.
    frames += [SleepFrame(sleep=2.0)]
    frames += [TranscriptionFrame(text=text, user_id="u", timestamp="") for text in ("No.", "Yes.")]
    processor = example("pipecat_emotion").EmotionProcessor()
    down, _up = asyncio.run(run_test(processor, frames_to_send=frames, start_timeout=20.0))
    passed = [frame for frame in down if isinstance(frame, InputAudioRawFrame)]
    assert b"".join(frame.audio for frame in passed) == b"".join(p.tobytes() for p in sound)
    said = [frame.text for frame in down if isinstance(frame, TranscriptionFrame)]
    expected = last_labelled(talk)
    assert expected.startswith("([emotion ")
    assert said == [f"{expected} No.", "Yes."]


def test_livekit_hears_how_the_user_sounds(talk: Path) -> None:
    """In LiveKit's own session, without a server; only what is said and answered is scripted."""
    pytest.importorskip("livekit.agents")
    from livekit import rtc  # noqa: PLC0415
    from livekit.agents import AgentSession, LanguageCode, llm, stt  # noqa: PLC0415
    from livekit.agents.voice.io import AudioInput  # noqa: PLC0415

    rate, sound = pieces(talk, 20)
    received = asyncio.Event()

    class Sound(AudioInput):
        def __init__(self) -> None:
            super().__init__(label="talk")
            self._pieces = iter(sound)

        async def __anext__(self) -> rtc.AudioFrame:
            piece = next(self._pieces, None)
            if piece is None:
                received.set()
                await asyncio.Event().wait()
                raise StopAsyncIteration
            await asyncio.sleep(0)
            return rtc.AudioFrame(piece.tobytes(), rate, 1, len(piece))

    class Words(stt.RecognizeStream):
        async def _run(self) -> None:
            frames = 0
            async for frame in self._input_ch:
                if isinstance(frame, rtc.AudioFrame):
                    frames += frame.samples_per_channel
                if frames == sum(map(len, sound)):
                    words = stt.SpeechData(language=LanguageCode("en"), text="No.")
                    self._event_ch.send_nowait(
                        stt.SpeechEvent(
                            type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[words]
                        )
                    )

    class Script(stt.STT):
        def __init__(self) -> None:
            super().__init__(
                capabilities=stt.STTCapabilities(streaming=True, interim_results=False)
            )

        async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
            raise NotImplementedError

        def stream(self, *, conn_options: Any, **_: Any) -> Words:
            return Words(stt=self, conn_options=conn_options)

    class EchoStream(llm.LLMStream):
        async def _run(self) -> None:
            said = self.chat_ctx.items[-1].text_content
            delta = llm.ChoiceDelta(role="assistant", content=f"You said: {said}")
            self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))

    class Echo(llm.LLM):
        def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any, **_: Any) -> Any:
            return EchoStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)

    async def talk_to_it() -> list[str | None]:
        agent = example("livekit_emotion").EmotionAgent(instructions="Answer.")
        async with AgentSession(
            stt=Script(), llm=Echo(), vad=None, turn_handling={"turn_detection": "manual"}
        ) as session:
            session.input.audio = Sound()
            await session.start(agent)
            await asyncio.wait_for(received.wait(), 30)
            await asyncio.wait_for(session.commit_user_turn(stt_flush_duration=0.1), 10)
            for _ in range(200):
                told = [m.text_content for m in session.history.messages()]
                if len(told) == 2:
                    break
                await asyncio.sleep(0.05)
            return told

    said, answered = asyncio.run(talk_to_it())
    assert said == f"{last_labelled(talk)} No."
    assert answered == f"You said: {said}"


def test_livekit_keeps_what_else_a_turn_holds(readings: list[livesr.Reading]) -> None:
    pytest.importorskip("livekit.agents")
    from livekit.agents import llm  # noqa: PLC0415

    agent = example("livekit_emotion").EmotionAgent(instructions="Answer.")
    picture = llm.ImageContent(image="data:image/png;base64,AAAA")

    def turn(*content: Any) -> list[Any]:
        agent.reading = readings[-1]
        message = llm.ChatMessage(role="user", content=list(content))
        asyncio.run(agent.on_user_turn_completed(llm.ChatContext.empty(), message))
        found: list[Any] = message.content
        return found

    said = readings[-1].to_rcs()
    assert turn("No.", picture) == [f"{said} No.", picture]
    assert turn(picture) == [f"{said} ", picture]
