"""What a stream came to: how long each emotion, when it turned, how much was not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from livesr.reading import Reading, Status

_MOST_TURNS = 12
_UNLABELLED: dict[Status, str] = {
    "no-speech": "no speech",
    "unsure": "unsure",
    "warming-up": "warming up",
}


@dataclass(slots=True)
class Summary:
    """Grows by one reading at a time; each stands for the time since the one before.

    Attributes:
        seconds: of stream time, by status.
        labelled: seconds of each label.
        turns: stream time and label, each time the label differs from the last one given; the
            first `most_turns` of them.
        turned: how many there were in all.
        end: stream time of the newest reading.
        lost: seconds that were not heard.
    """

    labels: Sequence[str]
    seconds: dict[Status, float] = field(default_factory=dict)
    labelled: dict[str, float] = field(default_factory=dict)
    turns: list[tuple[float, str]] = field(default_factory=list)
    end: float = 0.0
    lost: float = 0.0
    turned: int = 0
    most_turns: int = 2000
    _newest: str = ""

    def add(self, reading: Reading) -> None:
        """Count one more reading."""
        lasted = max(0.0, reading.end - self.end - reading.gap)
        self.end = reading.end
        self.lost += reading.gap
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

    def shares(self) -> dict[str, float]:
        """Share of the labelled speech time, by label; sums to 1 where there was any."""
        total = sum(self.labelled.values())
        return {
            name: self.labelled.get(name, 0.0) / total if total else 0.0 for name in self.labels
        }

    def lines(self) -> list[str]:
        """The summary in plain words, a line each."""
        spoken = self.seconds.get("speech", 0.0)
        lines = [f"{self.end:.1f} s heard, {spoken:.1f} s of it speech with a label"]
        ranked = sorted(self.shares().items(), key=lambda item: -item[1])
        if spoken:
            lines.append("  ".join(f"{name} {share:.0%}" for name, share in ranked))
            shown = self.turns[:_MOST_TURNS]
            turns = ", ".join(f"{time:.2f} s {label}" for time, label in shown)
            more = self.turned - len(shown)
            lines.append("turning points: " + turns + (f" and {more} more" if more else ""))
        rest = [
            f"{self.seconds.get(status, 0.0):.1f} s {words}"
            for status, words in _UNLABELLED.items()
        ]
        if self.lost:
            rest.append(f"{self.lost:.1f} s not heard")
        return [*lines, ", ".join(rest)]
