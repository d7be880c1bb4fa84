"""How good a model is, clip by clip through `Recognizer`.

    python -m export.evaluate --corpora ../shared/speech --split test

A clip is pushed into a fresh stream; its verdict is the mean of the probabilities of the
readings in which somebody had spoken (status "speech" or "unsure"), or of all of them where
nobody had. Every clip gets a verdict: abstaining is measured apart, by the share of clips whose
last such reading had a label.
"""

from __future__ import annotations

import argparse
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from export import augment
from export.corpora import RATE, SPLITS, Clip, CorpusError
from export.readers import read_corpora
from livesr.metadata import LABELS
from livesr.recognizer import Recognizer
from livesr.stage import Float32, Float64

_TOLERANCE = 0.02  # of a UAR: another processor may round one clip of 13 the other way
Condition = Callable[[Float32, np.random.Generator], Float32]


def _gain(decibels: float, samples: Float32, _rng: np.random.Generator) -> Float32:
    return samples * np.float32(10 ** (decibels / 20))


def _noise(snr_db: float, samples: Float32, rng: np.random.Generator) -> Float32:
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    return augment.add_noise(samples, noise, snr_db)


def _telephone(samples: Float32, _rng: np.random.Generator) -> Float32:
    return augment.band_pass(samples, 300, 3400)


CONDITIONS: dict[str, Condition] = {
    "as recorded": partial(_gain, 0.0),
    "gain -20 dB": partial(_gain, -20.0),
    "gain +20 dB": partial(_gain, 20.0),
    "white noise, 10 dB": partial(_noise, 10.0),
    "telephone band": _telephone,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What livesr made of one clip."""

    probabilities: Float64
    labelled: bool


def judge(samples: Float32, recognizer: Recognizer) -> Verdict:
    """One clip through a fresh stream."""
    recognizer.reset()
    readings = recognizer.push(samples, RATE) + recognizer.finish()
    spoken = [r for r in readings if r.status in ("speech", "unsure")]
    rows = [list(r.probabilities.values()) for r in spoken or readings]
    return Verdict(np.mean(rows, axis=0), bool(spoken) and spoken[-1].label is not None)


def _judge_clip(job: tuple[Clip, str, str | None]) -> Verdict:
    clip, condition, model = job
    rng = np.random.default_rng(zlib.crc32(clip.path.name.encode()))
    return judge(CONDITIONS[condition](clip.samples(), rng), Recognizer(model))


def judge_all(clips: Sequence[Clip], condition: str, model: str | None) -> list[Verdict]:
    """Every clip, in order."""
    jobs = [(clip, condition, model) for clip in clips]
    with ProcessPoolExecutor() as pool:
        done = pool.map(_judge_clip, jobs, chunksize=16)
        return list(tqdm(done, condition, total=len(jobs), mininterval=5, leave=False))


def confusion(truth: Sequence[int], guess: Sequence[int]) -> np.ndarray:
    """Counts, int [true label, guessed label]."""
    table = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(table, (list(truth), list(guess)), 1)
    return table


def uar(table: np.ndarray) -> float:
    """Unweighted average recall over the labels that occur."""
    occurs = table.sum(1) > 0
    return float((np.diag(table)[occurs] / table.sum(1)[occurs]).mean())


def calibration_error(probabilities: Float64, truth: Sequence[int], bins: int = 15) -> float:
    """Expected calibration error of the leading label, equal-width bins."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == np.asarray(truth)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[index == b].mean() - right[index == b].mean()) * (index == b).mean()
        for b in range(bins)
        if (index == b).any()
    ]
    return float(sum(gaps))


def report(clips: Sequence[Clip], verdicts: Sequence[Verdict]) -> list[str]:
    """A Markdown table with a row per corpus, the mean row, and the confusion matrix."""
    lines = [
        "| corpus | speakers | clips | UAR | WA | recall "
        + " / ".join(LABELS)
        + " | label given |",
        "|---|---|---|---|---|---|---|",
    ]
    by_corpus: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        by_corpus[clip.corpus].append(index)
    scores, total = [], np.zeros((len(LABELS), len(LABELS)), int)
    for corpus, indices in sorted(by_corpus.items()):
        truth = [clips[i].label for i in indices]
        table = confusion(truth, [int(verdicts[i].probabilities.argmax()) for i in indices])
        total += table
        scores.append((uar(table), float(np.diag(table).sum() / table.sum())))
        recall = " / ".join(f"{r:.2f}" for r in np.diag(table) / np.maximum(1, table.sum(1)))
        speakers = len({clips[i].speaker for i in indices})
        given = np.mean([verdicts[i].labelled for i in indices])
        lines.append(
            f"| {corpus} | {speakers} | {len(indices)} | {scores[-1][0]:.3f} | "
            f"{scores[-1][1]:.3f} | {recall} | {given:.0%} |"
        )
    mean = np.mean(scores, axis=0)
    speakers = len({clip.speaker for clip in clips})
    given = np.mean([v.labelled for v in verdicts])
    lines.append(
        f"| mean of corpora | {speakers} | {len(clips)} | {mean[0]:.3f} | {mean[1]:.3f} | "
        f"| {given:.0%} |"
    )
    probabilities = np.stack([v.probabilities for v in verdicts])
    error = calibration_error(probabilities, [clip.label for clip in clips])
    lines += ["", f"Expected calibration error over all clips, 15 bins: {error:.3f}", ""]
    lines += ["| said \\ heard as | " + " | ".join(LABELS) + " |", "|---" * 5 + "|"]
    lines += [
        f"| {label} | " + " | ".join(map(str, row)) + " |"
        for label, row in zip(LABELS, total, strict=True)
    ]
    return lines


def mean_uar(clips: Sequence[Clip], verdicts: Sequence[Verdict]) -> float:
    """Mean over the corpora of their UAR."""
    guess = [int(v.probabilities.argmax()) for v in verdicts]
    scores = []
    for corpus in {clip.corpus for clip in clips}:
        pairs = [(c.label, g) for c, g in zip(clips, guess, strict=True) if c.corpus == corpus]
        scores.append(uar(confusion(*zip(*pairs, strict=True))))
    return float(np.mean(scores))


def main() -> None:
    """Print the report; with --check, fail where a card says something else."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="a folder with clips.csv, or NAME=FOLDER"
    )
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--model", help="a bundled model's name or an .onnx file")
    parser.add_argument("--conditions", action="store_true", help="gain, noise, telephone too")
    parser.add_argument("--check", type=Path, help="a model card that must hold these lines")
    options = parser.parse_args()
    try:
        clips = [clip for clip in read_corpora(options.corpora) if clip.split == options.split]
    except CorpusError as error:
        raise SystemExit(str(error)) from None
    verdicts = judge_all(clips, "as recorded", options.model)
    lines = report(clips, verdicts)
    print(f"`{options.split}` split, speakers unseen in training, one seed\n", flush=True)
    print("\n".join(lines), flush=True)
    if options.conditions:
        print("\n| condition | mean UAR |\n|---|---|")
        for condition in CONDITIONS:
            heard = judge_all(clips, condition, options.model)
            print(f"| {condition} | {mean_uar(clips, heard):.3f} |", flush=True)
    if options.check:
        _check(options.check, lines)


def _check(card: Path, lines: Sequence[str]) -> None:
    """Fail unless every UAR printed is what the card says, within a clip or so."""
    text = card.read_text()
    for line in lines:
        found = re.match(r"\| ([\w ]+) \| (\d+) \| (\d+) \| ([\d.]+) \|", line)
        if not found:
            continue
        said = re.search(rf"\| {found[1]} \| {found[2]} \| {found[3]} \| ([\d.]+) \|", text)
        if said is None or abs(float(said[1]) - float(found[4])) > _TOLERANCE:
            raise SystemExit(f"{card} does not say what was measured: {line}")
    print(f"\n1 passed, 0 failed: {card} says what was measured")


if __name__ == "__main__":
    main()
