"""Measures: recalls, calibration, and UAR by coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from livesr.arrays import Array, Float64
from livesr.model.metadata import LABELS


def confusion(truth: Sequence[int], guess: Sequence[int]) -> Array:
    """Counts, int [true label, guessed label]."""
    table = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(table, (list(truth), list(guess)), 1)
    return table


def uar(table: Array) -> float:
    """Unweighted average recall over the labels that occur; NaN where none does."""
    occurs = table.sum(1) > 0
    if not occurs.any():
        return float("nan")
    return float((np.diag(table)[occurs] / table.sum(1)[occurs]).mean())


def wa(table: Array) -> float:
    """Weighted accuracy: the share of clips that are right."""
    return float(np.diag(table).sum() / table.sum())


def per_label(table: Array) -> Float64:
    """Precision, recall and F1 of each label, [labels, 3]; 0 for a label that never occurs."""
    right = np.diag(table)
    precision = right / np.maximum(1, table.sum(0))
    recall = right / np.maximum(1, table.sum(1))
    f1 = 2 * precision * recall / np.maximum(1e-12, precision + recall)
    return np.stack([precision, recall, f1], axis=1)


def calibration(probabilities: Float64, truth: Sequence[int], bins: int = 15) -> Float64:
    """Mean confidence, share right and share of all clips, for each equal-width bin in use."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == np.asarray(truth)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    kept = [index == b for b in range(bins) if (index == b).any()]
    return np.array([[confidence[m].mean(), right[m].mean(), m.mean()] for m in kept])


def calibration_error(probabilities: Float64, truth: Sequence[int], bins: int = 15) -> float:
    """Expected calibration error of the most probable label (Guo et al. 2017)."""
    found = calibration(probabilities, truth, bins)
    return float((np.abs(found[:, 0] - found[:, 1]) * found[:, 2]).sum())


def mean_uar(guess: ArrayLike, truth: ArrayLike, corpora: ArrayLike) -> float:
    """The mean of the corpora's UARs."""
    groups, guessed, said = np.asarray(corpora), np.asarray(guess), np.asarray(truth)
    scores = [uar(confusion(said[groups == g], guessed[groups == g])) for g in np.unique(groups)]
    return float(np.nanmean(scores))


def coverage_curve(
    probabilities: Float64, truth: Sequence[int], corpora: Sequence[str], shares: Sequence[float]
) -> list[float]:
    """The mean of the corpora's UARs when only the most confident share of all clips counts."""
    order = np.argsort(-probabilities.max(1), kind="stable")
    guess, said, groups = probabilities.argmax(1), np.asarray(truth), np.asarray(corpora)
    found = []
    for share in shares:
        kept = order[: max(1, round(share * len(order)))]
        found.append(mean_uar(guess[kept], said[kept], groups[kept]))
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds; of one seed, its value."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
