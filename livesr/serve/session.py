"""A websocket connection and the voice behind it."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from livesr.errors import LivesrError
from livesr.reading import Reading
from livesr.serve import metrics
from livesr.serve.http import ABORT
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
from livesr.serve.voice import Told, Voice, state_from_base64

_MOST_COMMANDS = 64  # that wait for the engine
_RECENT = 64  # messages kept of a dropped connection, with those that were never sent
_LONGEST_ID = 64  # characters; a state is far longer
_GONE = (1000,)  # close codes after which nobody comes back
_CLOSES = {
    "too_large": CLOSE_TOO_LARGE,
    "busy": CLOSE_BUSY,
    "internal": CLOSE_BROKEN,
    "slow_reader": CLOSE_POLICY,
}


_GOODBYE = ErrorMessage(code="busy", message="")  # never sent: there is no session to end


class _Dropped(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class Session:
    """One connection, from its upgrade to its end.

    Args:
        hub: of this worker; has let it in.
        websocket: accepted.
        address: of the client.

    Attributes:
        voice: None before the first message that needs one.
        lag: seconds from the arrival of the newest reading's last sample to its making.
        read_at: when that was.
    """

    def __init__(self, hub: Hub, websocket: WebSocket, address: str) -> None:
        self._hub, self._socket, self._address = hub, websocket, address
        self.voice: Voice | None = None
        self.weight = 1.0
        self.lag = self.read_at = 0.0
        self._reading_since = self._sending_since = math.inf  # infinite while it does not
        self._outbox: deque[Told] = deque()
        self._recent: deque[Told] = deque(maxlen=_RECENT)  # sent: perhaps never received
        self._missed: list[str] = []  # by a client that resumes
        self._opened = asyncio.Event()
        self._waiting = asyncio.Event()  # something is in the outbox
        self._space = asyncio.Event()  # for more sound
        self._began = hub.clock()
        self._leaving = False
        self._unread = 0
        self._saving: asyncio.Task[None] | None = None
        self._unsaved: str | None = None  # the newest profile, base64
        self.cause = "dropped"

    @property
    def live(self) -> bool:
        """Whether it is in mode "live"."""
        return self.voice is not None and self.voice.update.mode == "live"

    @property
    def waiting_seconds(self) -> float:
        """Sound of it that waits to be heard."""
        return self.voice.waiting_seconds if self.voice else 0.0

    async def run(self) -> None:
        """Serve it to its end."""
        sender = asyncio.create_task(self._send())
        receiver = asyncio.create_task(self._receive())
        tasks = (sender, receiver, asyncio.create_task(self._watch()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
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
        facts: dict[str, Any] = {"cause": self.cause}
        if voice is not None:
            keep = self.cause in ("dropped", "slow_reader", "idle", "taken_over")
            if self.cause == "dropped" and codes and codes[0] in _GONE:
                self.cause, keep = "left", False
            self._hub.closed(voice, keep=keep)
            facts |= {
                "session": voice.session_id[:8],
                "readings": voice.readings,
                "heard_seconds": round(voice.heard_frames / voice.update.sample_rate, 3),
                "lost_seconds": round(voice.lost_frames / voice.update.sample_rate, 3),
            }
        note("session closed", **{**facts, "cause": self.cause, "unread": self._unread})

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
                    self._put(Told(error.told()))

    async def _watch(self) -> None:
        """End it when nothing comes, or nothing is read, for too long: a timer a message costs."""
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
                    f"Nothing came for {limits.idle_seconds:g} s; send sound, skip or session.end.",
                )

    async def _room(self) -> None:
        """Wait until there is room for more: what is not read now is TCP's to hold."""
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

    async def _sound(self, data: bytes) -> None:
        if len(data) > self._hub.limits.message_bytes:
            raise self._too_large(len(data), self._hub.limits.message_bytes)
        voice = self.voice or await self._open(SessionUpdate(), frozenset())
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
        message = parse(text)
        if isinstance(message, SessionUpdate):
            if self.voice is not None:
                raise ProtocolError(
                    "late_configuration",
                    "session.update came after the session had begun; it goes first, and once.",
                    fatal=True,
                )
            await self._open(message, frozenset(msgspec.json.decode(text)))
            return
        voice = self.voice or await self._open(SessionUpdate(), frozenset())
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
                self._leaving, self.cause = True, "ended"
                voice.command(voice.end)
        self._hub.engine.poke(voice)

    async def _open(self, update: SessionUpdate, given: frozenset[str]) -> Voice:
        state, session_id = None, self._hub.new_session_id()
        recent: list[str] = []
        if update.resume is not None:
            if len(update.resume) <= _LONGEST_ID:
                state, recent = await self._hub.kept(update.resume)
                session_id = update.resume
                why = (
                    "No session of this id dropped within the last "
                    f"{self._hub.limits.kept_seconds:g} s; begin a new one."
                )
            else:
                state, why = state_from_base64(update.resume), "resume is no base64."
            if state is None:
                raise ProtocolError("bad_resume", why, fatal=True)
        hub = self._hub
        self._missed = _after(recent, update.received)
        profile = None
        if update.profile is not None:
            profile = await asyncio.to_thread(hub.profiles.open, update.profile)
            # A name is part of the session; the profile itself is part of the stream's state.
            name = update.profile if hub.profiles.path(update.profile) else None
            update = msgspec.structs.replace(update, profile=name)
        voice = Voice(hub.settings.model, update, given, session_id, hub.limits, profile)
        self.voice = voice
        voice.command(lambda: voice.open(state))
        hub.opened(self, voice)
        hub.engine.poke(voice)
        await self._opened.wait()
        self._leaving = self._leaving or voice.ended
        return voice

    # To the client

    def give(self, told: list[Told], now: float) -> None:
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
            self._put(one)
            if isinstance(message, SessionCreated):
                for text in self._missed:
                    self._put(Told(text))
        self._opened.set()
        if self._has_room():
            self._space.set()

    def _keep(self, data: str) -> None:
        """In the server's directory too, if the profile is one of there; one after the other."""
        name = self.voice.update.profile if self.voice else None
        if name is not None:
            self._unsaved = data
            if self._saving is None or self._saving.done():
                self._saving = asyncio.create_task(self._save(name))

    def _put_last(self, told: Told, _saved: asyncio.Task[None]) -> None:
        self._put(told)

    async def _save(self, name: str) -> None:
        while self._unsaved is not None:
            data, self._unsaved = self._unsaved, None
            try:
                await asyncio.to_thread(self._hub.profiles.save, name, data)
            except LivesrError as error:
                self._put(Told(ErrorMessage(code="cannot_keep", message=str(error))))

    def _put(self, told: Told) -> None:
        outbox, most = self._outbox, self._hub.limits.outbox
        outbox.append(told)
        if len(outbox) > most:
            if self.voice is not None and not self.live:
                self.voice.held = True
            else:
                self._make_room()
        self._waiting.set()

    def _make_room(self) -> None:
        """The reader is slow: the oldest reading goes, or the oldest message if there is none."""
        outbox = self._outbox
        for kind in (Reading, (Reading, ErrorMessage, Marked)):
            for index, told in enumerate(outbox):
                fatal = getattr(told.message, "fatal", False)
                if isinstance(told.message, kind) and not fatal:
                    del outbox[index]
                    self._unread += 1
                    metrics.UNREAD.inc()
                    return

    def fail(self, code: Code, text: str) -> None:
        """Say what was wrong, and end."""
        if not self._leaving:
            self._leaving, self.cause = True, code
            self._put(Told(ErrorMessage(code=code, message=text, fatal=True)))
            self._space.set()

    def take_over(self) -> None:
        """Its client came back on another connection; this one cannot be read from any more."""
        self.fail("taken_over", "This session goes on over another connection.")
        asyncio.get_running_loop().call_later(0.2, self._abort)

    def drain(self) -> None:
        """Give the client its state: the server goes."""
        if self._leaving:
            return
        self._leaving, self.cause = True, "drained"
        self._space.set()
        if (voice := self.voice) is not None:
            voice.held = False
            voice.command(voice.leave)
            self._hub.engine.poke(voice)
        else:
            self._put(Told(_GOODBYE))

    def last_messages(self) -> list[str]:
        """Those that were sent last, and those that were not."""
        return [self._text_of(told) for told in (*self._recent, *self._outbox)]

    def _abort(self) -> None:
        self._socket.scope["state"][ABORT]()

    async def _send(self) -> None:
        try:
            while True:
                while not self._outbox:
                    self._waiting.clear()
                    await self._waiting.wait()
                told = self._outbox.popleft()
                self._let_go_on()
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
        except RuntimeError:  # what came was no websocket, and uvicorn has closed it
            raise _Dropped(1006) from None

    def _let_go_on(self) -> None:
        voice, most = self.voice, self._hub.limits.outbox
        if voice is not None and voice.held and len(self._outbox) <= most // 2:
            voice.held = False
            if voice.due:
                self._hub.engine.poke(voice)
            self._space.set()

    def _last(self, message: ServerMessage | Reading | str) -> int | None:
        """The code to close with after this message, if it is the last."""
        if isinstance(message, SessionEnded) or message is _GOODBYE:
            return CLOSE_GOING if self.cause == "drained" else CLOSE_DONE
        if isinstance(message, ErrorMessage) and message.fatal:
            if self.cause == "dropped":
                self.cause = message.code
            return _CLOSES.get(message.code, CLOSE_POLICY)
        return None

    def _lag(self, told: Told) -> float:
        return max(0.0, self._hub.clock() - told.arrived) if told.arrived else 0.0

    def _text_of(self, told: Told) -> str:
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


def _after(recent: list[str], received: int | None) -> list[str]:
    """Of the last messages of a dropped connection, those after this reading."""
    if received is None:
        return []
    messages = [json.loads(text) for text in recent]
    seqs = [message.get("seq", -1) for message in messages]
    first = next((n + 1 for n, seq in enumerate(seqs) if seq == received), None)
    if first is None:  # all that is kept came later, or before
        first = next((n for n, seq in enumerate(seqs) if seq > received), len(recent))
    kinds = ("session.created", "session.ended", "error")
    return [
        text
        for text, message in zip(recent[first:], messages[first:], strict=True)
        if message["type"] not in kinds
    ]
