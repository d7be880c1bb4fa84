"""Getting used to a voice: what somebody always sounds like says nothing about now."""

from __future__ import annotations

import math

import numpy as np

from livesr.decision import DecisionSettings
from livesr.stage import Float64, Stage


class Adaptation(Stage):
    """Divides probabilities by their mean over the speech before the window.

    Of some voices a network hears one emotion in everything. That mean, shrunk to even shares
    while little was heard, is the prior that the network seems to hold for this voice; taking
    it out (Saerens et al. 2002, eq. 2.4, to a power below 1) leaves what differs from it. The
    speech of the window itself does not count, so a short clip alone is judged as it is.
    """

    _fields = ("_heard", "_window")

    def __init__(self, settings: DecisionSettings, labels: int, hop_seconds: float) -> None:
        self._settings = settings
        self._labels = labels
        self.hops = math.ceil(settings.window_seconds / hop_seconds)
        self.reset()

    def reset(self) -> None:
        self._heard: Float64 = np.zeros(self._labels)  # seconds of speech, by probability
        self._window: Float64 = np.zeros((0, self._labels))  # the same of the hops still in it

    def push(self, probabilities: Float64, spoken_seconds: float) -> Float64:
        """One hop: the window's probabilities [labels] and how much speech was new.

        Returns:
            The probabilities for somebody who sounds as this voice has sounded, [labels].
        """
        settings = self._settings
        self._window = np.concatenate((self._window, [probabilities * spoken_seconds]))
        if len(self._window) > self.hops:
            old, self._window = self._window[0], self._window[1:]
            self._heard = self._heard * math.exp(-old.sum() / settings.memory_seconds) + old
        even = settings.adaptation_seconds / self._labels
        prior = (self._heard + even) / (self._heard.sum() + settings.adaptation_seconds)
        adapted = probabilities * (self._labels * prior) ** -settings.adaptation
        shares: Float64 = adapted / adapted.sum()
        return shares

    def finish(self) -> None:
        """Nothing is held back."""
