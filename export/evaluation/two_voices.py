"""How often a profile refuses or doubts examples of one voice, and of two that take turns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from export.corpora.clips import Clip
from livesr.profile import Example, doubtful, two_voices
from livesr.stages.highpass import HighPass
from livesr.stages.pitch import pitch

_FOR_PITCH = 6  # clips of each speaker and emotion
_NO_VECTOR = np.zeros(0, np.float16)


@dataclass(slots=True)
class Doubts:
    """How often profiles were refused and doubted."""

    refused: list[bool] = field(default_factory=list)
    doubted: list[bool] = field(default_factory=list)

    def enrol(self, labels: Sequence[str], pitches: Sequence[float]) -> None:
        """One after the other, as `Profile.add` takes them."""
        examples = [
            Example(label, _NO_VECTOR, _NO_VECTOR, 2.0, pitch=pitch)
            for label, pitch in zip(labels, pitches, strict=True)
        ]
        ends = range(1, len(examples) + 1)
        self.refused.append(any(two_voices(examples[:end]) for end in ends))
        self.doubted.append(any(doubtful(examples[:end]) for end in ends))

    def row(self) -> str:
        if not self.refused:
            return "- | - | 0"
        refused, doubted = np.mean(self.refused), np.mean(self.doubted)
        return f"{refused:.1%} | {doubted:.1%} | {len(self.refused)}"


def two_voice_table(clips: Sequence[Clip], draws: int, each: int) -> Iterator[str]:
    """Share of profiles refused and doubted, of one voice and of two that take turns.

    Args:
        clips: of whoever enrols.
        draws: of each speaker, and of other speakers of the same corpus for each.
        each: examples of each emotion; of two voices half are the other's.
    """
    heard: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for clip in tqdm(few_of_each(clips, _FOR_PITCH), "pitch", leave=False, disable=None):
        height = pitch(HighPass().push(clip.samples()))
        who = clip.corpus, clip.speaker, clip.gender
        heard.setdefault(who, defaultdict(list))[clip.emotion].append(height)
    yield f"| {each} of each | whose | refused | doubted or refused | profiles |"
    yield "|---|---|---|---|---|"
    whose = ("one voice", "two of one sex", "two of both sexes")
    for count in (2, 3, 4):
        found = {name: Doubts() for name in whose}
        rng = np.random.default_rng(0)
        for who, own in heard.items():
            fellows = [
                other
                for other in heard
                if other[0] == who[0] and other != who and other[2] and who[2]
            ]
            for _ in range(draws):
                if drawn := _drawn(own, own, count, each, rng):
                    found["one voice"].enrol(*drawn)
                if fellows:
                    other = fellows[rng.integers(len(fellows))]
                    name = whose[1 if other[2] == who[2] else 2]
                    if drawn := _drawn(own, heard[other], count, each, rng):
                        found[name].enrol(*drawn)
        for name in whose:
            yield f"| {count} emotions | {name} | {found[name].row()} |"


def few_of_each(clips: Sequence[Clip], most: int) -> list[Clip]:
    """At most so many of each speaker and emotion, drawn at random."""
    rng, taken = np.random.default_rng(0), Counter[tuple[str, str]]()
    kept: list[Clip] = []
    for place in rng.permutation(len(clips)):
        clip = clips[place]
        if taken[clip.speaker, clip.emotion] < most:
            taken[clip.speaker, clip.emotion] += 1
            kept.append(clip)
    return kept


def _drawn(
    one: Mapping[str, Sequence[float]],
    other: Mapping[str, Sequence[float]],
    count: int,
    each: int,
    rng: np.random.Generator,
) -> tuple[list[str], list[float]] | None:
    """Labels and pitches, label by label; half of each label's examples are the other's."""
    theirs = each // 2 if other is not one else 0
    able = [k for k in one if len(one[k]) >= each - theirs and len(other.get(k, ())) >= theirs]
    if len(able) < count:
        return None
    labels, pitches = [], []
    for label in rng.permutation(able)[:count]:
        labels += [str(label)] * each
        pitches += rng.permutation(one[label])[: each - theirs].tolist()
        pitches += rng.permutation(other[label])[:theirs].tolist() if theirs else []
    return labels, pitches
