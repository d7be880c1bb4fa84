"""Cuts a stream into hops, counted from its first sample, and keeps the stream's clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from livesr.arrays import Float32
from livesr.errors import AudioError, LivesrError, ModelError
from livesr.reading import LATEST_START_SECONDS
from livesr.settings import FrontEndSettings
from livesr.stages.samples import in_words
from livesr.stages.stage import MOST_SAMPLES, Stage

NUMBERS = (int, float, np.integer, np.floating)
_LEAST_SILENCE_SECONDS = 4  # that stand for a long gap


class HopCutter(Stage):
    """Cuts 16 kHz samples into hops and counts stream time, in 16 kHz samples.

    Args:
        hop: seconds, a multiple of 0.01 from 0.02 to 3.
        settings: of the front end, whose frame shifts make up a hop.
        window_seconds: how far back a reading looks.

    Attributes:
        waiting: float32 [n], less than a hop.
        position: samples that readings have covered.
        start: stream time before the first of them.
        jumped: what long gaps moved the clock by, unheard.
        lost: samples lost since the last reading.
        unheard: of them, what a long gap moved the clock by.

    Raises:
        LivesrError: if the hop is not one of those.
    """

    _fields = ("waiting", "position", "start", "jumped", "lost", "unheard")

    def __init__(self, hop: float, settings: FrontEndSettings, window_seconds: float) -> None:
        self._rate = settings.sample_rate
        self.hop_samples = _whole_shifts(hop, settings)
        # Longer than the window: then the window holds nothing but the silence.
        seconds = math.ceil(max(_LEAST_SILENCE_SECONDS, window_seconds + 1))
        self._longest_silence = seconds * self._rate
        self.reset()

    def reset(self, start: Any = 0.0) -> None:
        """Begin anew at `start` seconds of stream time.

        Raises:
            AudioError: if it cannot be a time. Nothing is changed then.
        """
        if not (isinstance(start, NUMBERS) and 0 <= start <= LATEST_START_SECONDS):
            raise AudioError(
                f"A stream cannot start at {in_words(start)} s; give 0 to "
                f"{LATEST_START_SECONDS:.0f} s."
            )
        self.waiting: Float32 = np.zeros(0, np.float32)
        self.start = round(float(start) * self._rate)
        self.position = self.jumped = self.lost = self.unheard = 0

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        state = {"unheard": 0, **state}  # 0.2.0's first states have none
        for name in self._fields[1:]:
            if type(state.get(name)) is not int or not 0 <= state[name] <= MOST_SAMPLES:
                raise ModelError(f"The saved state cannot be used: {name} is no sample count.")
        super().restore(state, taken)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        """`taken` is the position that readings have covered."""
        return {
            "position": (0, taken % self.hop_samples),
            "waiting": (True, len(values["waiting"]) < self.hop_samples),
        }

    @property
    def ahead(self) -> int:
        """Stream time less `position`: where the stream began, and long gaps since."""
        return self.start + self.jumped

    @property
    def now(self) -> int:
        """Stream time of the newest sample pushed or skipped."""
        return self.ahead + self.position + len(self.waiting)

    @property
    def due(self) -> int:
        """Stream time at which the next reading ends."""
        return self.ahead + self.position + self.hop_samples

    def push(self, samples: Float32, lost: bool = False) -> Iterator[Float32]:
        """float32 [n] -> every hop now whole; `cover` each before the next is taken."""
        while len(self.waiting) + len(samples) >= self.hop_samples:
            room = self.hop_samples - len(self.waiting)
            self.lost += room if lost else 0
            hop = np.concatenate((self.waiting, samples[:room]))
            # Removed before it is given, so that no frame counts twice if a stage fails.
            self.waiting, samples = self.waiting[:0], samples[room:]
            yield hop
        self.lost += len(samples) if lost else 0
        self.waiting = np.concatenate((self.waiting, samples))

    def finish(self) -> Float32:
        """What is left of a hop, float32 [n]."""
        rest, self.waiting = self.waiting, self.waiting[:0]
        return rest

    def cover(self, count: int) -> tuple[int, bool]:
        """A reading covers so many more.

        Returns:
            How many were lost since the one before, and whether all that it covers was.
        """
        lost, missing = self.lost, self.lost - self.unheard >= count
        self.lost = self.unheard = 0
        self.position += count
        return lost, missing

    def silence_of(self, lost: int) -> int:
        """How many of `lost` samples count as silence; the others are whole hops."""
        most = self._longest_silence
        return lost if lost <= most else most + (lost - most) % self.hop_samples

    def jump(self, count: int) -> None:
        """Move the clock on by `count` samples without readings."""
        self.jumped += count
        self.lost += count
        self.unheard += count


def _whole_shifts(hop: Any, settings: FrontEndSettings) -> int:
    """The hop in samples: a whole number of frame shifts."""
    shift, rate = settings.shift_samples, settings.sample_rate
    if isinstance(hop, NUMBERS) and not isinstance(hop, bool) and 0.0199 <= hop <= 3.001:
        shifts = round(float(hop) * rate / shift)
        # float32 has 7 digits: np.float32(0.1) is a tenth of a second as meant.
        if math.isclose(shifts * shift / rate, hop, rel_tol=1e-6):
            return shifts * shift
    raise LivesrError(
        f"A hop of {in_words(hop)} s cannot be used; give a multiple of 0.01 s, 0.02 to 3 s."
    )
