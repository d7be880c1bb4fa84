"""Compare networks, and report one of them in full: tables and pictures.

    python -m export.report --corpora ../shared/speech --output report \\
        runs/acrnn-compact-seed*/acrnn-compact.onnx runs/cnn*/cnn*.onnx

Models with the same name are seeds of one network. The network given first is reported in full: by
label, by condition, calibration and coverage; and its first model also warm, in conversation and on
sounds without speech. All results are on the `test` split, through `Recognizer`, with speakers
unseen in training. --left-out takes folders of `export.train --folds corpus`: each network is
evaluated on all clips of the corpus that it was not trained on. It also works alone:

    python -m export.report --corpora ../shared/speech --left-out runs/*-left-seed*
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from export import plots
from export.conversation import HEADER, converse
from export.corpora import Clip, CorpusError
from export.evaluate import CONDITIONS, WARM_SECONDS, ClipResult, Evaluation, judge_all
from export.metrics import (
    calibration,
    calibration_error,
    confusion,
    coverage_curve,
    mean_uar,
    per_label,
    spread,
    uar,
    wa,
)
from export.nonspeech import labelled
from export.readers import read_corpora
from livesr.arrays import Array, Float64
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.model.metadata import LABELS
from livesr.settings import DecisionSettings

_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4)
_METRICS = ("UAR", "WA", "macro F1")
_ADAPTATIONS = (0.0, DecisionSettings().adaptation)  # without, and as models ship


class Judged:
    """Clips, and the results of one model."""

    def __init__(self, clips: Sequence[Clip], results: Sequence[ClipResult]) -> None:
        self.truth = [clip.label for clip in clips]
        self.corpora = [clip.corpus for clip in clips]
        self.probabilities: Float64 = np.stack([v.probabilities for v in results])
        self.guess = [v.guess for v in results]
        self.labelled = float(np.mean([v.labelled for v in results]))

    def tables(self) -> dict[str, Array]:
        """Confusion counts of each corpus."""
        pairs = defaultdict(list)
        for corpus, pair in zip(
            self.corpora, zip(self.truth, self.guess, strict=True), strict=True
        ):
            pairs[corpus].append(pair)
        return {corpus: confusion(*zip(*pairs[corpus], strict=True)) for corpus in sorted(pairs)}

    @property
    def uar(self) -> float:
        return mean_uar(self.guess, self.truth, self.corpora)

    def metrics(self) -> dict[str, float]:
        """UAR, WA and macro F1, each the mean of the corpora."""
        tables = self.tables().values()
        return {
            "UAR": self.uar,
            "WA": float(np.mean([wa(table) for table in tables])),
            "macro F1": float(np.mean([per_label(table)[:, 2].mean() for table in tables])),
        }

    def curve(self) -> list[float]:
        return coverage_curve(self.probabilities, self.truth, self.corpora, _SHARES)

    @property
    def error(self) -> float:
        return calibration_error(self.probabilities, self.truth)


def by_corpus(title: str, judged: Mapping[str, Sequence[Judged]]) -> Iterator[str]:
    """A row per network: UAR of each corpus and the mean, over seeds."""
    corpora = sorted(set(next(iter(judged.values()))[0].corpora))
    yield f"### {title}\n"
    yield "| network | seeds | " + " | ".join(corpora) + " | mean UAR | mean WA |"
    yield "|---" * (len(corpora) + 4) + "|"
    for name, seeds in judged.items():
        cells = [spread([uar(one.tables()[corpus]) for one in seeds]) for corpus in corpora]
        cells += [spread([one.metrics()[metric] for one in seeds]) for metric in ("UAR", "WA")]
        yield f"| {name} | {len(seeds)} | " + " | ".join(cells) + " |"
    yield ""


def by_label(judged: Mapping[str, Sequence[Judged]]) -> Iterator[str]:
    """A row per network and label, clips of all corpora and seeds together."""
    yield "### By label, all corpora and seeds together\n"
    yield "| network | label | precision | recall | F1 |\n|---|---|---|---|---|"
    for name, seeds in judged.items():
        counts = sum(table for one in seeds for table in one.tables().values())
        for label, row in zip(LABELS, per_label(np.asarray(counts)), strict=True):
            yield f"| {name} | {label} | " + " | ".join(f"{value:.3f}" for value in row) + " |"
    yield ""


def surest(seeds: Sequence[Judged]) -> Iterator[str]:
    """Calibration and abstention, over seeds."""
    at = _SHARES.index(0.7)
    yield "### Confidence\n"
    yield "| | over seeds |\n|---|---|"
    yield f"| expected calibration error, 15 bins | {spread([one.error for one in seeds])} |"
    yield f"| UAR of all clips | {spread([one.curve()[0] for one in seeds])} |"
    yield f"| UAR of the most confident 70 % | {spread([one.curve()[at] for one in seeds])} |"
    yield f"| share of clips with a label at their end | {spread([s.labelled for s in seeds])} |"
    yield ""


def by_condition(clips: Sequence[Clip], files: Sequence[str]) -> Iterator[str]:
    """UAR under each condition, cold, over seeds, and the difference to the clips as recorded."""
    yield "### By condition\n"
    yield "| condition | mean UAR | difference |\n|---|---|---|"
    first: list[float] = []
    for condition in CONDITIONS:
        found = [Judged(clips, judge_all(clips, Evaluation(f, condition))).uar for f in files]
        first = first or found
        lost = [one - other for one, other in zip(found, first, strict=True)]
        yield f"| {condition} | {spread(found)} | {np.mean(lost):+.3f} |"
    yield ""


def by_adaptation(clips: Sequence[Clip], file: str) -> Iterator[str]:
    """What adaptation to a speaker brings: a clip after 30 s of others, and conversations."""
    yield "### Adaptation to a voice\n"
    corpora = sorted({clip.corpus for clip in clips})
    yield f"A clip after {WARM_SECONDS:.0f} s of the speaker's other clips, unlabelled (warm).\n"
    yield "| adaptation | " + " | ".join(corpora) + " | mean UAR |"
    yield "|---" * (len(corpora) + 2) + "|"
    evaluations = [Evaluation(file, warm=WARM_SECONDS, adaptation=of) for of in _ADAPTATIONS]
    for evaluation in evaluations:
        warm = Judged(clips, judge_all(clips, evaluation))
        cells = [f"{uar(warm.tables()[corpus]):.3f}" for corpus in corpora]
        yield f"| {evaluation.adaptation} | " + " | ".join(cells) + f" | {warm.uar:.3f} |"
    yield f"\nIn conversation:\n\n| adaptation | {HEADER} |" + "\n|---" + "|---" * 5 + "|"
    for evaluation in evaluations:
        yield f"| {evaluation.adaptation} | {converse(clips, evaluation).row()} |"
    yield ""


def by_sound(clips: Sequence[Clip], file: str) -> Iterator[str]:
    """What the model says about sounds without one voice in front."""
    yield "### Sounds without one voice in front\n"
    yield "| 30 s of | readings with a label | largest smoothed probability |\n|---|---|---|"
    for name, share, most in labelled(clips, Evaluation(file)):
        yield f"| {name} | {share:.0%} | {most:.2f} |"
    yield ""


def left_out(folders: Mapping[str, Sequence[Path]], clips: Sequence[Clip]) -> Iterator[str]:
    """A row per network: UAR of each corpus by the model that was trained without it."""
    corpora = sorted({clip.corpus for clip in clips})
    yield "### Leave one corpus out\n"
    yield "| network | runs | " + " | ".join(corpora) + " | mean |"
    yield "|---" * (len(corpora) + 3) + "|"
    for name, runs in folders.items():
        found: dict[str, list[float]] = {}
        for corpus in corpora:
            own = [clip for clip in clips if clip.corpus == corpus]
            files = [str(run / corpus / f"{corpus}.onnx") for run in runs]
            found[corpus] = [Judged(own, judge_all(own, Evaluation(f))).uar for f in files]
        means = np.mean(list(found.values()), axis=0)
        cells = [spread(found[corpus]) for corpus in corpora]
        yield f"| {name} | {len(runs)} | " + " | ".join(cells) + f" | {spread(means)} |"
    yield ""


def pictures(name: str, judged: Mapping[str, Sequence[Judged]], folder: Path) -> Iterator[str]:
    """Draw the pictures; calibration is that of all seeds of the first network together."""
    for network, seeds in judged.items():
        counts = np.asarray(sum(table for one in seeds for table in one.tables().values()))
        title = f"{network}, {len(seeds)} seed{'s' * (len(seeds) > 1)}"
        plots.confusion(counts, title, folder / f"confusion-{network}.png")
        yield f"![confusion of {network}](confusion-{network}.png)"
    metrics = {
        network: {metric: [one.metrics()[metric] for one in seeds] for metric in _METRICS}
        for network, seeds in judged.items()
    }
    plots.networks(metrics, folder / "networks.png")
    probabilities = np.concatenate([one.probabilities for one in judged[name]])
    truth = [label for one in judged[name] for label in one.truth]
    error = calibration_error(probabilities, truth)
    plots.calibration(calibration(probabilities, truth), error, folder / "calibration.png")
    curves = {n: np.mean([one.curve() for one in seeds], axis=0) for n, seeds in judged.items()}
    plots.coverage(_SHARES, curves, folder / "coverage.png")
    for picture in ("networks", "calibration", "coverage"):
        yield f"![{picture}]({picture}.png)"
    yield ""


def told(clips: Sequence[Clip], models: Mapping[str, Sequence[str]], folder: Path) -> Iterator[str]:
    """The report without the left-out corpora, line by line as it is measured."""
    test = [clip for clip in clips if clip.split == "test"]
    name, files = next(iter(models.items()))
    speakers = len({clip.speaker for clip in test})
    yield f"# Report: {name}\n"
    yield f"`test` split, {len(test)} clips of {speakers} speakers unseen in training.\n"
    judged = {
        network: [Judged(test, judge_all(test, Evaluation(f))) for f in own]
        for network, own in models.items()
    }
    yield from by_corpus("Each clip alone (cold)", judged)
    yield from by_label(judged)
    yield from surest(judged[name])
    yield from by_condition(test, files)
    yield from by_adaptation(test, files[0])
    yield from by_sound(test, files[0])
    yield from pictures(name, judged, folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="livesr .onnx files, all seeds of all networks")
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="a folder with clips.csv, or NAME=FOLDER"
    )
    parser.add_argument("--output", type=Path, default=Path("report"), help="a folder")
    parser.add_argument("--left-out", nargs="*", type=Path, default=[], help="folders of runs")
    options = parser.parse_args()
    if not options.models and not options.left_out:
        parser.error("nothing to report: give models, or --left-out and folders of runs")
    try:
        models: dict[str, list[str]] = defaultdict(list)
        for file in options.models:
            models[load_model(file).info.name].append(file)
        clips = read_corpora(options.corpora)
        folders: dict[str, list[Path]] = defaultdict(list)
        for folder in options.left_out:
            folders[folder.name.rsplit("-seed", 1)[0]].append(folder)
        options.output.mkdir(parents=True, exist_ok=True)
        with (options.output / "report.md").open("w") as file:
            found = told(clips, models, options.output) if models else ()
            for line in chain(found, left_out(folders, clips) if folders else ()):
                print(line, flush=True)
                file.write(line + "\n")
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
