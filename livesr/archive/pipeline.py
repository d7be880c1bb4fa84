"""The archive through Ray Data: manifest, scorers, summary, with Ray's checkpoint on the key."""

from __future__ import annotations

import errno
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig, CheckpointManager

from livesr.archive.outputs import CHECKPOINT, PASSES, SUMMARY, packed
from livesr.archive.places import OutputError, Place, full_disk
from livesr.archive.scorer import Scorer
from livesr.archive.settings import Scoring
from livesr.errors import LivesrError

SHORT_SECONDS = 60.0  # of sound that a task has at least, where a file has less
_MOST_IN_TASK = 64
_SUMMARY_FILES = 8  # tasks whose rows share a file of the summary
_STORE_BYTES = 128 * 2**20  # tables of a few rows pass through it, no sound
_OURS = re.compile(r"^livesr\.[\w.]*\b(\w+Error): (.+)$", re.MULTILINE)
_OTHERS = re.compile(r"^[\w.]+(?:Error|Exception|Died)\w*: .+$", re.MULTILINE)
Shown = Callable[[dict[str, float]], None]


@contextmanager
def cluster(workers: int, address: str | None) -> Iterator[None]:
    """Ray, on this machine for as long as needed, or a cluster that is there.

    Args:
        workers: processes that score at a time, for a Ray of our own.
        address: as `ray.init` has it; None starts one here. Where Ray runs in this process
            already, that one is used.

    Raises:
        LivesrError: if there is none, or it does not start.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # what ends a run is told once, by us
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    options: dict[str, Any] = {
        "num_cpus": workers + 1,  # Ray's own steps want a share of one
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    try:
        ray.init(address=address, **quiet, **({} if address else options))
    except Exception as error:  # Ray's own are of many kinds, and some of none
        what = f"The Ray cluster at {address}" if address else "Ray on this machine"
        late = (
            "; the machine is busy, try again" if "timed out during startup" in str(error) else ""
        )
        raise LivesrError(f"{what} cannot be used: {error!s:.300}{late}") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def processors() -> int:
    """Of the cluster."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))


@ray.remote(num_cpus=0, max_restarts=-1)
class Tally:
    """Seconds heard, by key: what the progress is told from."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    def tell(self, key: str, seconds: float) -> None:
        """A worker's."""
        self._heard[key] = max(seconds, self._heard.get(key, 0.0))

    def heard(self) -> dict[str, float]:
        """All that was told since the last call."""
        heard, self._heard = self._heard, {}
        return heard


class _Settled(CheckpointManager):
    """A checkpoint that `livesr.archive.outputs.settle` has read: what is done is not in the rows.

    Ray's own would read it again, with a worker more that takes out nothing.
    """

    def load_checkpoint(self, *_: Any, **__: Any) -> tuple[None, int]:
        """Nothing to take out."""
        return None, 0


class RayScorer:
    """A `Scorer` in a worker of Ray's; it tells a `Tally`."""

    def __init__(self, tally: Any, *arguments: Any, **options: Any) -> None:
        self._scorer = Scorer(*arguments, **options, told=tally.tell.remote)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """As `Scorer`."""
        return self._scorer(batch)


@dataclass(frozen=True)
class Job:
    """What a run does.

    Attributes:
        out: of the archive.
        scoring: what with.
        carried: columns of the manifest that go into the summary.
        workers: processes that score at a time.
        reports: whether to write a page for each file.
    """

    out: Place
    scoring: Scoring
    carried: pa.Schema
    workers: int
    reports: bool = False


def score(job: Job, rows: pa.Table, shown: Shown = lambda _heard: None) -> None:
    """Score rows of a manifest that are not done, the longest first.

    Only scorers count as users of a processor: whoever reads the manifest or writes the summary
    works for milliseconds, and must find a place on a cluster that is full.

    Short files share a task: a task costs Ray as much as scoring a second of sound. So there are
    two passes, each its own pipeline: files of a minute and more, and those below.

    Args:
        job: how.
        rows: of the manifest, in its order.
        shown: is told every second or so what was heard.

    Raises:
        OutputError: if the output cannot be written.
        LivesrError: if the run cannot go on.
    """
    short = pc.fill_null(pc.less(rows["duration"], SHORT_SECONDS), False)
    long_rows, short_rows = rows.filter(pc.invert(short)), rows.filter(short)
    tally = Tally.remote()  # type: ignore[attr-defined]
    with _watched(tally, shown):
        if len(long_rows):
            _pass(job, "long", long_rows, 1, tally)
        if len(short_rows):
            mean = pc.mean(short_rows["duration"]).as_py() or 1.0
            share = -(-len(short_rows) // job.workers)
            together = min(_MOST_IN_TASK, share, max(1, round(SHORT_SECONDS / mean)))
            _pass(job, "short", short_rows, together, tally)


@contextmanager
def _watched(tally: Any, shown: Shown) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            try:
                shown(ray.get(tally.heard.remote(), timeout=5))
            except ray.exceptions.RayError:
                continue  # the worker that counts has died, another comes

    watcher = threading.Thread(target=watch, name="livesr-progress", daemon=True)
    watcher.start()
    try:
        yield
        shown(ray.get(tally.heard.remote()))
    finally:
        over.set()
        watcher.join(timeout=10)
        ray.kill(tally)


def _pass(job: Job, name: str, rows: pa.Table, together: int, tally: Any) -> None:
    """A pipeline over rows, so many in a task."""
    place = job.out / PASSES
    place.make()
    place.write(f"{name}.parquet", packed(rows))
    files, manifest = place.arrow()
    _, summary = (job.out / SUMMARY).arrow()
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False  # which starts 32 readers for a file of a few rows
    context.target_max_block_size = 1  # a block is a row, so that rows spread over the workers
    context.execution_options.preserve_order = True
    config = CheckpointConfig(
        "key",
        (job.out / CHECKPOINT).arrow()[1],
        delete_checkpoint_on_success=False,
        override_filesystem=files,
        checkpoint_manager_cls=_Settled,
    )
    context.checkpoint_config = config
    try:
        with ray.data.DataContext.current(context), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Without it Ray would go on, and score everything again after a kill.
            warnings.filterwarnings("error", message=".*doesn't support checkpointing.*")
            dataset = ray.data.read_parquet(
                f"{manifest}/{name}.parquet", filesystem=files, concurrency=1, num_cpus=0
            )
            dataset.map_batches(
                RayScorer,
                batch_size=together,
                batch_format="pyarrow",
                fn_constructor_args=(
                    tally,
                    job.out,
                    job.scoring,
                    job.scoring.model_sha,
                    job.carried,
                ),
                fn_constructor_kwargs={"reports": job.reports},
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(
                    min_size=min(2, job.workers), max_size=job.workers
                ),
            ).write_parquet(
                summary,
                filesystem=files,
                min_rows_per_file=together * _SUMMARY_FILES,
                concurrency=1,
                ray_remote_args={"num_cpus": 0},
            )
    except UserWarning as error:
        raise LivesrError(f"Ray does not keep a checkpoint of this run: {error!s:.200}") from None
    except Exception as error:
        raise _told(error, job.out) from error
    finally:
        place.remove(f"{name}.parquet")


def _told(error: Exception, out: Place) -> LivesrError:
    """What a failure inside Ray was about, as far as it is one of ours or of the disk."""
    # Ray hands on a worker's exception as text alone.
    text = f"{error}\n{error.__cause__ or ''}"
    if ours := _OURS.findall(text):
        kind = OutputError if ours[-1][0] == OutputError.__name__ else LivesrError
        return kind(ours[-1][1])
    if f"[Errno {errno.ENOSPC}]" in text or "No space left" in text:
        return OutputError(full_disk(out.address))
    lines = [line.strip() for line in _OTHERS.findall(text)] or [type(error).__name__]
    return LivesrError(
        f"Ray ended the run ({lines[-1]:.300}). What is written stands; the same command goes "
        "on from there."
    )
