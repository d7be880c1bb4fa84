"""Train a network and export it: `python -m export.train --corpora ../shared/speech`.

Speaker-independent: trains on the `train` split, calibrates on `dev`, never sees `test`. Once all
is chosen, a config may have it train on both (`splits`): what comes out is then calibrated by
`export.calibrate` alone. One run writes `runs/NAME-seedN/` (a checkpoint each epoch; started
again, it goes on from there) and, at its end, the ONNX file. With --folds, one run for each
speaker, corpus or speaker of IEMOCAP that is left out in turn, each tested on what it left out,
through `Recognizer`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from export.corpora.clips import (
    SPLITS,
    Clip,
    CorpusError,
    check,
    iemocap_folds,
    leave_one_corpus_out,
    leave_one_speaker_out,
    named,
    read_unlabelled,
)
from export.corpora.licences import licence
from export.corpora.readers import read_corpora
from export.evaluation.calibration import Calibration
from export.evaluation.judging import ClipResult, Evaluation, judge_all, score, table
from export.evaluation.metrics import spread
from export.features.scenes import SETTINGS, backgrounds, sequences
from export.networks.acrnn import ACRNN
from export.networks.graph import build
from export.training.batches import prepare, statistics
from export.training.config import Config, ConfigError, read_config
from export.training.trainer import Run, evaluate, recalls
from livesr.model.metadata import LABELS, ModelInfo

ROOT = Path(__file__).resolve().parents[1]
FOLDS = {
    "speaker": leave_one_speaker_out,
    "corpus": leave_one_corpus_out,
    "iemocap": iemocap_folds,
}


def train(
    config: Config,
    name: str,
    folder: Path,
    train: list[Clip],
    dev: list[Clip],
    unlabelled: list[Clip],
    cache: Path,
) -> Path:
    """Train what is left to train of a network, calibrate and export it.

    Args:
        config: of the run.
        name: of the network.
        folder: of the run.
        train: to train on.
        dev: to calibrate on; if there are none, the temperature stays 1.
        unlabelled: clips without labels, to imitate the teacher on.
        cache: folder of features.

    Returns:
        The ONNX file, `folder/NAME.onnx`.
    """
    run = Run(config, folder)
    waiting = [
        sequences(train, seed, cache, teach=config.teach > 0)
        for seed in (None, *range(1, config.scenes + 1))
    ]
    mean, deviation = statistics(waiting[:3])
    scenes = prepare(sequences(dev, None, cache), mean, deviation)
    if run.epoch < config.epochs:
        babble = prepare(backgrounds(train, config.seed, cache), mean, deviation)
        targets = np.stack([clip.target(config.votes) for clip in train])
        versions, others = [], []
        while waiting:  # one at a time: the teacher's features of all of them are gigabytes
            versions.append(prepare(waiting.pop(0), mean, deviation, targets))
        for seed in (None, 1) if unlabelled else ():
            others.append(prepare(sequences(unlabelled, seed, cache, teach=True), mean, deviation))
        run.train(versions, babble, others, scenes)
    network = run.average.module
    info = ModelInfo(
        name=name,
        labels=LABELS,
        mean=mean,
        deviation=deviation,
        temperature=1.0,
        training_data=f"{named(train)} ({' and '.join(config.splits)} split)"
        + (f"; {named(unlabelled)}" if unlabelled else ""),
        licence=licence([*train, *dev, *unlabelled]),
        version=f"3-seed{config.seed}",
        front_end=SETTINGS,
    )
    file = folder / f"{name}.onnx"
    _write(file, network, info)
    if not dev:
        return file
    print(f"{name}, windows of dev: {recalls(evaluate(network, scenes), scenes)}")
    temperature, _, _ = Calibration([(clip, str(file)) for clip in dev]).fit()
    print(f"temperature {temperature:.3f}")
    _write(file, network, replace(info, temperature=temperature))
    return file


def _write(file: Path, network: ACRNN, info: ModelInfo) -> None:
    onnx.save(build(network.widths, network.weights(), info), file)


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


def chosen(clips: Sequence[Clip], config: Config) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """The clips of the run's corpora: to train on, to calibrate on if any are left, and to test on.

    Raises:
        CorpusError: if a split has none, or one cannot be opened.
    """
    found: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for clip in clips:
        if clip.corpus in config.corpora:
            found[clip.split].append(clip)
    for split, own in found.items():
        if split != "test" and not own:
            raise CorpusError(f"No {split} clips of {', '.join(config.corpora)}.")
        check(own)
    train = [clip for split in config.splits for clip in found[split]]
    return train, [] if "dev" in config.splits else found["dev"], found["test"]


def _folds(
    config: Config,
    folder: Path,
    clips: Sequence[Clip],
    kind: str,
    only: Sequence[str] | None,
    unlabelled: list[Clip],
    cache: Path,
) -> None:
    """A run for each that is left out, or `only` for some, and its result on that one."""
    used = [clip for clip in clips if clip.corpus in config.corpora]
    tested: list[Clip] = []
    said: list[ClipResult] = []
    scores = []
    folds = FOLDS[kind](used)
    if unknown := sorted(set(only or ()) - set(folds)):
        raise CorpusError(f"No fold leaves out {unknown[0]}; the folds are {', '.join(folds)}.")
    for out in only or folds:
        learnt, dev, left = chosen(folds[out], config)
        file = train(config, out, folder / out, learnt, dev, unlabelled, cache)
        results = judge_all(left, Evaluation(str(file)))
        tested, said = tested + left, said + results
        scores.append(score(left, results))
        print(f"without {out}: UAR {scores[-1]:.3f} of {len(results)} clips\n", flush=True)
    print(f"{folder.name}, a {kind} left out, UAR of {len(scores)} folds: {spread(scores)}\n")
    print("\n".join(table(tested, said)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="a folder with clips.csv, or NAME=FOLDER"
    )
    parser.add_argument("--config", type=Path, help="JSON of Config's fields")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--network", help="in place of the config's")
    parser.add_argument("--epochs", type=int, help="in place of the config's")
    parser.add_argument("--splits", nargs="+", help="to train on, in place of the config's")
    parser.add_argument("--name", default="acrnn-compact", help="of the run and its model")
    parser.add_argument("--folds", choices=FOLDS, help="leave each of these out in turn")
    parser.add_argument("--only", nargs="+", help="of the folds, in a process of their own")
    parser.add_argument(
        "--unlabelled", type=Path, help="a folder with unlabelled.csv: speech for distillation"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
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
        clips = read_corpora(options.corpora)
        if options.folds:
            _folds(config, folder, clips, options.folds, options.only, unlabelled, options.cache)
            return
        learnt, dev, _ = chosen(clips, config)
        file = train(config, options.name, folder, learnt, dev, unlabelled, options.cache)
        print(f"wrote {file}")
    except (ConfigError, CorpusError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
