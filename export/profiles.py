"""What a few examples of a voice bring: the curves and tables of known voices.

    python -m export.profiles --corpora SPEECH --others SPEECH-MORE

Of each speaker some clips of each emotion, drawn at random, are enrolled and the others judged, as
in `export.evaluate`. UAR, mean over draws and speakers; a speaker counts where two clips of each
emotion are left to judge. Beside it the same where no sentence that was enrolled is judged. Own
words are all emotions of the speakers whose other emotions `other-emotions.csv` in --others holds.
--conditions: enrolled as recorded and judged in another condition, and the other way round.

What the network says is kept in --cache: the command can be rerun for another classifier in a
minute, and for another model in a quarter of an hour.

--left-out: instead, how the constants of the classifier were chosen. Of each corpus, `train` and
`dev` speakers are judged by the model in this folder that was trained without it (see
`export.train_pretrained --left-out`). A row for each choice: UAR, mean of the corpora, and the
calibration error.

--voices: instead, how often a profile refuses or doubts examples of one voice, and of two that take
turns, each label by both. No network is asked.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from export.corpora.clips import SPLITS, Clip, CorpusError, first_speakers, in_split, read_clips
from export.corpora.conditions import AS_RECORDED, sound
from export.corpora.readers import read_corpora
from export.evaluation.judging import judges
from export.evaluation.known_voices import Judged, Voice, judged_clip, voices_of
from export.evaluation.metrics import calibration_error
from export.evaluation.options import above_zero
from export.evaluation.speakers import DRAWS, interval
from export.evaluation.windows import Sound, judge_sounds
from livesr.arrays import Array, Float64
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.model.metadata import LABELS
from livesr.profile import Example, doubtful, two_voices
from livesr.reading import MOST_LABELS
from livesr.stages.highpass import HighPass
from livesr.stages.known_voice import KnownSettings
from livesr.stages.pitch import pitch

COUNTS = (1, 2, 3, 5)  # examples of each emotion
_FOR_PITCH = 6  # clips of each speaker and emotion, for `two_voice_table`
_NO_VECTOR = np.zeros(0, np.float16)
_SHARPNESS = 1.75  # `known_sharpness` of the models that ship
_CHOICES = tuple(KnownSettings(penalty=penalty) for penalty in (0.005, 0.01, 0.02, 0.04))
_OWN_CHOICES = tuple(
    KnownSettings(own_penalty=penalty, logs_weight=weight)
    for penalty, weight in ((0.0075, 0.6), (0.015, 0.6), (0.03, 0.6), (0.015, 0.3), (0.015, 1.2))
)
_NO_OFFSET = KnownSettings(offset_examples=1e9)
_OFFSETS = (
    KnownSettings(),
    KnownSettings(raising=1.0),
    KnownSettings(raising=0.0),
    KnownSettings(most_offset=0.75),
    KnownSettings(most_offset=100.0),
    KnownSettings(most_offset=100.0, raising=1.0),
    KnownSettings(offset_examples=1.0),
)
OTHER_DAYS = ("telephone band", "a room", "white noise, 10 dB", "Opus", "gain -20 dB")


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


def listen(
    clips: Sequence[Clip],
    model: str | None,
    cache: Path | None,
    what: str,
    condition: str = "",
    left_out: Path | None = None,
) -> list[Judged]:
    """All clips, corpus by corpus; each by the model in `left_out` that never heard it."""
    found: list[Judged] = []
    for corpus, judge in judges(clips, model, left_out).items():
        settings = load_model(judge).info.decision
        own = [clip for clip in clips if clip.corpus == corpus]
        named: list[tuple[str, Sound]]
        if condition:
            named = [
                (f"{clip.identity} {condition}", partial(sound, clip, condition)) for clip in own
            ]
        else:
            named = [(clip.identity, clip.samples) for clip in own]
        windows = judge_sounds(named, judge, cache, f"{corpus}-{what}")
        found += [judged_clip(clip, one, settings) for clip, one in zip(own, windows, strict=True)]
    return found


def table(voices: Sequence[Voice], draws: int, only: Sequence[str] = ()) -> Iterator[str]:
    """UAR by examples of each emotion, or of these alone; a row a corpus."""
    curves = {count: curve(voices, count, draws, only=only) for count in COUNTS}
    corpora = sorted({voice.clips[0].clip.corpus for voice in voices})
    own_words = any(voice.labels != LABELS for voice in voices)
    start = "chance" if own_words else "no profile"
    yield f"| held-out speakers | {start} | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 2) + "|"
    cells: dict[str, list[str]] = {corpus: [] for corpus in corpora}
    for corpus in corpora:
        if own_words:
            of = [v for v in voices if v.clips[0].clip.corpus == corpus]
            cells[corpus].append(f"{np.mean([1 / len(v.labels) for v in of]):.3f}")
        else:
            cells[corpus].append(f"{curves[1].corpora(curves[1].before).get(corpus, np.nan):.3f}")
        for found in curves.values():
            scores, apart = found.corpora(found.scores), found.corpora(found.apart)
            cell = f"{scores[corpus]:.3f}" if corpus in scores else "-"
            cells[corpus].append(cell + (f" ({apart[corpus]:.3f})" if corpus in apart else ""))
        yield f"| {corpus} | " + " | ".join(cells[corpus]) + " |"
    best = [
        {**curves[2].corpora(curves[2].scores), **curves[3].corpora(curves[3].scores)}.get(c)
        for c in corpora
    ]
    known = [score for score in best if score is not None]
    yield ""
    yield f"With 3 examples (2 where there are no more), mean of the corpora: {np.mean(known):.3f}"
    yield "In brackets: no sentence that was enrolled is judged."
    for count, found in curves.items():
        if not found.truth:
            continue
        line = f"{count} of each: calibration error {found.error:.3f}"
        if not own_words:
            line += f"; speakers: {found.losers()}"
        yield line


def choices(said: Sequence[Judged], words: Sequence[Judged], draws: int) -> Iterator[str]:
    """A row for each choice of the classifier's constants: UAR and calibration error.

    Args:
        said: clips of the model's labels.
        words: clips of all emotions of the speakers who have others too.
        draws: of each speaker.
    """
    yield "| penalty | known_sharpness | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 2) + "|"
    usual = KnownSettings()
    for settings, sharpness in (
        *((settings, _SHARPNESS) for settings in _CHOICES),
        (usual, 1.25),
        (usual, 2.25),
    ):
        tried = [replace(one, settings=settings, sharpness=sharpness) for one in said]
        cells = _cells(voices_of(tried), draws)
        yield f"| {settings.penalty:g} | {sharpness:g} | {cells} |"
    yield "\nNeutral examples alone:\n"
    yield "| offset_examples | most_offset | raising | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 3) + "|"
    for settings in (_NO_OFFSET, *_OFFSETS):
        tried = [replace(one, settings=settings, sharpness=_SHARPNESS) for one in said]
        cells = _cells(voices_of(tried), draws, ("neutral",))
        values = (settings.offset_examples, settings.most_offset, settings.raising)
        yield f"| {' | '.join(f'{value:g}' for value in values)} | {cells} |"
    corpora = sorted({one.clip.corpus for one in said})
    yield "\n| two neutral examples | " + " | ".join(corpora) + " |"
    yield "|---" * (len(corpora) + 1) + "|"
    for name, settings in (("without the offset", _NO_OFFSET), ("with it", usual)):
        tried = [replace(one, settings=settings, sharpness=_SHARPNESS) for one in said]
        voices = voices_of(tried)
        found = curve(voices, 2, draws, only=("neutral",))
        scores = found.corpora(found.scores)
        cells = " | ".join(f"{scores[k]:.3f}" if k in scores else "-" for k in corpora)
        yield f"| {name} | {cells} |"
    yield "\nMean log-probabilities of each emotion, over the corpora (`KnownSettings.typical`):\n"
    yield "| | " + " | ".join(LABELS) + " |"
    yield "|---" * (len(LABELS) + 1) + "|"
    for label, row in zip(LABELS, typical(said), strict=True):
        yield f"| {label} | " + " | ".join(f"{value:.1f}" for value in row) + " |"
    if not words:
        return
    yield "\nWords of the speaker's own:\n"
    yield "| penalty | weight of the log-probabilities | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 2) + "|"
    for settings in _OWN_CHOICES:
        tried = [replace(one, settings=settings, sharpness=_SHARPNESS) for one in words]
        cells = _cells(voices_of(tried, None), draws)
        yield f"| {settings.own_penalty:g} | {settings.logs_weight:g} | {cells} |"


def typical(said: Sequence[Judged]) -> tuple[tuple[float, ...], ...]:
    """Mean log-probabilities of the clips of each emotion, mean over the corpora."""
    rows = []
    for label in range(len(LABELS)):
        of: dict[str, list[Float64]] = defaultdict(list)
        for one in said:
            if one.clip.label == label:
                of[one.clip.corpus].append(one.logs)
        means = [np.mean(logs, axis=0) for logs in of.values()]
        rows.append(tuple(np.mean(means, axis=0).tolist()) if means else (0.0,) * len(LABELS))
    return tuple(rows)


def _cells(voices: Sequence[Voice], draws: int, only: Sequence[str] = ()) -> str:
    found = [curve(voices, count, draws, only=only) for count in COUNTS]
    return " | ".join(
        f"{np.mean(list(one.corpora(one.scores).values())):.3f}, {one.error:.3f}"
        if one.truth
        else "-"  # nobody has so many clips
        for one in found
    )


def other_days(
    clips: Sequence[Clip], model: str | None, cache: Path | None, draws: int, count: int
) -> Iterator[str]:
    """Enrolled in one condition and judged in another, and both in the same."""
    clean = voices_of(listen(clips, model, cache, "day", AS_RECORDED))
    yield f"| {count} of each | same | enrolled as recorded | judged as recorded | loss |"
    yield "|---|---|---|---|---|"
    losses = []
    for condition in OTHER_DAYS:
        there = voices_of(listen(clips, model, cache, "day", condition))
        scores = [
            float(np.mean(list(found.corpora(found.scores).values())))
            for found in (
                curve(there, count, draws),
                curve(there, count, draws, clean),
                curve(clean, count, draws, there),
                curve(clean, count, draws),
            )
        ]
        same, onward, back, recorded = scores
        losses += [same - onward, recorded - back]
        yield (
            f"| {condition} | {same:.3f} | {onward:.3f} | {back:.3f} (of {recorded:.3f}) | "
            f"{100 * np.mean(losses[-2:]):.1f} points |"
        )
    yield f"\nMean loss against enrolment in the same condition: {100 * np.mean(losses):.1f} points"


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="a folder with clips.csv, or NAME=FOLDER"
    )
    parser.add_argument("--others", type=Path, help="a folder with other-emotions.csv")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--model", help="a bundled model's name or an .onnx file")
    parser.add_argument(
        "--draws", type=above_zero, default=10, help="draws of examples for each speaker"
    )
    parser.add_argument("--most", type=above_zero, default=1000, help="speakers of a corpus")
    parser.add_argument(
        "--enrol", nargs="+", choices=LABELS, default=[], help="only these emotions, as neutral"
    )
    parser.add_argument("--left-out", type=Path, help="a folder of models, each without a corpus")
    parser.add_argument(
        "--conditions", action="store_true", help="enrol in one condition, judge in another"
    )
    parser.add_argument(
        "--voices", action="store_true", help="how often two voices in one profile are noticed"
    )
    parser.add_argument("--cache", type=Path, default=Path(".cache/windows"))
    options = parser.parse_args()
    model, cache = options.model, options.cache
    try:
        splits = ("train", "dev") if options.left_out else (options.split,)
        clips = in_split(read_corpora(options.corpora), *splits)
        clips = first_speakers(clips, options.most)
        if options.voices:
            for each in (2, 3):
                for line in two_voice_table(clips, options.draws, each):
                    print(line, flush=True)
            return
        if options.conditions:
            for line in other_days(clips, model, cache, options.draws, 2):
                print(line, flush=True)
            return
        said = listen(clips, model, cache, "clips", left_out=options.left_out)
        words = []
        if options.others:
            found = read_clips(options.others, "other-emotions.csv", None)
            who = {clip.speaker for clip in clips}
            others = [clip for clip in in_split(found, *splits) if clip.speaker in who]
            kept = {clip.speaker for clip in others}
            words = [one for one in said if one.clip.speaker in kept]
            words += listen(others, model, cache, "others", left_out=options.left_out)
        if options.left_out:
            for line in choices(said, words, options.draws):
                print(line, flush=True)
            return
        for line in table(voices_of(said), options.draws, options.enrol):
            print(line, flush=True)
        if words:
            print("\nWords of the speaker's own:\n")
            for line in table(voices_of(words, None), options.draws):
                print(line, flush=True)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
