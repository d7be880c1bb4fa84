"""From a window's probabilities to a label, or an honest absence of one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from livesr.arrays import Bool, Float64
from livesr.reading import Status
from livesr.settings import DecisionSettings
from livesr.stages.stage import Stage

MISSING = "the sound is missing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one hop."""

    status: Status
    label: int | None
    reason: str | None
    smoothed: Float64


class Decision(Stage):
    """Voice activity gates, smoothing steadies, hysteresis holds, doubt abstains.

    Its clock is speech: a pause neither moves the smoothed probabilities nor is it scored, and
    after `silence_seconds` without speech the next speech starts afresh. A window's
    probabilities weigh by the square of the speech in it: a word's worth says little.
    """

    _fields = ("_recent", "_smoothed", "_label", "_weight")

    def __init__(self, settings: DecisionSettings, labels: int, block_seconds: float) -> None:
        self._settings = settings
        self._labels = labels
        self._block_seconds = block_seconds
        self.blocks = math.ceil(settings.window_seconds / block_seconds)
        self._silence_blocks = math.ceil(settings.silence_seconds / block_seconds)
        self.reset()

    @property
    def spoken_seconds(self) -> float:
        """Of speech in the window."""
        return float(np.count_nonzero(self._recent)) * self._block_seconds

    def reset(self) -> None:
        self._recent: Bool = np.zeros(0, np.bool_)  # speech or not, the window's blocks
        self._forget()

    def _forget(self) -> None:
        self._smoothed: Float64 = np.full(self._labels, 1 / self._labels)
        self._label = -1  # none
        self._weight = 0.0  # of what `_smoothed` holds

    def push(
        self, probabilities: Float64, speech: Bool, end_seconds: float, missing: bool = False
    ) -> Verdict:
        """One hop.

        Args:
            probabilities: of the window, float64 [labels].
            speech: whether each new block is speech, bool [k].
            end_seconds: stream time of the hop's end.
            missing: whether the whole hop was lost.
        """
        verdict = self._decided(probabilities, speech, end_seconds)
        return replace(verdict, reason=MISSING) if missing and verdict.reason else verdict

    def _decided(self, probabilities: Float64, speech: Bool, end_seconds: float) -> Verdict:
        settings = self._settings
        self._recent = np.concatenate((self._recent, speech))[-self.blocks :]
        if end_seconds < settings.warm_up_seconds:
            return self._none("warming-up", "listening")
        spoken = self.spoken_seconds
        if not self._recent[-self._silence_blocks :].any():
            self._forget()
            return self._none("no-speech", "nobody is speaking")
        self._smooth(probabilities, spoken, float(np.count_nonzero(speech)) * self._block_seconds)
        if spoken < settings.least_speech_seconds:
            return self._none("unsure", "too little speech yet")
        second, first = np.sort(self._smoothed)[-2:]
        best = int(np.argmax(self._smoothed))
        margin = settings.keep_margin if best == self._label else settings.least_margin
        if first < settings.least_probability:
            return self._none("unsure", "not sure enough")
        if first - second < margin:
            return self._none("unsure", "too close to call")
        self._label = best
        return Verdict("speech", best, None, self._smoothed.copy())

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        """After so many blocks of voice activity."""
        smoothed = values["_smoothed"]
        return {
            "blocks": (min(taken, self.blocks), len(values["_recent"])),
            "labels": (self._labels, len(smoothed)),
            "label": (True, -1 <= values["_label"] < self._labels),
            "sums": (True, min(smoothed.min(initial=0), values["_weight"]) >= 0),
        }

    def _smooth(self, probabilities: Float64, spoken: float, new: float) -> None:
        """`spoken` seconds of speech in the window, `new` of them since the last hop."""
        self._weight *= math.exp(-new / self._settings.smoothing_seconds)
        weight = spoken**2 * new
        if not self._weight + weight:  # the window still holds speech, but nothing was new
            self._smoothed = probabilities
            return
        self._weight += weight
        self._smoothed = self._smoothed + weight / self._weight * (probabilities - self._smoothed)

    def _none(self, status: Status, reason: str) -> Verdict:
        return Verdict(status, None, reason, self._smoothed.copy())
