"""A microphone's sound on its way to readings: resampled, rounded, recorded, recognised."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from livesr.arrays import Float32
from livesr.errors import AudioError, LivesrError
from livesr.event import Event, Item, Kind
from livesr.files.recording import Recording, silence_for, to_grid
from livesr.profile import Profile
from livesr.recognizer import Recognizer
from livesr.settings import SAMPLE_RATE
from livesr.stages.resample import Resampler
from livesr.stages.samples import as_mono


class Capture:
    """What microphones deliver and lose, in order, turned into readings and events.

    Stream time counts what the microphone has delivered or lost, so it keeps pace with real
    time. All sound that the recognizer gets is in the recording; events go beside it.

    Args:
        recognizer: a new one; nothing else may push into it.
        recording: takes all sound; closed by `finish`.
    """

    def __init__(self, recognizer: Recognizer, recording: Recording | None = None) -> None:
        self._recognizer, self._recording = recognizer, recording
        # Set when a push is over: the recognizer's own position moves back and forth inside one.
        self._position = recognizer.position
        self.lost: Counter[str] = Counter()  # samples at 16 kHz, by why
        self._start(SAMPLE_RATE)

    @property
    def seconds(self) -> float:
        """Stream time so far; other threads may ask."""
        return self._position / SAMPLE_RATE

    def note_session(self, about: Mapping[str, str | float | None]) -> list[Item]:
        """How it is listened to: the first event of all, beside the recording too."""
        event = Event("session", self.seconds, about=about)
        return [event, *self._record(event)]

    def begin(self, rate: int) -> list[Item]:
        """From now on a device with this rate delivers."""
        items = self._flush()
        self._start(rate)
        return items

    def _start(self, rate: int) -> None:
        self._rate, self._resampler = rate, Resampler(rate, SAMPLE_RATE)
        self._began, self._frames = self._recognizer.position, 0

    def frame_of(self, seconds: float) -> int:
        """How many frames, lost ones included, the device had counted by this stream time."""
        return -(-(round(seconds * SAMPLE_RATE) - self._began) * self._rate // SAMPLE_RATE)

    @property
    def held_back(self) -> int:
        """Frames that the resampler keeps until it gets what follows."""
        return max(0, self._frames - self.frame_of(self.seconds))

    def push(self, samples: Float32) -> list[Item]:
        """float32 [n, channels] that the device delivered; what is not a number is lost."""
        try:
            mono = as_mono(samples)
        except AudioError:
            return self.lose(len(samples), "the device delivered what is not sound")
        self._frames += len(samples)
        return self._take(self._resampler.push(mono))

    def lose(self, frames: int, why: str) -> list[Item]:
        """So many of the device's frames were lost."""
        self._frames += frames
        return self._gap(why)

    def pause(self, seconds: float, why: str) -> list[Item]:
        """So many seconds went by without a device that delivers."""
        self._began += round(seconds * SAMPLE_RATE)
        return self._gap(why)

    def reset(self) -> list[Item]:
        """Forget the voice; the clock goes on."""
        items: list[Item] = [*self._flush()]
        self._recognizer.reset(start=self.seconds)
        return items + self.note("reset")

    def begin_profile(self) -> list[Item]:
        """Note what is known of the voice at the start; its vectors only beside the recording."""
        profile = self._recognizer.profile
        if profile is None:
            return []
        return self.note("profile", profile.name, data=b64encode(profile.to_bytes()).decode())

    def teach(self, label: str) -> list[Item]:
        """What was said just now was this.

        Raises:
            ProfileError: as `Recognizer.teach`.
        """
        self._recognizer.teach(label)
        return self.note("teach", label)

    def untaught(self) -> list[Item]:
        """The last correction is taken back.

        Raises:
            ProfileError: if there is none.
        """
        self._recognizer.untaught()
        return self.note("untaught")

    @property
    def profile(self) -> Profile | None:
        """What is known of the voice."""
        return self._recognizer.profile

    @property
    def labels(self) -> tuple[str, ...]:
        """What is judged."""
        return self._recognizer.labels

    def note(
        self,
        kind: Kind,
        text: str = "",
        seconds: float = 0.0,
        silence: float | None = None,
        data: str = "",
    ) -> list[Item]:
        """Something happened now."""
        event = Event(kind, self.seconds, seconds, text, silence, data=data)
        return [replace(event, data=""), *self._record(event)]

    def finish(self) -> list[Item]:
        """The end of the session, and of its recording."""
        items: list[Item] = [*self._flush(), *self._recognizer.finish()]
        # A thread that PortAudio never lets go keeps this object to the process's end, where
        # soxr's binding would complain of a stream of its that is left.
        self._resampler = Resampler(SAMPLE_RATE, SAMPLE_RATE)
        if self._recording:
            self._recording.close()
        return items

    def _gap(self, why: str) -> list[Item]:
        """Catch up with the device's clock."""
        items: list[Item] = [*self._flush()]
        now = self._began + self._frames * SAMPLE_RATE // self._rate
        lost = max(0, now - self._recognizer.position)
        if not lost:
            return items
        self.lost[why] += lost
        silence = silence_for(lost)
        items += self.note("gap", why, lost / SAMPLE_RATE, silence / SAMPLE_RATE)
        written = self._record(np.zeros(silence, np.float32))
        items += [*written, *self._recognizer.skip(lost)]
        self._position = self._recognizer.position
        return items

    def _flush(self) -> list[Item]:
        """What the resampler held back: the device's sound does not go on from it."""
        return self._take(self._resampler.finish())

    def _take(self, samples: Float32) -> list[Item]:
        rounded = to_grid(samples)
        items = [*self._record(rounded), *self._recognizer.push(rounded)]
        self._position = self._recognizer.position
        return items

    def _record(self, what: Float32 | Event) -> list[Item]:
        if self._recording is None:
            return []
        try:
            if isinstance(what, Event):
                self._recording.event(what)
            else:
                self._recording.write(what)
        except LivesrError as error:
            # Listening is worth more than the recording of it.
            self._recording.close()
            self._recording = None
            return [Event("recording", self.seconds, text=str(error))]
        return []
