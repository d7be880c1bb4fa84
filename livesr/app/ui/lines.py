"""A reading or an event as one plain line, for what is not a terminal."""

from __future__ import annotations

from livesr.event import Event
from livesr.reading import LONGEST_TEXT, Reading
from livesr.text import made_printable

ABSENCES = {"no-speech": "no speech", "unsure": "unsure", "warming-up": "warming up"}
# Kinds of events as people say them; others by the name that JSON lines have.
_EVENT_NAMES = {
    "session": "started",
    "gap": "sound lost",
    "teach": "correction",
    "untaught": "correction undone",
}
_SAID_CELLS = 31  # "unsure: too little speech yet", the longest, and a gap


def line(reading: Reading) -> str:
    """Stream time, label or why there is none, smoothed probabilities, speech and level."""
    said = reading.label or ABSENCES[reading.status]
    if reading.status == "unsure":
        said += f": {reading.reason}"
    shares = "  ".join(f"{label} {share:.2f}" for label, share in reading.smoothed.items())
    return (
        f"{reading.end:8.2f} s  {said:<{_SAID_CELLS}}{shares}  "
        f"speech {reading.speech:.2f}  {reading.level_dbfs:6.1f} dBFS"
    )


def event_name(kind: str) -> str:
    """What a kind of event is called on the screen."""
    return _EVENT_NAMES.get(kind, kind)


def event_line(event: Event) -> str:
    """Stream time, and what happened."""
    lasted = f", {event.seconds:.2f} s" if event.kind == "gap" else ""
    # From outside: a device's name, or whatever a file holds.
    text = made_printable(event.text[:LONGEST_TEXT])
    why = f": {text}" if text else ""
    return f"{event.at:8.2f} s  -- {event_name(event.kind)}{lasted}{why}"
