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
from starlette.requests import Request

from livesr.arrays import Float32
from livesr.errors import AudioError, LivesrError
from livesr.event import Event
from livesr.files.replay import placed
from livesr.files.soundfile import SoundFile
from livesr.reading import Reading
from livesr.serve.hub import Hub
from livesr.serve.protocol import Channel, ErrorMessage, SessionEnded, SessionUpdate, encode
from livesr.serve.voice import Outgoing, Voice
from livesr.settings import HOP_SECONDS, SAMPLE_RATE
from livesr.stages.samples import as_mono


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
        ClientDisconnect: if the client leaves before its end.
        TimeoutError: if nothing arrives for so long.
    """
    parts, size = bytearray(), 0
    stream = request.stream()
    while True:
        async with asyncio.timeout(seconds):
            part = await anext(stream, None)
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
        blocks: of it.
        voice: open.
        options: of the request.

    Attributes:
        cause: of its end.
    """

    paced, lag, read_at = False, 0.0, 0.0

    def __init__(
        self,
        hub: Hub,
        sound: SoundFile,
        blocks: Iterator[Float32],
        voice: Voice,
        options: Options,
    ) -> None:
        self._hub, self._sound, self._options = hub, sound, options
        self._made: asyncio.Queue[list[Outgoing]] = asyncio.Queue()
        self._blocks, self.voice = blocks, voice
        self._error = ""
        self._over = False  # the last message of the voice has come
        self.cause = "dropped"

    @property
    def waiting_seconds(self) -> float:
        """Seconds of sound that wait to be processed."""
        return self.voice.waiting_seconds

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
        self._hub.opened(self, self.voice)
        try:
            async for line in self._processed():
                yield line
        finally:
            self._hub.closed(self.voice, keep=False)
        self.cause = "failed" if self._error else "ended"

    def close(self) -> None:
        """Close the file."""
        self._sound.__exit__()

    async def _processed(self) -> AsyncIterator[str]:
        hub, voice = self._hub, self.voice
        block = await self._read()
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
        voice.command(voice.leave if self._error else voice.end)
        hub.engine.poke(voice)
        while not self._over:  # later than `voice.ended`, which the engine sets before it tells
            for line in await self._next():
                yield line
        if self._error:
            yield encode(ErrorMessage(code="bad_samples", message=self._error, fatal=True)) + "\n"
            return
        at = voice.recognizer.position / SAMPLE_RATE
        for finding in self._sound.findings:
            kind: Literal["file", "note"] = "file" if finding.lost else "note"
            text = f"{self._sound.name}: {finding.text}"
            yield encode(Event(kind, at, text=text).to_dict()) + "\n"

    async def _read(self) -> Float32 | None:
        """The next block; None at the end.

        Raises:
            AudioError: if it cannot be read, or used.
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
            self._over |= isinstance(message, SessionEnded) or getattr(message, "fatal", False)
        return lines


def _usable(sound: SoundFile, channel: int | None) -> Iterator[Float32]:
    """The file's blocks, float32 [n, channels], of samples that `livesr replay` takes.

    A voice would take others for silence: of a live stream, but a file can be repaired.

    Raises:
        AudioError: as that of `replay`, if there are others.
    """
    done = 0
    for block in sound.blocks():
        try:
            as_mono(block, channel, sound.channels)
        except AudioError as error:
            raise placed(error, sound, done) from None
        done += len(block)
        yield block


def opened(hub: Hub, body: bytes, options: Options) -> Replay:
    """A replay of a file's bytes: its first block is read, and its voice is open.

    So options that cannot be used, and a file that is damaged from its start, are refused before
    an answer begins.

    Raises:
        LivesrError: if it is not a sound file, its start cannot be read or used, or the options do
            not fit it.
    """
    sound = SoundFile(io.BytesIO(body))
    try:
        update = SessionUpdate(
            sample_rate=sound.rate,
            channels=sound.channels,
            encoding="f32le",
            mode="lossless",
            channel=options.channel,
            hop=options.hop,
            attention=options.attention,
        )
        model, limits = hub.settings.model, hub.limits
        voice = Voice(model, update, frozenset(), hub.new_session_id(), limits)
        voice.open(None)
        blocks = _usable(sound, options.channel)
        first = next(blocks, None)
    except LivesrError:
        sound.__exit__()
        raise
    return Replay(hub, sound, blocks if first is None else chain((first,), blocks), voice, options)
