"""How sure a window can be: less where it has little speech, or is unlike the training clips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from livesr.arrays import Bool, Float64
from livesr.settings import DecisionSettings
from livesr.stages.stage import Stage

_LEAST_DISTANCE = 0.1  # no speech is nearer


class Evidence(Stage):
    """Makes a window's probabilities less sure the less speech it holds.

    A network is nearly as sure after one word as after 3 s of speech, but more often wrong. So the
    logarithm of its probabilities is multiplied by a factor that grows with s, the seconds of
    speech in the window: s / (s + `half_evidence_seconds`), divided by its value for a window full
    of speech. The order of the labels stays. Not part of the paper, which judges whole utterances.

    Example:
        >>> stage = Evidence(DecisionSettings(), 0.032)
        >>> word, rest = np.ones(10, bool), np.ones(84, bool)
        >>> stage.push(np.array([0.7, 0.1, 0.1, 0.1]), word).round(2).tolist()
        [0.45, 0.18, 0.18, 0.18]
        >>> stage.push(np.array([0.7, 0.1, 0.1, 0.1]), rest).round(2).tolist()
        [0.7, 0.1, 0.1, 0.1]
    """

    _fields = ("_recent",)

    def __init__(self, settings: DecisionSettings, block_seconds: float) -> None:
        self._settings = settings
        self._block_seconds = block_seconds
        self.blocks = math.ceil(settings.window_seconds / block_seconds)
        self.reset()

    def reset(self) -> None:
        self._recent: Bool = np.zeros(0, np.bool_)  # speech or not, the window's blocks

    @property
    def factor(self) -> float:
        """Of the window as it stands, as `factor` has it."""
        spoken = float(np.count_nonzero(self._recent)) * self._block_seconds
        return float(factor(max(spoken, self._block_seconds), self._settings))

    def push(self, probabilities: Float64, speech: Bool) -> Float64:
        """One hop.

        Args:
            probabilities: of the window, float64 [labels].
            speech: whether each new block is speech, bool [k].

        Returns:
            The probabilities to the power of the factor, float64 [labels]; sums to 1.
        """
        self._recent = np.concatenate((self._recent, speech))[-self.blocks :]
        return tempered(probabilities, np.array(self.factor))

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        """After so many blocks of voice activity."""
        return {"blocks": (min(taken, self.blocks), len(values["_recent"]))}


def factor(spoken_seconds: ArrayLike, settings: DecisionSettings) -> Float64:
    """The factor on the logarithm of probabilities for so much speech in a window, float64.

    Example:
        >>> factor([0.5, 3.0], DecisionSettings()).round(2).tolist()
        [0.58, 1.0]
    """
    spoken, half = np.asarray(spoken_seconds, np.float64), settings.half_evidence_seconds
    if not half:
        return np.ones_like(spoken)
    whole = settings.window_seconds
    return np.asarray(spoken / (spoken + half) * ((whole + half) / whole))


def distance_factor(distance: ArrayLike, settings: DecisionSettings) -> Float64:
    """The factor on the logarithm of probabilities at this distance from the training clips.

    Of speech unlike all that it learned from, a network is more often wrong, but nearly as sure. So
    a model may give the distance of a window from each corpus of its training (see
    `export/training/probe.py`), about 1 inside one. The factor is `usual_distance` divided by the
    least of them, to the power of `distance_power`. The order of the labels stays. Not part of the
    paper.

    Args:
        distance: from the nearest corpus, [...].
        settings: of the model.

    Returns:
        float64 [...].

    Example:
        >>> distance_factor([0.8, 1.0, 2.0], DecisionSettings()).round(2).tolist()
        [1.18, 1.0, 0.59]
    """
    nearest = np.maximum(np.asarray(distance, np.float64), _LEAST_DISTANCE)
    return np.asarray((settings.usual_distance / nearest) ** settings.distance_power)


def tempered(probabilities: Float64, power: Float64) -> Float64:
    """Probabilities [..., labels] to this power [...], made to sum to 1 again."""
    raised = (probabilities / probabilities.max(-1, keepdims=True)) ** power[..., None]
    return np.asarray(raised / raised.sum(-1, keepdims=True))
