"""Compare networks, and report one of them in full: tables and pictures.

    python -m export.report --corpora SPEECH --output report \\
        runs/acrnn-compact-seed*/acrnn-compact.onnx runs/cnn*/cnn*.onnx

Models with the same name are seeds of one network. The network given first is reported in full: by
label, over speakers (intervals, the worst, gaps by sex and age), after so many seconds of speech,
confidence, by condition; and its first model also warm, in conversation, on long neutral speech and
on sounds without speech. All results are on the `test` split, through `Recognizer`, with speakers
unseen in training.

Conditions, warm clips and conversations take most of the time. --most N judges N clips of each
corpus in each condition and warm (the same ones always), and one speaker of each corpus for every
10 of N in conversation. All other tables are of all clips.

--left-out takes folders of `export.train --folds corpus` and `export.train_pretrained --left-out`:
each network is evaluated on all clips of the corpus that it was not trained on, those of test
speakers among them. It also works alone:

    python -m export.report --corpora SPEECH --left-out runs/*-left-seed*
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from export.corpora.clips import Clip, CorpusError, check, first_speakers, in_split
from export.corpora.conditions import AS_RECORDED, CONDITIONS
from export.corpora.readers import read_corpora
from export.evaluation import neutral, plots, speakers
from export.evaluation.conversation import HEADER, converse
from export.evaluation.judging import (
    SPEECH_SECONDS,
    WARM_SECONDS,
    ClipResult,
    Evaluation,
    file_without,
    judge_all,
    judge_info,
    some,
)
from export.evaluation.metrics import (
    aurc,
    brier,
    calibration,
    calibration_error,
    classwise_error,
    coverage_curve,
    macro,
    mean_uar,
    per_label,
    spread,
    tables,
    uar,
    wa,
)
from export.evaluation.nonspeech import labelled
from export.evaluation.options import (
    Once,
    above_zero,
    add_corpora,
    command_parser,
    new_folder,
)
from livesr.arrays import Array, Float64
from livesr.errors import LivesrError
from livesr.model.metadata import LABELS
from livesr.settings import DecisionSettings

_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4)
_METRICS = ("UAR", "WA", "macro F1")
_ADAPTATIONS = (0.0, DecisionSettings().adaptation)  # without, and as models ship


class Judged:
    """Clips, and the results of one model."""

    def __init__(self, clips: Sequence[Clip], results: Sequence[ClipResult]) -> None:
        self.clips, self.results = clips, results
        self.truth = [clip.label for clip in clips]
        self.corpora = [clip.corpus for clip in clips]
        self.probabilities: Float64 = np.stack([v.probabilities for v in results])
        self.guess = [v.guess for v in results]
        self.labelled = float(np.mean([v.labelled for v in results]))

    def tables(self) -> dict[str, Array]:
        """Confusion counts of each corpus."""
        return tables(self.truth, self.guess, self.corpora)

    @property
    def uar(self) -> float:
        return mean_uar(self.guess, self.truth, self.corpora)

    def metrics(self) -> dict[str, float]:
        """UAR, WA and macro F1, each the mean of the corpora."""
        found = self.tables().values()
        return {
            "UAR": self.uar,
            "WA": float(np.mean([wa(table) for table in found])),
            "macro F1": float(np.mean([macro(table)["F1"] for table in found])),
        }

    def curve(self) -> list[float]:
        return coverage_curve(self.probabilities, self.truth, self.corpora, _SHARES)

    def confidence(self, corpus: str) -> list[float]:
        """Of one corpus: three errors of calibration, AURC, UAR of all and of the surest 70 %."""
        own = [i for i, name in enumerate(self.corpora) if name == corpus]
        probabilities, truth = self.probabilities[own], [self.truth[i] for i in own]
        measures = (calibration_error, classwise_error, brier, aurc)
        curve = coverage_curve(probabilities, truth, [corpus] * len(own), (1.0, 0.7))
        return [*(measure(probabilities, truth) for measure in measures), *curve]

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


def by_speech(seeds: Sequence[Judged]) -> Iterator[str]:
    """UAR after so many seconds of speech, over seeds, and how many clips hold so much."""
    truth, groups = seeds[0].truth, np.array(seeds[0].corpora)
    spoken = np.array([one.spoken for one in seeds[0].results])
    yield "### After so many seconds of speech\n"
    yield "UAR of the result from the readings up to then; in brackets, how many clips hold so much"
    yield "speech. A clip that holds less counts with all it has.\n"
    yield "| corpus | " + " | ".join(f"{s:g} s" for s in SPEECH_SECONDS) + " | whole clip |"
    yield "|---" * (len(SPEECH_SECONDS) + 2) + "|"
    early = [np.stack([one.early.argmax(1) for one in judged.results]) for judged in seeds]
    whole = [np.array(judged.guess)[:, None] for judged in seeds]
    guesses = np.stack([np.hstack(pair) for pair in zip(early, whole, strict=True)])
    said = np.array(truth)

    def cells(kept: Array) -> Iterator[str]:
        for column, seconds in enumerate((*SPEECH_SECONDS, 0.0)):
            scores = [
                mean_uar(guessed[kept, column], said[kept], groups[kept]) for guessed in guesses
            ]
            yield f"{spread(scores)} ({(spoken[kept] >= seconds - 1e-9).sum()})"

    for corpus in sorted(set(groups)):
        yield f"| {corpus} | " + " | ".join(cells(groups == corpus)) + " |"
    yield "| mean of corpora | " + " | ".join(cells(np.ones(len(said), np.bool_))) + " |"
    yield ""


def surest(seeds: Sequence[Judged]) -> Iterator[str]:
    """Calibration and abstention, over seeds: of all clips together, and corpus by corpus."""
    at = _SHARES.index(0.7)
    yield "### Confidence\n"
    yield "| | over seeds |\n|---|---|"
    yield f"| expected calibration error, 15 bins | {spread([one.error for one in seeds])} |"
    yield f"| UAR of all clips | {spread([one.curve()[0] for one in seeds])} |"
    yield f"| UAR of the most confident 70 % | {spread([one.curve()[at] for one in seeds])} |"
    yield f"| share of clips with a label at their end | {spread([s.labelled for s in seeds])} |"
    yield "\nEach corpus alone. Classwise error: the mean of the four labels. Brier score: 0 to 2."
    yield "AURC: area under the risk-coverage curve.\n"
    yield (
        "| corpus | calibration error | classwise | Brier | AURC | UAR | UAR of the most confident "
        "70 % | difference |"
    )
    yield "|---" * 8 + "|"
    rows = {corpus: [one.confidence(corpus) for one in seeds] for corpus in seeds[0].tables()}
    rows["mean of corpora"] = np.mean(list(rows.values()), axis=0).tolist()
    for corpus, values in rows.items():
        cells = [spread(column) for column in zip(*values, strict=True)]
        difference = np.mean([row[-1] - row[-2] for row in values])
        yield f"| {corpus} | " + " | ".join(cells) + f" | {difference:+.3f} |"
    yield ""


def by_condition(
    clips: Sequence[Clip], among: Sequence[Clip], files: Sequence[str]
) -> Iterator[str]:
    """UAR under each condition, cold, over seeds, and the difference to the clips as recorded.

    Args:
        clips: to judge.
        among: where other speakers' clips for babble are drawn from.
        files: the seeds of one network.
    """
    corpora = Counter(clip.corpus for clip in clips)
    yield "### By condition\n"
    each = ", ".join(f"{count} of {corpus}" for corpus, count in sorted(corpora.items()))
    yield f"{len(clips)} clips, the same ones in each condition: {each}.\n"
    yield "| condition | mean UAR | difference | " + " | ".join(sorted(corpora)) + " |"
    yield "|---" * (len(corpora) + 3) + "|"
    first: list[float] = []
    for name, condition in CONDITIONS.items():
        if why := condition.why_not():
            yield f"| {name} | {why} |" + " |" * (len(corpora) + 1)
            continue
        seeds = [Judged(clips, judge_all(clips, Evaluation(f, name), among)) for f in files]
        found = [one.uar for one in seeds]
        first = found if name == AS_RECORDED else first
        lost = [one - other for one, other in zip(found, first, strict=True)]
        each_of = [one.tables() for one in seeds]
        cells = [spread([uar(one[corpus]) for one in each_of]) for corpus in sorted(corpora)]
        yield f"| {name} | {spread(found)} | {np.mean(lost):+.3f} | " + " | ".join(cells) + " |"
    yield ""


def by_adaptation(
    clips: Sequence[Clip], among: Sequence[Clip], talking: Sequence[Clip], file: str
) -> Iterator[str]:
    """What adaptation to a speaker brings: a clip after 30 s of others, and conversations.

    Args:
        clips: to judge warm.
        among: where the speaker's other clips are drawn from.
        talking: clips that are strung together to conversations.
        file: the model.
    """
    yield "### Adaptation to a voice\n"
    corpora = sorted({clip.corpus for clip in clips})
    yield f"A clip after {WARM_SECONDS:.0f} s of the speaker's other clips, unlabelled (warm);"
    yield f"{len(clips)} clips.\n"
    yield "| adaptation | " + " | ".join(corpora) + " | mean UAR |"
    yield "|---" * (len(corpora) + 2) + "|"
    evaluations = [Evaluation(file, warm=WARM_SECONDS, adaptation=of) for of in _ADAPTATIONS]
    for evaluation in evaluations:
        warm = Judged(clips, judge_all(clips, evaluation, among))
        cells = [f"{uar(warm.tables()[corpus]):.3f}" for corpus in corpora]
        yield f"| {evaluation.adaptation} | " + " | ".join(cells) + f" | {warm.uar:.3f} |"
    speaking = len({clip.speaker for clip in talking})
    yield f"\nIn conversation, {speaking} speakers:\n"
    yield f"| adaptation | {HEADER} |\n" + "|---" * 6 + "|"
    for evaluation in evaluations:
        yield f"| {evaluation.adaptation} | {converse(talking, evaluation).row()} |"
    yield ""


def by_sound(clips: Sequence[Clip], file: str) -> Iterator[str]:
    """What the model says about sounds without one voice in front."""
    yield "### Sounds without one voice in front\n"
    yield "| 30 s of | readings with a label | largest smoothed probability |\n|---|---|---|"
    for name, share, most in labelled(clips, Evaluation(file)):
        yield f"| {name} | {share:.0%} | {most:.2f} |"
    yield ""


def shared(runs: Sequence[Path], clips: Sequence[Clip]) -> list[str]:
    """The corpora that every run left out.

    Raises:
        CorpusError: if there are none.
        LivesrError: if a model file cannot be used; hours later it would be too late.
        CorpusError: if the labels of one are others.
    """
    corpora = sorted({clip.corpus for clip in clips})
    corpora = [corpus for corpus in corpora if all((run / corpus).is_dir() for run in runs)]
    if not corpora:
        raise CorpusError("The folders of --left-out share no corpus that was left out.")
    for run in runs:
        for corpus in corpora:
            judge_info(file_without(run, corpus))
    return corpora


def left_out(
    folders: Mapping[str, Sequence[Path]],
    corpora: Sequence[str],
    clips: Sequence[Clip],
    most: int | None = None,
) -> Iterator[str]:
    """A row per network: UAR of each corpus by the model that was trained without it.

    At most so many clips of each split of a corpus.
    """
    clips = some(clips, most)
    yield "### Leave one corpus out\n"
    yield f"{len([clip for clip in clips if clip.corpus in corpora])} clips, all splits.\n"
    yield "| network | runs | " + " | ".join(corpora) + " | mean |"
    yield "|---" * (len(corpora) + 3) + "|"
    for name, runs in folders.items():
        found: dict[str, list[float]] = {}
        for corpus in corpora:
            own = [clip for clip in clips if clip.corpus == corpus]
            files = [str(file_without(run, corpus)) for run in runs]
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


def told(
    clips: Sequence[Clip], models: Mapping[str, Sequence[str]], folder: Path, most: int | None
) -> Iterator[str]:
    """The report without the left-out corpora, line by line as it is measured."""
    test = in_split(clips, "test")
    name, files = next(iter(models.items()))
    who = len({clip.speaker for clip in test})
    few = some(test, most)
    talking = test if most is None else first_speakers(test, max(1, most // 10))
    yield f"# Report: {name}\n"
    yield f"`test` split, {len(test)} clips of {who} speakers unseen in training.\n"
    judged = {
        network: [Judged(test, judge_all(test, Evaluation(f))) for f in own]
        for network, own in models.items()
    }
    yield from by_corpus("Each clip alone (cold)", judged)
    yield from by_label(judged)
    over = speakers.by_corpus(test, [one.guess for one in judged[name]])
    yield from speakers.intervals(over)
    yield from speakers.gaps(test, over)
    yield from by_speech(judged[name])
    yield from surest(judged[name])
    yield from neutral.by_corpus(test, Evaluation(files[0]))
    yield from by_condition(few, test, files)
    yield from by_adaptation(few, test, talking, files[0])
    yield from by_sound(test, files[0])
    yield from pictures(name, judged, folder)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument(
        "models",
        nargs="*",
        action=Once,
        help="report these livesr .onnx files, all seeds of all networks",
    )
    add_corpora(parser)
    parser.add_argument(
        "--output",
        type=new_folder,
        default=Path("report"),
        help="write the tables and pictures to this folder",
    )
    parser.add_argument(
        "--left-out",
        nargs="*",
        action=Once,
        type=Path,
        default=[],
        help="judge the runs in these folders on all splits of the corpora that they left out",
    )
    parser.add_argument(
        "--most",
        type=above_zero,
        help="judge at most so many clips of each corpus in conditions and warm, and of each split "
        "of a corpus left out; all unless given",
    )
    options = parser.parse_args()
    if not options.models and not options.left_out:
        parser.error(
            "nothing to report: give models before --corpora or after another option, or folders "
            "of runs with --left-out"
        )
    try:
        models: dict[str, list[str]] = defaultdict(list)
        for file in options.models:
            models[judge_info(file).name].append(file)
        clips = read_corpora(options.corpora)
        check(clips)
        folders: dict[str, list[Path]] = defaultdict(list)
        for folder in options.left_out:
            folders[folder.name.rsplit("-seed", 1)[0]].append(folder)
        corpora = shared(options.left_out, clips) if folders else []
        options.output.mkdir(parents=True, exist_ok=True)
        with (options.output / "report.md").open("w") as file:
            found = told(clips, models, options.output, options.most) if models else iter(())
            if folders:
                found = chain(found, left_out(folders, corpora, clips, options.most))
            for line in found:
                print(line, flush=True)
                file.write(line + "\n")
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
