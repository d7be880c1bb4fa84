"""What happens to a stream, beside its sound."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from livesr.reading import MOST_SECONDS, Reading

Kind = Literal["gap", "reset", "mark", "device", "silence", "recording"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a reading cannot say.

    Attributes:
        kind: "gap" (sound was lost), "reset" (the stream was forgotten), "mark" (the user's),
            "device" (a microphone went or came back), "silence" (no voice can arrive: nothing
            but zeros do, or the channels cancel each other out) or "recording" (it had to end).
        at: seconds of stream time.
        seconds: how long a gap is.
        text: why, or what, in a few words.
        silence: of a gap, how many seconds of silence stand for it in the recording; None where
            there is no recording, or one by livesr 0.1.
    """

    kind: Kind
    at: float
    seconds: float = 0.0
    text: str = ""
    silence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; the key "event" tells it from a reading."""
        values: dict[str, Any] = {"event": self.kind, "at": self.at}
        if self.kind == "gap":
            values["seconds"] = self.seconds
            if self.silence is not None:
                values["silence"] = self.silence
        return {**values, "text": self.text} if self.text else values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Event:
        """The event that `to_dict` gave these values.

        Raises:
            KeyError, TypeError, ValueError: if they are not such values.
        """
        kind, text = values["event"], values.get("text", "")
        at, seconds = float(values["at"]), float(values.get("seconds", 0.0))
        silence = None if values.get("silence") is None else float(values["silence"])
        known = kind in get_args(Kind) and isinstance(text, str)
        if not (known and math.isfinite(at) and math.isfinite(seconds) and min(at, seconds) >= 0):
            raise ValueError(f"no such event: {json.dumps(dict(values)):.200}")
        if silence is not None and not 0 <= silence <= seconds:
            raise ValueError("a gap with more silence than it lasts")
        if max(at, seconds) > MOST_SECONDS:
            raise ValueError("a time that cannot be")
        return cls(kind, at, seconds, text, silence)


Item = Reading | Event  # what a session gives, in order
