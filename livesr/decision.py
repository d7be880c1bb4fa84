"""From a window's probabilities to a label, or an honest absence of one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from livesr.reading import Status
from livesr.stage import Bool, Float64, Stage


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """When there is a label; stored in the model, because its probabilities decide."""

    warm_up_seconds: float = 1.0
    speech_threshold: float = 0.5  # voice activity above this is speech
    window_seconds: float = 3.0
    least_speech_seconds: float = 0.5  # in the window; less is too little to judge
    silence_seconds: float = 1.0  # since the last speech; longer is no speech
    smoothing_seconds: float = 1.0  # of speech
    adaptation: float = 1.0  # share of a voice's mean that `livesr.adaptation` takes out
    adaptation_seconds: float = 7.5  # of speech that counts as even shares at first
    memory_seconds: float = 60.0  # of speech that it looks back on
    # Of the leading emotion, smoothed: of strangers' labels 7 in 10 are then right.
    least_probability: float = 0.55
    # Over the runner-up, smoothed, for a new label and for the one shown: they tell where a model
    # takes less than even odds for a label. Where it takes more, letting go of the label shown any
    # later than a new one would come made it more often wrong, and hardly steadier.
    least_margin: float = 0.1
    keep_margin: float = 0.05

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for a model's metadata."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `Decision` makes of one hop."""

    status: Status
    label: int | None
    reason: str | None
    smoothed: Float64


class Decision(Stage):
    """Voice activity gates, smoothing steadies, hysteresis holds, doubt abstains.

    Its clock is speech: a pause neither moves the smoothed probabilities nor is it scored, and
    once nobody has spoken for `silence_seconds` the next speech starts afresh. A window's
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

    def reset(self) -> None:
        self._recent: Bool = np.zeros(0, np.bool_)  # speech or not, the window's blocks
        self._forget()

    def _forget(self) -> None:
        self._smoothed: Float64 = np.full(self._labels, 1 / self._labels)
        self._label = -1  # none
        self._weight = 0.0  # of what `_smoothed` holds

    def push(self, probabilities: Float64, speech: Bool, end_seconds: float) -> Verdict:
        """One hop: the window's probabilities [labels], and speech or not of its new blocks [k]."""
        settings = self._settings
        self._recent = np.concatenate((self._recent, speech))[-self.blocks :]
        if end_seconds < settings.warm_up_seconds:
            return self._none("warming-up", "listening")
        spoken = float(np.count_nonzero(self._recent)) * self._block_seconds
        if not self._recent[-self._silence_blocks :].any():
            self._forget()
            return self._none("no-speech", "nobody is speaking")
        self._smooth(probabilities, spoken, float(np.count_nonzero(speech)) * self._block_seconds)
        if spoken < settings.least_speech_seconds:
            return self._none("unsure", "too little speech yet")
        second, first = np.sort(self._smoothed)[-2:]
        best = int(np.argmax(self._smoothed))
        margin = settings.keep_margin if best == self._label else settings.least_margin
        if first < settings.least_probability or first - second < margin:
            return self._none("unsure", "too close to call")
        self._label = best
        return Verdict("speech", best, None, self._smoothed.copy())

    def finish(self) -> None:
        """Nothing is held back."""

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
