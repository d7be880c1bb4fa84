"""What happens to a stream, beside its sound."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from livesr.reading import LONGEST_TEXT, MOST_SECONDS, Reading, check_names

Kind = Literal[
    "session",
    "gap",
    "reset",
    "mark",
    "device",
    "silence",
    "recording",
    "file",
    "note",
    "profile",
    "teach",
    "untaught",
]
PAUSED = "paused"  # text of a gap that the user made
_MOST_ABOUT = 32  # values of a session, from a file
_LARGEST_ABOUT = 1e300  # of its numbers
_LONGEST_DATA = 2**20  # characters


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a reading cannot say.

    Attributes:
        kind: "gap" (sound was lost), "reset" (the stream was forgotten), "mark" (the user's),
            "device" (a microphone went or came back), "silence" (no voice can arrive: nothing
            but zeros do, or the channels cancel each other out), "recording" (it had to end),
            "file" (a part of it could not be used), "note" (a word that changes nothing),
            "profile" (what was known of the voice at the start), "teach" (the last 3 s were what
            `text` says), "untaught" (the last correction is taken back) or "session" (how it was
            listened to; the first of all).
        at: seconds of stream time.
        seconds: how long a gap is.
        text: why, or what, in a few words.
        silence: of a gap, how many seconds of silence stand for it in the recording; None where
            there is no recording, or one by livesr 0.1.
        channel: as of `Reading`; not compared.
        about: of a session: "started" (wall clock, ISO 8601), "livesr" (its version), "model",
            "model_sha256", "hop", "channel" and "profile".
        data: of "profile", the profile beside a recording, base64; empty elsewhere.

    Example:
        >>> Event("mark", at=1.5, text="a door").to_dict()
        {'event': 'mark', 'at': 1.5, 'text': 'a door'}
        >>> Event.from_dict({"event": "gap", "at": 2.0, "seconds": 0.5}).seconds
        0.5
    """

    kind: Kind
    at: float
    seconds: float = 0.0
    text: str = ""
    silence: float | None = None
    channel: int | None = field(default=None, compare=False)
    about: Mapping[str, str | float | None] = field(default_factory=dict, hash=False)
    data: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the key "event" tells it from a reading.

        Without `data`, which is for a recording alone.
        """
        values: dict[str, Any] = {"event": self.kind, "at": self.at}
        if self.kind == "gap":
            values["seconds"] = self.seconds
            if self.silence is not None:
                values["silence"] = self.silence
        if self.text:
            values["text"] = self.text
        if self.channel is not None:
            values["channel"] = self.channel
        return values | ({"about": dict(self.about)} if self.about else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Event:
        """The event that `to_dict` gave these values.

        Raises:
            UnknownKindError: if it is of a kind that this livesr does not know.
            ValueError: if a name is missing, or a value is one that no event has; says which.
            TypeError: if a value is of a type that no event has there.
        """
        check_names(values, ("event", "at"), "an event")
        if isinstance(values["event"], str) and values["event"] not in get_args(Kind):
            raise UnknownKindError(f"no such event: {values['event']:.40}")
        kind, text = values["event"], values.get("text", "")
        try:
            at, seconds = float(values["at"]), float(values.get("seconds", 0.0))
            silence = None if values.get("silence") is None else float(values["silence"])
        except OverflowError:
            raise ValueError("a number that cannot be") from None
        data = values.get("data", "")
        known = kind in get_args(Kind) and isinstance(text, str) and isinstance(data, str)
        if not (known and math.isfinite(at) and math.isfinite(seconds) and min(at, seconds) >= 0):
            raise ValueError(f"no such event: {json.dumps(dict(values)):.200}")
        if silence is not None and not 0 <= silence <= seconds:
            raise ValueError("a gap with more silence than it lasts")
        if max(at, seconds) > MOST_SECONDS:
            raise ValueError("a time that cannot be")
        channel, about = values.get("channel"), values.get("about", {})
        if not (channel is None or (type(channel) is int and channel > 0)):
            raise ValueError("a channel that cannot be")
        plain = isinstance(about, dict) and len(about) <= _MOST_ABOUT
        if not plain or not all(_short(value) for pair in about.items() for value in pair):
            raise ValueError("a session that says what none says")
        if len(data) > _LONGEST_DATA:
            raise ValueError("a profile too large to be one")
        return cls(kind, at, seconds, text, silence, channel, about, data=data)


class UnknownKindError(ValueError):
    """An event by a later livesr: who reads a file leaves it out."""


def _short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return value is None or (type(value) in (int, float) and abs(value) <= _LARGEST_ABOUT)  # type: ignore[arg-type]


Item = Reading | Event  # what a session gives, in order
