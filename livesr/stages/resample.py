"""Resamples a stream from any rate to 16 kHz, through soxr.

soxr's stream gives the same bits for chunks of any length, but its state cannot be saved. So the
stream is divided into epochs of a few seconds, each with a new soxr stream. That stream
begins one second early, on a whole second (where both rates have a sample), and its output is used
from the epoch's first sample on. The filter is much shorter than that second, so the joints are
exact to 1e-7, and a resumed stream needs only the epoch's input so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import soxr

from livesr.arrays import Float32
from livesr.errors import AudioError
from livesr.stages.samples import check_rate
from livesr.stages.stage import Stage
from livesr.state import State

_EPOCH_SECONDS = 4
_LEAD_SECONDS = 1


class Resampler(Stage):
    """float32 mono at any rate to float32 mono at another, latency-compensated."""

    _fields = ("_epoch", "_given", "_history")

    def __init__(self, rate: int, target: int) -> None:
        self._rate, self._target = rate, target
        # A second more than an epoch needs, for what soxr may hold back.
        longest = _LEAD_SECONDS + _EPOCH_SECONDS + 1 if rate != target else 0
        self._buffer: Float32 = np.zeros(longest * rate, np.float32)
        self.reset()

    def reset(self) -> None:
        self._begin(epoch=0, given=0, history=np.zeros(0, np.float32))

    def push(self, samples: Float32) -> Float32:
        """float32 [n] -> what is now certain, float32 [m]: 40 to 80 ms behind (115 at 8 kHz)."""
        return samples if self._rate == self._target else self._run(samples, last=False)

    def finish(self) -> Float32:
        """The rest, with silence after the last sample."""
        rest = np.zeros(0, np.float32)
        if self._rate != self._target:
            rest = self._run(rest, last=True)
        self.reset()
        return rest

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        super().restore(state, taken)
        self._begin(self._epoch, self._given, self._history)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        most = (_LEAD_SECONDS + _EPOCH_SECONDS) * self._target
        return {
            "epoch": (True, values["_epoch"] >= 0),
            "given": (True, 0 <= values["_given"] <= most),
            "history": (True, len(values["_history"]) <= len(self._buffer)),
        }

    def _begin(self, epoch: int, given: int, history: Float32) -> None:
        self._epoch = epoch
        self._given = given  # output samples given since this epoch's stream began, lead included
        self._buffer[: len(history)] = history
        self._history = self._buffer[: len(history)]  # input since then
        self._made = 0  # output samples of soxr since then
        self._ready: Float32 = np.zeros(0, np.float32)  # of those, not yet given
        self._stream = None
        if self._rate != self._target:
            self._stream = soxr.ResampleStream(
                self._rate, self._target, 1, dtype="float32", quality="HQ"
            )
            self._feed(self._history, last=False)

    def _feed(self, samples: Float32, last: bool) -> None:
        assert self._stream is not None
        made = self._stream.resample_chunk(samples, last=last)
        fresh = made[max(0, self._given - self._made) :]
        self._made += len(made)
        self._ready = np.concatenate((self._ready, fresh))

    def _run(self, samples: Float32, last: bool) -> Float32:
        output = []
        while True:
            lead = _LEAD_SECONDS if self._epoch else 0
            filled = len(self._history)
            now = samples[: len(self._buffer) - filled]
            samples = samples[len(now) :]
            self._buffer[filled : filled + len(now)] = now
            self._history = self._buffer[: filled + len(now)]
            self._feed(now, last and not len(samples))
            end = (lead + _EPOCH_SECONDS) * self._target
            output.append(self._ready[: end - self._given])
            self._ready = self._ready[len(output[-1]) :]
            self._given += len(output[-1])
            if self._given < end:
                return np.concatenate(output)
            kept = self._history[(lead + _EPOCH_SECONDS - _LEAD_SECONDS) * self._rate :].copy()
            self._begin(self._epoch + 1, _LEAD_SECONDS * self._target, kept)


class InputResampler(Stage):
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
        """Check that the stream may go on at this rate.

        Raises:
            AudioError: if it has another.
        """
        if self._resampler is not None and rate != self.input_rate:
            raise AudioError(
                f"This stream runs at {self.input_rate} Hz and cannot go on at {rate} Hz; "
                "call reset(), or use another Recognizer."
            )

    def push(self, mono: Float32, rate: int) -> Float32:
        """float32 [n] at a rate that `check` accepted -> what is now certain, float32 [m]."""
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

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        rest = dict(state)
        inner, resampler = rest.pop("resampler", {}), None
        if rest.get("input_rate"):
            resampler = Resampler(check_rate(rest["input_rate"]), self._target)
            resampler.restore(inner, taken)
        super().restore(rest, taken)
        self._resampler = resampler

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        return {"input": (True, values["input"] >= 0)}

    def _opened(self, rate: int) -> Resampler:
        if self._resampler is None:
            self.input_rate, self._resampler = rate, Resampler(rate, self._target)
        return self._resampler
