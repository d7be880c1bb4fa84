"""Speakers of whom some clips are enrolled and the others judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from export.corpora.clips import Clip
from export.evaluation.judging import weights
from export.evaluation.windows import Windows
from livesr.arrays import Array, Float64
from livesr.model.metadata import LABELS
from livesr.settings import DecisionSettings
from livesr.stages.evidence import distance_factor, factor, tempered
from livesr.stages.known_voice import LEAST_PROBABILITY, KnownSettings, KnownVoice

LEAST_LABELS = 3  # emotions that a speaker must have
LEFT = 2  # clips of each emotion that must be left to judge


@dataclass(frozen=True, slots=True)
class Judged:
    """What a network says of one clip.

    Attributes:
        clip: the clip.
        context: c of each window, float64 [n, c].
        probabilities: of each window, as the network gives them, float64 [n, labels].
        evidence: the factor of `livesr.stages.evidence` for each window, float64 [n].
        distance_factor: that of each window, for a voice without a profile, float64 [n].
        weights: how much each counts in the result of the clip, [n]; sum to 1.
        example: c of it as an example, float64 [c].
        logs: log-probabilities of it as an example, float64 [labels].
        sharpness: of a known voice, by the model's settings.
        settings: of the classifier of a known voice.
    """

    clip: Clip
    context: Float64
    probabilities: Float64
    evidence: Float64
    distance_factor: Float64
    weights: Float64
    example: Float64
    logs: Float64
    sharpness: float
    settings: KnownSettings = field(default_factory=KnownSettings)

    @property
    def sentence(self) -> str:
        return self.clip.text.split("|")[0]


def judged_clip(clip: Clip, windows: Windows, settings: DecisionSettings) -> Judged:
    """From windows to what enrolling and judging need."""
    count = len(windows.ends)
    spoken = windows.spoken_in_window(settings.window_seconds)
    new = np.array([speech.any() for speech in windows.speech])
    squares = spoken**2 * new
    shares = squares / squares.sum() if squares.any() else np.full(count, 1 / count)
    counted = weights(windows.likely)
    logs = np.log(np.maximum(windows.probabilities, LEAST_PROBABILITY))
    return Judged(
        clip,
        windows.context.astype(np.float64),
        windows.probabilities,
        factor(spoken, settings),
        distance_factor(windows.distance, settings),
        counted / counted.sum(),
        (shares @ windows.context).astype(np.float16).astype(np.float64),
        (shares @ logs).astype(np.float16).astype(np.float64),
        settings.known_sharpness,
    )


class Voice:
    """One speaker's clips, enrolled from and judged in one go."""

    def __init__(self, clips: Sequence[Judged], labels: Sequence[str]) -> None:
        self.clips, self.labels = clips, tuple(labels)
        self.truth = np.array([self.labels.index(one.clip.emotion) for one in clips])
        self.present = np.unique(self.truth)
        self._context = np.concatenate([one.context for one in clips])
        self._probabilities = np.concatenate([one.probabilities for one in clips])
        self._evidence = np.concatenate([one.evidence for one in clips])
        self._distance_factor = np.concatenate([one.distance_factor for one in clips])
        self._weights = np.concatenate([one.weights for one in clips])
        lengths = [len(one.weights) for one in clips]
        self._starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))

    def results(self, known: KnownVoice | None) -> Float64:
        """The result of each clip, as in `export.evaluation.judging`, float64 [clips, labels]."""
        shares, power = self._probabilities, self._evidence * self._distance_factor
        if known is not None:
            shares, power = known.push(self._context, shares), self._evidence
        shares = tempered(shares, power) * self._weights[:, None]
        found: Float64 = np.add.reduceat(shares, self._starts, axis=0)
        return found

    def enrol(self, places: Sequence[int], other: Voice | None = None) -> KnownVoice:
        """Fitted from these clips, as `other` has them (in another condition)."""
        clips = [(other or self).clips[place] for place in places]
        return KnownVoice(
            np.stack([one.example for one in clips]),
            np.stack([one.logs for one in clips]),
            self.truth[list(places)].tolist(),
            self.labels,
            LABELS,
            self.clips[0].sharpness,
            self.clips[0].settings,
        )

    def draw(
        self, count: int, rng: np.random.Generator, of: Sequence[str] = ()
    ) -> list[int] | None:
        """So many clips of each emotion, or of these; None where too few would be left."""
        enrolled = [k for k in self.present if not of or self.labels[k] in of]
        there = np.bincount(self.truth, minlength=len(self.labels))
        left = there - [count * (k in enrolled) for k in range(len(self.labels))]
        if len(self.present) < LEAST_LABELS or not enrolled or left[self.present].min() < LEFT:
            return None
        drawn = [rng.choice(np.flatnonzero(self.truth == k), count, False) for k in enrolled]
        return [int(place) for place in np.concatenate(drawn)]

    def apart(self, places: Sequence[int]) -> Array:
        """Clips that are not enrolled and whose sentence is not either."""
        said = {self.clips[place].sentence for place in places}
        return np.array([i for i, one in enumerate(self.clips) if one.sentence not in said], int)


def voices_of(clips: Sequence[Judged], labels: Sequence[str] | None = LABELS) -> list[Voice]:
    """A voice for each speaker; `labels` None are all emotions that the speaker has."""
    own: dict[str, list[Judged]] = defaultdict(list)
    for one in clips:
        own[one.clip.speaker].append(one)
    return [Voice(of, labels or sorted({one.clip.emotion for one in of})) for of in own.values()]
