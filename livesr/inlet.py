"""Where a stream's sound comes in, at whatever rate it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.audio import check_rate
from livesr.errors import AudioError
from livesr.resample import Resampler
from livesr.stage import Float32, Stage, State


class Inlet(Stage):
    """Resamples a stream to `target` Hz and counts what it is given.

    The first call decides the stream's rate; until `reset`, `check` refuses any other.

    Attributes:
        input: samples pushed or skipped, at the stream's own rate.
        input_rate: that rate in Hz; 0 before the first call.
    """

    _fields = ("input", "input_rate")

    def __init__(self, target: int) -> None:
        self._target = target
        self.reset()

    def reset(self) -> None:
        self._resampler: Resampler | None = None
        self.input = self.input_rate = 0

    @property
    def passed(self) -> int:
        """What was pushed or skipped, in samples at the target rate."""
        return self.input * self._target // self.input_rate

    def check(self, rate: int) -> None:
        """See that the stream may go on at this rate.

        Raises:
            AudioError: if it has another.
        """
        if self._resampler is not None and rate != self.input_rate:
            raise AudioError(
                f"This stream runs at {self.input_rate} Hz and cannot go on at {rate} Hz; "
                "call reset(), or use another Recognizer."
            )

    def push(self, mono: Float32, rate: int) -> Float32:
        """float32 [n] at a rate that `check` let pass -> what can now be told, float32 [m]."""
        resampler = self._opened(rate)
        self.input += len(mono)
        return resampler.push(mono)

    def skip(self, count: int, rate: int) -> Float32:
        """`count` samples were lost: what was held back before them, float32 [m]."""
        resampler = self._opened(rate)
        self.input += count
        return resampler.finish() if count else np.zeros(0, np.float32)

    def finish(self) -> Float32:
        """What was held back, float32 [m]."""
        return self._resampler.finish() if self._resampler else np.zeros(0, np.float32)

    def state(self) -> State:
        return {**super().state(), "resampler": self._resampler.state() if self._resampler else {}}

    def restore(self, state: Mapping[str, Any]) -> None:
        resampler, rate = None, 0
        if state["input_rate"]:
            rate = check_rate(state["input_rate"])
            resampler = Resampler(rate, self._target)
            resampler.restore(state["resampler"])
        self._resampler, self.input_rate, self.input = resampler, rate, int(state["input"])

    def _opened(self, rate: int) -> Resampler:
        if self._resampler is None:
            self.input_rate, self._resampler = rate, Resampler(rate, self._target)
        return self._resampler
