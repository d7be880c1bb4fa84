"""The temperature at which probabilities are calibrated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from export.corpora.clips import Clip
from export.evaluation.judging import LEAST_WEIGHT
from livesr.arrays import Float64
from livesr.model.load import load_model
from livesr.recognizer import Recognizer

Hop = tuple[Float64, float]  # a reading's probabilities, and the speech in its hop


def hops(job: tuple[Clip, str]) -> list[Hop]:
    """A clip's readings, had the model the temperature 1."""
    clip, model = job
    recognizer = Recognizer(model)
    readings = recognizer.push(clip.samples()) + recognizer.finish()
    own = load_model(model).info.temperature
    shares = [np.array(list(reading.probabilities.values())) for reading in readings]
    return [
        (_cooled(row, 1 / own), reading.speech)
        for row, reading in zip(shares, readings, strict=True)
    ]


def _cooled(probabilities: Float64, temperature: float) -> Float64:
    shares: Float64 = probabilities ** (1 / temperature)
    return shares / shares.sum()


def of_clip(pairs: Sequence[Hop], temperature: float) -> Float64:
    """What is said of a clip (see `export.evaluate`), had the model this temperature."""
    rows = [_cooled(probabilities, temperature) for probabilities, _ in pairs]
    weights = [max(LEAST_WEIGHT, speech) for _, speech in pairs]
    return np.asarray(np.average(rows, axis=0, weights=weights))


def fit(pairs: Sequence[tuple[Clip, str]]) -> tuple[float, Float64]:
    """The temperature of least log loss.

    Args:
        pairs: clips, and the model file that judges each; corpora count alike.

    Returns:
        the temperature, and what is then said of each clip, [clips, labels].
    """
    with ProcessPoolExecutor() as pool:
        done = pool.map(hops, pairs, chunksize=8)
        kept = list(tqdm(done, "calibration", len(pairs), leave=False, disable=None))
    truth = np.array([clip.label for clip, _ in pairs])
    sizes = Counter(clip.corpus for clip, _ in pairs)
    weights = np.array([1 / sizes[clip.corpus] / len(sizes) for clip, _ in pairs])

    def verdicts(temperature: float) -> Float64:
        return np.stack([of_clip(one, temperature) for one in kept])

    def loss(temperature: float) -> float:
        right = verdicts(temperature)[np.arange(len(truth)), truth]
        return -float(weights @ np.log(right))

    grid = np.geomspace(0.5, 4, 32)
    temperature = float(grid[np.argmin([loss(t) for t in grid])])
    return temperature, verdicts(temperature)


def left_out(folder: Path, clips: Sequence[Clip], most: int) -> list[tuple[Clip, str]]:
    """Clips of each corpus, at most so many, and the model in `folder` trained without it."""
    found = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus and clip.split != "test"]
        order = np.random.default_rng(0).permutation(len(own))[:most]
        found += [(own[i], str(folder / corpus / f"{corpus}.onnx")) for i in order]
    return found
