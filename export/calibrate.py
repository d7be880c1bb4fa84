"""Probabilities that mean what they say, and when not to say a label; both fitted on `dev`.

The clips go through `Recognizer`; what reached its decision is kept, so that every temperature
and threshold is tried on the very numbers a stream decides on.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from export.corpora import Clip
from livesr.decision import Decision, DecisionSettings, Verdict
from livesr.recognizer import Recognizer
from livesr.stage import Bool, Float64
from livesr.voice import BLOCK_SAMPLES

Hop = tuple[Float64, Bool, float]  # what `Decision.push` takes
_BLOCK_SECONDS = BLOCK_SAMPLES / 16000


class _Kept(Decision):
    """A decision that keeps what it was asked."""

    def __init__(self, *arguments: Any) -> None:
        self.hops: list[Hop] = []
        super().__init__(*arguments)

    def push(self, probabilities: Float64, speech: Bool, end_seconds: float) -> Verdict:
        self.hops.append((probabilities, speech, end_seconds))
        return super().push(probabilities, speech, end_seconds)


def hops(job: tuple[Clip, str]) -> list[Hop]:
    """What reached the decision of a clip's stream through a model."""
    clip, model = job
    recognizer = Recognizer(model)
    kept = _Kept(DecisionSettings(), len(recognizer.labels), _BLOCK_SECONDS)
    recognizer.decision = kept
    recognizer.push(clip.samples())
    recognizer.finish()
    return kept.hops


def last_spoken(heard: Sequence[Hop], temperature: float, settings: DecisionSettings) -> Float64:
    """The smoothed probabilities when somebody had last spoken, had the model this temperature."""
    decision = Decision(settings, len(heard[0][0]), _BLOCK_SECONDS)
    found: Float64 = heard[-1][0]
    for probabilities, speech, end in heard:
        cooled = probabilities ** (1 / temperature)
        verdict = decision.push(cooled / cooled.sum(), speech, end)
        if verdict.status in ("speech", "unsure"):
            found = verdict.smoothed
    return found


def fit(
    model: Path, clips: Sequence[Clip], coverage: float, settings: DecisionSettings
) -> tuple[float, DecisionSettings]:
    """The temperature of least log loss, each corpus counting alike, and the threshold.

    Args:
        model: a livesr file of temperature 1.
        clips: of `dev`.
        coverage: share of these clips that shall get a label: where on the risk-coverage curve
            the model stands.
        settings: the decision but for its threshold.

    Returns:
        the temperature, and the settings with their `least_probability`.
    """
    with ProcessPoolExecutor() as pool:
        jobs = [(clip, str(model)) for clip in clips]
        done = pool.map(hops, jobs, chunksize=8)
        heard = list(tqdm(done, "calibration", len(jobs), leave=False, disable=None))
    truth = np.array([clip.label for clip in clips])
    corpora = np.array([clip.corpus for clip in clips])

    def verdicts(temperature: float) -> Float64:
        return np.stack([last_spoken(one, temperature, settings) for one in heard])

    def loss(temperature: float) -> float:
        right = np.log(verdicts(temperature)[np.arange(len(truth)), truth])
        return -float(np.mean([right[corpora == corpus].mean() for corpus in np.unique(corpora)]))

    grid = np.geomspace(0.5, 3, 28)
    temperature = float(grid[np.argmin([loss(t) for t in grid])])
    confidence = verdicts(temperature).max(1)
    least = float(np.quantile(confidence, 1 - coverage))
    return temperature, replace(settings, least_probability=round(least, 3))
