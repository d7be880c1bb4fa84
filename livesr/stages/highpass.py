"""Removes what is too low to be voice: a constant offset (DC) and rumble."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from livesr.arrays import Float32, Float64
from livesr.settings import SAMPLE_RATE
from livesr.stages.stage import Stage

_CORNER_HERTZ = 20.0
_DECAY = math.exp(-2 * math.pi * _CORNER_HERTZ / SAMPLE_RATE)
_BLOCK = 16000  # samples: _DECAY to this power is 1e-55, far from underflow


@lru_cache(maxsize=8)
def _decay(count: int) -> Float64:
    """r^n for n = 1 to `count`; kept, because powers cost more than all the rest of a hop."""
    return np.asarray(_DECAY ** np.arange(1, count + 1), np.float64)


class HighPass(Stage):
    """A one-pole high-pass at 20 Hz: y[n] = x[n] - x[n-1] + r y[n-1], r = exp(-2 pi 20 / 16000).

    An offset of a cheap sound card otherwise counts as level and moves the lowest bands. The
    sample before the first counts as equal to it. Keeps the newest input and output sample. Not
    part of the paper.

    Example:
        >>> import numpy as np
        >>> float(abs(HighPass().push(np.full(16000, 0.1, np.float32))[-1:]).max()) < 1e-6
        True
    """

    _fields = ("_begun", "_input", "_output")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._begun = False
        self._input = 0.0
        self._output = 0.0

    def push(self, samples: Float32) -> Float32:
        """float32 [n] at 16 kHz -> float32 [n], each sample answered at once."""
        parts = [self._filtered(samples[i : i + _BLOCK]) for i in range(0, len(samples), _BLOCK)]
        return np.concatenate(parts) if parts else samples

    def _filtered(self, samples: Float32) -> Float32:
        if not self._begun:  # or a stream with an offset would begin with a click
            self._begun, self._input = True, float(samples[0])
        # Without a loop: y[n] = r^n (y[-1] + sum of (x[k] - x[k-1]) / r^k up to n).
        decay = _decay(len(samples))
        steps = np.diff(samples.astype(np.float64), prepend=self._input)
        output = decay * (self._output + np.cumsum(steps / decay))
        self._input, self._output = float(samples[-1]), float(output[-1])
        return output.astype(np.float32)
