"""The report's pictures: confusion, comparison of networks, calibration, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from livesr.arrays import Array, Float64
from livesr.model.metadata import LABELS

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's hues, told apart also by those who see fewer.
_HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_DPI = 110


def _save(figure: Figure, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, dpi=_DPI, metadata={"Software": None})
    plt.close(figure)


def confusion(table: Array, title: str, file: Path) -> None:
    """Counts [true, guessed], coloured by the share of each true label."""
    shares = table / np.maximum(1, table.sum(1, keepdims=True))
    figure, axes = plt.subplots(figsize=(4.4, 4.0))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.0%}\n{table[row, column]}"
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set(xlabel="recognised as", ylabel="true label", title=title)
    _save(figure, file)


def networks(scores: Mapping[str, Mapping[str, Sequence[float]]], file: Path) -> None:
    """Bars of each metric for each network, with the deviation over seeds; network -> metric."""
    metrics = list(next(iter(scores.values())))
    place, width = np.arange(len(metrics)), 0.8 / len(scores)
    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    for index, (name, values) in enumerate(scores.items()):
        means = [np.mean(values[m]) for m in metrics]
        errors = [np.std(values[m], ddof=1) if len(values[m]) > 1 else 0 for m in metrics]
        at = place + (index - (len(scores) - 1) / 2) * width
        axes.bar(at, means, width, yerr=errors, label=name, color=_HUES[index % 6], capsize=2)
    axes.axhline(0.25, color="grey", linestyle=":", linewidth=1)
    axes.set_xticks(place, metrics)
    axes.set(ylim=(0, 1), ylabel="mean of corpora, test", title="Networks")
    axes.legend(fontsize=8, ncols=3, loc="upper center")
    _save(figure, file)


def calibration(bins: Float64, error: float, file: Path) -> None:
    """Confidence against the share that was right; `bins` of `metrics.calibration`."""
    figure, axes = plt.subplots(figsize=(4.2, 4.0))
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.scatter(bins[:, 0], bins[:, 1], s=600 * bins[:, 2], color=_HUES[0], alpha=0.8)
    axes.plot(bins[:, 0], bins[:, 1], color=_HUES[0], linewidth=1)
    title = f"Calibration, error {error:.3f}"
    axes.set(xlim=(0.2, 1), ylim=(0, 1), xlabel="confidence", ylabel="right", title=title)
    _save(figure, file)


def coverage(shares: Sequence[float], curves: Mapping[str, Sequence[float]], file: Path) -> None:
    """UAR when only the most confident share counts; name -> UAR of each share."""
    figure, axes = plt.subplots(figsize=(4.8, 3.6))
    for hue, (name, values) in zip(_HUES, curves.items(), strict=False):
        axes.plot(np.array(shares) * 100, values, label=name, color=hue)
    axes.set(xlabel="coverage, % of clips", ylabel="mean UAR", title="Risk and coverage")
    axes.invert_xaxis()
    axes.legend(fontsize=8)
    _save(figure, file)
