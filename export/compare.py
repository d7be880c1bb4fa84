"""The paper's table, with other corpora: networks trained alike and judged alike, over seeds.

    python -m export.compare --corpora SPEECH SPEECH-MORE --seeds 1 2 3 --left-out \\
        --jobs 16 --workers 16 --output runs/compare

The paper's network (`acrnn-compact`) and those that it was compared with are trained on `train`
with one config, for each seed, and judged on `test` through `Recognizer`: speakers unseen in
training. With --left-out, each is also trained without each corpus in turn, and judged on that
corpus's train and dev speakers, who are as unseen. `dev` gives the temperature.

A network's folder is OUTPUT/NETWORK-seedN, and CORPUS in it for one without that corpus. It holds
the ONNX file, the checkpoint, what was printed (log.txt) and the results (judged.npz). What is
there is not made again: a broken run continues, and the same command prints its tables in seconds.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from export.corpora.clips import (
    Clip,
    CorpusError,
    check,
    fingerprint,
    labelled,
    leave_one_corpus_out,
    named,
)
from export.corpora.readers import read_corpora
from export.evaluation.judging import Evaluation, judge_all, some
from export.evaluation.metrics import macro, matrix, spread, tables, uar
from export.evaluation.options import (
    ROOT,
    Once,
    above_zero,
    add_cache,
    add_corpora,
    add_seeds,
    add_workers,
    command_parser,
    new_folder,
)
from export.evaluation.runs import dealt, features, of_config, train
from export.networks.sizes import NETWORKS
from export.training.config import Config, ConfigError, read_config, refuse_other
from export.training.trainer import Run
from livesr.arrays import Array, Float64
from livesr.errors import LivesrError

COMPARED = ("acrnn-compact", "cnn1d-lstm", "cnn2d-temporal", "acrnn-3d")
Tables = dict[str, Array]  # corpus -> confusion counts


@dataclass(frozen=True, slots=True)
class Job:
    """A network to train and judge.

    Attributes:
        config: of its run.
        out: the corpus that it never hears, "" for none.
        folder: of its run.
        train: to train on.
        dev: to calibrate on.
        judged: to judge.
        cache: folder of features.
    """

    config: Config
    out: str
    folder: Path
    train: list[Clip]
    dev: list[Clip]
    judged: list[Clip]
    cache: Path

    @property
    def name(self) -> str:
        """Of the network and its ONNX file, as `export.report --left-out` looks for it."""
        return self.out or self.config.network

    @property
    def data(self) -> str:
        """The hash of the clips that the run hears."""
        return fingerprint(self.train, self.dev, [])

    def results(self) -> Float64 | None:
        """The probabilities of each clip of `judged`, [clips, labels]; None if there are none yet.

        Raises:
            ConfigError: if they are of another config, or of other clips.
        """
        file = self.folder / "judged.npz"
        if not file.is_file():
            return None
        with np.load(file) as kept:
            heard = str(kept["data"]) if "data" in kept else None
            refuse_other(file, self.config, self.data, str(kept["config"]), heard)
            if kept["clips"].tolist() != [clip.identity for clip in self.judged]:
                return None
            return np.asarray(kept["probabilities"], np.float64)

    def tables(self) -> Tables:
        """Confusion counts of each corpus, from the results."""
        results = self.results()
        assert results is not None
        truth, corpora = zip(*((clip.label, clip.corpus) for clip in self.judged), strict=True)
        return tables(truth, results.argmax(1), corpora, labels=len(self.config.labels))


def work(job: Job) -> str:
    """Train a network, unless it is trained, and judge; what it took, in a line.

    What this prints goes to the folder's log.txt, as others print at the same time.

    Raises:
        ConfigError: if the folder holds a run of another config, or of other clips.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    file = job.folder / f"{job.name}.onnx"
    with (job.folder / "log.txt").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        if not (job.folder / "judged.npz").is_file():  # else only other clips are to be judged
            train(job.config, job.name, job.folder, job.train, job.dev, [], job.cache, 1, 1)
        trained = time.monotonic()
        results = judge_all(job.judged, Evaluation(str(file)), workers=1)
    part = job.folder / "judged.part.npz"
    np.savez(
        part,
        config=job.config.to_json(),
        data=job.data,
        clips=[clip.identity for clip in job.judged],
        probabilities=np.stack([result.probabilities for result in results]),
    )
    part.rename(job.folder / "judged.npz")
    return (
        f"{job.folder}: trained in {trained - began:.0f} s, "
        f"{len(results)} clips judged in {time.monotonic() - trained:.0f} s"
    )


def jobs_of(
    configs: Sequence[Config],
    clips: Sequence[Clip],
    left_out: bool,
    calibrate: int,
    most: int,
    output: Path,
    cache: Path,
) -> list[Job]:
    """A network of each config, and with `left_out` one without each corpus, seed by seed.

    So a run that is broken off has whole seeds, which make a table with fewer `--seeds`.

    Args:
        configs: of the same corpora.
        clips: of the corpora of the configs.
        left_out: whether corpora are left out.
        calibrate: clips of `dev` of each corpus, for the temperature.
        most: clips of each split of a corpus that is left out, to judge.
        output: folder of all runs.
        cache: folder of features.

    Raises:
        CorpusError: if a split has no clips, there are fewer than two corpora to leave out, or a
            network has none to judge.
    """
    used = labelled(clips, configs[0].labels)
    # Drawn once, so that a corpus gives the same clips whatever others a network is trained on.
    few = some([clip for clip in used if clip.split == "dev"], calibrate)
    used_fewer = [clip for clip in used if clip.split != "dev"] + few
    strangers = some([clip for clip in used if clip.split != "test"], most)
    jobs = []
    for config in configs:
        folder = output / f"{config.network}-seed{config.seed}"
        jobs.append(Job(config, "", folder, *dealt(used_fewer, config), cache))
    folds = leave_one_corpus_out(used_fewer) if left_out else {}
    for out, fold in folds.items():
        own = [clip for clip in strangers if clip.corpus == out]
        for config in configs:
            folder = output / f"{config.network}-seed{config.seed}" / out
            less = replace(config, corpora=tuple(c for c in config.corpora if c != out))
            learnt, dev, _ = dealt(fold, less)
            jobs.append(Job(less, out, folder, learnt, dev, own, cache))
    for job in jobs:
        if not job.judged:
            wanted = f"train or dev split of {job.out}" if job.out else "test split"
            raise CorpusError(f"No clip is of the {wanted}: {job.folder} would have none to judge.")
    return sorted(jobs, key=lambda job: job.config.seed)  # inside a seed, the longest come first


def _prepare_process() -> None:
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True  # every batch has the same shape


def run(jobs: Sequence[Job], count: int) -> None:
    """Do what is not done, so many at a time, each in a process of its own.

    Raises:
        ConfigError: if a folder holds a run of another config.
    """
    # Not forked: a process that has used a GPU cannot be.
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_prepare_process)
    with pool:
        waiting = [pool.submit(work, job) for job in jobs]
        try:
            for number, done in enumerate(as_completed(waiting), start=1):
                print(f"{number} of {len(jobs)}  {done.result()}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def averages(found: Tables) -> dict[str, float]:
    """`export.evaluation.metrics.macro`, the mean of the corpora."""
    rows = [macro(table) for table in found.values()]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def overview(found: Mapping[str, Sequence[Tables]]) -> Iterator[str]:
    """A row per network: the measures, the mean of the corpora, over seeds."""
    yield "| network | seeds | accuracy (WA) | precision | recall (UAR) | F1 |"
    yield "|---" * 6 + "|"
    for name, seeds in found.items():
        rows = [averages(one) for one in seeds]
        cells = [spread([row[measure] for row in rows]) for measure in rows[0]]
        yield f"| {name} | {len(seeds)} | " + " | ".join(cells) + " |"
    yield ""


def by_corpus(found: Mapping[str, Sequence[Tables]]) -> Iterator[str]:
    """A row per network: UAR of each corpus over seeds, and of the corpus where it is least."""
    corpora = list(next(iter(found.values()))[0])
    yield "| network | " + " | ".join(corpora) + " | least |"
    yield "|---" * (len(corpora) + 2) + "|"
    for name, seeds in found.items():
        scores = {corpus: [uar(one[corpus]) for one in seeds] for corpus in corpora}
        least = min(corpora, key=lambda corpus: float(np.mean(scores[corpus])))
        cells = [spread(own) for own in scores.values()]
        cells.append(f"{np.mean(scores[least]):.3f} ({least})")
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""


def told(jobs: Sequence[Job], calibrate: int, most: int) -> Iterator[str]:
    """The tables, line by line."""
    together: dict[str, list[Tables]] = defaultdict(list)
    apart: dict[str, dict[int, Tables]] = defaultdict(lambda: defaultdict(dict))
    for job in jobs:
        if job.out:
            apart[job.config.network][job.config.seed] |= job.tables()
        else:
            together[job.config.network].append(job.tables())
    first = jobs[0]
    config = first.config
    lessons = "" if config.teach else ", without distillation"
    speakers = len({clip.speaker for clip in first.judged})
    yield "# Networks compared\n"
    yield f"Trained alike on {' and '.join(config.splits)} of {named(first.train)}:"
    yield f"{len(first.train)} clips, each also in {config.scenes} augmented version(s), and"
    yield f"{config.epochs} epochs of batches of {config.batch}{lessons}. The temperature is of at"
    yield f"most {calibrate} clips of each corpus's `dev`. Each clip is judged alone, through"
    yield "`Recognizer`. Every figure is the mean of the corpora, then mean ± deviation over seeds;"
    yield "precision, recall and F1 are means of the emotions that a corpus has.\n"
    yield f"## `test`: {len(first.judged)} clips of {speakers} speakers unseen in training\n"
    yield from overview(together)
    yield "UAR of each corpus:\n"
    yield from by_corpus(together)
    if apart:
        left = {job.out: job.judged for job in jobs if job.out}
        each = ", ".join(f"{len(clips)} of {corpus}" for corpus, clips in left.items())
        yield "## Corpora left out: all of a corpus unseen in training\n"
        yield f"At most {most} clips of each of its splits `train` and `dev`, emotions in turn:"
        yield f"{each}.\n"
        found = {name: list(seeds.values()) for name, seeds in apart.items()}
        yield from overview(found)
        yield "UAR of each corpus that was left out:\n"
        yield from by_corpus(found)
    name, seeds = next(iter(together.items()))
    yield f"## {name} on `test`, clips of {len(seeds)} seed(s) together\n"
    counts = np.asarray(sum(table for one in seeds for table in one.values()))
    yield from matrix(counts, config.labels, recall=True)
    yield ""


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument(
        "--networks",
        nargs="+",
        action=Once,
        choices=NETWORKS,
        default=COMPARED,
        help="compare these networks",
    )
    add_seeds(parser, (1, 2, 3))
    parser.add_argument(
        "--left-out", action="store_true", help="also leave each corpus out in turn"
    )
    parser.add_argument(
        "--only-features", action="store_true", help="compute the features, and train no network"
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=ROOT / "export" / "configs" / "comparison.json",
        help="read the settings of all runs from this JSON file",
    )
    parser.add_argument(
        "--epochs", type=above_zero, help="train so many epochs in place of the config's"
    )
    parser.add_argument(
        "--calibrate",
        type=above_zero,
        default=20,
        help="fit the temperature on at most so many clips of each corpus's dev",
    )
    parser.add_argument(
        "--most",
        type=above_zero,
        default=150,
        help="judge at most so many clips of each split of a corpus left out",
    )
    parser.add_argument(
        "--jobs", type=above_zero, default=1, help="train so many networks at a time"
    )
    add_workers(parser)
    parser.add_argument(
        "--output",
        type=new_folder,
        default=ROOT / "runs" / "compare",
        help="write the runs and their tables to this folder",
    )
    add_cache(parser)
    options = parser.parse_args()
    try:
        configs = [
            read_config(options.config, network=network, seed=seed, epochs=options.epochs)
            for network in options.networks
            for seed in options.seeds
        ]
        clips = of_config(read_corpora(options.corpora), configs[0])
        of = (options.left_out, options.calibrate, options.most, options.output, options.cache)
        jobs = jobs_of(configs, clips, *of)
        todo = [job for job in jobs if job.results() is None]
        for job in todo:
            Run(job.config, job.folder, job.data)  # a checkpoint that does not fit fails first
        if todo or options.only_features:
            check(clips)
            together = {job.config.seed: job for job in jobs if not job.out}
            for job in together.values():  # those of the others are among them
                features(job.config, job.train, job.dev, options.cache, options.workers)
        if options.only_features:
            print(f"the features are in {options.cache}")
            return
        run(todo, options.jobs)
        with (options.output / "compare.md").open("w") as file:
            for line in told(jobs, options.calibrate, options.most):
                print(line, flush=True)
                file.write(line + "\n")
    except (ConfigError, CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
