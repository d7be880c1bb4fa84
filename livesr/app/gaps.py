"""A recording's sound and its stream time, which differ after a long gap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from livesr.event import Event
from livesr.files.recording import read_events
from livesr.settings import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a recording leaves out: of a long gap, a pause too, it holds the last seconds only.

    Attributes:
        left_out: stream time, and the seconds from there on that the sound does not have.

    Example:
        >>> gaps = Gaps(((10.0, 57.0),))
        >>> gaps.to_sound(70.0), gaps.to_stream(13.0)
        (13.0, 70.0)
    """

    left_out: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event]) -> Gaps:
        """Those of some events, in order of time."""
        found = ((e.at, e.seconds - e.silence) for e in events if e.silence is not None)
        return cls(tuple((at, seconds) for at, seconds in found if seconds > 0))

    @classmethod
    def beside(cls, path: str | Path, rate: int) -> Gaps:
        """Those that are noted beside a recording of this sample rate; none of another file.

        Raises:
            AudioError: if the events cannot be read.
        """
        return cls.of(read_events(path)) if rate == SAMPLE_RATE else cls()

    @property
    def seconds(self) -> float:
        """How much is left out in all."""
        return sum(seconds for _, seconds in self.left_out)

    def to_sound(self, time: float) -> float:
        """Seconds of the sound at a stream time; of one that is left out, where that begins."""
        less = 0.0
        for at, seconds in self.left_out:
            less += min(seconds, max(0.0, time - at))
        return time - less

    def to_stream(self, place: float) -> float:
        """Stream time at so many seconds of the sound."""
        for at, seconds in self.left_out:
            if place < at:
                break
            place += seconds
        return place
