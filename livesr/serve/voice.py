"""A client's stream: bytes in, messages out. It has no socket, no thread and no clock.

Two threads share a `Voice`: the event loop adds sound and commands, the engine's thread processes
them. Each number is written by one thread only; the queue between them is a deque.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from livesr.arrays import Array, Float32
from livesr.errors import AudioError, LivesrError, ModelError, ProfileError
from livesr.model.load import load_model
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.serve.protocol import (
    ErrorMessage,
    Gap,
    Marked,
    ProfileMessage,
    ProtocolError,
    ServerMessage,
    SessionCreated,
    SessionEnded,
    SessionLimits,
    SessionUpdate,
)
from livesr.serve.settings import Limits
from livesr.serve.sound import Sound
from livesr.serve.utterances import Utterances
from livesr.settings import SAMPLE_RATE
from livesr.stages.samples import Mixdown, check_skip
from livesr.state import pack, unpack
from livesr.version import __version__

NOTICE = (
    "This system judges how a voice sounds (angry, happy, neutral or sad) and is often wrong. "
    "People whose voice it analyses must be told before it does."
)
_MOST_AT_ONCE = 8  # commands in a round
_Count = Annotated[int, Meta(ge=0, le=10**15)]

_PROVING_SECONDS = 4.0  # a window and more


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message of the engine for the client.

    Attributes:
        message: it; or a reading, which becomes a message when it is sent; or a message's text.
        seq: of a reading.
        arrived: of a reading: arrival of its last sample, in seconds of the clock.
    """

    message: ServerMessage | Reading | str
    seq: int = 0
    arrived: float = 0.0


@dataclass(slots=True)
class _Arrived:
    data: bytes | memoryview
    at: float


Command = Callable[[], list[Outgoing]]


class Saved(Struct, kw_only=True):
    """The part of a session's state beside that of the recognizer."""

    update: SessionUpdate
    frames: _Count
    began: _Count
    origin: _Count
    readings: _Count
    heard: _Count
    lost: _Count
    utterances: Utterances


class Voice:
    """A session's stream.

    Args:
        model: as for `Recognizer`.
        update: its configuration; `resume` is a state, or None.
        given: names of the fields in the client's message.
        session_id: of this session.
        limits: of the server.
        profile: of the voice; for a resumed session it is in the state.

    Attributes:
        wanted: number of received bytes at which the next hop is due.
        received: number of bytes so far.
        taken: of them, processed or dropped.
        held: process nothing for now: the client reads too slowly, and nothing may be dropped.
        rests_until: number of the engine's round before which the other voices come first.
        ended: it will give no more messages.
    """

    def __init__(
        self,
        model: str | None,
        update: SessionUpdate,
        given: frozenset[str],
        session_id: str,
        limits: Limits,
        profile: Profile | None = None,
    ) -> None:
        self._model, self._limits, self._given = model, limits, given
        self._profile = profile
        self.session_id = session_id
        self.update = update
        self._queue: deque[_Arrived | Command] = deque()
        self._commands = self._commands_run = 0
        self._rest = b""
        self.received = self.taken = 0
        self._second_bytes = 1
        self.wanted = 0
        self.held = self.ended = False
        self.rests_until = 0
        self.heard_frames = self.lost_frames = self.readings = 0
        self.frames = 0  # position: the client's samples of each channel
        self._began = 0  # stream time at the recognizer's last reset, in 16 kHz samples
        self._origin = 0  # frames at that time
        self._last: bytes | None = None  # the state before its last reading
        self._proved = 0  # position up to which a restored state may still fail
        self._utterances = Utterances()

    # Called by the event loop's thread.

    def sound(self, data: bytes, at: float) -> None:
        """Add bytes that arrived at this time."""
        if data:
            self._queue.append(_Arrived(data, at))
            self.received += len(data)

    def command(self, command: Command) -> None:
        """Add a command for the engine's thread, after the sound that is queued already."""
        self._queue.append(command)
        self._commands += 1

    @property
    def due(self) -> bool:
        """Whether the engine has something to do."""
        if self.ended:
            return False
        try:
            sound = isinstance(self._queue[0], _Arrived)
        except IndexError:  # the other thread has just taken it
            return False
        if not sound:
            return True
        return not self.held and (
            self.received >= self.wanted or self._commands > self._commands_run
        )

    @property
    def apart(self) -> bool:
        """Whether it shares no call of the network with other voices.

        A client may have changed the state that it resumes; what then fails must be its own voice.
        """
        return self.frames < self._proved

    @property
    def commands_waiting(self) -> int:
        """Number of commands that the engine has not run yet."""
        return self._commands - self._commands_run

    @property
    def waiting_seconds(self) -> float:
        """Seconds of sound that arrived and are not processed yet."""
        return (self.received - self.taken) / self._second_bytes

    @property
    def sent_seconds(self) -> float:
        """Seconds of sound that arrived over this connection."""
        return self.received / self._second_bytes

    # Called by the engine's thread.

    def open(self, state: bytes | None) -> list[Outgoing]:
        """The first command: make the recognizer, or restore it from a state."""
        saved, stream = _saved(state) if state is not None else (None, b"")
        if saved:
            self._agree(saved.update)
        update = self.update
        if update.channel is not None and update.channel > update.channels:
            raise ProtocolError(
                "bad_configuration",
                f"channel is {update.channel}, but the sound has {update.channels}; count from 1.",
                fatal=True,
            )
        self._sound = Sound(update.encoding, update.channels, update.channel)
        self._second_bytes = self._sound.frame_bytes * update.sample_rate
        if self._second_bytes > self._limits.second_bytes:
            raise ProtocolError(
                "bad_configuration",
                f"{update.channels} channels of {update.encoding} at {update.sample_rate:,} Hz are "
                f"{self._second_bytes:,} bytes a second, and this server takes "
                f"{self._limits.second_bytes:,} at most; send fewer channels, a lower rate, or "
                "s16le.",
                fatal=True,
            )
        try:
            model = load_model(self._model)
            profile = None if saved else self._profile
            self.recognizer = Recognizer(model.source, hop=update.hop, profile=profile)
        except LivesrError as error:
            raise ProtocolError("bad_configuration", str(error), fatal=True) from None
        self._mixdown = Mixdown(update.sample_rate)
        self._threshold = model.info.decision.speech_threshold
        if saved:
            try:
                self.recognizer.restore(stream)
                self.recognizer.push(np.zeros(0, np.float32), update.sample_rate)  # can it go on?
            except (AudioError, ModelError) as error:
                raise ProtocolError("bad_resume", str(error), fatal=True) from None
            self._proved = saved.frames + round(_PROVING_SECONDS * update.sample_rate)
            self.frames, self.readings = saved.frames, saved.readings
            self.heard_frames, self.lost_frames = saved.heard, saved.lost
            self._began, self._origin = saved.began, saved.origin
            self._utterances = saved.utterances
        self._await_hop()
        limits, info = self._limits, model.info
        return [
            Outgoing(
                SessionCreated(
                    session_id=self.session_id,
                    position=self.frames,
                    sample_rate=update.sample_rate,
                    channels=update.channels,
                    encoding=update.encoding,
                    model=info.name,
                    model_sha256=model.identity,
                    labels=list(self.recognizer.labels),
                    licence=info.licence,
                    version=__version__,
                    window=model.window_seconds,
                    hop=self.recognizer.hop,
                    limits=SessionLimits(
                        message_bytes=limits.message_bytes,
                        resume_bytes=limits.resume_bytes,
                        wait_seconds=limits.wait_seconds,
                        queue_seconds=limits.queue_seconds,
                        idle_seconds=limits.idle_seconds,
                        kept_seconds=limits.kept_seconds,
                    ),
                    notice=NOTICE,
                )
            )
        ]

    def check_resume(self, state: bytes) -> None:
        """Refuse a state that `open` would refuse for its configuration; then it may be kept.

        Raises:
            ProtocolError: if it does.
        """
        self._agree(_saved(state)[0].update)

    def _agree(self, saved: SessionUpdate) -> None:
        """Use the configuration of the state; fields that the client gives must be the same."""
        free = {"mode", "attention", "resume", "received"}
        for name in sorted(self._given - free - {"type"}):
            if getattr(saved, name) != getattr(self.update, name):
                raise ProtocolError(
                    "bad_resume",
                    f"The session of this state had {name} {getattr(saved, name)!r}, not "
                    f"{getattr(self.update, name)!r}; leave {name} out, or begin a new session.",
                    fatal=True,
                )
        kept = {name: getattr(self.update, name) for name in free & self._given}
        self.update = msgspec.structs.replace(saved, **{**kept, "resume": None, "received": None})

    def skip(self, samples: int) -> list[Outgoing]:
        """A command: the client has lost so many samples."""
        try:
            check_skip(samples, self.frames, self.update.sample_rate)
        except AudioError as error:
            raise ProtocolError("bad_message", str(error)) from None
        return self._lose(samples, "skipped")

    def reset(self) -> list[Outgoing]:
        """A command: another person from here on. Samples still in the resampler are dropped."""
        told = [Outgoing(message) for message in self._utterances.finish()]
        rate = self.update.sample_rate
        start = self._began + (self.frames - self._origin) * SAMPLE_RATE // rate
        self.recognizer.reset(start=start / SAMPLE_RATE)
        self._began, self._origin = start, self.frames
        return told

    def mark(self, text: str) -> list[Outgoing]:
        """A command: answer with the mark's stream time."""
        return [Outgoing(Marked(at=self.stream_seconds, text=text))]

    def teach(self, label: str) -> list[Outgoing]:
        """A command: correct the label of the speech just before."""
        try:
            self.recognizer.teach(label)
        except ProfileError as error:
            raise ProtocolError("cannot_teach", str(error)) from None
        profile = self.recognizer.profile
        assert profile is not None
        data = base64.b64encode(profile.to_bytes()).decode()
        return [Outgoing(ProfileMessage(data=data, labels=list(self.recognizer.labels)))]

    def end(self) -> list[Outgoing]:
        """A command: the client has no more sound."""
        state = self._last = self.state()  # before the last reading: the stream can continue
        told = self._took(self.recognizer.finish(), 0.0)
        told += [Outgoing(message) for message in self._utterances.finish()]
        self.ended = True
        return [*told, self._farewell(state)]

    def leave(self) -> list[Outgoing]:
        """A command: the server is about to end; the client gets the state."""
        self.ended = True
        return [self._farewell(self.state())]

    def _farewell(self, state: bytes) -> Outgoing:
        rate = self.update.sample_rate
        return Outgoing(
            SessionEnded(
                readings=self.readings,
                heard_seconds=self.heard_frames / rate,
                lost_seconds=self.lost_frames / rate,
                state=base64.b64encode(state).decode(),
            )
        )

    def state(self) -> bytes:
        """The session's state, with which it continues here or on another server."""
        saved = Saved(
            update=self.update,
            frames=self.frames,
            began=self._began,
            origin=self._origin,
            readings=self.readings,
            heard=self.heard_frames,
            lost=self.lost_frames,
            utterances=self._utterances,
        )
        session = msgspec.json.encode(saved).decode()
        return pack({"session": session, "stream": unpack(self.recognizer.state())})

    def run_commands(self) -> list[Outgoing]:
        """Run the commands that are next in the queue."""
        told: list[Outgoing] = []
        before = self.readings
        for _ in range(_MOST_AT_ONCE):  # then the other voices are served
            if self.readings > before:  # a skip
                break
            if self.ended or not self._queue or isinstance(self._queue[0], _Arrived):
                break
            command = self._queue.popleft()
            self._commands_run += 1
            assert callable(command)
            try:
                told += command()
            except ProtocolError as error:
                told.append(Outgoing(error.answer()))
                self.ended = self.ended or bool(error.close)
            self._await_hop()
        return told

    def lose_stale(self, now: float) -> list[Outgoing]:
        """In mode "live", drop the oldest whole hops if they have waited too long."""
        limits, first = self._limits, self._queue[0] if self._queue else None
        if self.update.mode != "live" or not isinstance(first, _Arrived):
            return []
        if now - first.at <= limits.wait_seconds:
            return []
        due = self.wanted - self.taken
        seen = old = 0
        waited: float | None = None  # how long the due hop has been complete
        for item in tuple(self._queue):
            if not isinstance(item, _Arrived):
                break
            seen += len(item.data)
            if waited is None and seen >= due:
                waited = now - item.at
            if now - item.at > limits.again_seconds:
                old = seen
        if waited is None or waited <= limits.wait_seconds:
            return []
        hop = round(self.recognizer.hop * self.update.sample_rate)
        count = (len(self._rest) + old) // self._sound.frame_bytes // hop * hop
        if not count:
            return []
        _, arrived = self._take(count)
        return self._lose(count, "too slow", arrived)

    def draw(self) -> tuple[Array, float, int] | None:
        """The sound to process next, at most until the next reading.

        Returns:
            Samples, the arrival of the last of them, and the number of bad ones; None if no hop
            is due.
        """
        if self.held or not self._queue or not isinstance(self._queue[0], _Arrived):
            return None
        if self.received < self.wanted and self._commands == self._commands_run:
            return None
        frames = max(1, (self.wanted - self.taken + len(self._rest)) // self._sound.frame_bytes)
        data, at = self._take(frames)
        samples, bad = self._sound.samples(data)
        return samples, at, bad

    def abandon(self) -> bytes | None:
        """The client is gone: drop the sound that is not processed, and return the state.

        The client sends that sound again when it resumes, so that no reading is lost.
        """
        self._queue.clear()
        ended, self.ended = self.ended, True
        if not hasattr(self, "recognizer"):
            return None
        state = self._last if ended else self.state()
        del self.recognizer  # at once: as part of a cycle it would wait for the garbage collector
        return state

    def pushed(self, samples: Array, readings: list[Reading], arrived: float) -> list[Outgoing]:
        """These samples were pushed into the recognizer and gave these readings."""
        self.frames += len(samples)
        self.heard_frames += len(samples)
        told = self._took(readings, arrived)
        if self.update.channels > 1 and self._mixdown.loses(_floats(samples)):
            text = Mixdown.words(self.update.channels)
            told.append(Outgoing(ErrorMessage(code="channels_cancel", message=text)))
        self._await_hop()
        return told

    def _took(self, readings: list[Reading], arrived: float) -> list[Outgoing]:
        told: list[Outgoing] = []
        for reading in readings:
            told.append(Outgoing(reading, self.readings, arrived))
            self.readings += 1
            messages = self._utterances.push(reading, self.recognizer.hop, self._threshold)
            told += [Outgoing(message) for message in messages]
        return told

    def _lose(self, count: int, cause: Any, arrived: float = 0.0) -> list[Outgoing]:
        at = self.stream_seconds
        readings = self.recognizer.skip(count, self.update.sample_rate)
        self.frames += count
        self.lost_frames += count
        gap = Gap(at=at, seconds=count / self.update.sample_rate, samples=count, cause=cause)
        told = [Outgoing(gap), *self._took(readings, arrived)]
        self._await_hop()
        return told

    @property
    def stream_seconds(self) -> float:
        """Stream time of the newest frame, in seconds."""
        rate = self.update.sample_rate
        return (self._began * rate / SAMPLE_RATE + self.frames - self._origin) / rate

    def _await_hop(self) -> None:
        """Compute how many bytes make the next reading due."""
        if self.ended or not hasattr(self, "recognizer"):
            return
        rate, recognizer = self.update.sample_rate, self.recognizer
        pushed = self.frames - self._origin
        # Frames that have left the resampler.
        out = -(-(recognizer.position - self._began) * rate // SAMPLE_RATE)
        needed = -(-(recognizer.due - recognizer.position) * rate // SAMPLE_RATE)
        held_back = max(0, pushed - out)
        frames = max(1, out + needed + held_back - pushed)
        self.wanted = self.taken + frames * self._sound.frame_bytes - len(self._rest)

    def _take(self, frames: int) -> tuple[bytes, float]:
        """Take so many frames, or those before the next command; and the arrival of the last."""
        size = self._sound.frame_bytes
        parts: list[bytes | memoryview] = [self._rest]
        missing, at = frames * size - len(self._rest), 0.0
        while missing > 0 and self._queue and isinstance(first := self._queue[0], _Arrived):
            at = first.at
            if len(first.data) <= missing:
                part = first.data
                self._queue.popleft()
            else:
                view = memoryview(first.data)
                part = view[:missing]
                self._queue[0] = _Arrived(view[missing:], at)
            parts.append(part)
            missing -= len(part)
            self.taken += len(part)
        data = b"".join(parts)
        whole = len(data) - len(data) % size
        self._rest = data[whole:]  # part of a frame
        return data[:whole], at


def _floats(samples: Array) -> Float32:
    scale = np.float32(2.0**-15 if samples.dtype == np.int16 else 1.0)
    return np.asarray(samples, np.float32) * scale


def _saved(state: bytes) -> tuple[Saved, bytes]:
    """Read and check a session's state.

    Raises:
        ProtocolError: if it is not the state of a session.
    """
    try:
        values = unpack(state)
        saved = msgspec.json.decode(values["session"], type=Saved)
        stream = pack(values["stream"])
    except ModelError as error:
        raise ProtocolError("bad_resume", str(error), fatal=True) from None
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        raise ProtocolError(
            "bad_resume",
            f"This is not the state of a session ({error!s:.200}); give the state of a "
            "session.ended.",
            fatal=True,
        ) from None
    if not math.isfinite(saved.update.hop) or saved.origin > saved.frames:
        raise ProtocolError(
            "bad_resume",
            "The values of this state do not fit together; begin a new session.",
            fatal=True,
        )
    return saved, stream


def state_from_base64(text: str) -> bytes | None:
    """The bytes of a `state`; None if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
