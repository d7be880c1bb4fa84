"""A websocket connection and its voice."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from contextlib import suppress
from functools import partial

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from livesr.errors import LivesrError
from livesr.reading import Reading
from livesr.serve import metrics
from livesr.serve.http import ABORT, INTAKE, Intake
from livesr.serve.hub import Hub
from livesr.serve.logs import note
from livesr.serve.protocol import (
    CLOSE_BROKEN,
    CLOSE_BUSY,
    CLOSE_DONE,
    CLOSE_GOING,
    CLOSE_POLICY,
    CLOSE_TOO_LARGE,
    Code,
    ErrorMessage,
    Gap,
    Mark,
    Marked,
    ProfileMessage,
    ProtocolError,
    Reset,
    ServerMessage,
    SessionCreated,
    SessionEnd,
    SessionEnded,
    SessionUpdate,
    Skip,
    Teach,
    encode,
    parse,
)
from livesr.serve.voice import Outgoing, Voice, state_from_base64

_MOST_COMMANDS = 64  # waiting for the engine
_CODE_SECONDS = 1.0  # for a client's close code to arrive, after a message could not be sent
_RECENT = 64  # sent messages that are kept for a client that resumes
_LONGEST_ID = 64  # characters; a longer value is a state
_FASTEST, _HEAD_START_SECONDS = 1.1, 1.0  # clocks differ; after a resume, sound is sent again
_GONE = {1000}  # close codes of a client that does not come back
_CLOSES = {
    "too_large": CLOSE_TOO_LARGE,
    "busy": CLOSE_BUSY,
    "internal": CLOSE_BROKEN,
    "slow_reader": CLOSE_POLICY,
}


_GOODBYE = ErrorMessage(
    code="busy", message=""
)  # not sent: it closes a connection without a session


class _Dropped(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class Session:
    """A connection, from its upgrade to its end.

    Args:
        hub: of this worker, which has admitted it.
        websocket: accepted.
        address: of the client.

    Attributes:
        voice: None before the first message that needs one.
        lag: of the newest reading: seconds from the arrival of its last sample to the reading.
        read_at: time of the newest reading.
    """

    def __init__(self, hub: Hub, websocket: WebSocket, address: str) -> None:
        self._hub, self._socket, self._address = hub, websocket, address
        self._intake: Intake = websocket.scope["state"][INTAKE]
        self.voice: Voice | None = None
        self.weight = 1.0
        self.lag = self.read_at = 0.0
        self._reading_since = self._sending_since = math.inf  # infinite: not waiting
        self._outbox: deque[Outgoing] = deque()
        self._recent: deque[Outgoing] = deque(maxlen=_RECENT)  # sent, but perhaps not received
        self._missed: list[str] = []  # messages that a client has missed that resumes
        self._refused = False  # its session.update, and no right one came
        self._resumed = False  # from a state of the server's own, which is taken once
        self._opened = asyncio.Event()
        self._waiting = asyncio.Event()  # the outbox has a message
        self._space = asyncio.Event()  # there is room for more sound
        self._began = hub.clock()
        self._leaving = False
        self._unread = 0
        self._saving: asyncio.Task[None] | None = None
        self._unsaved: str | None = None  # the newest profile, base64
        self._known: int | None = None  # of its examples, in the server's file already
        self.cause = "dropped"

    @property
    def live(self) -> bool:
        """Whether it is in mode "live"."""
        return self.voice is not None and self.voice.update.mode == "live"

    @property
    def paced(self) -> bool:
        """Whether its lag is the server's: it is live, and sends no faster than real time."""
        most = _FASTEST * (self._hub.clock() - self._began) + _HEAD_START_SECONDS
        return self.live and self.voice is not None and self.voice.sent_seconds <= most

    @property
    def waiting_seconds(self) -> float:
        """Seconds of sound that wait to be processed."""
        return self.voice.waiting_seconds if self.voice else 0.0

    async def run(self) -> None:
        """Serve the connection to its end."""
        self._intake.take = self._take
        sender = asyncio.create_task(self._send())
        receiver = asyncio.create_task(self._receive())
        tasks = (sender, receiver, asyncio.create_task(self._watch()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if sender.done() and isinstance(sender.exception(), _Dropped):
                # A client that closes while a reading is sent to it: only `_receive` gets its code.
                await asyncio.wait((receiver,), timeout=_CODE_SECONDS)
            elif self.cause == "ended":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._intake.answered.wait(), _CODE_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, _Dropped):
                    self.cause = "failed"
                    note("session failed", error=repr(result))
            self._finish([r.code for r in results if isinstance(r, _Dropped)])

    def _finish(self, codes: list[int]) -> None:
        voice = self.voice
        if voice is None:
            note("session closed", cause=self.cause, unread=self._unread)
            return
        keep = self.cause in ("dropped", "slow_reader", "idle", "taken_over")
        # Who did not answer the close may not have got the last messages.
        keep = keep or (self.cause == "ended" and not self._intake.answered.is_set())
        keep = keep or (self.cause == "busy" and self._resumed)  # it may come again later
        if self.cause == "dropped" and _GONE.intersection(codes):
            self.cause, keep = "left", False
        told = partial(
            note,
            "session closed",
            cause=self.cause,
            session=voice.session_id[:8],
            readings=voice.readings,
            heard_seconds=round(voice.heard_frames / voice.update.sample_rate, 3),
            lost_seconds=round(voice.lost_frames / voice.update.sample_rate, 3),
            unread=self._unread,
        )
        # Who reads of the end may resume at once, also if this worker dies next.
        self._hub.closed(voice, keep=keep, then=told)

    # From the client

    async def _receive(self) -> None:
        socket = self._socket
        while True:
            await self._room()
            self._reading_since = self._hub.clock()
            message = await socket.receive()
            self._reading_since = math.inf
            if message["type"] == "websocket.disconnect":
                raise _Dropped(message.get("code") or 1005)
            if self._leaving:
                continue
            data, words = message.get("bytes"), message.get("text")
            try:
                if data is not None:
                    await self._sound(data)
                elif words is not None:
                    await self._text(words)
            except ProtocolError as error:
                if error.close:
                    self.fail(error.code, str(error))
                else:
                    self._put(Outgoing(error.answer()))

    async def _watch(self) -> None:
        """End the session if nothing arrives, or nothing is read, for too long.

        One timer a connection: a timer for each message would cost too much.
        """
        limits = self._hub.limits
        while True:
            await asyncio.sleep(min(limits.idle_seconds, limits.slow_seconds) / 8)
            now = self._hub.clock()
            if now - self._sending_since > limits.slow_seconds:
                self.cause = "slow_reader"
                self._abort()
                return
            if now - self._reading_since > limits.idle_seconds:
                self.fail(
                    "idle",
                    f"Nothing arrived for {limits.idle_seconds:g} s; send sound or session.end.",
                )

    async def _room(self) -> None:
        """Wait until there is room for more sound; meanwhile TCP holds the client back."""
        while not self._has_room() and not self._leaving:
            self._space.clear()
            if not self._has_room():
                await self._space.wait()

    def _has_room(self) -> bool:
        voice = self.voice
        if voice is None:
            return True
        full = len(self._outbox) >= self._hub.limits.outbox
        return not (
            voice.waiting_seconds > self._hub.limits.queue_seconds
            or voice.commands_waiting > _MOST_COMMANDS
            or (full and not self.live)
        )

    def _take(self, data: bytes) -> bool:
        """Sound past the queue: only while `_receive` waits for a message, so in order."""
        voice = self.voice
        if (
            voice is None
            or self._leaving
            or self._reading_since == math.inf
            or len(data) > self._hub.limits.message_bytes
            or not self._has_room()
        ):
            return False
        self._reading_since = now = self._hub.clock()
        voice.sound(data, now)
        if voice.due:
            self._hub.engine.poke(voice)
        return True

    async def _sound(self, data: bytes) -> None:
        if len(data) > self._hub.limits.message_bytes:
            raise self._too_large(len(data), self._hub.limits.message_bytes)
        voice = self.voice or await self._open_as_usual()
        voice.sound(data, self._hub.clock())
        if voice.due:
            self._hub.engine.poke(voice)

    @staticmethod
    def _too_large(size: int, most: int) -> ProtocolError:
        text = f"A message of {size:,} bytes is too large; send {most:,} at most."
        return ProtocolError("too_large", text, close=CLOSE_TOO_LARGE)

    async def _text(self, text: str) -> None:
        limits = self._hub.limits
        if len(text) > limits.resume_bytes:
            raise self._too_large(len(text), limits.resume_bytes)
        if len(text) > limits.message_bytes:
            resumes = None
            with suppress(ProtocolError):
                resumes = getattr(parse(text), "resume", None)
            if not resumes:
                raise self._too_large(len(text), limits.message_bytes)
        try:
            message = parse(text)
        except ProtocolError:
            self._refused = self._refused or _kind(text) == "session.update"
            raise
        if isinstance(message, SessionUpdate):
            if self.voice is not None:
                raise ProtocolError(
                    "late_configuration",
                    "session.update came after the session had begun; send it first, and once.",
                    fatal=True,
                )
            await self._open(message, frozenset(msgspec.json.decode(text)))
            return
        voice = self.voice or await self._open_as_usual()
        match message:
            case Skip(samples=count):
                voice.command(lambda: voice.skip(count))
            case Reset():
                voice.command(voice.reset)
            case Mark(text=words):
                voice.command(lambda: voice.mark(words))
            case Teach(label=label):
                voice.command(lambda: voice.teach(label))
            case SessionEnd():
                self._leaving = True
                voice.command(voice.end)
        self._hub.engine.poke(voice)

    async def _open_as_usual(self) -> Voice:
        if self._refused:  # then the sound is not what a usual session takes it for
            raise ProtocolError(
                "bad_configuration",
                "The session.update was refused; send a right one before anything else.",
                fatal=True,
            )
        return await self._open(SessionUpdate(), frozenset())

    async def _open(self, update: SessionUpdate, given: frozenset[str]) -> Voice:
        state, session_id = None, self._hub.new_session_id()
        recent: list[str] = []
        if update.resume is not None:
            if len(update.resume) <= _LONGEST_ID:
                state, recent = await self._hub.kept(update.resume)
                session_id = update.resume
                why = (
                    "No session with this id has dropped within the last "
                    f"{self._hub.limits.kept_seconds:g} s; begin a new session."
                )
            else:
                state, why = state_from_base64(update.resume), "resume is not valid base64."
            if state is None:
                raise ProtocolError("bad_resume", why, fatal=True)
        hub = self._hub
        self._missed = _after(recent, update.received)
        self._resumed = session_id == update.resume
        profile = None
        try:
            if update.profile is not None:
                profile = await asyncio.to_thread(hub.profiles.open, update.profile)
                self._known = len(profile.examples) if state is None else None
                # A name is part of the session; the profile itself is part of the stream's state.
                name = update.profile if hub.profiles.path(update.profile) else None
                update = msgspec.structs.replace(update, profile=name)
            voice = Voice(hub.settings.model, update, given, session_id, hub.limits, profile)
            if self._resumed and state is not None:
                await asyncio.to_thread(voice.check_resume, state)
        except BaseException:
            if self._resumed:  # it was taken, and can be taken only once
                hub.keep(session_id, state, recent)
            raise
        self.voice, self._refused = voice, False
        voice.command(lambda: voice.open(state))
        hub.opened(self, voice)
        hub.engine.poke(voice)
        await self._opened.wait()
        self._leaving = self._leaving or voice.ended
        return voice

    # To the client

    def give(self, told: list[Outgoing], now: float) -> None:
        """Messages from the engine."""
        for one in told:
            message = one.message
            if isinstance(message, Reading):
                if one.arrived:
                    self.lag, self.read_at = now - one.arrived, now
            elif isinstance(message, Gap):
                metrics.LOST.labels(message.cause).inc(message.seconds)
            elif isinstance(message, ProfileMessage):
                self._keep(message.data)
            elif isinstance(message, SessionCreated):
                self.weight = self._hub.grow(message.hop)
                if not self.weight:
                    self.weight = 1.0
                    self.fail(
                        "busy",
                        f"No capacity for readings every {message.hop:g} s; try a longer hop, or "
                        "later.",
                    )
                    continue
            elif isinstance(message, SessionEnded) and self._saving and not self._saving.done():
                self._saving.add_done_callback(partial(self._put_last, one))
                continue
            if isinstance(message, SessionCreated):
                # Before it: then the client knows what was answered, and does not send it again.
                missed, self._missed = self._missed, []
                for text in missed:
                    self._put(Outgoing(text))
            self._put(one)
        self._opened.set()
        if self._has_room():
            self._space.set()

    def _keep(self, data: str) -> None:
        """Also save a profile that has a name in the server's directory; one save at a time."""
        name = self.voice.update.profile if self.voice else None
        if name is not None:
            self._unsaved = data
            if self._saving is None or self._saving.done():
                self._saving = asyncio.create_task(self._save(name))

    def _put_last(self, told: Outgoing, _saved: asyncio.Task[None]) -> None:
        self._put(told)

    async def _save(self, name: str) -> None:
        while self._unsaved is not None:
            data, self._unsaved = self._unsaved, None
            try:
                self._known = await asyncio.to_thread(
                    self._hub.profiles.save, name, data, self._known
                )
            except LivesrError as error:
                self._put(Outgoing(ErrorMessage(code="cannot_keep", message=str(error))))

    def _put(self, told: Outgoing) -> None:
        outbox, most = self._outbox, self._hub.limits.outbox
        outbox.append(told)
        if len(outbox) > most:
            if self.voice is not None and not self.live:
                self.voice.held = True
            else:
                self._make_room()
        self._waiting.set()

    def _make_room(self) -> None:
        """The client reads too slowly: drop the oldest reading, or else the oldest message."""
        outbox = self._outbox
        for kind in (Reading, (Reading, ErrorMessage, Marked)):
            for index, told in enumerate(outbox):
                fatal = getattr(told.message, "fatal", False)
                if isinstance(told.message, kind) and not fatal:
                    del outbox[index]
                    if isinstance(told.message, Reading):
                        self._unread += 1
                        metrics.UNREAD.inc()
                    return

    def fail(self, code: Code, text: str) -> None:
        """Send a fatal error, and end."""
        if not self._leaving:
            self._leaving, self.cause = True, code
            self._put(Outgoing(ErrorMessage(code=code, message=text, fatal=True)))
            self._space.set()

    def take_over(self) -> None:
        """The client has come back on another connection; end this one."""
        self.fail("taken_over", "This session continues over another connection.")
        asyncio.get_running_loop().call_later(0.2, self._abort)

    def drain(self) -> None:
        """Send the client its state, because the server is about to end."""
        if self._leaving:
            return
        self._leaving, self.cause = True, "drained"
        self._space.set()
        if (voice := self.voice) is not None:
            voice.held = False
            voice.command(voice.leave)
            self._hub.engine.poke(voice)
        else:
            self._put(Outgoing(_GOODBYE))

    def last_messages(self) -> list[str]:
        """Take the messages that were sent last, and those still to be sent."""
        left = (*self._recent, *self._outbox)  # a session.ended, with its state, is not repeated
        found = [self._text_of(told) for told in left if not isinstance(told.message, SessionEnded)]
        found, self._missed = [*self._missed, *found], []
        self._recent.clear()
        self._outbox.clear()
        return found

    def _abort(self) -> None:
        self._socket.scope["state"][ABORT]()

    async def _send(self) -> None:
        try:
            while True:
                while not self._outbox:
                    self._waiting.clear()
                    await self._waiting.wait()
                told = self._outbox.popleft()
                self._message_taken()
                self._sending_since = self._hub.clock()
                if told.message is not _GOODBYE:
                    self._recent.append(told)
                    if isinstance(told.message, Reading):
                        metrics.LAG.observe(self._lag(told))
                    await self._write(self._text_of(told))
                if (code := self._last(told.message)) is not None:
                    await self._socket.close(code)
                    return
                self._sending_since = math.inf
        except WebSocketDisconnect as gone:
            raise _Dropped(gone.code) from None

    async def _write(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except RuntimeError:  # the client broke the websocket protocol; uvicorn has closed it
            raise _Dropped(1006) from None

    def _message_taken(self) -> None:
        """The outbox has become shorter: there may be room for sound and for readings again."""
        voice, most = self.voice, self._hub.limits.outbox
        if voice is not None and voice.held and len(self._outbox) <= most // 2:
            voice.held = False
            if voice.due:
                self._hub.engine.poke(voice)
        if not self._space.is_set() and self._has_room():
            self._space.set()

    def _last(self, message: ServerMessage | Reading | str) -> int | None:
        """The close code if this is the last message."""
        if isinstance(message, SessionEnded) and self.cause == "dropped":
            self.cause = "ended"
        if isinstance(message, SessionEnded) or message is _GOODBYE:
            return CLOSE_GOING if self.cause == "drained" else CLOSE_DONE
        if isinstance(message, ErrorMessage) and message.fatal:
            if self.cause == "dropped":
                self.cause = message.code
            return _CLOSES.get(message.code, CLOSE_POLICY)
        return None

    def _lag(self, told: Outgoing) -> float:
        return max(0.0, self._hub.clock() - told.arrived) if told.arrived else 0.0

    def _text_of(self, told: Outgoing) -> str:
        message = told.message
        if isinstance(message, str):
            return message
        if not isinstance(message, Reading):
            return encode(message)
        assert self.voice is not None
        lag = self._lag(told)
        values = message.to_dict(attention=self.voice.update.attention)
        head = {"type": "reading", "seq": told.seq, "lag_ms": round(lag * 1e3, 1)}
        return encode({**head, **values})


def _kind(text: str) -> object:
    """The type that an invalid message says; None where it says none."""
    try:
        return json.loads(text)["type"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _after(recent: list[str], received: int | None) -> list[str]:
    """The last messages of a dropped connection after this reading."""
    if received is None:
        return []
    messages = [json.loads(text) for text in recent]
    seqs = [message.get("seq", -1) for message in messages]
    first = next((n + 1 for n, seq in enumerate(seqs) if seq == received), None)
    if first is None:  # all kept messages are later, or all are earlier
        first = next((n for n, seq in enumerate(seqs) if seq > received), len(recent))
    kinds = ("session.created", "session.ended", "error")
    return [
        text
        for text, message in zip(recent[first:], messages[first:], strict=True)
        if message["type"] not in kinds
    ]
