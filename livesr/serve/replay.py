"""`POST /v1/replay`: a sound file in, the readings of `livesr replay` out as JSON lines.

The engine of the live voices processes the file as one of its voices.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, Literal

import msgspec
from starlette.requests import ClientDisconnect, Request

from livesr.arrays import Float32
from livesr.errors import LivesrError
from livesr.event import Event
from livesr.files.soundfile import SoundFile
from livesr.reading import Reading
from livesr.serve.hub import Hub
from livesr.serve.protocol import Channel, ErrorMessage, SessionCreated, SessionUpdate, encode
from livesr.serve.voice import Outgoing, Voice
from livesr.settings import HOP_SECONDS


class TooLarge(LivesrError):
    """A file of more bytes than the server accepts."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a replay; the fields are those of `session.update`.

    Attributes:
        hop: seconds between readings.
        channel: process this channel only, counted from 1.
        attention: whether readings contain it.
    """

    hop: float = HOP_SECONDS
    channel: Channel | None = None
    attention: bool = True


async def body_of(request: Request, most: int, seconds: float) -> bytes:
    """Read a request's body, of at most so many bytes.

    Args:
        request: its body is not read yet.
        most: bytes.
        seconds: that the client may pause.

    Raises:
        TooLarge: if it is longer.
        LivesrError: if the client leaves before its end.
        TimeoutError: if nothing arrives for so long.
    """
    parts, size = bytearray(), 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                part = await anext(stream, None)
        except ClientDisconnect:
            raise LivesrError("The file was not sent whole; send it again.") from None
        if part is None:
            return bytes(parts)
        size += len(part)
        if size > most:
            raise TooLarge(f"The file is longer than the {most:,} bytes that this server accepts.")
        parts += part


class Replay:
    """A file that is processed; for the hub, it is a session.

    Args:
        hub: of this worker, which has admitted it.
        sound: the open file.
        blocks: of it, as `opened` gives them.
        options: of the request.

    Attributes:
        cause: of its end.
    """

    live, lag, read_at = False, 0.0, 0.0

    def __init__(
        self, hub: Hub, sound: SoundFile, blocks: Iterator[Float32], options: Options
    ) -> None:
        self._hub, self._sound, self._options = hub, sound, options
        self._made: asyncio.Queue[list[Outgoing]] = asyncio.Queue()
        self._blocks = blocks
        self.voice: Voice | None = None
        self._error = ""
        self.weight = 1.0
        self.cause = "dropped"

    @property
    def waiting_seconds(self) -> float:
        """Seconds of sound that wait to be processed."""
        return self.voice.waiting_seconds if self.voice else 0.0

    def give(self, told: list[Outgoing], now: float) -> None:
        """Messages of the engine."""
        self._made.put_nowait(told)

    def take_over(self) -> None:
        """A replay cannot be resumed."""

    def last_messages(self) -> list[str]:
        """None: a replay cannot be resumed."""
        return []

    def drain(self) -> None:
        """Nothing to do: it may finish within the drain time."""

    async def lines(self) -> AsyncGenerator[str, None]:
        """JSON lines: readings, and at the end an `error` if the file could not be processed."""
        first = await self._read()
        channels = 1 if first is None else first.shape[1]
        update = SessionUpdate(
            sample_rate=self._sound.rate,
            channels=channels,
            encoding="f32le",
            mode="lossless",
            channel=self._options.channel,
            hop=self._options.hop,
            attention=self._options.attention,
        )
        hub = self._hub
        voice = self.voice = Voice(
            hub.settings.model, update, frozenset(), hub.new_session_id(), hub.limits
        )
        voice.command(lambda: voice.open(None))
        hub.opened(self, voice)
        try:
            hub.engine.poke(voice)
            for line in await self._next():
                yield line
            async for line in self._processed(voice, first):
                yield line
        finally:
            hub.closed(voice, keep=False)
        self.cause = "ended"

    async def _processed(self, voice: Voice, block: Float32 | None) -> AsyncIterator[str]:
        hub = self._hub
        while block is not None and not voice.ended:
            voice.sound(block.astype("<f4").tobytes(), hub.clock())
            hub.engine.poke(voice)
            try:
                block = await self._read()
            except LivesrError as error:
                self._error, block = str(error), None
            while voice.waiting_seconds > 1.0 and voice.due and not voice.ended:
                for line in await self._next():
                    yield line
        voice.command(voice.end)
        hub.engine.poke(voice)
        while not voice.ended or not self._made.empty():
            for line in await self._next():
                yield line
        for finding in self._sound.findings:
            kind: Literal["file", "note"] = "file" if finding.lost else "note"
            text = f"{self._sound.name}: {finding.text}"
            yield encode(Event(kind, voice.stream_seconds, text=text).to_dict()) + "\n"
        if self._error:
            yield encode(ErrorMessage(code="bad_samples", message=self._error, fatal=True)) + "\n"

    async def _read(self) -> Float32 | None:
        """The next block; None at the end.

        Raises:
            AudioError: if it cannot be read.
        """
        reading = asyncio.get_running_loop().run_in_executor(None, next, self._blocks, None)
        try:
            return await asyncio.shield(reading)
        finally:
            # A client that leaves ends the waiting, not the thread. Whoever closes the file while
            # libsndfile reads from it ends the process, so the read is waited for, however often
            # this is cancelled meanwhile.
            while not reading.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([reading])

    async def _next(self) -> list[str]:
        lines = []
        for told in await self._made.get():
            message: Any = told.message
            if isinstance(message, Reading):
                lines.append(encode(message.to_dict(attention=self._options.attention)) + "\n")
            elif isinstance(message, ErrorMessage):
                lines.append(encode(message) + "\n")
            elif isinstance(message, SessionCreated):
                self.weight = self._hub.grow(message.hop)
                if not self.weight:
                    self.weight = 1.0
                    self._error = "There is no capacity for so short a hop; try a longer one."
                    assert self.voice is not None
                    self.voice.ended = True
        return lines


def opened(body: bytes) -> tuple[SoundFile, Iterator[Float32]]:
    """Open a file from its bytes; its blocks, the first of which is read already.

    So a file that is damaged from its start is refused before an answer begins.

    Raises:
        AudioError: if it is not a sound file, or its start cannot be read.
    """
    sound = SoundFile(io.BytesIO(body))
    try:
        blocks = sound.blocks()
        first = next(blocks, None)
    except LivesrError:
        sound.__exit__()
        raise
    return sound, blocks if first is None else chain((first,), blocks)
