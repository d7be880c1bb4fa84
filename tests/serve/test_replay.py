"""`POST /v1/replay` and what describes the protocol."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
import soundfile as sf
from jsonschema import Draft202012Validator
from starlette.requests import ClientDisconnect
from starlette.types import Message

import livesr
from livesr import AudioError
from livesr.files.replay import ReplaySettings, play
from livesr.files.soundfile import SoundFile
from livesr.serve import protocol, schemas
from livesr.serve.app import _Lines
from livesr.serve.engine import Engine
from livesr.serve.hub import Hub
from livesr.serve.replay import Options, Replay, opened
from livesr.serve.settings import Limits, ServeSettings
from livesr.serve.voice import Outgoing, Voice
from tests.helpers.server import Server, collected, serving, tell
from tests.helpers.tiny import DATA
from tests.helpers.waiting import until

SOUND = (DATA / "banglaser.flac").read_bytes()


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Server]:
    with serving(settings={"model": str(tiny), "limits": {"replay_bytes": 1_000_000}}) as server:
        yield server


@pytest.mark.parametrize("query", ["", "?hop=0.1&attention=false", "?hop=3&attention=false"])
@pytest.mark.parametrize("name", ["conversation.flac", "banglaser.flac"])
def test_a_file_gives_what_replay_gives(server: Server, tiny: Path, name: str, query: str) -> None:
    answer = httpx.post(
        f"{server.url}/v1/replay{query}", content=(DATA / name).read_bytes(), timeout=100
    )
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    hop = float(query[5:].partition("&")[0] or 0.25)
    expected = livesr.replay(DATA / name, model=tiny, hop=hop)
    assert lines == [reading.to_dict(attention=not query) for reading in expected]


def test_a_file_that_is_cut_is_heard_as_far_as_it_goes(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "the file"
    path.write_bytes((DATA / "banglaser.flac").read_bytes()[:15_000])
    answer = httpx.post(f"{server.url}/v1/replay", content=path.read_bytes(), timeout=100)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    expected = [item.to_dict() for item in play(path, ReplaySettings(model=tiny))]
    assert [line for line in lines if "event" not in line] == [
        item for item in expected if "event" not in item
    ]
    ours, theirs = ([e for e in told if "event" in e] for told in (lines, expected))
    assert [(e["event"], e["at"]) for e in ours] == [(e["event"], e["at"]) for e in theirs]


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6, 30_000.0])
def test_samples_that_replay_refuses_end_a_file_where_replay_ends(
    server: Server, tiny: Path, speech: np.ndarray, value: float, rate: int
) -> None:
    sound = speech[: 3 * rate].copy()
    sound[round(1.25 * rate)] = value
    content = io.BytesIO()
    sf.write(content, sound, rate, format="WAV", subtype="FLOAT")
    answer = httpx.post(f"{server.url}/v1/replay", content=content.getvalue(), timeout=100)
    *found, error = [json.loads(line) for line in answer.text.splitlines()]
    expected: list[dict[str, Any]] = []
    with pytest.raises(AudioError) as refused:
        expected.extend(reading.to_dict() for reading in livesr.replay(content, model=tiny))
    assert found == expected
    assert len(found) >= 3
    assert error == {
        **{"type": "error", "code": "bad_samples", "fatal": True},
        "message": str(refused.value),
    }


def test_what_is_said_of_a_file_has_the_time_that_replay_gives_it(
    server: Server, tiny: Path, speech: np.ndarray
) -> None:
    content = io.BytesIO()
    sf.write(content, speech[:48_000], 44_100, format="WAV")
    cut = content.getvalue()[:60_001]
    answer = httpx.post(f"{server.url}/v1/replay", content=cut, timeout=100)
    expected = [item.to_dict() for item in play(io.BytesIO(cut), ReplaySettings(model=tiny))]
    assert [json.loads(line) for line in answer.text.splitlines()] == expected
    assert expected[-1]["event"] == "file"


def test_a_file_that_begins_with_samples_that_replay_refuses_is_refused(server: Server) -> None:
    content = io.BytesIO()
    sf.write(content, np.full(16_000, 30_000.0), 16_000, format="WAV", subtype="FLOAT")
    answer = httpx.post(f"{server.url}/v1/replay", content=content.getvalue())
    assert answer.status_code == 400
    assert "written without being scaled" in answer.json()["error"]


def test_one_channel_of_a_file(server: Server, tiny: Path, tmp_path: Path) -> None:
    sound, rate = sf.read(DATA / "banglaser.flac")
    sf.write(tmp_path / "two.wav", np.stack([0 * sound, sound], axis=1), rate)
    sf.write(tmp_path / "one.wav", sound, rate)
    content = (tmp_path / "two.wav").read_bytes()
    answer = httpx.post(f"{server.url}/v1/replay?channel=2", content=content, timeout=100)
    expected = [r.to_dict() for r in livesr.replay(tmp_path / "one.wav", model=tiny)]
    assert [json.loads(line) for line in answer.text.splitlines()] == expected


@pytest.mark.parametrize(
    ("query", "content", "status", "said"),
    [
        ("", b"no sound", 400, "not a sound file"),
        ("", b"", 400, "is empty"),
        ("?hop=x", SOUND, 400, "hop"),
        ("?hop=0.123", SOUND, 400, "0.123 s"),
        ("?hop=nan", SOUND, 400, "nan s"),
        ("?no=1", SOUND, 400, "no"),
        ("?channel=0", SOUND, 400, "channel"),
        ("?channel=-3", SOUND, 400, "channel"),
        ("?channel=65", SOUND, 400, "channel"),
        ("?channel=2", SOUND, 400, "the sound has 1"),
        ("", b"x" * 1_000_001, 413, "longer than"),
    ],
    ids=range(11),  # not the files
)
def test_a_request_to_replay_that_is_wrong_gets_an_error(
    server: Server, query: str, content: bytes, status: int, said: str
) -> None:
    answer = httpx.post(f"{server.url}/v1/replay{query}", content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_a_client_that_leaves_while_it_sends_a_file_is_no_error_of_the_server(
    tiny: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serving("--model", str(tiny), log=log) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                b"POST /v1/replay HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                b"Content-Length: 1000\r\n\r\n"
            )
            assert b"100 Continue" in raw.recv(1000)  # the application waits for the file
            raw.sendall(b"x" * 500)
        ends = 'livesr_streams_closed_total{cause="dropped"} 1.0'
        until(lambda: ends in httpx.get(f"{server.url}/metrics").text)
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert told
    assert not [line for line in told if line["level"] == "error"]


def test_a_replay_with_a_hop_too_short_for_the_capacity_is_refused(tiny: Path) -> None:
    with serving("--model", str(tiny), "--max-voices", "2") as server:
        url = f"{server.url}/v1/replay"
        answer = httpx.post(f"{url}?hop=0.1", content=SOUND)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "longer" in answer.json()["error"]
        assert httpx.post(f"{url}?hop=0.13", content=SOUND).status_code == 200  # its place is free


def test_a_file_that_is_damaged_from_its_start_is_refused(server: Server) -> None:
    content = SOUND[:42] + bytes(len(SOUND) - 42)  # a header that promises sound, and no sound
    answer = httpx.post(f"{server.url}/v1/replay", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_read_is_over_before_whoever_was_cancelled_goes_on() -> None:
    begun, over = threading.Event(), threading.Event()

    def blocks() -> Iterator[np.ndarray]:
        begun.set()
        time.sleep(0.2)
        over.set()
        yield np.zeros((100, 1), np.float32)

    async def leave() -> None:
        sound, hub = cast(SoundFile, None), cast(Hub, None)
        replay = Replay(hub, sound, blocks(), cast(Voice, None), Options())
        reading = asyncio.create_task(replay._read())
        await asyncio.to_thread(begun.wait)
        for _ in range(3):  # a scope that is cancelled cancels again and again
            reading.cancel()
            await asyncio.sleep(0.01)
        assert not reading.done()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert over.is_set()

    asyncio.run(leave())


def test_the_last_readings_come_after_the_voice_has_ended(tiny: Path) -> None:
    """The engine ends a voice, and only then tells of it."""

    async def replayed() -> list[str]:
        loop = asyncio.get_running_loop()

        def deliver(made: list[tuple[Voice, list[Outgoing]]]) -> None:
            for _, told in made:
                loop.call_soon(replay.give, told, 0.0)

        def poke(voice: Voice) -> None:
            while voice.due:
                engine.round([voice])

        engine = Engine(deliver, Mock())
        hub = Mock(settings=ServeSettings(model=str(tiny)), limits=Limits())
        hub.engine.poke, hub.clock = poke, lambda: 0.0
        replay = opened(hub, SOUND, Options())
        return [line async for line in replay.lines()]

    expected = livesr.replay(DATA / "banglaser.flac", model=tiny)
    assert [json.loads(line) for line in asyncio.run(replayed())] == [
        reading.to_dict() for reading in expected
    ]


@pytest.mark.parametrize("begun", [True, False])
def test_a_client_that_leaves_during_a_replay_frees_its_place(server: Server, begun: bool) -> None:
    def shows(sample: str) -> float:
        text = httpx.get(f"{server.url}/metrics").text
        return float(next(s for s in text.splitlines() if s.startswith(f"{sample} ")).split()[1])

    workers, opened = server.workers(), shows("livesr_streams_opened_total")
    host, port = server.url.removeprefix("http://").split(":")
    content = (DATA / "conversation.flac").read_bytes()
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(
            b"POST /v1/replay?hop=0.02 HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: %d\r\n\r\n" % len(content) + content
        )
        if begun:
            raw.recv(1000)
    for _ in range(200):
        if shows("livesr_streams_opened_total") > opened and not shows("livesr_streams"):
            # A dead worker has no streams either.
            assert server.workers() == workers, "a worker died and another one took its place"
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            return
        time.sleep(0.05)
    raise AssertionError("its place is still taken")


def test_an_answer_that_cannot_begin_frees_its_place() -> None:
    over = threading.Event()

    async def lines() -> AsyncGenerator[str, None]:
        raise AssertionError("nobody asked for a line")
        yield ""

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(_message: Message) -> None:
        raise ClientDisconnect

    answer = _Lines(lines(), lambda: None, over.set)
    asyncio.run(answer({"type": "http"}, receive, send))
    assert over.is_set()


def test_every_message_fits_the_schema(server: Server, speech: np.ndarray) -> None:
    schema = httpx.get(f"{server.url}/v1/schema.json").json()
    assert schema == schemas.json_schema()
    Draft202012Validator.check_schema(schema)
    theirs = Draft202012Validator({"$ref": "#/$defs/ServerMessage", "$defs": schema["$defs"]})
    ours = Draft202012Validator({"$ref": "#/$defs/ClientMessage", "$defs": schema["$defs"]})
    sent: list[dict[str, Any]] = [
        {"type": "session.update", "mode": "lossless", "encoding": "f32le"},
        {"type": "skip", "samples": 16_000},
        {"type": "reset"},
        {"type": "mark", "text": "x"},
        {"type": "teach", "label": "angry"},
        {"type": "session.end"},
    ]
    with server.connect() as client:
        for message in sent:
            ours.validate(message)
            if message["type"] == "session.end":
                client.send(speech[:100_000].astype("<f4").tobytes())
                client.send(np.full(10, np.nan, "<f4").tobytes())
            tell(client, **{"kind" if k == "type" else k: v for k, v in message.items()})
        told = collected(client)
    for message in told:
        theirs.validate(message)
    assert {message["type"] for message in told} >= {
        *("session.created", "reading", "utterance.start", "gap", "mark", "error"),
        "session.ended",
    }
    for bad in ({"type": "skip"}, {"type": "mark", "text": "x", "more": 1}, {"type": "reading"}):
        assert not ours.is_valid(bad)


def test_the_asyncapi_document_names_every_message(server: Server) -> None:
    document = httpx.get(f"{server.url}/v1/asyncapi.json").json()
    assert document == schemas.asyncapi()
    text = json.dumps(document)
    names = {message["name"] for message in document["components"]["messages"].values()}
    for union in (protocol.ClientMessage, protocol.ServerMessage):
        for cls in union.__args__:
            assert str(cls.__struct_config__.tag) in names
    for reference in _references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert "$defs" not in text


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
