"""The Python client: a Recognizer somewhere else, over a network that fails."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from livesr import AudioError, LivesrError, Reading, Recognizer, client
from livesr.client import AsyncVoice, ServerError, Voice, _Session
from livesr.reading import LATEST_START_SECONDS
from livesr.stages.samples import as_mono
from tests.helpers.server import Server, serving


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Server]:
    with serving("--model", str(tiny)) as server:
        yield server


class Network:
    """A TCP relay of the test's that is cut when the test says so."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[socket.socket] = []
        self.silent = False  # what the server sends is held back
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
                theirs = socket.create_connection(self._target)
            except OSError:
                return
            self._pairs += [ours, theirs]
            for way in ((ours, theirs, False), (theirs, ours, True)):
                threading.Thread(target=self._relay, args=way, daemon=True).start()

    def _relay(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        try:
            while data := one.recv(4096):
                while answers and self.silent:
                    time.sleep(0.01)
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut_soon(self, seconds: float = 0.5) -> None:
        """Hold back the answers from now on, and cut after a while."""
        self.silent = True

        def cut() -> None:
            self.cut()
            self.silent = False

        threading.Timer(seconds, cut).start()

    def cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for each in pairs:
            try:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
                each.close()
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture
def network(server: Server) -> Iterator[Network]:
    host, port = server.url.removeprefix("http://").split(":")
    network = Network(host, int(port))
    yield network
    network.close()


def expected(model: Path, samples: np.ndarray, rate: int = 16000, hop: float = 0.25) -> list[Any]:
    own = Recognizer(model, hop=hop)
    return [served(reading) for reading in own.push(samples, rate) + own.finish()]


def served(reading: Reading) -> Reading:
    """As it is after its way through JSON: attention to 6 digits."""
    return Reading.from_dict(reading.to_dict())


def test_a_voice_of_the_client_does_what_a_recognizer_does(
    server: Server, tiny: Path, speech: np.ndarray
) -> None:
    own, found = Recognizer(tiny), []
    with Voice(server.url, mode="lossless", encoding="f32le") as voice:
        assert voice.labels == own.labels
        for start in range(0, 100_000, 7_000):
            found += voice.push(speech[start : start + 7_000])
        found += voice.skip(20_000)
        found += voice.mark("here")
        found += voice.push(speech[200_000:240_000])
        found += voice.finish()
        kinds = [message["type"] for message in voice.events()]
        assert {"gap", "mark", "utterance.start"} <= set(kinds)
        assert voice.ended is not None
        assert voice.ended["readings"] == len(found)
    right = own.push(speech[:105_000]) + own.skip(20_000) + own.push(speech[200_000:240_000])
    assert found == [served(reading) for reading in right + own.finish()]


@pytest.mark.parametrize("seed", [1, 2])
def test_connections_that_break_lose_no_reading(
    network: Network, tiny: Path, speech: np.ndarray, seed: int
) -> None:
    sound = (speech[:300_000] * 32767).astype("<i2")
    rng, found, start = random.Random(seed), [], 0
    with Voice(network.url, mode="lossless", sample_rate=48000, hop=0.1) as voice:
        while start < len(sound):
            count = rng.randrange(1, 20_000)
            found += voice.push(sound[start : start + count])
            start += count
            if rng.random() < 0.15:
                network.cut()
            time.sleep(rng.choice((0, 0, 0.05)))
        found += voice.finish()
    assert found == expected(tiny, sound, 48000, 0.1)


def test_what_was_answered_is_not_done_again(network: Network, speech: np.ndarray) -> None:
    with Voice(network.url, mode="lossless") as voice:
        voice.push(speech[:64_000])
        voice.mark("here")
        voice.teach("happy")
        told = voice.events()
        while not any(message["type"] == "profile" for message in told):
            voice.push(speech[:0])
            told += voice.events()
        for _ in range(2):
            network.cut()
            voice.push(speech[64_000:68_000])
            time.sleep(0.3)
        voice.finish()
        told += voice.events()
    kinds = [message["type"] for message in told]
    assert (kinds.count("mark"), kinds.count("profile")) == (1, 1)


def test_what_was_done_before_a_drop_is_not_done_again(
    network: Network, speech: np.ndarray
) -> None:
    with Voice(network.url, mode="lossless") as voice:
        voice.push(speech[:64_000])
        voice.readings(5)
        network.cut_soon()
        voice.mark("here")
        voice.teach("happy")
        time.sleep(0.8)
        voice.push(speech[64_000:68_000])
        voice.finish()
        kinds = [message["type"] for message in voice.events()]
    assert (kinds.count("mark"), kinds.count("profile")) == (1, 1)


def test_a_drop_after_the_end_loses_no_reading(
    network: Network, tiny: Path, speech: np.ndarray
) -> None:
    sound = (speech[:90_000] * 32767).astype("<i2")
    with Voice(network.url, mode="lossless") as voice:
        found = voice.push(sound)
        network.cut_soon()
        found += voice.finish()
        told = [json.dumps(message) for message in voice.events()]
    assert found == expected(tiny, sound)
    assert len(told) == len(set(told))


def test_options_that_are_refused_are_told_at_once(server: Server) -> None:
    for options in ({"hop": 9}, {"channel": 65}, {"hopp": 1}, {"mode": "fast"}):
        with pytest.raises(ServerError, match="not a message of livesr"):
            Voice(server.url, **options)
    with Voice(server.url, sample_rate=np.int64(8000)) as voice:
        assert voice.created["sample_rate"] == 8000


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://[::1", "check the address"),
        ("http://", "check the address"),
        ("http://127.0.0.1:99999", "check the address"),
        ("http://127.0.0.1:9", "is the server running"),
        ("https://SERVER", "check the address, and what ssl= trusts"),
    ],
)
def test_who_cannot_be_reached_is_told_with_what_to_check(
    server: Server, url: str, hint: str
) -> None:
    with pytest.raises(ServerError, match=rf"cannot be reached \(.+\); {hint}") as told:
        Voice(url.replace("SERVER", server.url.removeprefix("http://")))
    assert told.value.code == "unreachable"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample_rate": "abc"}, "sample rate of 'abc'"),
        ({"sample_rate": None}, "sample rate of None"),
        ({"sample_rate": 7}, "from 8000"),
        ({"channels": "2"}, "channels is '2'"),
        ({"channels": 0}, "channels is 0"),
        ({"encoding": None}, "encoding is 'None'"),
        ({"resume": b"abc"}, "resume is b'abc'"),
        ({"hop": float("nan")}, "hop is nan"),
        ({"profile": Path("x")}, "profile is "),
        ({"url": None}, "None is no address"),
        ({"url": "localhost:8765"}, "begin it with"),
        ({"token": b"abc"}, "token is not one word"),
    ],
    ids=range(12),
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_sent(
    options: dict[str, Any], words: str
) -> None:
    for kind in (Voice, AsyncVoice):
        with pytest.raises(LivesrError, match=words) as told:
            kind(**{"url": "http://127.0.0.1:9", **options})
        assert not isinstance(told.value, ServerError)


@pytest.mark.parametrize("token", ["secret\r\nX-Evil: 1", "secret word", "secret-\u00e4"])
def test_a_token_that_no_header_holds_is_not_shown(token: str) -> None:
    with pytest.raises(LivesrError, match="token-file") as told:
        Voice("http://127.0.0.1:9", token=token)
    assert "secret" not in str(told.value)


def test_a_token_may_be_a_file_s_text(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-the-client-0123\n")
    options = ("--model", str(tiny), "--token-file", str(tmp_path / "token"))
    with serving(*options) as guarded:
        Voice(guarded.url, token=(tmp_path / "token").read_text()).close()
        with pytest.raises(ServerError, match="token is needed"):
            Voice(guarded.url, token="\n")


def test_a_profile_is_sent_as_it_is(server: Server, tiny: Path, speech: np.ndarray) -> None:
    own = Recognizer(tiny)
    own.push(speech[:64_000])
    own.teach("happy")
    profile = own.profile
    with Voice(server.url, mode="lossless", encoding="f32le", profile=profile) as voice:
        found = voice.push(speech[:64_000]) + voice.finish()
    expected = Recognizer(tiny, profile=profile).push(speech[:64_000])
    assert found == [served(reading) for reading in expected]
    assert found[-1].profile == "corrections"


def test_an_async_voice_that_was_not_entered_says_so() -> None:
    async def talk() -> None:
        voice = AsyncVoice("http://127.0.0.1:9")
        with pytest.raises(ServerError, match="async with"):
            voice.labels  # noqa: B018
        for work in (voice.push(bytes(100)), voice.skip(5), voice.readings(), voice.finish()):
            with pytest.raises(ServerError, match="async with"):
                await work
        await voice.close()
        assert not voice._session._sent

    asyncio.run(talk())


def test_text_that_the_server_would_refuse_is_not_sent(server: Server) -> None:
    """After a drop, what the server refused would be sent again."""
    with Voice(server.url) as voice:
        for mark in (b"here", 201 * "a"):
            with pytest.raises(LivesrError, match="cannot be a mark"):
                voice.mark(mark)  # type: ignore[arg-type]
        for label in (b"happy", "", 41 * "a", " happy"):
            with pytest.raises(LivesrError, match="cannot be a label"):
                voice.teach(label)  # type: ignore[arg-type]
        assert not voice._voice._session._sent
        voice.mark(200 * "a")
        voice.finish()
        told = [event["type"] for event in voice.events()]
        assert told == ["session.created", "mark", "session.ended"]


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_OPENING_SECONDS", 0.3)

    def listen_only(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                connection.recv()

    with serve(listen_only, "127.0.0.1", 0, subprotocols=[Subprotocol("livesr.v1")]) as silent:
        thread = threading.Thread(target=silent.serve_forever)
        thread.start()
        try:
            with pytest.raises(ServerError, match="did not answer") as told:
                Voice(f"http://127.0.0.1:{silent.socket.getsockname()[1]}", mode="lossless")
            assert told.value.code == "unreachable"  # which is tried again after a drop
        finally:
            silent.shutdown()
            thread.join()


@pytest.mark.parametrize("bad", [-8000, 0.5, True, "5", 10**14, 10**13])
def test_a_gap_that_cannot_be_is_refused_and_the_session_goes_on(
    network: Network, tiny: Path, speech: np.ndarray, bad: Any
) -> None:
    sound, own = (speech[:96_000] * 32767).astype("<i2"), Recognizer(tiny)
    with Voice(network.url, mode="lossless") as voice:
        found = voice.push(sound[:40_000])
        with pytest.raises(AudioError, match="gap"):
            voice.skip(bad)
        found += voice.skip(np.int64(4_000))  # type: ignore[arg-type]
        found += voice.push(sound[40_000:70_000])
        network.cut()
        found += voice.push(sound[70_000:]) + voice.finish()
    expected = own.push(sound[:40_000]) + own.skip(4_000) + own.push(sound[40_000:]) + own.finish()
    assert found == [served(reading) for reading in expected]


def test_a_gap_ends_where_a_stream_may_begin_at_the_latest() -> None:
    session = _Session({"sample_rate": 48_000})
    most = round(LATEST_START_SECONDS * 48_000)
    assert session.gap(most) == most
    session.remember(b"", 1)
    with pytest.raises(AudioError, match="begin a new one"):
        session.gap(most)


def test_events_that_nobody_takes_are_bounded_and_leave_readings_as_they_are() -> None:
    session = _Session({})
    reading = Recognizer().push(np.zeros(4000))[0].to_dict()
    session.take(json.dumps({"type": "reading", "seq": 0, **reading}))
    for number in range(client._MOST_EVENTS + 5):
        session.take(json.dumps({"type": "mark", "at": 0.0, "text": str(number)}))
    assert [found.end for found in session.drawn()] == [0.25]
    assert [event["text"] for event in session.others()][::5000] == ["5", "5005"]
    assert (session.drawn(), session.others()) == ([], [])


def test_what_has_come_needs_no_wait(server: Server, speech: np.ndarray) -> None:
    with Voice(server.url, mode="lossless") as voice:
        found = voice.push(speech[:64_000])
        time.sleep(1.0)
        found += voice.readings()
        assert len(found) == 16


def test_one_task_may_push_and_another_read(
    network: Network, tiny: Path, speech: np.ndarray
) -> None:
    sound = (speech[:160_000] * 32767).astype("<i2")

    async def talk() -> list[Reading]:
        found: list[Reading] = []

        async def read() -> None:
            while True:
                found.extend(await voice.readings())

        async with AsyncVoice(network.url, mode="lossless") as voice:
            reader = asyncio.create_task(read())
            for start in range(0, len(sound), 4000):
                found.extend(await voice.push(sound[start : start + 4000]))
                await asyncio.sleep(0.005)
                if start == 80_000:
                    network.cut()
            found += await voice.finish()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            return found

    found = sorted(asyncio.run(talk()), key=lambda reading: reading.end)
    assert found == expected(tiny, sound)


def test_lossless_keeps_what_a_slow_server_has_not_read(speech: np.ndarray) -> None:
    sessions = [_Session({"mode": mode}) for mode in ("live", "lossless")]
    for session in sessions:
        for _ in range(4 * 60):
            session.remember(b"\0" * 8000, 4000)
    kept = [session._sent[0][0] for session in sessions]
    assert kept[0] > 0 and kept[1] == 0


class Socket:
    """A connection of which the test knows what was sent; the third message may take its time."""

    def __init__(self, third_seconds: float = 0.0) -> None:
        self.sent: list[bytes] = []
        self.dead, self.transport, self._third_seconds = False, self, third_seconds

    async def send(self, message: bytes) -> None:
        if self.dead:
            raise ConnectionClosedError(None, None)
        if len(self.sent) == 2:
            await asyncio.sleep(self._third_seconds)
        self.sent.append(message)

    async def recv(self) -> str:
        if self.dead:
            raise ConnectionClosedError(None, None)
        await asyncio.sleep(100)
        return ""

    def abort(self) -> None:
        self.dead = True


async def dropped(*later: Socket) -> Any:
    """A voice that has sent five messages, 0 to 4, and whose connection is then gone."""
    voice: Any = AsyncVoice("http://x", reconnect=True)
    voice._session.created = {"position": 0, "session_id": "s"}
    voice._socket, sockets = Socket(), list(later)
    for number in range(5):
        await voice.push(bytes([number]) * 8000)
    voice._socket.dead = True

    async def opened() -> Socket:
        return sockets.pop(0)

    voice._opened = opened
    return voice


def test_a_cancelled_reconnection_sends_all_of_it_the_next_time() -> None:
    async def talk() -> list[bytes]:
        voice = await dropped(Socket(10), Socket())
        with suppress(TimeoutError):
            async with asyncio.timeout(0.6):
                await voice.push(b"\5" * 8000)
        await voice.push(b"\6" * 8000)
        sent: list[bytes] = voice._socket.sent
        return sent

    assert [message[0] for message in asyncio.run(talk())] == list(range(7))


def test_what_is_pushed_while_another_task_connects_again_is_sent() -> None:
    async def talk() -> list[bytes]:
        voice = await dropped(Socket(0.5))

        async def push_meanwhile() -> None:
            await asyncio.sleep(0.4)  # the new connection is being sent what the old one got
            await voice.push(b"\6" * 8000)

        await asyncio.gather(voice.push(b"\5" * 8000), push_meanwhile())
        sent: list[bytes] = voice._socket.sent
        return sent

    assert [message[0] for message in asyncio.run(talk())] == list(range(7))


def test_an_async_voice_loses_no_reading_when_connections_break(
    network: Network, tiny: Path, speech: np.ndarray
) -> None:
    sound = (speech[:200_000] * 32767).astype("<i2")

    async def one(seed: int, connected: asyncio.Barrier) -> list[Reading]:
        rng, found, start = random.Random(seed), [], 0
        async with AsyncVoice(network.url, mode="lossless") as voice:
            await connected.wait()  # a first connection that fails is an error
            while start < len(sound):
                count = rng.randrange(1, 20_000)
                found += await voice.push(sound[start : start + count])
                start += count
                if rng.random() < 0.08:
                    network.cut()
                await asyncio.sleep(rng.choice((0, 0.02)))
            return found + await voice.finish()

    async def several() -> list[list[Reading]]:
        connected = asyncio.Barrier(3)
        return await asyncio.gather(*(one(seed, connected) for seed in (3, 4, 5)))

    right = expected(tiny, sound)
    assert all(found == right for found in asyncio.run(several()))


@pytest.mark.slow
def test_a_restart_of_the_server_loses_no_reading(tiny: Path, speech: np.ndarray) -> None:
    sound = (speech[:200_000] * 32767).astype("<i2")
    first = Server("--model", str(tiny))
    port = first.url.rpartition(":")[2]
    found = []
    with Voice(first.url, mode="lossless") as voice:
        for start in range(0, 100_000, 5_000):
            found += voice.push(sound[start : start + 5_000])
        first.process.send_signal(signal.SIGTERM)
        found += voice.push(sound[100_000:110_000])
        first.stop()
        with serving("--model", str(tiny), "--port", port):
            for start in range(110_000, 200_000, 5_000):
                found += voice.push(sound[start : start + 5_000])
            found += voice.finish()
    assert found == expected(tiny, sound)


@pytest.mark.slow
def test_who_waits_for_readings_goes_on_after_a_restart(tiny: Path, speech: np.ndarray) -> None:
    sound = (speech[:66_000] * 32767).astype("<i2")
    first = Server("--model", str(tiny))
    port = first.url.rpartition(":")[2]
    with Voice(first.url, mode="lossless") as voice:
        found = voice.push(sound)
        first.process.send_signal(signal.SIGTERM)
        first.stop()
        with serving("--model", str(tiny), "--port", port):
            while rest := voice.readings(3):
                found += rest
            found += voice.finish()
    assert found == expected(tiny, sound)


def test_a_state_is_resumed_by_another_client(
    server: Server, tiny: Path, speech: np.ndarray
) -> None:
    sound = (speech[:80_000] * 32767).astype("<i2")
    with Voice(server.url, mode="lossless") as voice:
        found = voice.push(sound[:40_000]) + voice.finish()
        assert voice.ended is not None
        state = voice.ended["state"]
    with Voice(server.url, resume=state) as voice:
        assert voice.created["position"] == 40_000
        found += voice.push(sound[40_000:]) + voice.finish()
    assert found == expected(tiny, sound)


def test_a_resumed_session_goes_on_in_its_own_form_and_after_a_drop(
    network: Network, tiny: Path, speech: np.ndarray
) -> None:
    with Voice(network.url, mode="lossless", encoding="f32le", sample_rate=8000) as voice:
        found = voice.push(speech[:40_000]) + voice.finish()
        assert voice.ended is not None
        state = voice.ended["state"]
    with Voice(network.url, mode="lossless", resume=state) as voice:
        for start in range(40_000, 100_000, 4_000):
            found += voice.push(speech[start : start + 4_000])
            if start == 60_000:
                network.cut()
        found += voice.finish()
    right = expected(tiny, speech[:100_000], 8000)
    assert [r.end for r in found].count(5.0) == 2  # the end of the first, and the whole one
    assert [r for r in found if r.end != 5.0] == [r for r in right if r.end != 5.0]


@pytest.mark.parametrize(
    ("shape", "channels", "words"),
    [
        ((400, 2), 1, "1 channels"),
        ((400,), 2, "2 channels"),
        ((400, 3), 2, "2 channels"),
        ((4, 100, 2), 2, "3 axes"),
        ((), 1, "0 axes"),
    ],
)
def test_samples_of_other_channels_are_refused(
    shape: tuple[int, ...], channels: int, words: str
) -> None:
    session = _Session({"channels": channels})
    with pytest.raises(LivesrError, match=words):
        list(session.pieces(np.zeros(shape, np.float32)))
    assert len(b"".join(session.pieces(np.zeros((400, channels))))) == 800 * channels


@pytest.mark.parametrize(
    ("samples", "whole"),
    [
        (np.array([70_000, -40_000, 1 << 30, 2**31 - 1], np.int32), [1, -1, 16384, 32767]),
        (np.array([-32768, -1, 2, 32767], np.int16), [-32768, -1, 2, 32767]),
        (np.array([-32768, -1, 2, 32767], ">i2"), [-32768, -1, 2, 32767]),
        (np.array([-1, -0.25, 2**-15, 1]), [-32768, -8192, 1, 32767]),
        (np.array([-1, -0.25, 2**-15, 1], np.float32), [-32768, -8192, 1, 32767]),
    ],
    ids=range(5),
)
def test_samples_are_sent_as_a_recognizer_takes_them(samples: np.ndarray, whole: list[int]) -> None:
    stereo = np.stack([samples, samples[::-1]], axis=1)
    for encoding, kind, right in (("s16le", "<i2", whole), ("f32le", "<f4", as_mono(samples))):
        session = _Session({"encoding": encoding, "channels": 2})
        sent = np.frombuffer(b"".join(session.pieces(stereo)), kind).reshape(-1, 2)
        assert np.array_equal(sent, np.stack([right, right[::-1]], axis=1))


@pytest.mark.parametrize("encoding", ["s16le", "f32le"])
@pytest.mark.parametrize(
    "samples",
    [
        np.array([0.0, np.nan]),
        np.array([np.inf], np.float32),
        np.array([30_000.0]),
        np.array([1, 2, 3]),
        np.array([128], np.uint8),
        np.array([True]),
        [[0.0], [0.0, 0.0]],
    ],
    ids=range(7),
)
def test_what_a_recognizer_refuses_is_not_sent(
    samples: Any, encoding: str, recognizer: Recognizer
) -> None:
    with pytest.raises(AudioError) as theirs:
        recognizer.push(samples)
    with pytest.raises(AudioError) as ours:
        list(_Session({"encoding": encoding}).pieces(samples))
    assert str(ours.value) == str(theirs.value)


def test_a_refusal_is_an_error_with_its_code(server: Server, tiny: Path) -> None:
    with pytest.raises(ServerError, match="cannot be reached"):
        Voice("http://127.0.0.1:9")
    with pytest.raises(ServerError, match=r"0\.123") as told:
        Voice(server.url, hop=0.123)
    assert told.value.code == "bad_configuration"
    with serving("--model", str(tiny), "--max-voices", "1") as small, Voice(small.url):
        with pytest.raises(ServerError, match="capacity") as told:
            Voice(small.url)
        assert told.value.code == "503"


def test_without_reconnect_a_lost_connection_is_an_error(
    server: Server, speech: np.ndarray
) -> None:
    with Voice(server.url, reconnect=False) as voice:
        voice.push(speech[:5000])
        connection = voice._voice._connection().transport.get_extra_info("socket")
        socket.socket(fileno=os.dup(connection.fileno())).shutdown(socket.SHUT_RDWR)
        with pytest.raises(ServerError, match="ended"):
            for _ in range(100):
                voice.push(speech[:5000])
