"""What a stream looks like now, for `Picture` to draw; without rich, which nothing else needs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from livesr.app.ui.usual import Usual
from livesr.event import Event, Item
from livesr.reading import Reading
from livesr.settings import DecisionSettings

HISTORY_SECONDS = 60.0  # of readings kept; a shorter file fills the width by itself


@dataclass(slots=True)
class View:
    """What a stream looks like now; `take` what comes, then draw it.

    Attributes:
        source: the file or device.
        model: the network's name.
        duration: seconds that the source lasts, for the progress bar; None where it has no end.
        facts: what else the footer says.
        keys: what the keyboard does, at the footer's right.
        settings: the model's, for its window and rules; None where they are not known.
        notice: why what is shown is not live: paused, or a microphone that has gone.
        note: what a key did, for a moment.
        now: stream time, where it is known between readings.
        level: root mean square and peak of this moment, dBFS, where known.
        legend: whether the meaning of everything lies over the picture.
        corrects: whether the keys 1 to 9 correct a label.
        readings: of the last minute.
        events: of the last minute.
        usual: what the voice sounded like so far.
        recording: the file that a microphone is recorded to; empty for none.
    """

    source: str
    model: str
    duration: float | None = None
    facts: dict[str, str] = field(default_factory=dict)
    keys: str = ""
    settings: DecisionSettings | None = None
    notice: str = ""
    note: str = ""
    now: float = 0.0
    level: tuple[float, float] | None = None
    legend: bool = False
    corrects: bool = False
    readings: deque[Reading] = field(default_factory=deque)
    events: deque[Event] = field(default_factory=deque)
    usual: Usual = field(default_factory=Usual)
    recording: str = ""

    def take(self, item: Item) -> None:
        """Show a reading as the newest, or an event in the history."""
        if isinstance(item, Reading):
            self.add(item)
            return
        self.events.append(item)
        if item.kind == "reset":  # another speaker
            self.usual = Usual()

    def clear(self) -> None:
        """Forget what is shown."""
        self.readings.clear()
        self.events.clear()
        self.usual = Usual()

    def add(self, reading: Reading) -> None:
        """Show this reading as the newest; what is over a minute old is forgotten."""
        self.readings.append(reading)
        self.usual.add(reading)
        while self.readings[0].end < reading.end - HISTORY_SECONDS:
            self.readings.popleft()
        while self.events and self.events[0].at < reading.end - HISTORY_SECONDS:
            self.events.popleft()

    def window(self) -> float:
        """Seconds that a reading looks back on: the model's, or what the readings say."""
        if self.settings:
            return self.settings.window_seconds
        longest = max((reading.end - reading.start for reading in self.readings), default=1.0)
        return max(0.1, round(longest, 2))

    def held(self) -> str | None:
        """The label shown last."""
        return next((reading.label for reading in reversed(self.readings) if reading.label), None)
