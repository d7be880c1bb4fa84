"""Measures: recalls, calibration, and what confidence is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from livesr.arrays import Array, Float64
from livesr.model.metadata import LABELS


def confusion(truth: Sequence[int], guess: Sequence[int], *, labels: int = len(LABELS)) -> Array:
    """Counts of so many labels, int [true label, guessed label]."""
    table = np.zeros((labels, labels), int)
    np.add.at(table, (list(truth), list(guess)), 1)
    return table


def tables(
    truth: ArrayLike, guess: ArrayLike, corpora: ArrayLike, *, labels: int = len(LABELS)
) -> dict[str, Array]:
    """`confusion` of each corpus, by its name.

    Example:
        >>> found = tables([0, 1, 0], [0, 0, 1], ["a", "a", "b"], labels=2)
        >>> found["a"].tolist(), found["b"].tolist()
        ([[1, 0], [1, 0]], [[0, 1], [0, 0]])
    """
    said, guessed, groups = np.asarray(truth), np.asarray(guess), np.asarray(corpora)
    return {
        str(corpus): confusion(said[groups == corpus], guessed[groups == corpus], labels=labels)
        for corpus in np.unique(groups)
    }


def matrix(table: Array, labels: Sequence[str], *, recall: bool = False) -> list[str]:
    """Confusion counts as a Markdown table, if wanted with the recall of each label."""
    heads = ["true \\ recognised as", *labels, *["recall"] * recall]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for label, counts, right in zip(labels, table, per_label(table)[:, 1], strict=True):
        cells = [label, *map(str, counts), *[f"{right:.3f}"] * recall]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


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


def macro(table: Array) -> dict[str, float]:
    """Accuracy (WA), and precision, recall and F1 as means of the labels that occur.

    Recall is then UAR. A label that no clip has says nothing of the three; guessed, it is an error
    of the label that the clip has.

    Example:
        >>> table = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
        >>> {name: round(value, 3) for name, value in macro(table).items()}
        {'accuracy': 0.875, 'precision': 0.9, 'recall': 0.875, 'F1': 0.873}
    """
    rows = per_label(table)[table.sum(1) > 0]
    means = (float(value) for value in rows.mean(0))
    return {"accuracy": wa(table), **dict(zip(("precision", "recall", "F1"), means, strict=True))}


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


def classwise_error(probabilities: Float64, truth: Sequence[int], bins: int = 15) -> float:
    """Classwise expected calibration error: that of each label's probability, mean of the labels.

    Every clip counts for every label, in equal-width bins of its probability (Kull et al. 2019,
    "Beyond temperature scaling", section 2).
    """
    errors = []
    for label, shares in enumerate(probabilities.T):
        found = np.minimum((shares * bins).astype(int), bins - 1)
        surplus = shares - (np.asarray(truth) == label)
        errors.append(np.abs(np.bincount(found, surplus, bins)).sum() / len(shares))
    return float(np.mean(errors))


def brier(probabilities: Float64, truth: Sequence[int]) -> float:
    """Brier score: mean over clips of the squared error summed over labels, 0 to 2 (Brier 1950)."""
    aims = np.eye(probabilities.shape[1])[list(truth)]
    return float(np.square(probabilities - aims).sum(1).mean())


def aurc(probabilities: Float64, truth: Sequence[int]) -> float:
    """Area under the risk-coverage curve (Geifman et al. 2019), 0 is best.

    The mean, over n = 1 to all clips, of the share that is wrong among the n with the greatest
    confidence; clips of equal confidence share their errors.
    """
    confidence = probabilities.max(1)
    wrong = probabilities.argmax(1) != np.asarray(truth)
    _, place = np.unique(-confidence, return_inverse=True)
    shared = np.bincount(place, wrong) / np.bincount(place)
    risks = np.cumsum(shared[np.sort(place)])
    return float((risks / np.arange(1, len(risks) + 1)).mean())


def uars(tables: Array) -> Float64:
    """`uar` of many tables at once, [..., labels, labels] -> [...]; NaN where no label occurs."""
    totals = tables.sum(-1)
    recalls = np.diagonal(tables, axis1=-2, axis2=-1) / np.maximum(1, totals)
    occurring = (totals > 0).sum(-1)
    found: Float64 = np.where(occurring > 0, recalls.sum(-1) / np.maximum(1, occurring), np.nan)
    return found


def mean_uar(guess: ArrayLike, truth: ArrayLike, corpora: ArrayLike) -> float:
    """The mean of the corpora's UARs."""
    count = max(len(LABELS), np.max(truth) + 1, np.max(guess) + 1)
    found = tables(truth, guess, corpora, labels=count)
    return float(np.nanmean([uar(table) for table in found.values()]))


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


def by_corpus(what: str, found: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[str]:
    """A table of UARs over seeds: a row for each name, a column for each corpus, mean and least.

    Args:
        what: the names are.
        found: UARs, a value for each seed, by name and corpus; all names have all corpora.

    Example:
        >>> list(by_corpus("network", {"small": {"a": [0.5], "b": [0.25]}}))[2]
        '| small | 0.500 | 0.250 | 0.375 | 0.250 |'
    """
    corpora = sorted({corpus for row in found.values() for corpus in row})
    yield f"| {what} | " + " | ".join(corpora) + " | mean | least |"
    yield "|---" * (len(corpora) + 3) + "|"
    for name, row in found.items():
        rows = np.array([row[corpus] for corpus in corpora])  # [corpora, seeds]
        cells = [spread(one.tolist()) for one in rows]
        cells += [spread(rows.mean(0).tolist()), f"{rows.mean(1).min():.3f}"]
        yield f"| {name} | {' | '.join(cells)} |"
