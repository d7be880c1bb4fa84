"""Log-mels relative to the voice's level so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.arrays import Bool, Float64
from livesr.settings import FrontEndSettings
from livesr.stages.stage import Stage

_LEVEL_BLOCK = 1024  # frames: beyond some ten thousand, exp(-sum / memory) would underflow


class Level(Stage):
    """Log-mels relative to the voice's level so far.

    The paper scales each utterance to unit variance. A stream has no utterance, so the level is a
    running mean of the power over the last seconds *of speech*; a frame without speech weighs a
    millionth, which matters only until the first speech. A floor `range_nepers` below the level
    replaces the background of pauses, which distinguishes rooms and corpora but not emotions.
    A gain changes mel energies and level alike, so it cancels.
    """

    _fields = ("_power", "_weight")

    def __init__(self, settings: FrontEndSettings) -> None:
        self._memory = settings.level_memory_seconds * settings.sample_rate / settings.shift_samples
        self._idle = settings.level_idle_weight
        self._floor = np.exp(-settings.range_nepers)
        self.reset()

    def reset(self) -> None:
        self._power = 0.0
        self._weight = 0.0

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        return {name: (True, value >= 0) for name, value in values.items()}

    def push(self, log_mels: Float64, speech: Bool) -> Float64:
        """float64 [n, bands] and whether each frame is speech, bool [n] -> float64 [n, bands]."""
        if len(log_mels) > _LEVEL_BLOCK:
            halves = np.split(np.arange(len(log_mels)), [len(log_mels) // 2])
            return np.concatenate([self.push(log_mels[half], speech[half]) for half in halves])
        if not len(log_mels):
            return log_mels
        mels = np.exp(log_mels)
        weight = self._idle + speech
        # An exponential mean over speech, without a loop: decay_t = exp(-sum of weights up to t /
        # memory).
        decay = np.exp(-np.cumsum(weight) / self._memory)
        power = decay * (self._power + np.cumsum(weight * mels.sum(1) / (mels.shape[1] * decay)))
        total = decay * (self._weight + np.cumsum(weight / decay))
        self._power, self._weight = float(power[-1]), float(total[-1])
        return np.asarray(np.log(mels * (total / power)[:, None] + self._floor))
