"""A known voice: what a few labelled examples of it say about its other windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from livesr.arrays import Float64
from livesr.model.metadata import LABELS

LEAST_PROBABILITY = 1e-4  # of a label, where its logarithm is taken
_STEPS = 60
_SHARPNESS_EXAMPLES = 2.0  # of each label, for which the model's `known_sharpness` is


@dataclass(frozen=True, slots=True)
class KnownSettings:
    """The constants of the classifier.

    Chosen by `python -m export.profiles --left-out`, with models that were not trained on the
    corpus judged: with more examples of each label a right verdict is more often right than the
    penalised scores say; without the network's opinion they say it less.
    """

    penalty: float = 0.01  # on the weights, of one example of each label; falls with their number
    own_penalty: float = 0.015  # where the network has no opinion of the labels
    logs_weight: float = 0.6  # of log-probabilities beside the context, where they are no prior
    sharpness_power: float = 0.25  # with which the sharpness grows with the number of examples
    own_sharpness: float = 1.75  # times the model's, where the network has no opinion
    offset_examples: float = 0.5  # so many examples of few labels, and the offset counts by half
    most_offset: float = 1.5  # towards which such an offset grows
    raising: float = 0.5  # share of it, where it makes labels without examples more probable
    # Mean log-probabilities that models give strangers, a row for each emotion of theirs.
    typical: tuple[tuple[float, ...], ...] = (
        (-0.8, -2.1, -3.7, -3.8),
        (-2.2, -1.0, -2.9, -2.8),
        (-3.1, -2.4, -1.0, -1.7),
        (-3.8, -2.7, -1.6, -1.0),
    )


class KnownVoice:
    """Multinomial logistic regression on c of eq. (5), fitted from examples of one voice.

    Its prior is what the network says: of the model's labels the log-probabilities, less the
    voice's own offset, are added to the scores, so that few examples change little. With
    examples of all labels, or of all but one, the offset is their mean (each label weighing the
    same). With fewer it is the difference between what the network says of them and what it says,
    on average, of other people in the same emotion. c is centred on the voice and scaled by the
    spread of the examples; the penalty on the weights falls with the number of examples. Where
    a profile has labels that the model lacks, the log-probabilities are features beside c
    instead.

    The fit is deterministic: a fixed number of Newton steps with a bound of the Hessian
    (Boehning 1992) in the space of the examples.

    Args:
        context: c of each example, float64 [n, context size].
        logs: log-probabilities of each, as the network gives them, float64 [n, model's labels].
        label: of each, an index into `labels`, [n].
        labels: that are judged.
        model_labels: of the network. Where all of `labels` are among them, both are the same.
        sharpness: factor on the scores before the softmax, where the voice's offset is taken out:
            that, and the penalty on the weights, leave probabilities too even. It is the factor
            for two examples of each of the model's labels, or for any of few; see `_sharpened`.
        settings: the constants.

    Attributes:
        complete: whether at most one label has no examples: then the voice's offset is known.

    Example:
        >>> import numpy as np
        >>> voice = KnownVoice(np.eye(2), np.zeros((2, 2)), [0, 1], ("calm", "tense"), ("a", "b"))
        >>> voice.push(np.array([1.0, 0.0]), np.array([0.5, 0.5])).argmax()
        np.int64(0)
    """

    def __init__(
        self,
        context: Float64,
        logs: Float64,
        label: Sequence[int],
        labels: Sequence[str],
        model_labels: Sequence[str],
        sharpness: float = 1.0,
        settings: KnownSettings | None = None,
    ) -> None:
        self._settings = settings = settings or KnownSettings()
        self.labels = tuple(labels)
        self._prior = self.labels == tuple(model_labels)
        truth = np.asarray(label)
        count = len(truth)
        present, counts = np.unique(truth, return_counts=True)
        self.complete = len(present) >= len(labels) - 1
        # What is typical of other labels is not known.
        self._typical = self._prior and self.labels == LABELS
        self._sharpness = 1.0
        if self.complete and len(present) > 1:
            self._sharpness = self._sharpened(sharpness, count / len(present))
        elif self._typical:
            self._sharpness = sharpness
        weights = 1 / (len(present) * counts[np.searchsorted(present, truth)])
        self._offset = self._offset_of(logs, truth, present)
        features = self._features(context, logs)
        self._centre = weights @ features
        features = features - self._centre
        spread = float(np.sqrt(np.mean(np.sum(features**2, axis=1))))
        self._scale = 1 / spread if spread > 1e-6 else 0.0
        features = features * self._scale
        # Among the labels that have examples: of the others they say nothing.
        scores = self._priors(logs)[:, present]
        target = (truth[:, None] == present).astype(np.float64)
        penalty = settings.penalty if self._prior else settings.own_penalty
        penalty *= len(present) / count
        gram = features @ features.T
        step = np.linalg.inv(0.5 * weights[:, None] * gram + penalty * np.eye(count))
        dual = np.zeros_like(target)
        for _ in range(_STEPS):
            wrong = target - _softmax(scores + gram @ dual)
            dual += step @ (weights[:, None] * wrong - penalty * dual)
        self._weights: Float64 = np.zeros((features.shape[1], len(labels)))
        self._weights[:, present] = self._scale * (features.T @ dual)

    def push(self, context: Float64, probabilities: Float64) -> Float64:
        """Judge windows.

        Args:
            context: c, float64 [context size] or [n, context size].
            probabilities: as the network gives them, float64 [model's labels] or [n, ...].

        Returns:
            Probability of each of `labels`, float64 [labels] or [n, labels]; sums to 1.
        """
        logs = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
        features = self._features(context, logs) - self._centre
        return _softmax(self._sharpness * (self._priors(logs) + features @ self._weights))

    def _sharpened(self, sharpness: float, examples: float) -> float:
        """The factor on the scores for so many examples of each label."""
        if not self._prior:
            return self._settings.own_sharpness * sharpness
        return sharpness * float((examples / _SHARPNESS_EXAMPLES) ** self._settings.sharpness_power)

    def _offset_of(self, logs: Float64, truth: Float64, present: Float64) -> Float64:
        """The voice's offset in the log-probabilities, float64 [labels]."""
        if not self._prior:
            return np.zeros(logs.shape[1])
        means = np.array([logs[truth == k].mean(axis=0) for k in present])
        if self.complete:
            return np.asarray(means.mean(axis=0))
        if not self._typical:
            own, offset = means.mean(axis=0), np.zeros(logs.shape[1])
            offset[present] = own[present] - own[present].mean()
            return offset
        away = (means - np.array(self._settings.typical)[present]).mean(axis=0)
        settings = self._settings
        share = len(truth) / (len(truth) + settings.offset_examples)
        # A network that is surer of this voice than of strangers is not mended far, and what was
        # enrolled is to be recognised first of all.
        away = away - away[present].mean()
        away = np.where(away < 0, settings.raising * away, away)
        return np.asarray(share * settings.most_offset * np.tanh(away / settings.most_offset))

    def _priors(self, logs: Float64) -> Float64:
        if self._prior:
            return logs - self._offset
        return np.zeros((*logs.shape[:-1], len(self.labels)))

    def _features(self, context: Float64, logs: Float64) -> Float64:
        # Whatever the context's size: its mean square is of the order of 1/8 in each of them.
        scaled = context / np.sqrt(context.shape[-1] / 128)
        if self._prior:
            return np.asarray(scaled)
        centred = logs - logs.mean(axis=-1, keepdims=True)
        return np.concatenate((scaled, self._settings.logs_weight * centred), axis=-1)


def _softmax(scores: Float64) -> Float64:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Float64 = weights / weights.sum(axis=-1, keepdims=True)
    return shares
