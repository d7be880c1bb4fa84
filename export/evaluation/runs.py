"""One run, from clips to a calibrated ONNX file: `export.train` and `export.compare` make these."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from export.corpora.clips import SPLITS, Clip, CorpusError, check, fingerprint, named
from export.corpora.licences import licence
from export.evaluation.calibration import Calibration
from export.features.scenes import SETTINGS, SceneFeatures, backgrounds, sequences
from export.networks.acrnn import ACRNN
from export.networks.graph import build
from export.training.batches import prepare, statistics
from export.training.config import Config
from export.training.trainer import Run, evaluate, recalls
from livesr.model.metadata import ModelInfo


def train(
    config: Config,
    name: str,
    folder: Path,
    train: list[Clip],
    dev: list[Clip],
    unlabelled: list[Clip],
    cache: Path,
    workers: int = 2,
    judges: int | None = None,
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
        workers: processes that compute features which are not in the cache.
        judges: processes that judge `dev`, one a core unless given; 1 is this process.

    Returns:
        The ONNX file, `folder/NAME.onnx`.
    """
    carried = licence([*train, *dev, *unlabelled])  # refused before hours are spent
    run = Run(config, folder, fingerprint(train, dev, unlabelled))
    print(f"{name}: the weights inherit the licence {carried}")
    waiting, crowd, heard = features(config, train, dev, cache, workers)
    mean, deviation = statistics(waiting[:3])
    count = len(config.labels)
    scenes = prepare(heard, mean, deviation, count=count)
    if run.epoch < config.epochs:
        babble = prepare(crowd, mean, deviation, count=count)
        targets = np.stack([clip.target(config.votes) for clip in train])
        versions, others = [], []
        while waiting:  # one at a time: the teacher's features of all of them are gigabytes
            versions.append(prepare(waiting.pop(0), mean, deviation, targets))
        for seed in (None, 1) if unlabelled else ():
            found = sequences(unlabelled, seed, cache, workers, teach=True)
            others.append(prepare(found, mean, deviation, count=count))
        run.train(versions, babble, others, scenes)
    network = run.average.module
    info = ModelInfo(
        name=name,
        labels=config.labels,
        mean=mean,
        deviation=deviation,
        temperature=1.0,
        training_data=f"{named(train)} ({' and '.join(config.splits)} split)"
        + (f"; {named(unlabelled)}" if unlabelled else ""),
        licence=carried,
        version=f"3-seed{config.seed}",
        front_end=SETTINGS,
    )
    file = folder / f"{name}.onnx"
    _write(file, network, info)
    if not dev:
        return file
    print(f"{name}, windows of dev: {recalls(evaluate(network, scenes), scenes)}")
    temperature, _, _ = Calibration([(clip, str(file)) for clip in dev], judges).fit()
    print(f"temperature {temperature:.3f}")
    _write(file, network, replace(info, temperature=temperature))
    return file


def features(
    config: Config, train: Sequence[Clip], dev: Sequence[Clip], cache: Path, workers: int = 2
) -> tuple[list[list[SceneFeatures]], list[SceneFeatures], list[SceneFeatures]]:
    """The features of a run, from the cache where they are there.

    Args:
        config: of the run.
        train: to train on.
        dev: to calibrate on.
        cache: folder of features.
        workers: processes that compute what is not in the cache.

    Returns:
        of `train`, the clips as recorded and each augmented version; babble; and `dev`.
    """
    versions = [
        sequences(train, seed, cache, workers, teach=config.teach > 0)
        for seed in (None, *range(1, config.scenes + 1))
    ]
    crowd = backgrounds(train, config.seed, cache, workers)
    return versions, crowd, sequences(dev, None, cache, workers)


def _write(file: Path, network: ACRNN, info: ModelInfo) -> None:
    onnx.save(build(network.widths, network.weights(), info), file)


def of_config(clips: Sequence[Clip], config: Config) -> list[Clip]:
    """The clips of the run's corpora; says which others were given, and are not used."""
    if others := named(clip for clip in clips if clip.corpus not in config.corpora):
        known = ", ".join(config.corpora)
        print(f"The config's corpora are {known}; not used: {others}.", file=sys.stderr)
    return [clip for clip in clips if clip.corpus in config.corpora]


def chosen(clips: Sequence[Clip], config: Config) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """The clips of the run's corpora: to train on, to calibrate on if any are left, and to test on.

    Raises:
        CorpusError: if a split has none, a batch takes more than there are to train on, or one
            cannot be opened.
    """
    parts = dealt(clips, config)
    for part in parts:
        check(part)
    return parts


def dealt(clips: Sequence[Clip], config: Config) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """As `chosen`, without opening them.

    Raises:
        CorpusError: if a split has none, or a batch takes more than there are to train on.
    """
    found: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for clip in clips:
        if clip.corpus in config.corpora:
            found[clip.split].append(clip)
    for split, own in found.items():
        if split != "test" and not own:
            lack = f"No {split} clips of {', '.join(config.corpora)}"
            if any(found.values()):
                raise CorpusError(f"{lack}; see the column split of clips.csv.")
            raise CorpusError(f"{lack}; name yours in `corpora` of a config, --config FILE.")
    train = [clip for split in config.splits for clip in found[split]]
    if len(train) < config.batch:
        raise CorpusError(
            f"{len(train)} clips of {named(train)} to train on do not fill a batch of "
            f"{config.batch}; set a smaller batch in the config."
        )
    return train, [] if "dev" in config.splits else found["dev"], found["test"]
