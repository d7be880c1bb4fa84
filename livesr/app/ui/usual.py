"""What a voice usually sounds like, and what departs from that now."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from livesr.reading import Reading

LEAST_SECONDS = 10.0  # of speech, before anything is called usual
DEPARTS = 0.15  # that a smoothed probability is above the usual one to be named


@dataclass(slots=True)
class Usual:
    """Mean probabilities over a voice's speech so far.

    The newest window is left out, so that what is new is compared with what was before.

    Attributes:
        seconds: of speech that were counted.
    """

    seconds: float = 0.0
    _sums: dict[str, float] = field(default_factory=dict)
    _window: deque[tuple[float, float, Reading]] = field(default_factory=deque)
    _end: float = 0.0

    def add(self, reading: Reading) -> None:
        """Take the next reading."""
        lasted = max(0.0, reading.end - max(self._end, reading.start) - reading.gap)
        self._end = reading.end
        if reading.status in ("speech", "unsure"):
            self._window.append((reading.end, lasted * reading.speech, reading))
        while self._window and self._window[0][0] <= reading.start:
            _, spoken, old = self._window.popleft()
            if tuple(self._sums) != tuple(old.probabilities):  # a profile's own words, by now
                self.seconds, self._sums = 0.0, dict.fromkeys(old.probabilities, 0.0)
            self.seconds += spoken
            for label, share in old.probabilities.items():
                self._sums[label] += spoken * share

    @property
    def shares(self) -> dict[str, float]:
        """label -> mean probability; empty before `LEAST_SECONDS` of speech."""
        if self.seconds < LEAST_SECONDS:
            return {}
        return {label: total / self.seconds for label, total in self._sums.items()}

    def departure(self, reading: Reading) -> tuple[str, float] | None:
        """The label that is furthest above what is usual, and by how much.

        None where nothing is, where there is no speech, or before it is known.
        """
        shares = self.shares
        if reading.status not in ("speech", "unsure") or tuple(shares) != tuple(reading.smoothed):
            return None
        above = {label: share - shares[label] for label, share in reading.smoothed.items()}
        label = max(above, key=above.__getitem__)
        return (label, above[label]) if above[label] >= DEPARTS else None
