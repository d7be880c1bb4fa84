"""A worker's hub: its engine, its sessions, and admission."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from livesr.memory import return_memory
from livesr.reading import Reading
from livesr.serve import metrics
from livesr.serve.control import Link, LinkLost
from livesr.serve.engine import Engine
from livesr.serve.logs import note
from livesr.serve.profiles import Profiles
from livesr.serve.settings import ServeSettings
from livesr.serve.voice import Outgoing, Voice
from livesr.settings import HOP_SECONDS

_RECENT_SECONDS = 5.0
_QUEUE_SECONDS = 0.25  # between two looks at all queues
_TRIM_SECONDS = 1.0  # between two returns of memory


class Session(Protocol):
    """A connection with a voice, as the hub sees it; see `livesr.serve.session`."""

    lag: float
    read_at: float

    @property
    def voice(self) -> Voice | None: ...

    @property
    def paced(self) -> bool: ...

    @property
    def waiting_seconds(self) -> float: ...

    def give(self, told: list[Outgoing], now: float) -> None: ...

    def take_over(self) -> None: ...

    def drain(self) -> None: ...

    def last_messages(self) -> list[str]: ...


class Hub:
    """State that all connections of a worker share, on its event loop.

    Args:
        settings: of the server.
        capacity: number of voices at `HOP_SECONDS` that this worker accepts at the same time.
        link: to the parent.

    Attributes:
        profiles: that clients may name.
        draining: the server is about to end and accepts no new voices.
    """

    def __init__(self, settings: ServeSettings, capacity: int, link: Link) -> None:
        self.settings, self.capacity, self._link = settings, capacity, link
        self.limits = settings.limits
        self.profiles = Profiles(settings.profile_dir, settings.model)
        self.counting = metrics.Counting()
        self.engine = Engine(self._made, self.counting)
        self._loop = asyncio.get_running_loop()
        self.sessions: dict[Voice, Session] = {}
        self.load = 0.0  # sum of the voices' weights
        self.draining = False
        self.clock = time.monotonic
        self._measured = 0.0
        self._trim: asyncio.TimerHandle | None = None

    def start(self, share: int) -> None:
        """Start the engine.

        Args:
            share: of the server's capacity, for the metrics; those of all workers add up to it.
        """
        self.engine.start()
        metrics.begin(share)

    # Admission

    async def admit(self, address: str) -> str:
        """Admit a voice if there is capacity; returns the reason of a refusal, or ""."""
        reason = self._full(1.0)
        if not reason:
            self.load += 1.0
            try:
                reason = str(await self._link.ask("admit", address=address))
            except LinkLost:
                reason = "draining"
            if reason:
                self.load -= 1.0
        if reason:
            metrics.REFUSED.labels(reason).inc()
        else:
            metrics.OPENED.inc()
            metrics.STREAMS.inc()
        return reason

    def grow(self, hop: float) -> float:
        """The weight of an admitted voice with a short hop; 0 if there is no capacity for it."""
        weight = max(1.0, HOP_SECONDS / hop)
        if weight > 1:
            if self.load - 1 + weight > self.capacity:
                metrics.REFUSED.labels("full").inc()
                return 0.0
            self.load += weight - 1
            self._link.tell("grow", extra=weight - 1)
        return weight

    def leave(self, address: str, weight: float, cause: str) -> None:
        """An admitted voice has ended."""
        self.load -= weight
        metrics.STREAMS.dec()
        metrics.CLOSED.labels(cause).inc()
        self._link.tell("leave", address=address, extra=weight - 1)

    def _full(self, weight: float) -> str:
        if self.draining:
            return "draining"
        if self.load + weight > self.capacity:
            return "full"
        return "lag" if self.lag > self.limits.lag_seconds else ""

    @property
    def lag(self) -> float:
        """Median lag of the newest readings of the live voices in real time, in seconds."""
        now = self.clock()
        lags = [
            session.lag
            for session in self.sessions.values()
            if session.paced and now - session.read_at < _RECENT_SECONDS
        ]
        return statistics.median(lags) if lags else 0.0

    # Sessions

    @staticmethod
    def new_session_id() -> str:
        """A new secret id: with it, a client can take the session over."""
        return secrets.token_urlsafe(24)

    def opened(self, session: Session, voice: Voice) -> None:
        """Register a session and its voice."""
        self.sessions[voice] = session
        self._link.tell("opened", session=voice.session_id)

    def closed(self, voice: Voice, *, keep: bool, then: Callable[[], None] = lambda: None) -> None:
        """A connection has closed.

        Args:
            voice: that it had.
            keep: its state and last messages for a while, with the parent: it dropped.
            then: is called after they are sent there.
        """

        def work() -> None:
            state = voice.abandon()
            # After all earlier messages of the engine, which the client may not have received.
            self._loop.call_soon_threadsafe(self._forget, voice, state if keep else None, then)

        self.engine.call(work)

    def _forget(self, voice: Voice, state: bytes | None, then: Callable[[], None]) -> None:
        last = self.sessions.pop(voice).last_messages()
        if not self.sessions:
            metrics.QUEUE.set(0)
        self.keep(voice.session_id, state, last)
        then()
        if self._trim is None:
            self._trim = self._loop.call_later(_TRIM_SECONDS, self._return_memory)

    def _return_memory(self) -> None:
        """The state of a voice that ends is some copies of a megabyte, which libc would keep."""
        self._trim = None
        self.engine.call(return_memory)

    def keep(self, session_id: str, state: bytes | None, last: list[str]) -> None:
        """Leave a session's state and last messages with the parent for a while; None for none."""
        told = b"" if state is None else msgspec.msgpack.encode((state, last))
        self._link.tell("closed", session=session_id, state=told)

    async def kept(self, session_id: str) -> tuple[bytes | None, list[str]]:
        """State and last messages of a dropped connection, once; None if they are not kept."""
        try:
            told = await self._link.ask("take", session=session_id)
        except LinkLost:
            told = b""
        return msgspec.msgpack.decode(told, type=tuple[bytes, list[str]]) if told else (None, [])

    def release(self, session_id: str) -> None:
        """The client of this session has come back on another connection."""
        for session in list(self.sessions.values()):
            if session.voice is not None and session.voice.session_id == session_id:
                session.take_over()

    async def drain(self) -> None:
        """Send every stream its state, and accept no new voices."""
        self.draining = True
        note("draining", streams=len(self.sessions))
        for session in list(self.sessions.values()):
            session.drain()
        deadline = self.clock() + 10.0
        while self.sessions and self.clock() < deadline:
            await asyncio.sleep(0.02)

    # Messages of the engine, in its thread

    def _made(self, made: list[tuple[Voice, list[Outgoing]]]) -> None:
        self._loop.call_soon_threadsafe(self._give, made)

    def _give(self, made: list[tuple[Voice, list[Outgoing]]]) -> None:
        now = self.clock()
        for voice, told in made:
            for one in told:
                if isinstance(one.message, Reading):
                    self.counting.reading(one.message)
            session = self.sessions.get(voice)
            if session is not None:
                session.give(told, now)
        if now >= self._measured + _QUEUE_SECONDS:
            self._measured = now
            waits = [session.waiting_seconds for session in self.sessions.values()]
            metrics.QUEUE.set(max(waits, default=0.0))
