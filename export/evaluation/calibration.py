"""The temperature at which probabilities are calibrated, and what evidence and distance change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.corpora.clips import Clip
from export.evaluation.judging import file_without, result, spread_out
from export.evaluation.metrics import calibration_error, tables, uar
from export.evaluation.windows import decide, listen
from livesr.arrays import Float64
from livesr.model.load import load_model
from livesr.settings import DecisionSettings
from livesr.stages.evidence import distance_factor, factor, tempered

_USUAL = DecisionSettings()  # what `export.calibrate` writes down
_TEMPERATURES = 0.5 * 8 ** (np.arange(-16, 32) / 31)  # 0.17 to 4
_HALVES = (0.0, 0.25, 0.5, 1.0, 2.0)  # of `half_evidence_seconds`
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # of `distance_power`


@dataclass(frozen=True, slots=True)
class Said:
    """What a model with the temperature 1 says of a clip.

    Attributes:
        probabilities: of each reading, float64 [n, labels].
        speech: in its hop, 0 to 1, float64 [n].
        spoken: seconds of it in its window, float64 [n].
        distance: of its window from the training clips, float64 [n].
        power: the factors of `livesr.stages.evidence` that the model applied, float64 [n].
    """

    probabilities: Float64
    speech: Float64
    spoken: Float64
    distance: Float64
    power: Float64

    def result(self, temperature: float, settings: DecisionSettings = _USUAL) -> Float64:
        """That of the clip (see `export.evaluate`), had the model this temperature and settings."""
        power = _power(self.spoken, self.distance, settings) / self.power / temperature
        return result(tempered(self.probabilities, power), self.speech)


def _power(spoken: Float64, distance: Float64, settings: DecisionSettings) -> Float64:
    return factor(spoken, settings) * distance_factor(distance, settings)


def said(job: tuple[Clip, str]) -> Said:
    """What a model file says of a clip."""
    clip, model = job
    own, windows = load_model(model).info, listen(model, clip.samples)
    shares, _ = decide(windows, own.decision)
    spoken = windows.spoken_in_window(own.decision.window_seconds)
    uncooled = tempered(shares, np.full(len(shares), own.temperature))
    power = _power(spoken, windows.distance, own.decision)
    return Said(uncooled, windows.likely, spoken, windows.distance, power)


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
        for temperature in _TEMPERATURES:
            results = np.stack([one.result(temperature, settings) for one in self._said])
            right = results[np.arange(len(self.truth)), self.truth]
            tried.append((-float(self._weights @ np.log(right)), float(temperature), results))
        loss, temperature, results = min(tried, key=lambda one: one[0])
        return temperature, results, loss

    def usual_distance(self, temperature: float) -> tuple[float, Float64]:
        """That of least log loss at this temperature, where `distance_power` is the usual one.

        Returns:
            the distance, and what is then said of each clip, [clips, labels].
        """
        found, results, _ = self.fit()
        return float((temperature / found) ** (1 / _USUAL.distance_power)), results

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

    def by_distance(self) -> Iterator[str]:
        """A table: what `distance_power` costs and brings, in calibration error."""
        names = np.array([clip.corpus for clip in self.clips])
        corpora = sorted(set(names))
        yield f"| power | log loss | {' | '.join(corpora)} | mean | all clips |"
        yield "|---" * (4 + len(corpora)) + "|"
        for power in _POWERS:
            _, results, loss = self.fit(DecisionSettings(distance_power=power))
            of = [names == corpus for corpus in corpora]
            errors = [calibration_error(results[own], self.truth[own].tolist()) for own in of]
            errors += [float(np.mean(errors)), calibration_error(results, self.truth.tolist())]
            row = " | ".join(f"{error:.3f}" for error in errors)
            yield f"| {power:g} | {loss:.3f} | {row} |"


def left_out(folder: Path, clips: Sequence[Clip], most: int) -> list[tuple[Clip, str]]:
    """Clips of each corpus, at most so many, and the model in `folder` trained without it."""
    found = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus and clip.split != "test"]
        order = np.random.default_rng(0).permutation(len(own))[:most]
        found += [(own[i], str(file_without(folder, corpus))) for i in order]
    return found
