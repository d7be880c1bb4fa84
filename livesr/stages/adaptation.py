"""Adaptation to a voice: removes the offset of the voice, and keeps its mood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from livesr.arrays import Float64
from livesr.settings import DecisionSettings
from livesr.stages.stage import Stage

_LEAST = 1e-3  # a probability below this is no more of an offset
_NONE = 1e-12
_SHARPENED = 2  # the power of the probabilities that says how far a window is of each emotion


class Adaptation(Stage):
    """Removes a voice's offset, estimated from the speech before the window.

    With some voices a network gives one emotion the highest probability all the time; another
    emotion then only shows as more of it than usual. Cepstral mean normalisation removes the mean
    of a channel (Atal 1974). Here a mean over time would also remove the mood of a voice that stays
    in one. Three things separate the offset from the mood:

    - The offset is the mean of what the log-probabilities are beyond those of typical speech of
      the emotion that the window probably has. A mood that lasts is such an emotion.
    - It is removed only if the voice has had more than one emotion: the mutual
      information of time and emotion, the entropy of the mean probabilities less the mean of
      their entropies (nats), is near 0 for a voice that stays in one.
    - A window with a confident result is left as it is.

    A model may also have relative logits: those of a linear classifier that was trained on
    windows less the mean of other speech of the same voice. It is linear, so the mean of its
    logits is the logits of the mean. What they are beyond that mean is added to the
    log-probabilities, where the offset is removed.

    The speech of the window itself does not count, so a short clip alone is judged as it is.
    Measured by `python -m export.steady`.
    """

    _fields = ("_heard", "_window")

    def __init__(self, settings: DecisionSettings, labels: int, hop_seconds: float) -> None:
        self._settings = settings
        self._labels = labels
        self.hops = math.ceil(settings.window_seconds / hop_seconds)
        # A row, all times seconds: shares of the emotions believed, log-probabilities, relative
        # logits, probabilities, their entropy, 1.
        ends = np.cumsum([0, *[labels] * 4, 1, 1]).tolist()
        self._parts = [slice(*pair) for pair in pairwise(ends)]
        self._size = ends[-1]
        self.reset()

    def reset(self) -> None:
        self._heard: Float64 = np.zeros(self._size)
        self._window: Float64 = np.zeros((0, self._size))  # of the hops still in the window

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        """After so many hops."""
        heard_row, window = values["_heard"], values["_window"]
        if len(heard_row) != self._size:
            return {"labels": (self._size, len(heard_row))}
        signed = slice(self._parts[1].start, self._parts[2].stop)
        sums = np.delete(np.vstack((heard_row, window)), signed, axis=1)
        return {
            "window": (min(taken, self.hops), len(window)),
            "sums": (True, sums.min() >= 0),
        }

    def push(
        self,
        probabilities: Float64,
        spoken_seconds: float,
        relative: Float64 | None = None,
        evidence: float = 1.0,
    ) -> Float64:
        """One hop.

        Args:
            probabilities: of the window, float64 [labels].
            spoken_seconds: of new speech.
            relative: the model's relative logits of the window, float64 [labels], if it has any.
            evidence: the window's factor of `livesr.stages.evidence`: little speech changes little.

        Returns:
            The probabilities with the voice's offset taken out, float64 [labels]; sums to 1.
        """
        logs = np.log(np.maximum(probabilities, _LEAST))
        logs -= logs.mean()
        settings = self._settings
        offset = self._beyond(self._parts[1], settings.typical_lead)
        if relative is not None:
            usual = self._beyond(self._parts[2], settings.relative_lead)
            offset -= settings.relative_weight * (relative - usual)
        offset *= self._share(probabilities) * evidence
        # No label is ever ruled out.
        adapted: Float64 = np.maximum(probabilities, _NONE) * np.exp(offset.min() - offset)
        adapted /= adapted.sum()
        believed = adapted**_SHARPENED
        believed /= believed.sum()
        kept = np.zeros(self._labels) if relative is None else relative
        self._keep(believed, logs, kept, probabilities, spoken_seconds)
        return adapted

    def variety(self) -> float:
        """How different the voice's emotions were so far, nats; 0: only one, or nothing yet."""
        shares, entropy, seconds = (self._heard[part] for part in self._parts[3:])
        if not seconds[0]:
            return 0.0
        return max(0.0, _entropy(shares / seconds[0]) - float(entropy[0] / seconds[0]))

    def _share(self, probabilities: Float64) -> float:
        """How much of the offset to take out of a window, 0 to `adaptation`."""
        settings = self._settings
        varied = _ramp(self.variety(), settings.least_variety, settings.full_variety)
        sure = _ramp(float(probabilities.max()), settings.unsure_below, settings.sure_from)
        return settings.adaptation * varied * (1 - sure)

    def _beyond(self, part: slice, lead: float) -> Float64:
        """The mean of these logits less those typical of the emotions believed, [labels].

        Speech without an offset comes first. In typical speech an emotion leads by so much.
        """
        believed, seconds = self._heard[self._parts[0]], self._heard[-1]
        typical = lead * (believed - seconds / self._labels)
        count = seconds + self._settings.adaptation_seconds
        found: Float64 = (self._heard[part] - typical) / count
        return found

    def _keep(
        self,
        believed: Float64,
        logs: Float64,
        relative: Float64,
        probabilities: Float64,
        seconds: float,
    ) -> None:
        row = (believed, logs, relative, probabilities, [_entropy(probabilities)], [1.0])
        new = np.concatenate(row) * seconds
        self._window = np.concatenate((self._window, new[None]))
        if len(self._window) > self.hops:
            old, self._window = self._window[0], self._window[1:]
            self._heard = self._heard * math.exp(-old[-1] / self._settings.memory_seconds) + old


def _entropy(shares: Float64) -> float:
    return max(0.0, -float(np.sum(shares * np.log(np.maximum(shares, _NONE)))))


def _ramp(value: float, start: float, end: float) -> float:
    return min(1.0, max(0.0, (value - start) / max(end - start, 1e-9)))
