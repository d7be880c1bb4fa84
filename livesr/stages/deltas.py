"""Deltas over time, eq. (2) and eq. (3), a few frames behind their input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.arrays import Float32
from livesr.stages.stage import Stage
from livesr.state import State


class Delta(Stage):
    """The delta, eq. (2): d_t = sum_{n=1..N} n (m_{t+n} - m_{t-n}) / (2 sum_{n=1..N} n^2).

    Applied to its output it is the delta-delta, eq. (3).

    Runs N frames behind its input; the first frame stands in for those before it and, at
    `finish`, the last for those after it.
    """

    _fields = ("_held",)

    def __init__(self, bands: int, reach: int) -> None:
        self._bands, self._reach = bands, reach
        self._norm = np.float32(2 * sum(n * n for n in range(1, self._reach + 1)))
        self.reset()

    def reset(self) -> None:
        self._held: Float32 = np.zeros((0, self._bands), np.float32)

    def push(self, values: Float32) -> Float32:
        """float32 [n, bands] -> the deltas that can be computed so far, float32 [m, bands]."""
        if not len(values):
            return values
        before = self._held if len(self._held) else np.repeat(values[:1], self._reach, 0)
        held = np.concatenate((before, values))
        count = max(0, len(held) - 2 * self._reach)
        self._held = held[count:].copy()
        total = np.zeros((count, self._bands), np.float32)
        for n in range(1, self._reach + 1):
            ahead = held[self._reach + n :][:count]
            behind = held[self._reach - n :][:count]
            total += np.float32(n) * (ahead - behind)
        return total / self._norm

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        kept = min(taken + self._reach, 2 * self._reach) if taken else 0
        return {"kept": (kept, len(values["_held"]))}

    def finish(self) -> Float32:
        """The last N deltas, float32 [N, bands] (fewer after a shorter stream)."""
        last = self.push(np.repeat(self._held[-1:], self._reach, 0))
        self.reset()
        return last


class Deltas(Stage):
    """Log-mel, delta of eq. (2) and delta-delta of eq. (3) of each frame, 40 ms (2 N) behind."""

    _fields = ("_static", "_delta")

    def __init__(self, bands: int, reach: int) -> None:
        self._bands, self._reach = bands, reach
        self._first, self._second = Delta(bands, reach), Delta(bands, reach)
        self.reset()

    def reset(self) -> None:
        self._first.reset()
        self._second.reset()
        self._static: Float32 = np.zeros((0, self._bands), np.float32)
        self._delta: Float32 = np.zeros((0, self._bands), np.float32)

    def push(self, values: Float32) -> Float32:
        """float32 [n, bands] -> float32 [m, bands, 3]."""
        delta = self._first.push(values)
        return self._align(values, delta, self._second.push(delta))

    def finish(self) -> Float32:
        """The last 2 N frames, float32 [m, bands, 3]."""
        delta = self._first.finish()
        second = np.concatenate((self._second.push(delta), self._second.finish()))
        last = self._align(np.zeros((0, self._bands), np.float32), delta, second)
        self.reset()
        return last

    def _align(self, static: Float32, delta: Float32, second: Float32) -> Float32:
        statics = np.concatenate((self._static, static))
        deltas = np.concatenate((self._delta, delta))
        count = len(second)
        self._static, self._delta = statics[count:].copy(), deltas[count:].copy()
        return np.stack((statics[:count], deltas[:count], second), axis=-1)

    def state(self) -> State:
        return {**super().state(), "first": self._first.state(), "second": self._second.state()}

    def given(self, taken: int) -> int:
        """How many frames `push` has given after it took `taken`."""
        return max(0, taken - 2 * self._reach)

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        rest = dict(state)
        first, second = rest.pop("first", {}), rest.pop("second", {})
        self._first.restore(first, taken)
        self._second.restore(second, max(0, taken - self._reach))
        super().restore(rest, taken)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        given = self.given(taken)
        return {
            "static": (taken - given, len(values["_static"])),
            "delta": (max(0, taken - self._reach) - given, len(values["_delta"])),
        }
