"""Getting used to a voice: what somebody always sounds like says nothing about now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.arrays import Float64
from livesr.settings import DecisionSettings
from livesr.stages.stage import Stage

_LEAST = 1e-3  # a probability below this is no more of a habit
_NONE = 1e-12


class Adaptation(Stage):
    """Takes the mean of a voice's log-probabilities, over the speech before the window, out.

    Of some voices a network hears one emotion in everything, and of an emotion that it never
    leads with it still hears when there is more of it than usual. What cepstral mean
    normalisation does for a channel (Atal 1974), this does for a voice: log-probabilities less
    their mean, which is shrunk to even shares while little was heard. The speech of the window
    itself does not count, so a short clip alone is judged as it is.
    """

    _fields = ("_heard", "_window")

    def __init__(self, settings: DecisionSettings, labels: int, hop_seconds: float) -> None:
        self._settings = settings
        self._labels = labels
        self.hops = math.ceil(settings.window_seconds / hop_seconds)
        self.reset()

    def reset(self) -> None:
        # Seconds of speech times -log(probability) of each label; and, last, the seconds.
        self._heard: Float64 = np.zeros(self._labels + 1)
        self._window: Float64 = np.zeros((0, self._labels + 1))  # of the hops still in it

    def _lengths(self, values: Mapping[str, Any], heard: int) -> dict[str, tuple[Any, Any]]:
        """After so many hops."""
        least = min(values["_heard"].min(initial=0), values["_window"].min(initial=0))
        return {
            "labels": (self._labels + 1, len(values["_heard"])),
            "window": (min(heard, self.hops), len(values["_window"])),
            "sums": (True, least >= 0),
        }

    def push(self, probabilities: Float64, spoken_seconds: float) -> Float64:
        """One hop: the window's probabilities [labels] and how much speech was new.

        Returns:
            The probabilities for somebody who sounds as this voice has sounded, [labels].
        """
        settings = self._settings
        unlikely = -np.log(np.maximum(probabilities, _LEAST))
        new = np.append(unlikely, 1.0) * spoken_seconds
        self._window = np.concatenate((self._window, new[None]))
        if len(self._window) > self.hops:
            old, self._window = self._window[0], self._window[1:]
            self._heard = self._heard * math.exp(-old[-1] / settings.memory_seconds) + old
        habit = self._heard[:-1] / (self._heard[-1] + settings.adaptation_seconds)
        weight = np.exp(settings.adaptation * (habit - habit.max()))
        adapted = np.maximum(probabilities, _NONE) * weight  # no label is ever ruled out
        shares: Float64 = adapted / adapted.sum()
        return shares
