"""A client of `livesr serve`: a Recognizer somewhere else, for plain and for async code.

It sends the sound in small messages, takes readings as they come, and when the connection drops
or the server restarts it goes on where the server is, so that no reading is missing or twice.
Needs the package websockets: pip install 'livesr[client]'.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import threading
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from ssl import SSLContext, SSLError
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from livesr.errors import LivesrError
from livesr.profile import Profile, check_label
from livesr.reading import Reading
from livesr.settings import LONGEST_MARK, MOST_CHANNELS, SAMPLE_RATE
from livesr.stages.samples import as_mono, check_rate, check_skip, in_words, shaped

_SUBPROTOCOL = "livesr.v1"
_WIDTHS = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}
_PIECE_SECONDS = 0.25  # of sound in a message
_KEPT_SECONDS = 30.0  # of sound sent, to send again after a dropped connection
_MOST_EVENTS = 10_000  # that are kept for `events`
_OPENING_SECONDS = 30.0  # for a server to answer session.update
_TOKEN = re.compile(r"[!-~]*")  # characters that a header may have
_RETRIES = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0  # seconds between tries to connect again
_SERVER_RESTARTS = 1012
_Result = TypeVar("_Result")


class ServerError(LivesrError):
    """The server refused, or failed.

    Attributes:
        code: as the `error` message has it, or the HTTP status as text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Session:
    """Messages to send, messages that came, and what to send again after a dropped connection."""

    def __init__(self, options: dict[str, Any]) -> None:
        plain = {name: _plain(name, value) for name, value in options.items()}
        self.update = {"type": "session.update", **plain}
        self._sounds_like(plain)
        self.created: dict[str, Any] = {}
        self.ended: dict[str, Any] | None = None
        self._readings: deque[dict[str, Any]] = deque()
        self._events: deque[dict[str, Any]] = deque(maxlen=_MOST_EVENTS)
        self.received = -1
        self._heard = 0.0  # end of the newest reading
        self._since: list[str | bytes] = []  # other messages after it, which a server repeats
        self._repeated: deque[str | bytes] = deque()
        self._sent: deque[tuple[int, int, str | bytes]] = deque()  # position, frames, message
        self._position = 0  # of the next frame to send
        self._first = True

    def _sounds_like(self, options: Mapping[str, Any]) -> None:
        """Send sound of this form; of a state that is resumed, the server says which."""
        self.rate = check_rate(options.get("sample_rate", SAMPLE_RATE))
        self.encoding = str(options.get("encoding", "s16le"))
        if self.encoding not in _WIDTHS:
            raise LivesrError(f"encoding is {self.encoding!r}; use one of {', '.join(_WIDTHS)}.")
        self.channels = options.get("channels", 1)
        if type(self.channels) is not int or not 1 <= self.channels <= MOST_CHANNELS:
            raise LivesrError(
                f"channels is {in_words(self.channels)}; give a whole number, 1 to {MOST_CHANNELS}."
            )
        self.frame_bytes = _WIDTHS[self.encoding] * self.channels

    def opening(self) -> str:
        """The first message of a connection."""
        if self.ended and self.ended.get("state"):  # the server restarted
            return json.dumps({**self._free(), "resume": self.ended["state"]})
        if self.created:
            session = self.created["session_id"]
            told = {**self._free(), "resume": session, "received": self.received}
            self._repeated = deque(self._since)
            return json.dumps(told)
        return json.dumps(self.update)

    def _free(self) -> dict[str, Any]:
        names = ("type", "mode", "attention")
        return {name: self.update[name] for name in names if name in self.update}

    def pieces(self, samples: ArrayLike | bytes) -> Iterator[bytes]:
        """Sound as messages of a quarter of a second."""
        data = self._encoded(samples)
        size = max(1, round(_PIECE_SECONDS * self.rate)) * self.frame_bytes
        for start in range(0, len(data), size):
            yield data[start : start + size]

    def _encoded(self, samples: ArrayLike | bytes) -> bytes:
        if isinstance(samples, (bytes, bytearray, memoryview)):
            data = bytes(samples)
            if len(data) % self.frame_bytes:
                raise LivesrError(
                    f"{len(data)} bytes are no whole number of frames of {self.frame_bytes} bytes."
                )
            return data
        array = shaped(samples, self.channels)
        count = array.shape[1] if array.ndim == 2 else 1
        if count != self.channels:
            raise LivesrError(
                f"The samples have the shape {array.shape} and the session {self.channels} "
                "channels: give [n] for one channel, else [n, channels], and `channels=` to match."
            )
        if self.encoding not in ("s16le", "f32le"):
            raise LivesrError(f"Give bytes for the encoding {self.encoding}.")
        channels = range(1, count + 1)
        floats = np.stack([as_mono(array, channel, count) for channel in channels], axis=1)
        if self.encoding == "f32le":
            return floats.astype("<f4").tobytes()
        return np.clip(np.rint(floats * 32768), -32768, 32767).astype("<i2").tobytes()

    def gap(self, count: int) -> int:
        """A number of lost samples that the server takes, as an int.

        Raises:
            AudioError: for another: if that were sent, the server would be at another position.
        """
        return check_skip(count, self._position, self.rate)

    def remember(self, message: str | bytes, frames: int) -> None:
        """This is sent now; it may have to be sent again."""
        self._sent.append((self._position, frames, message))
        self._position += frames
        least = self._position - _KEPT_SECONDS * self.rate
        if self.update.get("mode") == "lossless":  # a slow server may be minutes behind
            least = min(least, self._heard * self.rate)
        while self._sent and self._sent[0][0] < least:
            self._sent.popleft()

    def again(self) -> list[str | bytes]:
        """What a new connection has to be sent, once `session.created` said its position.

        Raises:
            ServerError: if that is too long ago.
        """
        position = int(self.created["position"])
        found: list[str | bytes] = []
        reached = self._sent[0][0] if self._sent else self._position
        if position < reached:
            raise ServerError(
                "bad_resume", "The server lost more sound than this client keeps; begin anew."
            )
        for start, frames, message in self._sent:
            if start >= position:
                found.append(message)
            elif isinstance(message, bytes) and start + frames > position:
                found.append(message[(position - start) * self.frame_bytes :])
            elif isinstance(message, str) and frames and start + frames > position:
                rest = start + frames - position
                found.append(json.dumps({"type": "skip", "samples": rest}))
        return found

    def take(self, text: str | bytes) -> dict[str, Any]:
        """A message that came.

        Raises:
            ServerError: if it is a fatal error.
        """
        message: dict[str, Any] = json.loads(text)
        if self._came_before(text, message["type"]):
            return message
        match message["type"]:
            case "session.created":
                self.created = message
                if self._first:
                    self._position = int(message["position"])  # not 0, where a state is resumed
                    self._sounds_like({**self.update, **message})
            case "session.ended":
                self.ended = message
            case "reading":
                if message["seq"] <= self.received:
                    return message  # it came before the connection dropped
                self.received, self._heard = message["seq"], message["end"]
                self._since.clear()
            case "error" if message["fatal"]:
                raise ServerError(message["code"], message["message"])
            case "error":
                if message["code"] == "cannot_teach":
                    self._answered("teach")
            case kind:
                self._since.append(text)
                self._answered("teach" if kind == "profile" else kind)
        if message["type"] != "session.created" or self._first:
            kept = self._readings if message["type"] == "reading" else self._events
            kept.append(message)
        self._first = self._first and message["type"] != "session.created"
        return message

    def _came_before(self, text: str | bytes, kind: str) -> bool:
        """Whether it came over an earlier connection; readings have a number that says so."""
        if self._repeated and kind != "session.created":
            if text == self._repeated.popleft():
                return True
            self._repeated.clear()
        # A server that is sent session.end again also repeats its last messages.
        return kind.startswith("utterance") and text in self._since

    def _answered(self, command: str) -> None:
        """The oldest command of this type is done, and not sent again."""
        for place, (_, _, sent) in enumerate(self._sent):
            if isinstance(sent, str) and json.loads(sent)["type"] == command:
                del self._sent[place]
                return

    def drawn(self) -> list[Reading]:
        """The readings among what came, and only they; other messages stay."""
        found = [reading_of(message) for message in self._readings]
        self._readings.clear()
        return found

    def others(self) -> list[dict[str, Any]]:
        """All other messages among what came; the readings stay."""
        found = list(self._events)
        self._events.clear()
        return found


def reading_of(message: dict[str, Any]) -> Reading:
    """The `Reading` of a `reading` message; its attention is empty where the session has none."""
    empty: dict[str, Any] = {"attention": [], "attention_times": []}
    return Reading.from_dict({**empty, **message})


def _plain(name: str, value: Any) -> Any:
    """A field of `session.update` as JSON has it.

    Raises:
        LivesrError: if it cannot be one.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Profile):
        value = base64.b64encode(value.to_bytes()).decode()
    finite = not isinstance(value, float) or math.isfinite(value)
    if not finite or not isinstance(value, (str, int, float, type(None))):
        raise LivesrError(
            f"{name} is {in_words(value)}, which session.update cannot hold; give text, a number, "
            "True, False or None, or a Profile as profile."
        )
    return value


def _checked(token: str | None) -> str:
    """The token as a header has it, without a file's last line end; empty for none.

    Raises:
        LivesrError: if no header can hold it.
    """
    plain = token.strip() if isinstance(token, str) else token
    if plain is None:
        return ""
    if not isinstance(plain, str) or not _TOKEN.fullmatch(plain):
        raise LivesrError(
            "The token is not one word of ASCII characters; give one line of the server's "
            "--token-file."
        )
    return plain


def _address(url: str) -> str:
    """The stream's address: http(s) becomes ws(s), and the path is added."""
    if not isinstance(url, str):
        raise LivesrError(f"{in_words(url)} is no address; give text like http://localhost:8765.")
    for ours, theirs in (("http://", "ws://"), ("https://", "wss://")):
        if url.startswith(ours):
            url = theirs + url.removeprefix(ours)
    if not url.startswith(("ws://", "wss://")):
        raise LivesrError(f"{url!r:.60} is no address; begin it with http://, https:// or ws://.")
    return url if url.rstrip("/").endswith("/v1/stream") else url.rstrip("/") + "/v1/stream"


def _options(token: str, ssl: SSLContext | None, mode: object) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    trusted = {} if ssl is None else {"ssl": ssl}
    # In mode "lossless" a ping may wait behind much sound that the server has not read yet.
    patient = {"ping_timeout": None} if mode == "lossless" else {}
    return {
        **trusted,
        **patient,
        "subprotocols": [_SUBPROTOCOL],
        "additional_headers": headers,
        "max_size": None,  # a state is as large as the server makes it
        "max_queue": None,
        "compression": None,
    }


def _refusal(url: str, error: Exception) -> ServerError:
    if isinstance(error, InvalidStatus):
        response = error.response
        with suppress(ValueError, KeyError, TypeError):
            return ServerError(str(response.status_code), json.loads(response.body)["error"])
        return ServerError(str(response.status_code), f"{url} answers {response.status_code}.")
    if isinstance(error, SSLError):  # an OSError too
        hint = "check the address, and what ssl= trusts."
    else:
        hint = "is the server running?" if isinstance(error, OSError) else "check the address."
    return ServerError("unreachable", f"{url} cannot be reached ({error}); {hint}")


class Voice:
    """A live voice on a server: `push` and `finish` work as those of a `Recognizer`.

    Args:
        url: of the server, like http://localhost:8765 or wss://host.
        token: if the server asks for one.
        ssl: what to trust, where the system's certificates are not enough.
        reconnect: go on after a dropped connection or a restart of the server.
        session: fields of `session.update`: sample_rate, channels, encoding, mode, channel, hop,
            attention, profile (a `Profile` too), resume.

    Attributes:
        labels: the emotions.
        ended: the `session.ended` message, after `finish`; its `state` can be resumed.

    Raises:
        LivesrError: if an argument cannot be used.
        ServerError: if the server cannot be reached, or refuses.

    Example:
        >>> with Voice("http://localhost:8765", sample_rate=48000) as voice:  # doctest: +SKIP
        ...     for chunk in microphone:
        ...         for reading in voice.push(chunk):
        ...             print(reading.end, reading.label)
        ...     rest = voice.finish()
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ssl: SSLContext | None = None,
        reconnect: bool = True,
        **session: Any,
    ) -> None:
        self._voice = AsyncVoice(url, token=token, ssl=ssl, reconnect=reconnect, **session)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="livesr", daemon=True)
        self._thread.start()
        try:
            self._run(self._voice.__aenter__())
        except BaseException:
            self._stop()
            raise

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in the order of the probabilities."""
        return self._voice.labels

    @property
    def created(self) -> dict[str, Any]:
        """The `session.created` message."""
        return self._voice.created

    @property
    def ended(self) -> dict[str, Any] | None:
        """The `session.ended` message; None before."""
        return self._voice.ended

    def push(self, samples: ArrayLike | bytes) -> list[Reading]:
        """Send samples; the readings that have come by now, oldest first.

        Args:
            samples: as for `Recognizer.push`, but bytes are in the encoding.

        Raises:
            LivesrError: if the samples cannot be used; nothing is sent then.
            ServerError: if the session ended with an error.
        """
        return self._run(self._voice.push(samples))

    def skip(self, count: int) -> list[Reading]:
        """So many samples were lost or muted.

        Raises:
            AudioError: as `Recognizer.skip`, or if the gap ends too late; nothing is sent then.
            ServerError: if the session ended with an error.
        """
        return self._run(self._voice.skip(count))

    def reset(self) -> list[Reading]:
        """From here on, another person speaks."""
        return self._run(self._voice.reset())

    def mark(self, text: str) -> list[Reading]:
        """Note this; the `mark` message says at which stream time.

        Raises:
            LivesrError: if it is not text of at most 200 characters; nothing is sent then.
            ServerError: if the session ended with an error.
        """
        return self._run(self._voice.mark(text))

    def teach(self, label: str) -> list[Reading]:
        """Correct the label of the speech just before; a `profile` message answers.

        Raises:
            ProfileError: if it cannot be a label; nothing is sent then.
            ServerError: if the session ended with an error.
        """
        return self._run(self._voice.teach(label))

    def readings(self, timeout: float = 0.0) -> list[Reading]:
        """Those that have come, after waiting at most so many seconds for the first of them.

        After a drop, connecting again takes its own time.
        """
        if self._loop.is_closed():
            return self._voice._session.drawn()
        return self._run(self._voice.readings(timeout))

    def events(self) -> list[dict[str, Any]]:
        """All other messages that have come: utterances, gaps, marks, profiles, errors.

        Of those that nobody takes, the newest 10,000 are kept.
        """
        if self._loop.is_closed():
            return self._voice._session.others()
        return self._run(self._voice.events())

    def finish(self) -> list[Reading]:
        """End the session: the readings that are left."""
        found = self._run(self._voice.finish())
        self.close()
        return found

    def close(self) -> None:
        """Leave; what was not finished is lost."""
        if not self._loop.is_closed():
            self._run(self._voice.close())
            self._stop()

    def __enter__(self) -> Voice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        if self._loop.is_closed():
            work.close()
            raise ServerError("closed", "The session was closed.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C came while it waited
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class AsyncVoice:
    """`Voice` for asyncio: `async with AsyncVoice(url) as voice`, `await voice.push(chunk)`.

    Args, attributes and errors are those of `Voice`; it connects when it is entered.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ssl: SSLContext | None = None,
        reconnect: bool = True,
        **session: Any,
    ) -> None:
        self._url, self._token, self._ssl = _address(url), _checked(token), ssl
        self._reconnect = reconnect
        self._session = _Session(session)
        self._socket: ClientConnection | None = None  # before it is entered
        self._receiving = asyncio.Lock()  # several tasks may wait for readings
        self._recovering = asyncio.Lock()

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in the order of the probabilities."""
        self._connection()
        return tuple(self._session.created["labels"])

    @property
    def created(self) -> dict[str, Any]:
        """The `session.created` message."""
        return self._session.created

    @property
    def ended(self) -> dict[str, Any] | None:
        """The `session.ended` message; None before."""
        return self._session.ended

    async def __aenter__(self) -> AsyncVoice:
        self._socket = await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def push(self, samples: ArrayLike | bytes) -> list[Reading]:
        """As `Voice.push`."""
        for piece in self._session.pieces(samples):
            await self._send(piece, len(piece) // self._session.frame_bytes)
            await self._drain()
        return self._session.drawn()

    async def skip(self, count: int) -> list[Reading]:
        """As `Voice.skip`."""
        count = self._session.gap(count)
        return await self._command({"type": "skip", "samples": count}, count)

    async def reset(self) -> list[Reading]:
        """As `Voice.reset`."""
        return await self._command({"type": "reset"})

    async def mark(self, text: str) -> list[Reading]:
        """As `Voice.mark`."""
        if not isinstance(text, str) or len(text) > LONGEST_MARK:
            raise LivesrError(
                f"{text!r:.60} cannot be a mark; give text of at most {LONGEST_MARK} characters."
            )
        return await self._command({"type": "mark", "text": text})

    async def teach(self, label: str) -> list[Reading]:
        """As `Voice.teach`."""
        return await self._command({"type": "teach", "label": check_label(label)})

    async def readings(self, timeout: float | None = None) -> list[Reading]:
        """Those that have come, after waiting for the first of them.

        Args:
            timeout: seconds to wait at most, beside connecting again after a drop; None waits
                until one comes or the session ends.
        """
        await self._drain()  # also where there is no time to wait
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._session.ended is None or await self._restarts():
                    await self._drain()
                    if found := self._session.drawn():
                        return found
                    await self._take(None)
        return self._session.drawn()

    async def events(self) -> list[dict[str, Any]]:
        """As `Voice.events`."""
        await self._drain()
        return self._session.others()

    async def finish(self) -> list[Reading]:
        """As `Voice.finish`."""
        if self._session.ended is None or await self._restarts():
            await self._send(json.dumps({"type": "session.end"}), 0)
            while self._session.ended is None or await self._restarts():
                with suppress(TimeoutError):  # another task took the end
                    await self._take(None)
        await self.close()
        return self._session.drawn()

    async def close(self) -> None:
        """As `Voice.close`."""
        if self._socket is not None:
            await self._socket.close()

    async def _command(self, message: dict[str, Any], frames: int = 0) -> list[Reading]:
        await self._send(json.dumps(message), frames)
        await self._drain()
        return self._session.drawn()

    async def _send(self, message: str | bytes, frames: int) -> None:
        async with self._recovering:  # a new connection is sent what is remembered until then
            socket = self._connection()
            self._session.remember(message, frames)
        try:
            await socket.send(message)
        except ConnectionClosed as closed:
            await self._recover(closed, socket)

    def _connection(self) -> ClientConnection:
        """The connection.

        Raises:
            ServerError: if there is none yet.
        """
        if self._socket is None:
            raise ServerError(
                "closed", "This AsyncVoice is not connected; use it in `async with ... as voice:`."
            )
        return self._socket

    def _goes_on(self, closed: ConnectionClosed) -> bool:
        return self._reconnect and _code(closed) == _SERVER_RESTARTS

    async def _restarts(self) -> bool:
        """Whether the session ended because the server restarts; then it goes on elsewhere."""
        socket = self._connection()
        try:
            await self._recv(socket, _LONGEST_WAIT)
        except ConnectionClosed as closed:
            if self._goes_on(closed):
                await self._recover(closed, socket)
                return True
        except TimeoutError:
            pass
        return False

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # let what has arrived come in
        with suppress(TimeoutError):
            while True:
                await self._take(0.0)

    async def _recv(self, socket: ClientConnection, timeout: float | None) -> str | bytes:
        """The next message; one task at a time waits for it.

        Raises:
            TimeoutError: if none came in time, or it is another task's.
            ConnectionClosed: if none will come.
        """
        if timeout == 0.0 and self._receiving.locked():
            raise TimeoutError
        async with asyncio.timeout(timeout), self._receiving:
            return await socket.recv()

    async def _take(self, timeout: float | None) -> None:
        socket = self._connection()
        try:
            text = await self._recv(socket, timeout)
        except ConnectionClosed as closed:
            if self._session.ended is not None and not self._goes_on(closed):
                raise TimeoutError from None
            await self._recover(closed, socket)
        else:
            self._session.take(text)

    async def _opened(self) -> ClientConnection:
        opening = self._session.opening()
        try:
            options = _options(self._token, self._ssl, self._session.update.get("mode"))
            socket = await connect(self._url, **options)
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ValueError) as error:
            raise _refusal(self._url, error) from None
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                await socket.send(opening)
                await self._created(socket)
        except ConnectionClosed as closed:
            raise ServerError("closed", f"The server ended the session ({closed}).") from None
        except TimeoutError:
            socket.transport.abort()
            raise ServerError(
                "unreachable",
                f"{self._url} did not answer session.update within {_OPENING_SECONDS:g} s; try "
                "again later.",
            ) from None
        except BaseException:  # refused, or cancelled
            socket.transport.abort()
            raise
        return socket

    async def _created(self, socket: ClientConnection) -> None:
        """Take what comes up to `session.created`."""
        while (came := self._session.take(await socket.recv()))["type"] != "session.created":
            if came["type"] == "error":  # the options were refused
                raise ServerError(came["code"], came["message"])

    async def _recover(self, closed: ConnectionClosed, socket: ClientConnection) -> None:
        """Connect again in place of this socket, and go on; another task may have done so."""
        async with self._recovering:
            if socket is not self._socket:
                return
            async with self._receiving:
                with suppress(ConnectionClosed, TimeoutError):
                    while True:  # what came before it closed
                        async with asyncio.timeout(0):
                            text = await socket.recv()
                        self._session.take(text)
            if not self._reconnect or (self._session.ended and not self._goes_on(closed)):
                raise ServerError("closed", f"The connection ended ({closed}).") from None
            for wait in _waits():
                await asyncio.sleep(wait)
                if await self._connects():
                    return
            raise ServerError("unreachable", f"{self._url} did not come back.") from None

    async def _connects(self) -> bool:
        """Whether a new connection took over."""
        try:
            socket = await self._opened()
            try:
                for message in self._session.again():
                    await socket.send(message)
            except BaseException:  # cancelled: whoever goes on connects again
                socket.transport.abort()
                raise
        except ConnectionClosed:
            return False
        except ServerError as error:
            if error.code in ("unreachable", "503", "closed", "busy"):
                return False
            raise
        self._socket, self._session.ended = socket, None
        return True


def _code(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd else 1006


def _waits() -> Iterator[float]:
    wait = _FIRST_WAIT
    for _ in range(_RETRIES):
        yield wait
        wait = min(2 * wait, _LONGEST_WAIT)
