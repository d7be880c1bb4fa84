"""The temperature at which probabilities are calibrated, and what little speech says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.corpora.clips import Clip
from export.evaluation.judging import file_without, result, spread_out
from export.evaluation.metrics import tables, uar
from livesr.arrays import Float64
from livesr.model.load import load_model
from livesr.recognizer import Recognizer
from livesr.settings import HOP_SECONDS, DecisionSettings
from livesr.stages.evidence import factor, tempered

_USUAL = DecisionSettings()  # what `export.calibrate` writes down
_WINDOW = int(_USUAL.window_seconds / HOP_SECONDS)  # readings
_HALVES = (0.0, 0.25, 0.5, 1.0, 2.0)  # of `half_evidence_seconds`


@dataclass(frozen=True, slots=True)
class Said:
    """What a model with the temperature 1 says of a clip.

    Attributes:
        probabilities: of each reading, float64 [n, labels].
        speech: in its hop, 0 to 1, float64 [n].
        spoken: seconds of it in its window, float64 [n].
        evidence: the factor of `livesr.stages.evidence` that the model applied, float64 [n].
    """

    probabilities: Float64
    speech: Float64
    spoken: Float64
    evidence: Float64

    def result(self, temperature: float, settings: DecisionSettings = _USUAL) -> Float64:
        """That of the clip (see `export.evaluate`), had the model this temperature and settings."""
        power = factor(self.spoken, settings) / self.evidence / temperature
        return result(tempered(self.probabilities, power), self.speech)


def said(job: tuple[Clip, str]) -> Said:
    """What a model file says of a clip."""
    clip, model = job
    recognizer = Recognizer(model)
    readings = recognizer.push(clip.samples()) + recognizer.finish()
    own = load_model(model).info
    shares = np.array([list(reading.probabilities.values()) for reading in readings])
    speech = np.array([reading.speech for reading in readings])
    seconds = speech * np.diff([reading.end for reading in readings], prepend=0)
    spoken = np.maximum(np.convolve(seconds, np.ones(_WINDOW))[: len(seconds)], 0.03)
    uncooled = tempered(shares, np.full(len(shares), own.temperature))
    return Said(uncooled, speech, spoken, factor(spoken, own.decision))


class Calibration:
    """Clips judged by models that never heard their corpora."""

    def __init__(self, pairs: Sequence[tuple[Clip, str]], workers: int | None = None) -> None:
        self._said = spread_out(said, pairs, "calibration", workers)
        self.clips = [clip for clip, _ in pairs]
        self.truth = np.array([clip.label for clip in self.clips])
        sizes = Counter(clip.corpus for clip in self.clips)
        self._weights = np.array([1 / sizes[c.corpus] / len(sizes) for c in self.clips])

    def fit(self, settings: DecisionSettings = _USUAL) -> tuple[float, Float64, float]:
        """The temperature of least log loss; corpora count alike.

        Returns:
            the temperature, what is then said of each clip, [clips, labels], and the loss.
        """
        tried = []
        for temperature in np.geomspace(0.5, 4, 32):
            results = np.stack([one.result(temperature, settings) for one in self._said])
            right = results[np.arange(len(self.truth)), self.truth]
            tried.append((-float(self._weights @ np.log(right)), float(temperature), results))
        loss, temperature, results = min(tried, key=lambda one: one[0])
        return temperature, results, loss

    def by_evidence(self) -> Iterator[str]:
        """A table: what `half_evidence_seconds` costs and brings."""
        corpora = sorted({clip.corpus for clip in self.clips})
        yield f"| half | log loss | {' | '.join(corpora)} | mean UAR |"
        yield "|---" * (3 + len(corpora)) + "|"
        for half in _HALVES:
            _, results, loss = self.fit(DecisionSettings(half_evidence_seconds=half))
            names = [clip.corpus for clip in self.clips]
            found = tables(self.truth, results.argmax(1), names, labels=results.shape[1])
            scores = [uar(counts) for counts in found.values()]
            row = " | ".join(f"{score:.3f}" for score in [*scores, float(np.mean(scores))])
            yield f"| {half:g} s | {loss:.3f} | {row} |"


def left_out(folder: Path, clips: Sequence[Clip], most: int) -> list[tuple[Clip, str]]:
    """Clips of each corpus, at most so many, and the model in `folder` trained without it."""
    found = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus and clip.split != "test"]
        order = np.random.default_rng(0).permutation(len(own))[:most]
        found += [(own[i], str(file_without(folder, corpus))) for i in order]
    return found
