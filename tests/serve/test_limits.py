"""What is too much: messages, voices, time, and readers that do not read."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

import livesr
from livesr import Recognizer
from livesr.reading import Reading
from livesr.serve.protocol import ErrorMessage, Marked, ProtocolError, SessionUpdate
from livesr.serve.session import Session
from livesr.serve.settings import Limits, ServeSettings
from livesr.serve.voice import Outgoing, Voice
from livesr.serve.worker import _config
from tests.helpers.server import Server, collected, readings, serving, tell, until


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Server]:
    with serving("--model", str(tiny)) as server:
        yield server


BAD = [
    "",
    "no json",
    "[]",
    "{}",
    '{"type": "no such"}',
    '{"type": 3}',
    '{"type": "skip"}',
    '{"type": "skip", "samples": -1}',
    '{"type": "skip", "samples": 1e300}',
    '{"type": "skip", "samples": 1.5}',
    '{"type": "mark", "text": "' + "x" * 201 + '"}',
    '{"type": "mark", "text": 1, "more": 2}',
    '{"type": "teach", "label": "angry"}',
    "[" * 100_000,
    '{"type": "session.end", "now": true}',
]


def test_a_bad_message_does_not_end_the_session(
    server: Server, tiny: Path, speech: np.ndarray
) -> None:
    sound = (speech[:30_000] * 32767).astype("<i2")
    with server.connect() as client:
        tell(client, "session.update", mode="lossless")
        for text in BAD:
            client.send(text)
            client.send(sound[:2000].tobytes())
            sound = sound[2000:]
        tell(client, "session.end")
        told = collected(client)
        assert client.close_code == 1000
    errors = [message for message in told if message["type"] == "error"]
    assert len(errors) == len(BAD)
    assert not any(error["fatal"] for error in errors)
    assert all(error["message"] for error in errors)
    whole = (speech[:30_000] * 32767).astype("<i2")
    own = Recognizer(tiny)
    assert readings(told) == [r.to_dict() for r in own.push(whole) + own.finish()]


@pytest.mark.parametrize(
    ("update", "code"),
    [
        ({"sample_rate": 7999}, "bad_message"),
        ({"sample_rate": "16000"}, "bad_message"),
        ({"encoding": "mp3"}, "bad_message"),
        ({"channels": 0}, "bad_message"),
        ({"hop": 4}, "bad_message"),
        ({"hop": 0.123}, "bad_configuration"),
        ({"channel": 2}, "bad_configuration"),
        ({"channels": 64, "sample_rate": 192000}, "bad_configuration"),
        ({"resume": "no such session"}, "bad_resume"),
        ({"resume": "x" * 100}, "bad_resume"),
    ],
)
def test_a_wrong_configuration_is_refused(
    server: Server, update: dict[str, Any], code: str
) -> None:
    with server.connect() as client:
        tell(client, "session.update", **update)
        error = until(client, "error")[0]
        assert error["code"] == code
        assert error["fatal"] == (code != "bad_message")
        if error["fatal"]:
            assert collected(client) == []
            assert client.close_code == 1008
        else:  # it may try again
            tell(client, "session.update")
            until(client, "session.created")


def test_after_a_refused_configuration_sound_is_not_taken_for_something_else(
    server: Server, speech: np.ndarray
) -> None:
    with server.connect() as client:
        tell(client, "session.update", encoding="f32le", sampleRate=48000)
        client.send('{"type": "nothing"}')
        client.send(speech[:48_000].tobytes())
        told = collected(client)
        assert [message["code"] for message in told] == [
            *("bad_message", "bad_message", "bad_configuration")
        ]
        assert client.close_code == 1008


def test_sound_of_too_many_bytes_a_second_is_refused(tiny: Path) -> None:
    """Else the seconds that wait, and a long hop, would take hundreds of megabytes."""

    def voice(limits: Limits, channels: int, given: tuple[str, ...] = ("channels",)) -> Voice:
        update = SessionUpdate(sample_rate=192_000, channels=channels, encoding="f32le", hop=3.0)
        return Voice(str(tiny), update, frozenset(given), "id", limits)

    voice(Limits(), 5).open(None)
    with pytest.raises(ProtocolError, match=r"4,608,000 bytes .* 4,194,304 .* fewer channels"):
        voice(Limits(), 6).open(None)
    roomy = voice(Limits(second_bytes=1 << 30), 6)
    roomy.open(None)
    with pytest.raises(ProtocolError, match="fewer channels"):  # a state can ask for it too
        voice(Limits(), 1, given=()).open(roomy.state())


def test_a_late_configuration_ends_the_session(server: Server, speech: np.ndarray) -> None:
    with server.connect() as client:
        client.send((speech[:100] * 32767).astype("<i2").tobytes())
        tell(client, "session.update", sample_rate=48000)
        told = collected(client)
        assert (told[-1]["code"], told[-1]["fatal"]) == ("late_configuration", True)
        assert client.close_code == 1008


@pytest.mark.parametrize(
    "message",
    [
        b"x" * (2**20 + 1),
        json.dumps({"type": "mark", "text": "x" * 2**20}),
        json.dumps({"type": "session.update", "profile": "x" * 2**20}),
        json.dumps({"type": "session.update", "resume": "x" * 2**23}),
        b"x" * (2**23 + 1),
    ],
    ids=["sound", "mark", "profile", "resume", "beyond all"],
)
def test_an_oversized_message_ends_the_session(server: Server, message: str | bytes) -> None:
    with server.connect() as client:
        try:
            client.send(message)
            collected(client)
        except ConnectionClosed:
            pass
        client.close()
        # A reset overtakes the code where the client sends on into a closed connection.
        assert client.close_code in ((1009,) if len(message) < 2**23 else (1009, 1006))


def test_a_resume_of_4_mb_is_read_and_refused(server: Server) -> None:
    with server.connect() as client:
        tell(client, "session.update", resume="A" * (2**22))
        (error,) = collected(client)
        assert error["code"] == "bad_resume"


def test_a_full_server_refuses_with_503_until_a_voice_ends(tiny: Path, tmp_path: Path) -> None:
    options = ("--max-voices", "3", "--workers", "2")
    with serving("--model", str(tiny), *options, log=tmp_path / "log") as server:
        server.wait_logged("worker ready", 2)
        voices = [server.connect() for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused:
            server.connect()
        response = refused.value.response
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "capacity" in json.loads(response.body)["error"]
        told = httpx.get(f"{server.url}/metrics").text
        assert 'livesr_streams_refused_total{reason="full"} 1.0' in told
        assert "livesr_streams 3.0" in told
        assert "livesr_capacity_streams 3.0" in told
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        voices[0].close()
        server.wait_logged("session closed")
        voices[0] = server.connect()
        for voice in voices:
            voice.close()


def test_a_server_whose_readings_are_late_refuses_with_503(tiny: Path, speech: np.ndarray) -> None:
    """No lag at all is borne here, and every reading has some."""
    settings = {"model": str(tiny), "limits": {"lag_seconds": 0.0}}
    with serving(settings=settings) as server, server.connect() as client:
        client.send((speech[:9000] * 32767).astype("<i2").tobytes())
        until(client, "reading")
        with pytest.raises(InvalidStatus) as refused:
            server.connect()
        assert refused.value.response.status_code == 503
        assert "too slow" in json.loads(refused.value.response.body)["error"]


def test_a_client_faster_than_real_time_shuts_nobody_out(tiny: Path, speech: np.ndarray) -> None:
    settings = {"model": str(tiny), "limits": {"lag_seconds": 0.0}}
    with serving(settings=settings) as server, server.connect() as client:
        client.send((speech * 32767).astype("<i2").tobytes())  # half a minute at once
        until(client, "reading")
        with server.connect() as other:
            tell(other, "session.update")
            until(other, "session.created")


@pytest.mark.slow
def test_an_address_may_have_only_so_many_voices(tiny: Path) -> None:
    """Behind a proxy on this machine, whose clients it names."""
    with serving("--model", str(tiny), "--per-address", "2") as server:

        def voice(address: str) -> ClientConnection:
            client = server.connect(additional_headers={"X-Forwarded-For": address})
            tell(client, "session.update")
            until(client, "session.created")
            return client

        first = [voice("203.0.113.5"), voice("203.0.113.5"), voice("203.0.113.6")]
        with pytest.raises(InvalidStatus) as refused:
            voice("203.0.113.5")
        assert "address" in json.loads(refused.value.response.body)["error"]
        first[0].close()
        for _ in range(100):
            try:
                voice("203.0.113.5")
                break
            except InvalidStatus:
                time.sleep(0.05)
        else:
            raise AssertionError("its place is still taken")
        for _ in range(3):
            voice("127.0.0.1")


@pytest.mark.slow
def test_a_short_hop_takes_the_place_of_several_voices(tiny: Path) -> None:
    with serving("--model", str(tiny), "--max-voices", "3") as server:
        with server.connect() as client:
            tell(client, "session.update", hop=0.05)
            told = collected(client)
            assert told[-1]["code"] == "busy"
            assert client.close_code == 1013
        with server.connect() as client:
            tell(client, "session.update", hop=0.1)
            until(client, "session.created")
            with pytest.raises(InvalidStatus):
                server.connect()


def test_a_voice_goes_to_the_worker_with_room_beside_a_short_hop(
    tiny: Path, tmp_path: Path
) -> None:
    """A hop of 0.1 s takes the places of 2.5 voices, and each of two workers has 3."""
    options = ("--max-voices", "6", "--workers", "2")
    with serving("--model", str(tiny), *options, log=tmp_path / "log") as server:
        server.wait_logged("worker ready", 2)
        with server.connect() as client:
            tell(client, "session.update", hop=0.1)
            until(client, "session.created")
            voices = [server.connect() for _ in range(3)]
        server.wait_logged("session closed")
        voices += [server.connect() for _ in range(3)]  # where the short hop was
        for voice in voices:
            voice.close()


@pytest.mark.slow
def test_a_client_that_sends_nothing_is_disconnected(tiny: Path, speech: np.ndarray) -> None:
    with serving("--model", str(tiny), "--idle-timeout", "1") as server, server.connect() as client:
        client.send((speech[:5000] * 32767).astype("<i2").tobytes())
        told = collected(client)
        assert (told[-1]["code"], client.close_code) == ("idle", 1008)


@pytest.mark.slow
def test_a_client_that_never_reads_is_disconnected_and_disturbs_no_other(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    """It is cut off; the other, who speaks meanwhile, misses nothing."""
    sound = (speech * 32767).astype("<i2").tobytes()
    settings = {"model": str(tiny), "limits": {"slow_seconds": 1.0, "outbox": 8}}
    with serving(settings=settings, log=tmp_path / "log") as server:
        host, port = server.url.removeprefix("http://").split(":")
        raw = narrow(host, int(port))
        raw.sendall(upgrade(host))
        while not raw.recv(1 << 12).endswith(b"\r\n\r\n"):
            pass

        def flood() -> None:
            try:
                raw.sendall(frame(1, b'{"type": "session.update", "hop": 0.02}'))
                while True:
                    raw.sendall(frame(2, sound[:32_000]))
            except OSError:
                pass

        thread = threading.Thread(target=flood)
        thread.start()
        with server.connect() as client:
            tell(client, "session.update", mode="lossless")
            client.send(sound[:300_000])
            tell(client, "session.end")
            told = collected(client)
        own = Recognizer(tiny)
        ints = np.frombuffer(sound[:300_000], "<i2")
        assert readings(told) == [r.to_dict() for r in own.push(ints) + own.finish()]
        causes = {line["cause"]: line for line in server.wait_logged("session closed", 2)}
        assert causes["slow_reader"]["unread"] > 0
        raw.close()
        thread.join()
        exposed = httpx.get(f"{server.url}/metrics").text
        assert "livesr_streams 0.0" in exposed


def test_only_readings_count_as_unread() -> None:
    session = Session(Mock(limits=Limits(outbox=2)), MagicMock(), "")
    counted = REGISTRY.get_sample_value("livesr_readings_unread_total") or 0.0
    for number in range(5):
        session._put(Outgoing(Marked(at=number, text="")))
    session._put(Outgoing(ErrorMessage(code="bad_message", message="")))
    assert session._unread == 0
    for _ in range(4):  # they are dropped themselves: readings come first
        session._put(Outgoing(Mock(spec=Reading)))
    assert session._unread == 4
    assert REGISTRY.get_sample_value("livesr_readings_unread_total") == counted + 4


def narrow(host: str, port: int) -> socket.socket:
    """A connection that holds little for a reader who does not read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # Segments of loopback are larger than that: the kernel would wait, at last for a minute.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1024)
    raw.connect((host, port))
    return raw


def upgrade(host: str) -> bytes:
    """The request that opens a websocket."""
    return (
        f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A masked websocket frame; the mask is zeros."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


@pytest.mark.slow
@pytest.mark.parametrize(("hop", "size", "pause"), [(0.05, 50_000, 0.0), (0.02, 320, 0.003)])
def test_lossless_waits_for_its_reader(
    tiny: Path, speech: np.ndarray, hop: float, size: int, pause: float
) -> None:
    """Sound is sent as fast as it goes, or by half hops, and readings are read late."""
    sound = (speech[:200_000] * 32767).astype("<i2")
    # On a busy machine much time passes before the first reading is read.
    limits = {"outbox": 4, "queue_seconds": 1.0, "slow_seconds": 300.0}
    with serving(settings={"model": str(tiny), "limits": limits}) as server:
        host, port = server.url.removeprefix("http://").split(":")
        client = server.connect(max_queue=2, ping_interval=None, sock=narrow(host, int(port)))

        sent: list[int] = []

        def send() -> None:
            data = sound.tobytes()
            for start in range(0, len(data), size):
                client.send(data[start : start + size])
                sent.append(start)
                time.sleep(pause)
            tell(client, "session.end")

        tell(client, "session.update", mode="lossless", hop=hop)
        thread = threading.Thread(target=send)
        thread.start()
        before = -1
        while len(sent) != before and thread.is_alive():  # until the server holds the client back
            before = len(sent)
            time.sleep(1.0)
        told = collected(client)
        thread.join()
    own = Recognizer(tiny, hop=hop)
    assert client.close_code == 1000, told[-1]
    assert readings(told) == [r.to_dict() for r in own.push(sound) + own.finish()]


@pytest.mark.slow
def test_a_client_whose_pongs_are_late_stays(tiny: Path, speech: np.ndarray) -> None:
    """In mode "lossless" they wait behind its sound; here it answers no ping at all."""
    sound = (speech[:32_000] * 32767).astype("<i2").tobytes()
    settings = {"model": str(tiny), "limits": {"ping_seconds": 1.0}}
    with serving(settings=settings) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as raw:
            raw.sendall(upgrade(host))
            while not raw.recv(1 << 12).endswith(b"\r\n\r\n"):
                pass
            raw.sendall(frame(1, b'{"type": "session.update", "mode": "lossless"}'))
            raw.sendall(frame(2, sound))
            time.sleep(5)
            raw.sendall(frame(1, b'{"type": "session.end"}'))
            received = b""
            while b"session.ended" not in received:
                more = raw.recv(1 << 16)
                assert more, received[-200:]
                received += more
    pings = received.count(b"\x89\x04")  # each with four bytes
    assert pings >= 3, "no pong was late"


def test_no_pong_is_too_late() -> None:
    """A timeout longer than the test above waits would not be seen there."""
    config = _config(Mock(), ServeSettings(limits=Limits(ping_seconds=7.0)))
    assert config.ws_ping_timeout is None
    assert config.ws_ping_interval == 7.0


@pytest.mark.slow
def test_slow_loris_and_a_thousand_dropped_connections(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    """Handles and slots come back, and who speaks meanwhile misses nothing."""
    settings = {"model": str(tiny), "limits": {"handshake_seconds": 1.0}}
    with serving(settings=settings, log=tmp_path / "log") as server:
        host, port = server.url.removeprefix("http://").split(":")
        (worker,) = server.workers()
        address = (host, int(port))
        httpx.get(f"{server.url}/healthz")
        time.sleep(0.5)
        processes = (worker, server.process.pid)
        before = [len(os.listdir(f"/proc/{process}/fd")) for process in processes]
        sound = (speech[:200_000] * 32767).astype("<i2")
        with server.connect() as client:
            tell(client, "session.update", mode="lossless")
            client.send(sound[:100_000].tobytes())
            slow = [socket.create_connection(address) for _ in range(50)]
            for each in slow:
                each.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            rng = random.Random(9)
            for _ in range(1000):
                each = socket.create_connection(address)
                each.sendall(rng.choice((b"", b"GET", b"\x16\x03\x01", b"POST / HTTP/1.1\r\n")))
                each.close()
            client.send(sound[100_000:].tobytes())
            tell(client, "session.end")
            told = collected(client)
            for each in slow:
                each.settimeout(10)
                with pytest.raises(ConnectionResetError):
                    if each.recv(1) == b"":
                        raise ConnectionResetError
        own = Recognizer(tiny)
        assert readings(told) == [r.to_dict() for r in own.push(sound) + own.finish()]
        for _ in range(100):
            after = [len(os.listdir(f"/proc/{process}/fd")) for process in processes]
            if all(late <= early for early, late in zip(before, after, strict=True)):
                return
            time.sleep(0.1)
        raise AssertionError(f"handles were {before}, and are {after}")


@pytest.fixture(scope="module")
def hasty(tiny: Path) -> Iterator[tuple[str, int]]:
    """Host and port of a server that waits a second for a head."""
    with serving(settings={"model": str(tiny), "limits": {"handshake_seconds": 1.0}}) as server:
        host, port = server.url.removeprefix("http://").split(":")
        yield host, int(port)


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"Content-Length: 100000\r\n", b"x"), (b"", b"\r\n"), (b"", b"G")],
    ids=["body", "empty lines", "next head"],
)
def test_a_client_that_drips_after_its_answer_is_cut_off(
    hasty: tuple[str, int], head: bytes, drop: bytes
) -> None:
    with socket.create_connection(hasty, timeout=20) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
        assert raw.recv(1 << 12).startswith(b"HTTP/1.1 200")
        raw.settimeout(0.2)
        began = time.monotonic()
        while True:
            assert time.monotonic() < began + 8, "it is still open"
            try:
                raw.sendall(drop)
                if b"HTTP/1.1" not in raw.recv(1 << 12):
                    break
            except TimeoutError:
                continue
            except OSError:
                break


def test_after_an_early_answer_its_body_may_end_and_a_request_follow(
    hasty: tuple[str, int],
) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
    with socket.create_connection(hasty, timeout=20) as raw:
        for _ in range(4):
            raw.sendall(request)
            told = raw.recv(1 << 12)
            while not told.endswith(b"}"):
                told += raw.recv(1 << 12)
            assert told.startswith(b"HTTP/1.1 200")
            time.sleep(0.4)  # in all, longer than a head may take
            raw.sendall(b"x" * 200_000)


def resident(server: Server) -> float:
    """Megabytes of all its processes."""
    numbers = [server.process.pid, *server.workers()]
    pages = [int(Path(f"/proc/{n}/statm").read_text().split()[1]) for n in numbers]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
def test_voices_that_come_and_go_leave_no_memory(tiny: Path, speech: np.ndarray) -> None:
    """Half of them vanish in the midst of a hop, and their states are forgotten in time."""
    sound = (speech[:24_000] * 32767).astype("<i2").tobytes()
    settings = {"model": str(tiny), "limits": {"kept_seconds": 0.5}}
    with serving(settings=settings) as server:

        def round_of(count: int) -> None:
            for number in range(count):
                with server.connect() as client:
                    tell(client, "session.update", sample_rate=48000)
                    client.send(sound)
                    until(client, "reading")
                    if number % 2:
                        client.socket.shutdown(socket.SHUT_RDWR)
                    else:
                        tell(client, "session.end")
                        collected(client)

        round_of(150)
        time.sleep(1.5)
        before = resident(server)
        round_of(300)
        time.sleep(1.5)
        assert resident(server) < before + 8  # a voice at 48 kHz has more than one


@pytest.mark.slow
def test_a_machine_that_sleeps_for_a_while(tiny: Path, speech: np.ndarray) -> None:
    """A worker that is stopped and goes on: what it dropped, if anything, is marked."""
    sound = (speech[:120_000] * 32767).astype("<i2")
    with serving("--model", str(tiny)) as server, server.connect() as client:
        (worker,) = server.workers()
        tell(client, "session.update", mode="live")
        began = time.monotonic()
        for number in range(75):
            if number == 15:
                os.kill(worker, signal.SIGSTOP)
            if number == 50:
                os.kill(worker, signal.SIGCONT)
            client.send(sound[number * 1600 : (number + 1) * 1600].tobytes())
            time.sleep(max(0.0, began + number / 10 - time.monotonic()))
        tell(client, "session.end")
        told = collected(client)
    own, expected, done = Recognizer(tiny), [], 0
    for gap in (message for message in told if message["type"] == "gap"):
        at = round(gap["at"] * 16000)
        expected += own.push(sound[done:at]) + own.skip(gap["samples"])
        done = at + gap["samples"]
    expected += own.push(sound[done:]) + own.finish()
    assert readings(told) == [reading.to_dict() for reading in expected]


def test_no_module_reads_the_time_of_day() -> None:
    """Waiting and lag go by the monotonic clock; only a log's line tells the time of day."""
    folder = Path(livesr.__file__).parent / "serve"
    for path in folder.glob("*.py"):
        assert not re.search(r"\btime\.time\(|datetime", path.read_text()), path.name


def test_an_endless_http_header_is_cut_off(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):
            for _ in range(10_000):
                raw.sendall(b"X-Header: " + b"y" * 1000 + b"\r\n")
