"""Train a network and export it: `python -m export.train --corpora SPEECH`.

Speaker-independent: trains on the `train` split, calibrates on `dev`, never sees `test`. Once all
is chosen, a config may have it train on both (`splits`): what comes out is then calibrated by
`export.calibrate` alone. One run writes `runs/NAME-seedN/` (a checkpoint each epoch; started
again, it goes on from there) and, at its end, the ONNX file. With --folds, one run for each
speaker, corpus or speaker of IEMOCAP that is left out in turn, each tested on what it left out,
through `Recognizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from export.corpora.clips import (
    Clip,
    CorpusError,
    check,
    check_once,
    check_speakers,
    iemocap_folds,
    labelled,
    leave_one_corpus_out,
    leave_one_speaker_out,
    read_clips,
    read_unlabelled,
)
from export.corpora.readers import read_corpora
from export.evaluation.judging import ClipResult, Evaluation, judge_all, score, table
from export.evaluation.metrics import spread
from export.evaluation.options import (
    ROOT,
    Once,
    above_zero,
    add_cache,
    add_corpora,
    add_threads,
    add_workers,
    command_parser,
    whole,
)
from export.evaluation.runs import chosen, dealt, of_config, train
from export.training.config import Config, ConfigError, read_config
from export.training.trainer import Run

FOLDS = {
    "speaker": leave_one_speaker_out,
    "corpus": leave_one_corpus_out,
    "iemocap": iemocap_folds,
}
OTHERS = "other-emotions.csv"


def unlabelled_clips(config: Config, folder: Path | None) -> list[Clip]:
    """The unlabelled clips of a run, listed in `folder/unlabelled.csv`.

    None, where the config wants none.

    Raises:
        ConfigError: if the config wants some, and no folder is given, or the other way round.
        CorpusError: if there are none in the folder.
    """
    if bool(config.unlabelled) != bool(folder):
        raise ConfigError(
            f"unlabelled is {config.unlabelled} in the config: "
            + ("give --unlabelled FOLDER." if config.unlabelled else "no --unlabelled.")
        )
    clips = read_unlabelled(folder) if folder else []
    check(clips)
    return clips


def labelled_clips(config: Config, corpora: Sequence[str], others: Path | None) -> list[Clip]:
    """The clips of the run's corpora, with those of `others/other-emotions.csv` if it is given.

    Raises:
        CorpusError: if a corpus cannot be read, a clip's emotion is not one of the config's
            labels, one of these has no clip, a clip is listed twice, or a speaker is in two splits.
    """
    clips = read_corpora(corpora) + (read_clips(others, OTHERS, None) if others else [])
    check_once(clips)
    check_speakers(clips)
    return labelled(of_config(clips, config), config.labels)


def _folds(
    config: Config,
    folder: Path,
    clips: Sequence[Clip],
    kind: str,
    only: Sequence[str] | None,
    unlabelled: list[Clip],
    cache: Path,
    workers: int,
) -> None:
    """A run for each that is left out, or `only` for some, and its result on that one."""
    tested: list[Clip] = []
    said: list[ClipResult] = []
    scores = []
    folds = FOLDS[kind](clips)
    if unknown := sorted(set(only or ()) - set(folds)):
        raise CorpusError(f"No fold leaves out {unknown[0]}; the folds are {', '.join(folds)}.")
    for out in only or folds:
        dealt(folds[out], config)  # the last is refused before the first is trained
    for out in only or folds:
        learnt, dev, left = chosen(folds[out], config)
        file = train(config, out, folder / out, learnt, dev, unlabelled, cache, workers)
        results = judge_all(left, Evaluation(str(file)))
        tested, said = tested + left, said + results
        scores.append(score(left, results))
        print(f"without {out}: UAR {scores[-1]:.3f} of {len(results)} clips\n", flush=True)
    print(f"{folder.name}, a {kind} left out, UAR of {len(scores)} folds: {spread(scores)}")
    right = [clip.label == result.guess for clip, result in zip(tested, said, strict=True)]
    print(
        f"of all {len(right)} clips {sum(right)} are right, an accuracy of {np.mean(right):.3f}\n"
    )
    print("\n".join(table(tested, said)))


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument(
        "--config",
        type=Path,
        help="read the settings of the run from this JSON file, as those in export/configs",
    )
    parser.add_argument("--seed", type=whole, help="take this seed in place of the config's")
    parser.add_argument("--network", help="train this network in place of the config's")
    parser.add_argument(
        "--epochs", type=above_zero, help="train so many epochs in place of the config's"
    )
    parser.add_argument(
        "--splits", nargs="+", help="train on these splits in place of the config's"
    )
    parser.add_argument("--name", default="acrnn-compact", help="name the run and its model so")
    parser.add_argument("--folds", choices=FOLDS, help="leave each of these out in turn")
    parser.add_argument("--only", nargs="+", action=Once, help="run only these folds")
    parser.add_argument(
        "--unlabelled",
        type=Path,
        help="distil from the speech in this folder too, which holds unlabelled.csv",
    )
    parser.add_argument(
        "--others",
        type=Path,
        help=f"add the clips in this folder, whose {OTHERS} has more labels than the four",
    )
    add_cache(parser)
    add_workers(parser)
    add_threads(parser, torch.get_num_threads())
    options = parser.parse_args()
    if options.only and not options.folds:
        parser.error("--only is of the folds: give --folds too")
    torch.set_num_threads(options.threads)
    try:
        config = read_config(
            options.config,
            seed=options.seed,
            network=options.network,
            epochs=options.epochs,
            splits=options.splits,
        )
        folder = ROOT / "runs" / f"{options.name}-seed{config.seed}"
        if not options.folds:
            Run(config, folder)  # a checkpoint that does not fit fails before corpora are read
        unlabelled = unlabelled_clips(config, options.unlabelled)
        clips = labelled_clips(config, options.corpora, options.others)
        features = options.cache, options.workers
        if options.folds:
            kind, only = options.folds, options.only
            _folds(config, folder, clips, kind, only, unlabelled, *features)
            return
        learnt, dev, _ = chosen(clips, config)
        file = train(config, options.name, folder, learnt, dev, unlabelled, *features)
        print(f"wrote {file}")
    except (ConfigError, CorpusError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
