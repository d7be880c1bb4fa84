"""A sound file through a Recognizer, as fast as the machine goes or in real time."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from numpy.typing import ArrayLike

from livesr.arrays import Array, Float32
from livesr.errors import AudioError, AudioWarning, ModelError, ProfileError
from livesr.event import Event, Item
from livesr.files.media import scale_command
from livesr.files.recording import read_events
from livesr.files.samples import Samples
from livesr.files.soundfile import RawFormat, SoundFile
from livesr.model.load import DEFAULT, load_model
from livesr.profile import Profile, as_profile
from livesr.reading import MOST_SECONDS, Reading
from livesr.recognizer import Recognizer
from livesr.settings import HOP_SECONDS, SAMPLE_RATE
from livesr.stages.hops import NUMBERS
from livesr.stages.samples import Mixdown, UnscaledError, as_mono, check_channel, in_number
from livesr.state import UNREADABLE, State, pack, unpack

Source = str | Path | BinaryIO | ArrayLike
Channel = int | Literal["each"] | None


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How a source is replayed; see `replay`."""

    model: str | Path | None = None
    hop: float = HOP_SECONDS
    profile: Profile | str | Path | None = None
    adapt: bool = True
    channel: Channel = None
    start: float = 0.0
    end: float | None = None
    raw: RawFormat | None = None


@dataclass(frozen=True, slots=True)
class Saving:
    """How a replay is saved on its way, to be resumed in another process; see `play`.

    Attributes:
        state: saved by a replay of the same source with the same settings; None for none.
        at_block: called when the items of a block of sound have been taken, with the stream time
            in 16 kHz samples and a function that gives the state.
    """

    state: bytes | None
    at_block: Callable[[int, Callable[[], bytes]], None]


def replay(
    source: Source,
    sample_rate: int = SAMPLE_RATE,
    *,
    model: str | Path | None = None,
    hop: float = HOP_SECONDS,
    profile: Profile | str | Path | None = None,
    adapt: bool = True,
    channel: Channel = None,
    start: float = 0.0,
    end: float | None = None,
    raw: RawFormat | None = None,
    pace: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Reading]:
    """Readings of a recording: bit for bit what a live stream of its samples would give.

    Args:
        source: a sound file's path, "-" (standard input), a file open in binary, or samples as
            for `Recognizer.push`; any rate from 8 to 192 kHz.
        sample_rate: of samples, in Hz. A file has its own.
        model: as for `Recognizer`.
        hop: as for `Recognizer`.
        profile: as for `Recognizer`; None is the profile that the recording began with, if
            `listen` made it with one. Its corrections are repeated in either case.
        adapt: as for `Recognizer`.
        channel: the only channel to use, counted from 1; "each" makes every channel a
            stream of its own, whose readings say which; None averages them.
        start: seconds of the file at which to begin; times are still the file's. Of a recording by
            `listen`, stream time, with gaps and pauses; within a gap, its end.
        end: seconds of the file at which to end; None goes to its end.
        raw: what a file without a header holds.
        pace: give each reading when a microphone would have, not as soon as it is known.
        clock: seconds, for `pace`.
        sleep: waits so many seconds, for `pace`.

    Raises:
        AudioError: if the file cannot be used; at once if it cannot be opened, later (from the
            iterator) where it holds samples that are not finite.
        ModelError: if the model cannot be used.
        ProfileError: if the profile cannot be used.

    Warns:
        AudioWarning: at the end, if a part of the file could not be used; as soon as channels
            are found to cancel each other out.

    Example:
        >>> [reading.end for reading in replay("talk.flac", hop=1.0)]
        [1.0, 2.0, 3.0, 3.660375]
    """
    settings = ReplaySettings(model, hop, profile, adapt, channel, start, end, raw)
    items = play(source, settings, sample_rate, pace=pace, clock=clock, sleep=sleep)
    return _readings(items)


def _readings(items: Iterator[Item]) -> Iterator[Reading]:
    for item in items:
        if isinstance(item, Reading):
            yield item
        else:
            warn_of(item)


def warn_of(event: Event) -> None:
    """Warn the caller's caller of a part of a file that could not be used."""
    if event.kind == "file" or Mixdown.CANCELLED in event.text:
        warnings.warn(event.text, AudioWarning, stacklevel=3)


def play(
    source: Source,
    settings: ReplaySettings = ReplaySettings(),
    sample_rate: int = SAMPLE_RATE,
    *,
    pace: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    sound: SoundFile | Samples | None = None,
    saving: Saving | None = None,
) -> Iterator[Item]:
    """Readings as `replay` gives them, and events: a recording's own, and words about the file.

    Args:
        sound: of the source, where it has been opened already.
        saving: resume, and save the state on the way.

    Raises:
        ModelError: if the saved state does not fit.
    """
    model, profile, channel = settings.model, settings.profile, settings.channel
    check_channel(None if channel == "each" else channel)
    _check_times(settings.start, settings.end)
    profile = None if profile is None else as_profile(profile)
    # Before a pipe is opened, which can be had once.
    Recognizer(model, hop=settings.hop, profile=profile, adapt=settings.adapt)
    sound = sound or opened(source, sample_rate, settings.raw)
    try:
        events, known = _beginning(_events_of(sound), profile, model)

        def make() -> Recognizer:
            return Recognizer(model, hop=settings.hop, profile=known, adapt=settings.adapt)

        player = _Player(sound, channel, settings.start, settings.end, events, make)
        used = load_model(_model_of(model, known))
        player.compare(used.info.name, used.identity)
        if saving and saving.state is not None:
            player.restore(saving.state)
    except BaseException:
        sound.__exit__(None, None, None)
        raise
    items = player.items(saving)
    return _paced(sound, items, clock, sleep, settings.start) if pace else _closing(sound, items)


def opened(
    source: Source, sample_rate: int = SAMPLE_RATE, raw: RawFormat | None = None
) -> SoundFile | Samples:
    """The source as blocks of sound, whatever form it has.

    Raises:
        AudioError: if it cannot be.
    """
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        return SoundFile(source, raw=raw)  # type: ignore[arg-type]
    return Samples(source, sample_rate)


def judged_by(
    sound: SoundFile | Samples, settings: ReplaySettings
) -> tuple[str | Path, Profile | None]:
    """The model and the profile that `play` judges a sound by.

    Raises:
        AudioError: if the events beside a recording cannot be read.
        ProfileError: if the profile, or that among the events, cannot be.
    """
    given = None if settings.profile is None else as_profile(settings.profile)
    _, known = _beginning(_events_of(sound), given, settings.model)
    return _model_of(settings.model, known), known


def _model_of(model: str | Path | None, known: Profile | None) -> str | Path:
    return model or (known.model if known else DEFAULT)


def _events_of(sound: SoundFile | Samples) -> list[Event]:
    """The events of the session that a recording is of; other files have none."""
    return read_events(sound.path) if sound.path and sound.rate == SAMPLE_RATE else []


def _profile_of(event: Event) -> Profile:
    try:
        data = b64decode(event.data, validate=True)
    except ValueError:
        data = b""
    return Profile.from_bytes(data, "The profile beside the recording")


def _beginning(
    events: list[Event], profile: Profile | None, model: str | Path | None
) -> tuple[list[Event], Profile | None]:
    """Events and the profile to judge by; says so where it is not the one of the recording."""
    place = next((i for i, event in enumerate(events) if event.kind == "profile"), None)
    if place is None:
        return events, profile
    recorded, said = _profile_of(events[place]), events[place].text
    if profile is not None:
        said = f"{profile.name} in place of {recorded.name}, the recording's"
    elif model is not None and load_model(model).identity != recorded.identity:
        said = f"{recorded.name} is left out: it is of the model {recorded.model}"
    else:
        profile = recorded
    told = changed(events[place], text=said, data="")
    return [*events[:place], told, *events[place + 1 :]], profile


def _check_times(start: Any, end: Any) -> None:
    for value, what in ((start, "start"), (end, "end")):
        number = isinstance(value, NUMBERS) and not isinstance(value, bool)
        if value is None and what == "end":
            continue
        if not number or not 0 <= value <= MOST_SECONDS:
            raise AudioError(f"The {what} {value!s:.40} is no time; give seconds, 0 or more.")
    if end is not None and end <= start:
        raise AudioError(f"The end, {end:g} s, is not after the start, {start:g} s.")


def _closing(sound: SoundFile | Samples, items: Iterator[Item]) -> Iterator[Item]:
    with sound:
        yield from items


def _paced(
    sound: SoundFile | Samples,
    items: Iterator[Item],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    start: float,
) -> Iterator[Item]:
    began = clock() - start
    for item in _closing(sound, items):
        if isinstance(item, Reading):
            sleep(max(0.0, began + item.end - clock()))
        yield item


class _Player:
    """A sound, and the streams that its channels make."""

    def __init__(
        self,
        sound: SoundFile | Samples,
        channel: Channel,
        start: float,
        end: float | None,
        events: list[Event],
        make: Callable[[], Recognizer],
    ) -> None:
        self._sound = sound
        self._notes: list[Event] = []
        self._session = next((event for event in events if event.kind == "session"), None)
        if isinstance(channel, int) and channel > sound.channels:
            raise AudioError(
                f"{sound.name} has {in_number(sound.channels)}; there is no channel {channel}."
            )
        each = range(1, sound.channels + 1) if channel == "each" else [channel]
        self._streams = [
            _Stream(make(), sound, number, channel == "each", events, start, end) for number in each
        ]
        self._mixdown = Mixdown(sound.rate) if channel is None and sound.channels > 1 else None
        self._start = start
        self._frames = self._done = 0  # read of the file; of them taken by the replay resumed here

    def state(self) -> bytes:
        """All that the replay keeps, between two blocks."""
        streams = {str(number): stream.state() for number, stream in enumerate(self._streams)}
        return pack({"frames": self._frames, "notes": len(self._notes), "streams": streams})

    def restore(self, state: bytes) -> None:
        """Go on as the replay whose `state` this is.

        Raises:
            ModelError: if it is not one of the same source and settings.
        """
        saved = unpack(state)
        try:
            for number, stream in enumerate(self._streams):
                stream.restore(saved["streams"][str(number)])
            self._done, notes = int(saved["frames"]), int(saved["notes"])
        except UNREADABLE as error:
            raise ModelError(
                f"The saved replay cannot be used ({error!r:.200}); begin again."
            ) from None
        del self._notes[: len(self._notes) - notes]

    def compare(self, name: str, identity: str) -> None:
        """Note where the session was listened to with another model."""
        about = self._session.about if self._session else {}
        if about.get("model_sha256", identity) != identity:
            text = f"listened to with the model {about.get('model')}, replayed with {name}"
            self._notes.append(Event("note", 0.0, text=text))

    def items(self, saving: Saving | None = None) -> Iterator[Item]:
        """All that there is, in the order of time; of equal times, in that of channels."""
        for block in self._sound.blocks():
            fresh = block[max(0, self._done - self._frames) :]
            self._frames += len(block)
            found = [list(stream.push(fresh)) for stream in self._streams]
            yield from self._between(found)
            began = self._streams[0].began
            if self._mixdown and began and self._mixdown.loses(block):
                yield Event("silence", self._at, text=Mixdown.words(self._sound.channels))
            if saving and len(fresh):
                saving.at_block(self._streams[0].recognizer.position, self.state)
            if all(stream.ended for stream in self._streams):
                break
        yield from self._between([list(stream.finish()) for stream in self._streams])
        if not any(stream.began for stream in self._streams) and self._start:
            raise AudioError(
                f"{self._sound.name} ends before {self._start:g} s; give an earlier start."
            )
        for finding in self._sound.findings:
            kind: Literal["file", "note"] = "file" if finding.lost else "note"
            yield Event(kind, self._at, text=f"{self._sound.name}: {finding.text}")

    def _between(self, found: list[list[Item]]) -> Iterator[Item]:
        """The items of all streams, by time, with the notes after the session's event."""
        items = found[0] if len(found) == 1 else sorted(chain(*found), key=_time)
        for item in items:
            yield item
            if self._notes and isinstance(item, Event) and item.kind == "session":
                yield self._notes.pop()

    @property
    def _at(self) -> float:
        return self._streams[0].recognizer.position / SAMPLE_RATE


def _time(item: Item) -> float:
    return item.end if isinstance(item, Reading) else item.at


class _Stream:
    """A sound's channel, or the mean of all, with the events that were noted beside it.

    Attributes:
        began: whether it took any sound.
        ended: whether no more of it is wanted.
    """

    _saved = ("_read", "_silence", "began", "ended")

    def __init__(
        self,
        recognizer: Recognizer,
        sound: SoundFile | Samples,
        channel: int | None,
        told: bool,
        events: list[Event],
        start: float,
        end: float | None,
    ) -> None:
        self.recognizer, self._sound, self._channel = recognizer, sound, channel
        self._told = channel if told else None  # what items say of it
        self._events = deque(event for event in events if event.at >= start)
        self._read = self._silence = 0  # frames of the file; those to come that stand for a gap
        before = [event for event in events if event.at < start]
        kept = [event for event in before if event.kind in ("session", "profile")]
        self._events.extendleft(reversed(kept))
        self._skip, begin = _frames_at(start, before, recognizer, sound.rate)
        self._end = math.inf if end is None else end
        if begin >= self._end:
            raise AudioError(
                f"{sound.name} has no sound from {start:g} to {self._end:g} s: it was lost or "
                f"paused until {begin:.2f} s; give a later end."
            )
        self.began = self.ended = False
        if begin:
            recognizer.reset(start=begin)

    def state(self) -> State:
        """All that the stream keeps; of its events, how many are left."""
        return {
            "recognizer": unpack(self.recognizer.state()),
            "events": len(self._events),
            **{name: getattr(self, name) for name in self._saved},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on as the stream whose `state` this is.

        Raises:
            KeyError, TypeError, ValueError: if it is not one.
            ModelError: likewise, of the recognizer.
        """
        if not 0 <= saved["events"] <= len(self._events):
            raise ValueError("the events beside the recording are others")
        values = {name: saved[name] for name in self._saved}
        if any(type(value) is not type(getattr(self, name)) for name, value in values.items()):
            raise TypeError("a value of another type")
        self.recognizer.restore(pack(saved["recognizer"]))
        for name, value in values.items():
            setattr(self, name, value)
        while len(self._events) > saved["events"]:
            self._events.popleft()

    def push(self, block: Array) -> Iterator[Item]:
        """Items of the next frames."""
        skipped = min(len(block), max(0, self._skip - self._read))
        self._read += skipped
        if skipped == len(block) or self.ended:
            return
        self.began = True
        for item in self._items(block[skipped:]):
            yield changed(item, channel=self._told) if self._told else item

    def finish(self) -> Iterator[Item]:
        """Items of what is left."""
        if not self.began:
            return
        for item in self.recognizer.finish():
            yield changed(item, channel=self._told) if self._told else item

    def _mono(self, frames: Array) -> Float32:
        try:
            return as_mono(frames, self._channel, self._sound.channels)
        except AudioError as error:
            raise placed(error, self._sound, self._read) from None

    def _items(self, rest: Array) -> Iterator[Item]:
        recognizer = self.recognizer
        while True:
            while self._events and round(self._events[0].at * SAMPLE_RATE) <= recognizer.position:
                event = self._events.popleft()
                lost = round(event.seconds * SAMPLE_RATE)
                self._silence += _silence(event, lost, recognizer)
                if lost > (left := self._left()):
                    if not left:
                        return
                    event, lost = _shortened(event, left / SAMPLE_RATE), left
                yield from _follow(event, lost, recognizer)
            count = min(len(rest), self._left())
            if not count:
                return
            if self._silence:
                now = rest[: self._silence]
                self._silence -= len(now)
            else:
                if self._events:
                    until = round(self._events[0].at * SAMPLE_RATE) - recognizer.position
                    count = min(count, until)
                now = rest[:count]
                yield from recognizer.push(self._mono(now), self._sound.rate)
            self._read += len(now)
            rest = rest[len(now) :]

    def _left(self) -> int:
        """Frames to the end that was asked for."""
        if math.isinf(self._end):
            return sys.maxsize
        if self._sound.rate == SAMPLE_RATE:  # gaps count, of which a recording holds a part
            left = round(self._end * SAMPLE_RATE) - self.recognizer.position
        else:
            left = round(self._end * self._sound.rate) - self._read
        self.ended = left <= 0
        return max(0, left)


def placed(error: AudioError, sound: SoundFile | Samples, frames: int) -> AudioError:
    """What is wrong with samples of a file, with where: after so many frames."""
    at = f"{sound.name}, after {frames / sound.rate:.2f} s"
    if isinstance(error, UnscaledError) and isinstance(sound, SoundFile):
        return AudioError(
            f"{at}, holds samples of {error.largest:.6g}, where full scale is 1: they were "
            f"written without being scaled. Scale it: {scale_command(sound.path, error.scale)}"
        )
    return AudioError(f"{at}: {error}")


def _frames_at(
    start: float, before: list[Event], recognizer: Recognizer, rate: int
) -> tuple[int, float]:
    """The frame of a file that belongs to a time, given the events before it; and its own time.

    That is later within a gap: what stands for one in the file is not its length.
    """
    gone = least = 0.0  # seconds that have no frames; stream time at which the newest gap ends
    for event in before:
        if event.seconds:
            silence = _silence(event, round(event.seconds * SAMPLE_RATE), recognizer) / SAMPLE_RATE
            gone += event.seconds - silence
            least = event.at + event.seconds
    begin = max(least, start)
    return round((begin - gone) * rate), begin


def _silence(event: Event, lost: int, recognizer: Recognizer) -> int:
    """How many frames of the recording stand for what was lost."""
    if event.silence is None:  # livesr 0.1 wrote what its Recognizer took for silence
        return recognizer.silence_of(lost)
    return round(event.silence * SAMPLE_RATE)


def _shortened(gap: Event, seconds: float) -> Event:
    """A gap as far as the end that was asked for."""
    silence = None if gap.silence is None else min(gap.silence, seconds)
    return changed(gap, seconds=seconds, silence=silence)


def _follow(event: Event, lost: int, recognizer: Recognizer) -> Iterator[Item]:
    yield event
    if event.kind == "reset":
        recognizer.reset(start=event.at)
    # With another profile or model a correction may be of a label that is not judged.
    elif event.kind == "teach":
        with suppress(ProfileError):
            recognizer.teach(event.text)
    elif event.kind == "untaught":
        with suppress(ProfileError):
            recognizer.untaught()
    if lost:
        yield from recognizer.skip(lost)
