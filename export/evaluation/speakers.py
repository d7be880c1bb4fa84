"""How far figures depend on who speaks: intervals, the worst speaker, gaps between groups.

Intervals are by bootstrap over speakers: speakers, with all their clips, are drawn with
replacement, because one speaker's clips are alike. 2,000 draws; the middle 95 % of their UARs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from export.corpora.clips import Clip
from export.evaluation.metrics import uars, wa
from livesr.arrays import Array, Float64
from livesr.model.metadata import LABELS

DRAWS = 2000
LEAST_CLIPS, LEAST_LABELS = 8, 2  # of a speaker who is judged alone
_FEW = 6  # speakers: a bootstrap over fewer gives too narrow an interval
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Speakers:
    """Some speakers, and how one network or several seeds of it judge their clips.

    Attributes:
        names: of the speakers.
        counts: int [seeds, speakers, true label, guessed label].
    """

    names: tuple[str, ...]
    counts: Array

    @classmethod
    def of(cls, clips: Sequence[Clip], guesses: Sequence[Sequence[int]]) -> Speakers:
        """From the clips and, for each seed, what each clip was recognised as."""
        names = sorted({clip.speaker for clip in clips})
        place = {name: i for i, name in enumerate(names)}
        counts = np.zeros((len(guesses), len(names), len(LABELS), len(LABELS)), int)
        for seed, guessed in enumerate(guesses):
            for clip, guess in zip(clips, guessed, strict=True):
                counts[seed, place[clip.speaker], clip.label, guess] += 1
        return cls(tuple(names), counts)

    def picked(self, keep: Callable[[str], bool]) -> Speakers:
        """Those speakers whom `keep` says true of."""
        kept = [i for i, name in enumerate(self.names) if keep(name)]
        return Speakers(tuple(self.names[i] for i in kept), self.counts[:, kept])

    def only(self, labels: Array) -> Speakers:
        """Without the clips of other labels; `labels` are bool [labels]."""
        return Speakers(self.names, self.counts * labels[:, None])

    @property
    def labels(self) -> Array:
        """Whether each label occurs, bool [labels]."""
        occurs: Array = self.counts.sum((0, 1, 3)) > 0
        return occurs

    @property
    def uar(self) -> float:
        """Of all clips together, mean of the seeds."""
        return float(uars(self.counts.sum(1)).mean())

    def drawn(self, rng: np.random.Generator) -> Float64:
        """UAR of each draw, [DRAWS]; of one speaker it is always the same."""
        count = len(self.names)
        times = rng.multinomial(count, np.full(count, 1 / count), DRAWS)
        found: Float64 = uars(np.einsum("ds,msij->mdij", times, self.counts)).mean(0)
        return found

    def worst(self) -> tuple[int, float, int]:
        """Place and UAR of the speaker judged worst, and how many speakers were compared.

        Only speakers with at least 8 clips of at least 2 emotions count; place -1 without any.
        """
        totals = self.counts[0].sum(-1)
        fit = (totals.sum(1) >= LEAST_CLIPS) & ((totals > 0).sum(1) >= LEAST_LABELS)
        if not fit.any():
            return -1, np.nan, 0
        scores = np.where(fit, uars(self.counts).mean(0), np.inf)
        return int(scores.argmin()), float(scores.min()), int(fit.sum())


def interval(draws: Float64) -> str:
    """The middle 95 % of the draws, as text."""
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return f"{low:.3f} to {high:.3f}"


def by_corpus(clips: Sequence[Clip], guesses: Sequence[Sequence[int]]) -> dict[str, Speakers]:
    """The speakers of each corpus."""
    found = {}
    for corpus in sorted({clip.corpus for clip in clips}):
        at = [i for i, clip in enumerate(clips) if clip.corpus == corpus]
        own = [[guessed[i] for i in at] for guessed in guesses]
        found[corpus] = Speakers.of([clips[i] for i in at], own)
    return found


def intervals(corpora: dict[str, Speakers]) -> Iterator[str]:
    """A row per corpus and their mean: UAR with its interval, and the worst speaker."""
    yield "### Over speakers\n"
    yield f"95 % intervals by bootstrap over speakers, {DRAWS} draws. The worst speaker is of those"
    yield f"with {LEAST_CLIPS} clips or more of {LEAST_LABELS} emotions or more.\n"
    yield "| corpus | speakers | UAR | 95 % interval | worst speaker | clips, emotions | UAR | WA |"
    yield "|---|---|---|---|---|---|---|---|"
    draws = []
    for speakers, rng in zip(corpora.values(), _generators(len(corpora)), strict=True):
        draws.append(speakers.drawn(rng))
    for (corpus, speakers), drawn in zip(corpora.items(), draws, strict=True):
        how = interval(drawn) if len(speakers.names) > 1 else "none: one speaker"
        cells = [corpus, str(len(speakers.names)), f"{speakers.uar:.3f}", how, *_worst(speakers)]
        yield "| " + " | ".join(cells) + " |"
    mean = np.mean([speakers.uar for speakers in corpora.values()])
    total = sum(len(speakers.names) for speakers in corpora.values())
    known = interval(np.mean(draws, axis=0)) if total > len(corpora) else "none"
    yield f"| mean of corpora | {total} | {mean:.3f} | {known} | | | | |"
    alone = [corpus for corpus, speakers in corpora.items() if len(speakers.names) == 1]
    few = [corpus for corpus, own in corpora.items() if 1 < len(own.names) < _FEW]
    if few:
        named = ", ".join(few)
        yield f"\nFewer than {_FEW} speakers ({named}) show too little: true intervals are wider."
    if alone:
        yield f"\nThe interval of the mean takes {', '.join(alone)}, of one speaker, as certain."
    yield ""


def _worst(speakers: Speakers) -> list[str]:
    place, score, compared = speakers.worst()
    if place < 0:
        return ["no speaker has so many", "", "", ""]
    counts = speakers.counts[:, place]
    emotions = int((counts[0].sum(1) > 0).sum())
    accuracy = np.mean([wa(table) for table in counts])
    name = f"{speakers.names[place]}, of {compared}"
    return [name, f"{counts[0].sum()}, {emotions}", f"{score:.3f}", f"{accuracy:.3f}"]


def gaps(clips: Sequence[Clip], corpora: dict[str, Speakers]) -> Iterator[str]:
    """Differences of UAR by the speakers' sex, and by age where ages are known."""
    sexes = {clip.speaker: clip.gender for clip in clips}
    ages = {clip.speaker: clip.age for clip in clips if clip.age is not None}
    yield "### Gaps between groups of speakers\n"
    yield "UAR over the emotions that both groups have; 95 % intervals by bootstrap over speakers;"
    yield "no interval where a group has one speaker.\n"
    yield "| corpus | groups | speakers | UAR | difference | 95 % interval |"
    yield "|---" * 6 + "|"
    rngs = iter(_generators(4 * len(corpora)))
    found = []
    for corpus, speakers in corpora.items():
        women, men = (
            speakers.picked({name for name, own in sexes.items() if own == sex}.__contains__)
            for sex in ("F", "M")
        )
        if not women.names and not men.names:
            yield f"| {corpus} | sex is not known | {len(speakers.names)} | | | |"
        elif not women.names or not men.names:
            only = "women" if women.names else "men"
            yield f"| {corpus} | only {only} | {len(speakers.names)} | | | |"
        else:
            gap = _Gap.between(women, men, next(rngs), next(rngs))
            found.append(gap)
            yield f"| {corpus} | women - men | {gap.row()} |"
    if len(found) > 1:
        mean = np.mean([gap.difference for gap in found])
        spread = [gap.draws for gap in found]
        known = interval(np.mean(spread, axis=0)) if any(gap.certain for gap in found) else "none"
        yield f"| mean of these {len(found)} | women - men | | | {mean:+.3f} | {known} |"
    for corpus, speakers in corpora.items():
        own = {name: ages[name] for name in speakers.names if name in ages}
        if len(set(own.values())) < 2:
            continue
        middle = sorted(own.values())[(len(own) - 1) // 2]
        if middle == max(own.values()):
            middle = max(age for age in own.values() if age < middle)
        young = {name for name, age in own.items() if age <= middle}
        groups = (
            speakers.picked(young.__contains__),
            speakers.picked((own.keys() - young).__contains__),
        )
        gap = _Gap.between(*groups, next(rngs), next(rngs))
        yield f"| {corpus} | up to {middle:.0f} years - older | {gap.row()} |"
    yield ""


@dataclass(frozen=True, slots=True, eq=False)
class _Gap:
    """Between two groups of speakers."""

    sizes: tuple[int, int]
    scores: tuple[float, float]
    draws: Float64  # of the difference

    @classmethod
    def between(cls, one: Speakers, other: Speakers, *rngs: np.random.Generator) -> _Gap:
        both = one.labels & other.labels
        pair = (one.only(both), other.only(both))
        first, second = (group.drawn(rng) for group, rng in zip(pair, rngs, strict=True))
        sizes, scores = [len(group.names) for group in pair], [group.uar for group in pair]
        return cls((sizes[0], sizes[1]), (scores[0], scores[1]), first - second)

    @property
    def difference(self) -> float:
        return self.scores[0] - self.scores[1]

    @property
    def certain(self) -> bool:
        """Whether both groups have speakers to draw from."""
        return min(self.sizes) > 1

    def row(self) -> str:
        known = interval(self.draws) if self.certain else "none"
        return (
            f"{self.sizes[0]}, {self.sizes[1]} | {self.scores[0]:.3f}, {self.scores[1]:.3f} | "
            f"{self.difference:+.3f} | {known}"
        )


def _generators(count: int) -> list[np.random.Generator]:
    """Independent generators, the same every time."""
    return np.random.default_rng(_SEED).spawn(count)
