"""What livesr says, several times a second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from livesr.arrays import Float32, Float64
from livesr.settings import MOST_CHANNELS
from livesr.text import printable

MOST_SECONDS = 1e8  # of stream time: three years
LATEST_START_SECONDS = MOST_SECONDS / 2  # of a stream, which then may last as long again
_LEAST_TOLD = 0.05  # a smaller share is not worth a language model's attention
LONGEST_TEXT = 200  # characters of a reason, or of an event's text, from a file
LONGEST_LABEL = 40  # characters
MOST_LABELS = 16
Status = Literal["speech", "no-speech", "unsure", "warming-up"]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What livesr says about the last seconds of a stream (the model's window, 3 s).

    Two readings are equal when every value is, bit for bit.

    Attributes:
        start: first second of stream time that it covers.
        end: last second of it; no sound after it was used, and all up to here, but that a
            pretrained encoder (the default and `open`) takes whole quarter seconds of the stream:
            at a hop that is none, up to 0.25 s wait for the next reading, and `attention_times`
            says which moments count.
        status: "speech" (there is a label), "no-speech", "unsure" (too little speech, no emotion
            probable enough, or two too close) or "warming-up" (less than 1 s of sound).
        label: the emotion, held against flicker; None unless `status` is "speech".
        reason: why there is no label, in a few words; None when there is one.
        probabilities: label -> probability for this window, calibrated; nearer to each other where
            it holds little speech; sums to 1.
        smoothed: label -> probability over the last second or so of speech; sums to 1.
        attention: float32 [T], how much each moment weighed; sums to 1 (empty before the first).
        attention_times: float64 [T], seconds of stream time at the middle of those moments.
        speech: probability, 0 to 1, of speech in the newest hop.
        level_dbfs: root-mean-square level of the newest hop, dB re full scale, -120 or above.
        gap: seconds, of those since the reading before, that were lost and count as silence.
        profile: name of the profile that judged it; None without one.
        channel: of a file whose channels are separate streams: which, from 1. None otherwise; it
            is not compared.

    Example:
        >>> import livesr
        >>> reading = livesr.Recognizer().skip(4000)[0]  # a quarter of a second was lost
        >>> reading.end, reading.status, reading.label, reading.gap
        (0.25, 'warming-up', None, 0.25)
    """

    start: float
    end: float
    status: Status
    label: str | None
    reason: str | None
    probabilities: dict[str, float]
    smoothed: dict[str, float]
    attention: Float32
    attention_times: Float64
    speech: float
    level_dbfs: float
    gap: float = 0.0
    channel: int | None = None
    profile: str | None = None

    def to_dict(self, *, attention: bool = True) -> dict[str, Any]:
        """Plain values, ready for JSON; attention to 6 significant digits, times to 0.1 ms.

        Args:
            attention: whether to have "attention" and "attention_times", nine tenths of it all.

        Example:
            >>> import json, livesr
            >>> reading = next(livesr.replay("talk.flac"))
            >>> json.loads(json.dumps(reading.to_dict()))["end"]
            0.25
            >>> "attention" in reading.to_dict(attention=False)
            False
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("probabilities", "smoothed"):
            values[name] = dict(values[name])
        for name in ("channel", "profile"):
            if values[name] is None:
                del values[name]
        if not attention:
            del values["attention"], values["attention_times"]
            return values
        # `tolist` first: Python's own numbers are formatted at a third of numpy's cost.
        values["attention"] = [float(f"{weight:.6g}") for weight in self.attention.tolist()]
        values["attention_times"] = [round(time, 4) for time in self.attention_times.tolist()]
        return values

    def to_rcs(self) -> str:
        """The reading as text for a language model, put before what a user said.

        Labels with a smoothed probability of 0.05 or more, highest first, such as
        "([emotion angry=0.71, neutral=0.20])"; empty where there is no label.

        Example:
            >>> import livesr
            >>> texts = [reading.to_rcs() for reading in livesr.replay("conversation.flac")]
            >>> max(texts, key=len)[:10]
            '([emotion '
        """
        if self.label is None:
            return ""
        ranked = sorted(self.smoothed.items(), key=lambda item: -item[1])
        told = [f"{name}={share:.2f}" for name, share in ranked if share >= _LEAST_TOLD]
        return f"([emotion {', '.join(told)}])"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """The reading that `to_dict` gave these values (attention as it was rounded, or none).

        The values may come from a stranger's file: each is checked.

        Raises:
            ValueError: if a name is missing, or a value is one that no reading has; says which.
            TypeError: if a value is of a type that no reading has there.
        """
        later = ("attention", "attention_times", "gap", "channel", "profile")
        needed = [field.name for field in fields(cls) if field.name not in later]
        check_names(values, needed, "a reading")
        known = {name: values[name] for name in needed}
        try:
            with np.errstate(over="ignore"):  # an infinity is refused below
                reading = cls(
                    **known,
                    attention=np.asarray(values.get("attention", ()), np.float32),
                    attention_times=np.asarray(values.get("attention_times", ()), np.float64),
                    gap=values.get("gap", 0.0),
                    channel=values.get("channel"),
                    profile=values.get("profile"),
                )
            fault = _fault(reading)
        except OverflowError:
            fault = "a number that cannot be"
        if fault:
            raise ValueError(fault)
        return reading

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reading):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
            if field.name != "channel"
        )


def check_names(values: Mapping[str, Any], needed: Sequence[str], what: str) -> None:
    """Refuse plain values that lack a name.

    Raises:
        ValueError: with the names that are missing.
    """
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"{what} without {', '.join(missing)}")


def _fault(reading: Reading) -> str:
    """Which value no reading of livesr's has, in a few words; empty if there is none."""
    tables = reading.probabilities, reading.smoothed
    if not all(isinstance(table, dict) and 0 < len(table) <= MOST_LABELS for table in tables):
        return "no probabilities"
    labels = list(reading.smoothed)
    if list(reading.probabilities) != labels:
        return "probabilities of other labels than the smoothed ones"
    if not all(printable(name, LONGEST_LABEL) for name in labels):
        return "a label that cannot be shown"
    shares = [reading.speech, *reading.probabilities.values(), *reading.smoothed.values()]
    numbers = [reading.start, reading.end, reading.level_dbfs, reading.gap, *shares]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        return "a value that is no number"
    weights, times, channel = reading.attention, reading.attention_times, reading.channel
    named = reading.label in labels if reading.status == "speech" else reading.label is None
    checks = {
        "a channel that cannot be": channel is None
        or (type(channel) is int and 0 < channel <= MOST_CHANNELS),
        "a time that cannot be": 0 <= reading.start <= reading.end <= MOST_SECONDS,
        "a gap that cannot be": 0 <= reading.gap <= MOST_SECONDS,
        "a level that cannot be": abs(reading.level_dbfs) <= 1000,
        "a probability that cannot be": all(0 <= share <= 1.001 for share in shares),
        "a status that cannot be": reading.status in get_args(Status) and named,
        "a reason that is no text": reading.reason is None
        or printable(reading.reason, LONGEST_TEXT),
        "a profile that cannot be shown": reading.profile is None
        or printable(reading.profile, LONGEST_TEXT),
        "an attention that cannot be": weights.ndim == 1
        and weights.shape == times.shape
        and bool(np.all((weights >= 0) & (weights <= 1.001)))
        and bool(np.all((times >= reading.start - 1) & (times <= reading.end + 1))),
    }
    return next((words for words, well in checks.items() if not well), "")
