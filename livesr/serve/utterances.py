"""Begin and end of utterances, computed from the readings alone."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from livesr.reading import MOST_SECONDS, Reading
from livesr.serve.protocol import UtteranceEnd, UtteranceStart

SILENCE_SECONDS = 0.6  # without speech: the utterance has ended
_ROUNDING = 1e-6

_Seconds = Annotated[float, Meta(ge=0, le=MOST_SECONDS)]
_Shares = dict[Annotated[str, Meta(max_length=40)], _Seconds]


class Utterances(Struct, forbid_unknown_fields=True):
    """Finds the utterances in a stream's readings; these values are its whole state.

    Attributes:
        start: stream time at which the utterance began; None between utterances.
        end: of its last hop with speech.
        count: readings of it with speech.
        sums: of their probabilities, by label.
        shown: seconds of each label.
    """

    start: _Seconds | None = None
    end: _Seconds = 0.0
    count: Annotated[int, Meta(ge=0)] = 0
    sums: _Shares = field(default_factory=dict)
    shown: _Shares = field(default_factory=dict)

    def push(
        self, reading: Reading, hop: float, threshold: float
    ) -> list[UtteranceStart | UtteranceEnd]:
        """The utterances that begin or end with this reading.

        Args:
            reading: the next of the stream.
            hop: seconds between readings.
            threshold: a hop with a higher speech probability counts as speech.
        """
        told: list[UtteranceStart | UtteranceEnd] = []
        if self.start is not None and reading.probabilities.keys() != self.sums.keys():
            told += self.finish()  # a correction has changed the labels
        began = max(reading.start, reading.end - hop)
        if reading.speech > threshold and reading.gap < hop:
            if self.start is not None and began - self.end >= SILENCE_SECONDS - _ROUNDING:
                told += self.finish()  # a long gap ended it
            if self.start is None:
                self.start, self.count, self.sums, self.shown = began, 0, {}, {}
                told.append(UtteranceStart(at=began))
            self.end = reading.end
            self.count += 1
            for label, share in reading.probabilities.items():
                self.sums[label] = self.sums.get(label, 0.0) + share
            if reading.label is not None:
                self.shown[reading.label] = self.shown.get(reading.label, 0.0) + hop
        elif self.start is not None and (reading.end - self.end >= SILENCE_SECONDS - _ROUNDING):
            told += self.finish()
        return told

    def finish(self) -> list[UtteranceStart | UtteranceEnd]:
        """The end of the current utterance, if there is one."""
        if self.start is None:
            return []
        label = max(self.shown, key=lambda name: self.shown[name]) if self.shown else None
        told = UtteranceEnd(
            start=self.start,
            end=self.end,
            seconds=self.end - self.start,
            label=label,
            probabilities={name: total / self.count for name, total in self.sums.items()},
        )
        self.start = None
        return [told]
