"""Clips judged through `Recognizer`, and the table of a split; `export.evaluate` says how."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from export.corpora.clips import RATE, Clip, CorpusError
from export.corpora.conditions import AS_RECORDED, CONDITIONS, generator, voices
from export.evaluation.metrics import (
    calibration_error,
    matrix,
    mean_uar,
    per_label,
    tables,
    uar,
    wa,
)
from livesr.arrays import Float32, Float64
from livesr.model.load import load_model
from livesr.model.metadata import LABELS, ModelInfo
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.stages.adaptation import Adaptation

Item = TypeVar("Item")
Result = TypeVar("Result")
_LEAST_WEIGHT = 0.001  # of a reading without speech
WARM_SECONDS, PAUSE_SECONDS = 30.0, 3.0
SPEECH_SECONDS = (0.5, 1.0, 2.0, 3.0, 5.0)


def file_without(folder: Path, corpus: str) -> Path:
    """Where the model lies that was trained without this corpus: `--left-out` writes it there."""
    return folder / corpus / f"{corpus}.onnx"


def judge_info(model: str | Path | None, labels: Sequence[str] = LABELS) -> ModelInfo:
    """What a model that is to judge clips says of itself.

    Args:
        model: a bundled name or a file.
        labels: of the clips.

    Raises:
        LivesrError: if it cannot be used.
        CorpusError: if its labels are others.
    """
    info = load_model(model).info
    if info.labels != tuple(labels):
        raise CorpusError(
            f"{model or info.name} has the labels {', '.join(info.labels)}, and the clips are "
            f"judged as {', '.join(labels)}; give another model."
        )
    return info


def judges(
    clips: Sequence[Clip], model: str | None, left_out: Path | None
) -> dict[str, str | None]:
    """The model that judges each corpus: with `left_out`, the one there that never heard it.

    Raises:
        LivesrError: if one of them cannot be used.
        CorpusError: if the labels of one are others.
    """
    corpora = sorted({clip.corpus for clip in clips})
    found = {c: str(file_without(left_out, c)) if left_out else model for c in corpora}
    for file in set(found.values()):
        judge_info(file)
    return found


@dataclass(frozen=True, slots=True)
class ClipResult:
    """The result of one clip.

    Attributes:
        probabilities: of the whole clip, float64 [labels].
        shown: what was shown at the last speech, float64 [labels].
        labelled: whether that was with a label, or livesr abstained.
        spoken: seconds of speech in the clip.
        early: the result from the readings up to so much speech, for each of SPEECH_SECONDS:
            float64 [5, labels]; of a clip with less speech, that of the whole clip.
    """

    probabilities: Float64
    shown: Float64
    labelled: bool
    spoken: float = 0.0
    early: Float64 = field(default_factory=lambda: np.zeros((0, len(LABELS))))

    @property
    def guess(self) -> int:
        return int(self.probabilities.argmax())


def weights(speech: Float64) -> Float64:
    """How much each reading counts in the result of a clip, from its `Reading.speech`: [n]."""
    return np.maximum(speech, _LEAST_WEIGHT)


def result(probabilities: Float64, speech: Float64) -> Float64:
    """The result of a clip: the mean over its readings, each weighted by the speech in its hop.

    Args:
        probabilities: of the readings, float64 [n, labels].
        speech: `Reading.speech` of each, float64 [n].

    Example:
        >>> result(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([1.0, 0.0])).round(2)
        array([0.9, 0.1])
    """
    return np.asarray(np.average(probabilities, axis=0, weights=weights(speech)))


def clip_result(readings: Sequence[Reading], start: float = 0.0) -> ClipResult:
    """What a clip's readings come to; see `result`.

    Args:
        readings: of the clip, at least one.
        start: second of stream time at which the clip starts.
    """
    rows = np.array([list(reading.probabilities.values()) for reading in readings])
    speech = np.array([reading.speech for reading in readings])
    hops = np.diff([reading.end for reading in readings], prepend=start)
    mean = result(rows, speech)
    so_far = np.cumsum(speech * hops)
    counts = np.searchsorted(so_far, np.array(SPEECH_SECONDS) - 1e-9) + 1
    early = np.stack([result(rows[:n], speech[:n]) for n in counts])
    total = float(so_far[-1])
    spoken = [r for r in readings if r.status in ("speech", "unsure")]
    if not spoken:
        return ClipResult(mean, rows[-1], False, total, early)
    shown = np.array(list(spoken[-1].smoothed.values()))
    return ClipResult(mean, shown, spoken[-1].label is not None, total, early)


def judge(samples: Float32, recognizer: Recognizer, before: Sequence[Float32] = ()) -> ClipResult:
    """The result of one clip in a new stream, after the sounds in `before`."""
    recognizer.reset()
    pause = np.zeros(round(PAUSE_SECONDS * RATE), np.float32)
    for sound in before:
        recognizer.push(sound)
        recognizer.push(pause)
    start = recognizer.position / RATE
    readings = recognizer.push(samples) + recognizer.finish()
    return clip_result([r for r in readings if r.end > start], start)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model and the conditions of an evaluation."""

    model: str | None = None  # a bundled name or a file
    condition: str = AS_RECORDED  # of CONDITIONS
    warm: float = 0.0  # seconds of the speaker's other clips before each
    adaptation: float | None = None  # in place of the model's own

    def recognizer(self) -> Recognizer:
        recognizer = Recognizer(self.model)
        if self.adaptation is not None:
            settings = replace(load_model(self.model).info.decision, adaptation=self.adaptation)
            recognizer._adaptation = Adaptation(settings, len(recognizer.labels), recognizer.hop)
        return recognizer


@dataclass(frozen=True, slots=True)
class _Job:
    clip: Clip
    before: Sequence[Clip]
    others: Sequence[Clip]  # that the condition mixes in
    evaluations: Sequence[Evaluation]  # alike but for the model


def _judge_clip(job: _Job) -> list[ClipResult]:
    """By each model: the clip is decoded once, where it is judged."""
    alter, rng = CONDITIONS[job.evaluations[0].condition], generator(job.clip)
    others = [other.samples() for other in job.others]
    sounds = [alter(other.samples(), rng, others) for other in job.before]
    samples = alter(job.clip.samples(), rng, others)
    return [judge(samples, one.recognizer(), sounds) for one in job.evaluations]


def clips_before(clip: Clip, clips: Sequence[Clip], seconds: float) -> list[Clip]:
    """Other clips of the same speaker, of any emotion, with a total of at least `seconds`."""
    others = [c for c in clips if c.speaker == clip.speaker and c is not clip]
    kept: list[Clip] = []
    for i in generator(clip).permutation(len(others)):
        if seconds <= 0:
            break
        kept.append(others[i])
        seconds -= len(others[i].samples()) / RATE
    return kept


def judge_all(
    clips: Sequence[Clip],
    evaluation: Evaluation,
    among: Sequence[Clip] | None = None,
    workers: int | None = None,
) -> list[ClipResult]:
    """The results of all clips, in order; arguments as of `judge_by_each`."""
    (found,) = judge_by_each([evaluation.model], clips, evaluation, among, workers)
    return found


def judge_by_each(
    models: Sequence[str | None],
    clips: Sequence[Clip],
    evaluation: Evaluation,
    among: Sequence[Clip] | None = None,
    workers: int | None = None,
) -> list[list[ClipResult]]:
    """The results of all clips by each model, in order; a clip is decoded once for all of them.

    Args:
        models: bundled names or files.
        clips: to judge.
        evaluation: how; its model does not count.
        among: where the speaker's other clips and the voices of babble are drawn from; `clips`
            unless given.
        workers: processes, as many as there are cores unless given; 1 is this process.

    Raises:
        CorpusError: if the condition is babble and there is nobody else among them.
    """
    among = clips if among is None else among
    mixed = CONDITIONS[evaluation.condition].voices
    evaluations = tuple(replace(evaluation, model=model) for model in models)
    jobs = [
        _Job(
            clip,
            clips_before(clip, among, evaluation.warm),
            voices(clip, among, mixed),
            evaluations,
        )
        for clip in clips
    ]
    name = evaluation.condition + (", warm" if evaluation.warm else "")
    found = spread_out(_judge_clip, jobs, name, workers)
    return [[results[place] for results in found] for place in range(len(models))]


def spread_out(
    function: Callable[[Item], Result], items: Sequence[Item], name: str, workers: int | None
) -> list[Result]:
    """The function of each item, in order, in so many processes; None for one a core.

    Args:
        function: of a module's level, to be found by another process.
        items: arguments.
        name: of the progress bar.
        workers: 1 is this process, where one of many processes of a command must not start more.

    Example:
        >>> spread_out(len, ["a", "bcd"], "lengths", 1)
        [1, 3]
    """
    bar = partial(tqdm, desc=name, total=len(items), leave=False, disable=None)
    if workers == 1:
        return list(bar(map(function, items)))
    # Few enough in a chunk that a few long items keep all processes busy.
    chunk = max(1, min(8, len(items) // (4 * (workers or os.cpu_count() or 1))))
    with ProcessPoolExecutor(workers) as pool:
        return list(bar(pool.map(function, items, chunksize=chunk)))


def some(clips: Sequence[Clip], most: int | None, seed: int = 0) -> list[Clip]:
    """So many clips of each corpus and split, in order; emotions in turn while they last.

    Args:
        clips: to draw from.
        most: of each corpus and split; None for all.
        seed: the same seed draws the same clips.
    """
    if most is None:
        return list(clips)
    groups: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in np.random.default_rng(seed).permutation(len(clips)):
        groups[clips[i].corpus, clips[i].split][clips[i].emotion].append(int(i))
    kept: set[int] = set()
    for emotions in groups.values():
        turns = chain.from_iterable(zip_longest(*emotions.values()))
        kept |= set(islice((i for i in turns if i is not None), most))
    return [clips[i] for i in sorted(kept)]


def score(clips: Sequence[Clip], results: Sequence[ClipResult]) -> float:
    """The mean of the corpora's UARs."""
    return mean_uar([v.guess for v in results], [c.label for c in clips], [c.corpus for c in clips])


def table(clips: Sequence[Clip], results: Sequence[ClipResult]) -> list[str]:
    """A Markdown table with a row per corpus and their mean, and the confusion matrix."""
    labels = clips[0].labels
    lines = [
        "| corpus | speakers | clips | UAR | WA | recall "
        + " / ".join(labels)
        + " | label given |",
        "|---|---|---|---|---|---|---|",
    ]
    truth, corpora = [clip.label for clip in clips], [clip.corpus for clip in clips]
    by_corpus = tables(truth, [v.guess for v in results], corpora, labels=len(labels))
    scores = []
    for corpus, counts in by_corpus.items():
        scores.append((uar(counts), wa(counts)))
        recall = " / ".join(f"{right:.2f}" for right in per_label(counts)[:, 1])
        speakers = len({clip.speaker for clip in clips if clip.corpus == corpus})
        given = np.mean(
            [v.labelled for v, of in zip(results, corpora, strict=True) if of == corpus]
        )
        lines.append(
            f"| {corpus} | {speakers} | {counts.sum()} | {scores[-1][0]:.3f} | "
            f"{scores[-1][1]:.3f} | {recall} | {given:.0%} |"
        )
    mean = np.mean(scores, axis=0)
    speakers = len({clip.speaker for clip in clips})
    given = np.mean([v.labelled for v in results])
    lines.append(
        f"| mean of corpora | {speakers} | {len(clips)} | {mean[0]:.3f} | {mean[1]:.3f} | "
        f"| {given:.0%} |"
    )
    probabilities = np.stack([v.probabilities for v in results])
    error = calibration_error(probabilities, truth)
    shown = [int(v.shown.argmax()) for v in results]
    last = mean_uar(shown, truth, corpora)
    lines += ["", f"Mean UAR of what was shown when somebody had last spoken: {last:.3f}"]
    pairs = list(zip(shown, results, truth, strict=True))
    right = [guess == said for guess, v, said in pairs if v.labelled]
    lines += ["", f"Expected calibration error over all clips, 15 bins: {error:.3f}"]
    lines += [f"Of the {len(right)} labels given {sum(right)} are right.", ""]
    return lines + matrix(np.asarray(sum(by_corpus.values())), labels)


def heading(split: str, info: ModelInfo) -> str:
    """The first line: which split and model, and whether the speakers are unseen in training."""
    trained = re.search(r"\((.*) split\)", info.training_data)
    how = "SEEN" if trained and split in trained[1].split() else "unseen"
    return f"`{split}` split, speakers {how} in training, {info.name} {info.version}"
