"""Statistics of the encoder's steps: a linear classifier on them, and the directions of a voice.

Mean and deviation of each of the encoder's values over the speech of a window (statistics pooling,
Snyder et al. 2018) and multinomial logistic regression: on voices that no training knows, that is
hard to beat, so it stands beside the paper's summary c, eq. (5), in the classifier. A known voice
(`livesr.Profile`) is told by the same statistics in the directions in which emotions of one voice
differ most against the spread inside an emotion (linear discriminant analysis).

A second such classifier learns from statistics less the mean of other clips of the same voice. Its
logits are linear in the statistics, so a stream may subtract the mean of the logits instead: see
`livesr.stages.adaptation`.

The distance of a window from a corpus of the training clips is squared Mahalanobis distance from
the corpus's mean, divided by the number of dimensions. These are the principal components of the
statistics; the covariance is that inside a corpus (Lee et al. 2018, with corpora for classes). The
larger the least of these distances, the less sure is the model: see `livesr.stages.evidence`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import eigh

from export.features.encoder import STEPS
from export.features.steps import Encoded, Heard
from export.networks.pretrained_graph import LEAST_VARIANCE, UNSPOKEN
from export.training.targets import cross_entropy, present
from livesr.arrays import Bool, Float32, Float64
from livesr.model.metadata import LABELS
from livesr.stages.model_stream import block_ends

PENALTY = 0.15  # on the classifier's weights
SPREAD_FLOOR = 10.0  # of the spread inside an emotion, as a share of its mean over directions
DIRECTIONS = 64
COMPONENTS = 64  # principal ones, in which distances from corpora are measured
_OTHERS = 10  # clips of a voice whose mean the second classifier subtracts


@dataclass(frozen=True, slots=True)
class Probe:
    """A classifier on a window's statistics, and directions in them.

    Attributes:
        mean: of each of the encoder's values over speech, float32 [768].
        deviation: likewise.
        weight: float32 [1536, labels]; of mean and deviation in units of `deviation`.
        bias: float32 [labels].
        directions: float32 [1536, 64].
        origin: of the directions, float32 [64].
        relative: float32 [1536, labels]; as `weight`, of the classifier that learned from
            statistics less those of other clips of the voice.
        relative_bias: float32 [labels].
        components: float32 [1536, 64]; in them the statistics inside a corpus have the variance 1
            and no correlation.
        corpora: mean of each corpus in the components, float32 [corpora, 64].
        centre: of the training clips' statistics, float32 [1536].
        spread: likewise.
    """

    mean: Float32
    deviation: Float32
    weight: Float32
    bias: Float32
    directions: Float32
    origin: Float32
    relative: Float32
    relative_bias: Float32
    components: Float32
    corpora: Float32
    centre: Float32
    spread: Float32

    def logits(self, statistics: Float32) -> Float32:
        """float32 [n, 1536] of `statistics` -> [n, labels]."""
        return statistics @ self.weight + self.bias


def moments(clips: Sequence[Encoded]) -> tuple[Float32, Float32]:
    """Mean and deviation of the encoder's values over speech, float32 [768]."""
    rng = np.random.default_rng(0)
    some = rng.choice(len(clips), min(1500, len(clips)), replace=False)
    rows = np.concatenate([clips[i].steps[clips[i].spoken][::3] for i in some]).astype(np.float32)
    return rows.mean(0), rows.std(0) + np.float32(1e-3)


def statistics(one: Encoded, mean: Float32, deviation: Float32) -> Float32:
    """Mean and deviation over a clip's speech, in units of `deviation`, float32 [1536].

    Of the windows of a stream that end with each of its blocks, weighted by the speech in the
    block: what is judged of a clip as a whole is weighted alike.
    """
    count, first = len(one.steps), min(one.first, max(0, len(one.steps) - 25))
    steps = (one.steps.astype(np.float32) - mean) / deviation
    weight = one.spoken.astype(np.float64)[:, None] + UNSPOKEN
    sums = np.zeros((3, count + 1, steps.shape[1]))
    for place, powers in enumerate((np.ones_like(steps), steps, steps**2)):
        np.cumsum(weight * powers, axis=0, out=sums[place, 1:])
    ends = np.array(sorted({*(end for end in block_ends(first, count)), count}))
    total, linear, square = sums[:, ends] - sums[:, np.maximum(ends - STEPS, first)]
    means = linear / total
    spread = np.sqrt(np.maximum(square / total - means**2, 0) + LEAST_VARIANCE)
    spoken = np.concatenate(([0], np.cumsum(one.spoken)))
    new = spoken[ends] - spoken[np.concatenate(([first], ends[:-1]))] + 1e-3
    whole = new @ np.concatenate((means, spread), axis=1) / new.sum()
    return np.asarray(whole, np.float32)


def fit(clips: Sequence[Encoded], scenes: Sequence[Encoded], balance: float, share: float) -> Probe:
    """The probe of these clips.

    Args:
        clips: labelled, as recorded.
        scenes: augmented; the directions are those of `clips` alone.
        balance: a corpus-and-class counts in proportion to its size to this power.
        share: of the scenes in the classifier's loss.
    """
    mean, deviation = moments(clips)
    rows = [
        np.stack([statistics(one, mean, deviation) for one in part])
        for part in (clips, scenes)
        if part
    ]
    weight = [weights(part, balance) for part in (clips, scenes) if part]
    if scenes:
        weight = [(1 - share) * weight[0], share * weight[1]]
    every = [*clips, *scenes]
    centre, spread = _moments_of(rows[0])
    voices = _voices(rows[0], clips, balance)
    rows = [(part - centre) / spread for part in rows]
    targets = np.stack([one.clip.target() for one in every])
    own, bias = _regress(np.concatenate(rows), targets, classes(every), np.concatenate(weight))
    return Probe(
        mean,
        deviation,
        own / spread[:, None],
        np.asarray(bias - (centre / spread) @ own, np.float32),
        **voices,
        centre=centre,
        spread=spread,
    )


def with_voices(probe: Probe, clips: Sequence[Encoded], balance: float) -> Probe:
    """The probe with what these clips tell of voices; their encoder was fine-tuned since."""
    rows = np.stack([statistics(one, probe.mean, probe.deviation) for one in clips])
    return replace(probe, **_voices(rows, clips, balance))


def _voices(rows: Float32, clips: Sequence[Encoded], balance: float) -> dict[str, Float32]:
    """A voice's directions in the clips' statistics, and the classifier relative to a voice."""
    centre, spread = _moments_of(rows)
    rows = (rows - centre) / spread
    found = _discriminants(rows, clips)
    components, corpora = _components(rows, clips, balance)
    changes = rows - _usual(rows, clips)
    scale = np.sqrt(np.square(changes).mean(0)) + np.float32(1e-4)
    targets = np.stack([one.clip.target() for one in clips])
    own, bias = _regress(changes / scale, targets, classes(clips), weights(clips, balance))
    relative = own / (scale * spread)[:, None]
    return {
        "directions": found / spread[:, None],
        "origin": (centre / spread) @ found,
        "relative": relative,
        "relative_bias": np.asarray(bias - centre @ relative, np.float32),
        "components": components / spread[:, None],
        "corpora": np.asarray(corpora + (centre / spread) @ components, np.float32),
    }


def _moments_of(rows: Float32) -> tuple[Float32, Float32]:
    return rows.mean(0), rows.std(0) + np.float32(1e-4)


def _usual(rows: Float32, clips: Sequence[Encoded]) -> Float32:
    """Of each clip the mean of ten others of its voice, or of all; zeros where there is none."""
    rng, found = np.random.default_rng(0), np.zeros_like(rows)
    for own in _by_speaker(clips):
        for index in own if len(own) > 1 else ():
            others = [other for other in own if other != index]
            drawn = rng.choice(others, min(_OTHERS, len(others)), replace=False)
            found[index] = rows[drawn].mean(0)
    return found


def _by_speaker(clips: Sequence[Encoded]) -> list[list[int]]:
    """The places of each speaker's clips."""
    voices: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(clips):
        voices[one.clip.speaker].append(index)
    return list(voices.values())


def weights(clips: Sequence[Encoded | Heard], balance: float) -> Float32:
    """How much each clip counts, [clips], sums to 1: corpora and classes nearly alike."""
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, one in enumerate(clips):
        groups[one.clip.corpus, one.clip.label].append(index)
    found = np.zeros(len(clips))
    for own in groups.values():
        found[own] = len(own) ** (balance - 1)
    return (found / found.sum()).astype(np.float32)


def classes(clips: Sequence[Encoded | Heard]) -> Bool:
    """`export.training.targets.present` of these clips."""
    return present([one.clip.corpus for one in clips], [one.clip.label for one in clips])


def _regress(
    rows: Float32, targets: Float32, there: Bool, weight: Float32
) -> tuple[Float32, Float32]:
    """Multinomial logistic regression with a quadratic penalty, by L-BFGS."""
    features, aims, exist, share = map(torch.from_numpy, (rows, targets, there, weight))
    own = torch.zeros(rows.shape[1], len(LABELS), requires_grad=True)
    bias = torch.zeros(len(LABELS), requires_grad=True)
    optimiser = torch.optim.LBFGS([own, bias], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimiser.zero_grad()
        found = share @ cross_entropy(features @ own + bias, aims, exist)
        found = found + PENALTY / 2 * own.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return float(found.detach())

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return own.detach().numpy(), bias.detach().numpy()


def _components(rows: Float32, clips: Sequence[Encoded], balance: float) -> tuple[Float32, Float32]:
    """The components in which distances are measured, [values, 64], and corpora in them."""
    weight = weights(clips, balance)[:, None].astype(np.float64)
    count = rows.shape[1]
    whole = (weight * rows).T @ rows  # the rows' mean is 0, without weights
    _, found = eigh(whole, subset_by_index=(count - COMPONENTS, count - 1))
    places = rows @ found
    names = np.array([one.clip.corpus for one in clips])
    means = {name: _mean(places[names == name], weight[names == name]) for name in set(names)}
    apart = places - np.stack([means[name] for name in names])
    inside = (weight * apart).T @ apart
    floor = 1e-4 * np.trace(inside) / len(inside) + 1e-9
    inside[np.diag_indices_from(inside)] += floor
    whiten = np.linalg.inv(np.linalg.cholesky(inside)).T
    corpora = np.stack([means[name] for name in sorted(means)]) @ whiten
    return np.asarray(found @ whiten, np.float32), np.asarray(corpora, np.float32)


def _mean(rows: Float64, weight: Float64) -> Float64:
    return np.asarray((weight * rows).sum(0) / weight.sum())


def _discriminants(rows: Float32, clips: Sequence[Encoded]) -> Float32:
    """Where the emotions of a voice lie apart, float32 [values, DIRECTIONS]."""
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, one in enumerate(clips):
        groups[one.clip.speaker, one.clip.label].append(index)
    inside = rows.astype(np.float64)
    for own in _by_speaker(clips):
        inside[own] -= inside[own].mean(0)
    means = np.stack([inside[own].mean(0) for own in groups.values()])
    for own in groups.values():
        inside[own] -= inside[own].mean(0)
    within = inside.T @ inside / len(inside)
    floor = SPREAD_FLOOR * np.trace(within) / len(within) + 1e-6  # one clip a voice spreads nothing
    within[np.diag_indices_from(within)] += floor
    count = len(within)
    between = means.T @ means / len(means)
    _, found = eigh(between, within, subset_by_index=(count - DIRECTIONS, count - 1))
    return np.asarray(found[:, ::-1], np.float32)
