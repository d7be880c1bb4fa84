"""How well a voice is judged by so many examples of each emotion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from export.corpora.clips import CorpusError
from export.evaluation.known_voices import LEAST_LABELS, LEFT, Voice
from export.evaluation.metrics import calibration_error
from export.evaluation.speakers import DRAWS, interval
from livesr.arrays import Array, Float64
from livesr.model.metadata import LABELS
from livesr.reading import MOST_LABELS

COUNTS = (1, 2, 3, 5)  # examples of each emotion


@dataclass(slots=True)
class Gain:
    """What a profile brings one speaker, in UAR.

    Attributes:
        truth: label of each clip, int [clips].
        steps: a row a draw, float64 [clips]: 1 where the profile made a clip's result right, -1
            where it made it wrong, 0 where nothing changed, NaN where it is enrolled.
    """

    truth: Array
    steps: list[Float64] = field(default_factory=list)

    def _of(self, times: Array) -> Float64:
        """Mean over draws and labels, where clips count so many times, [n, clips] -> [n]."""
        steps = np.stack(self.steps)
        judged = ~np.isnan(steps)
        found = []
        for label in np.unique(self.truth):
            own = self.truth == label
            total = times[:, own] @ np.nan_to_num(steps[:, own]).T
            with np.errstate(invalid="ignore"):  # a draw may judge none of the clips that count
                found.append(np.nanmean(total / (times[:, own] @ judged[:, own].T), axis=1))
        return np.asarray(np.mean(found, axis=0))

    @property
    def mean(self) -> float:
        return float(self._of(np.ones((1, len(self.truth))))[0])

    def drawn(self) -> Float64:
        """The mean of each draw of a bootstrap over the clips of each label, [DRAWS]."""
        rng = np.random.default_rng(0)
        times = np.zeros((DRAWS, len(self.truth)))
        for label in np.unique(self.truth):
            own = np.flatnonzero(self.truth == label)
            times[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), DRAWS)
        return self._of(times)


@dataclass(slots=True)
class Curve:
    """What came of so many examples: a speaker's scores, and how sure it was."""

    scores: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    before: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    gains: dict[str, Gain] = field(default_factory=dict)  # by speaker; none for words of one's own
    apart: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    shares: list[Float64] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)

    def corpora(self, which: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, float]:
        """Mean over the speakers of each corpus of their mean over draws."""
        found: dict[str, list[float]] = defaultdict(list)
        for (corpus, _), scores in which.items():
            found[corpus].append(float(np.mean(scores)))
        return {corpus: float(np.mean(scores)) for corpus, scores in found.items()}

    def losers(self) -> str:
        """How many speakers lose by a profile, and who gains least or loses most."""
        means = {name: gain.mean for name, gain in self.gains.items()}
        least = min(means, key=means.__getitem__)
        lost = sum(mean < 0 for mean in means.values())
        return (
            f"{lost} of {len(means)} lose; least: {least}, {means[least]:+.3f} "
            f"({interval(self.gains[least].drawn())})"
        )

    @property
    def error(self) -> float:
        return calibration_error(np.stack(self.shares), self.truth)


def _uar(truth: Array, shares: Float64) -> float:
    """Over the labels that occur; of whatever labels there are."""
    right = shares.argmax(1) == truth
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def curve(
    voices: Sequence[Voice],
    count: int,
    draws: int,
    others: Sequence[Voice] = (),
    only: Sequence[str] = (),
) -> Curve:
    """So many examples of each emotion, of every speaker with enough clips.

    Args:
        voices: who is judged.
        count: examples of each emotion.
        draws: of each speaker.
        others: the same clips in another condition, to enrol from.
        only: of the emotions, these are enrolled; empty for all.
    """
    found = Curve()
    for number, voice in enumerate(voices):
        rng = np.random.default_rng(0)
        plain = voice.results(None) if voice.labels == LABELS else None
        for _ in range(draws):
            places = voice.draw(count, rng, only)
            if places is None:
                break
            shown = voice.results(voice.enrol(places, others[number] if others else None))
            rest = np.setdiff1d(np.arange(len(voice.truth)), places)
            key = voice.clips[0].clip.corpus, voice.clips[0].clip.speaker
            found.scores[key].append(_uar(voice.truth[rest], shown[rest]))
            if plain is not None:
                before = _uar(voice.truth[rest], plain[rest])
                found.before[key].append(before)
                right = [(of[rest].argmax(1) == voice.truth[rest]) * 1.0 for of in (shown, plain)]
                step = np.full(len(voice.truth), np.nan)
                step[rest] = right[0] - right[1]
                found.gains.setdefault(key[1], Gain(voice.truth)).steps.append(step)
            apart = voice.apart(places)
            if len(np.unique(voice.truth[apart])) == len(voice.present):
                score = _uar(voice.truth[apart], shown[apart])
                found.apart[key].append(score)
            wide = np.zeros((len(rest), MOST_LABELS))
            wide[:, : len(voice.labels)] = shown[rest]
            found.shares.extend(wide)
            found.truth.extend(voice.truth[rest].tolist())
    return found


def check_enough(voices: Sequence[Voice], count: int, only: Sequence[str] = ()) -> None:
    """Check that somebody can be judged after so many examples of each emotion, or of these alone.

    Raises:
        CorpusError: if nobody can.
    """
    rng = np.random.default_rng(0)
    if all(voice.draw(count, rng, only) is None for voice in voices):
        raise CorpusError(
            f"No speaker has enough clips: {LEAST_LABELS} emotions or more, and of each "
            f"{LEFT} clips to judge beside the {count} enrolled; give more clips."
        )
