"""What a stream came to: how long each emotion, when it turned, how much was not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from livesr.event import PAUSED, Event
from livesr.reading import Reading, Status
from livesr.settings import SPEECH_THRESHOLD

_LEAST_WEIGHT = 0.001  # of a reading without speech, in the verdict


@dataclass(slots=True)
class Summary:
    """Grows by one reading at a time; each stands for the time since the one before.

    Events may be added too: they tell a pause of the user's from sound that was lost.

    Attributes:
        seconds: of stream time, by status.
        labelled: seconds of each label.
        turns: stream time and label, each time the label differs from the last one given; the
            first `most_turns` of them.
        turned: how many there were in all.
        begin: stream time at which the first reading begins: 0, but for a part of a recording.
        end: stream time of the newest reading.
        gaps: seconds of sound that did not arrive.
        paused: of these, seconds that the user paused.
        spoken: seconds of voice: of each reading's time, its probability of speech.

    Example:
        >>> import livesr
        >>> summary = Summary()
        >>> for reading in livesr.replay("talk.flac"):
        ...     summary.add(reading)
        >>> round(sum(summary.probabilities.values()), 6)
        1.0
    """

    labels: Sequence[str] = ()
    seconds: dict[Status, float] = field(default_factory=dict)
    labelled: dict[str, float] = field(default_factory=dict)
    turns: list[tuple[float, str]] = field(default_factory=list)
    begin: float = 0.0
    end: float = 0.0
    gaps: float = 0.0
    paused: float = 0.0
    turned: int = 0
    most_turns: int = 2000
    spoken: float = 0.0
    _newest: str = ""
    _weighted: dict[str, float] = field(default_factory=dict)  # sums over the readings
    _weight: float = 0.0
    _voice: bool = False

    def add(self, item: Reading | Event) -> None:
        """Count one more reading, or an event."""
        if isinstance(item, Reading):
            self._add(item)
        elif item.kind == "gap" and item.text == PAUSED:
            self.paused += item.seconds

    def _add(self, reading: Reading) -> None:
        if not self._weight:
            self.begin = self.end = max(self.end, reading.start)
        lasted = max(0.0, reading.end - self.end - reading.gap)
        self.end = reading.end
        self.gaps += reading.gap
        weight = max(reading.speech, _LEAST_WEIGHT)
        self._weight += weight
        for name, value in reading.probabilities.items():
            self._weighted[name] = self._weighted.get(name, 0.0) + weight * value
        self.spoken += lasted * reading.speech
        # In a long hop a word is a small part; a reading with a label has heard it all the same.
        heard = reading.label is not None or reading.speech > SPEECH_THRESHOLD
        self._voice = self._voice or heard
        self.labels = self.labels or tuple(reading.probabilities)
        self.seconds[reading.status] = self.seconds.get(reading.status, 0.0) + lasted
        if reading.label is None:
            return
        self.labelled[reading.label] = self.labelled.get(reading.label, 0.0) + lasted
        if reading.label == self._newest:
            return
        self._newest = reading.label
        self.turned += 1
        if len(self.turns) < self.most_turns:
            self.turns.append((reading.end, reading.label))

    @property
    def lost(self) -> float:
        """Seconds of sound that were lost."""
        return max(0.0, self.gaps - self.paused)

    @property
    def probabilities(self) -> dict[str, float]:
        """Label -> mean of the readings' probabilities, each weighted by its speech; sums to 1.

        A window without speech weighs a thousandth of one that is full of it. Empty before the
        first reading.
        """
        return {name: value / self._weight for name, value in self._weighted.items()}

    @property
    def label(self) -> str | None:
        """The verdict on all of it: the most probable emotion; None without speech."""
        found = self.probabilities
        return max(found, key=found.__getitem__) if found and self._voice else None

    @property
    def turning_points(self) -> tuple[tuple[float, str], ...]:
        """`turns`, as they are."""
        return tuple(self.turns)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "label": self.label,
            "probabilities": self.probabilities,
            "shares": self.shares,
            "turning_points": [list(turn) for turn in self.turns],
            "begin": self.begin,
            "end": self.end,
            "spoken": self.spoken,
            "seconds": dict(self.seconds),
            "labelled": dict(self.labelled),
            "paused": self.paused,
            "lost": self.lost,
        }

    @property
    def shares(self) -> dict[str, float]:
        """Share of the time with a label, by label; sums to 1 where there was any."""
        total = sum(self.labelled.values())
        return {
            name: self.labelled.get(name, 0.0) / total if total else 0.0 for name in self.labels
        }
