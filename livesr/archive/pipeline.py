"""The Ray Data pipeline: manifest, scorers, summary, with Ray's checkpoint on the key."""

from __future__ import annotations

import errno
import logging
import re
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig, CheckpointManager

from livesr.archive.outputs import CHECKPOINT, PASSES, SUMMARY, packed
from livesr.archive.places import OutputError, Place, full_disk
from livesr.archive.scorer import Scorer
from livesr.archive.settings import Checkpoints, Scoring
from livesr.archive.signals import noted
from livesr.errors import LivesrError

SHORT_SECONDS = 60.0  # shorter files share a task
_TASK_SECONDS = 300.0  # of sound, that it gets about
_MOST_IN_TASK = 64  # files
_SUMMARY_TASKS = 8  # whose rows are written into one file of the summary
_PROGRESS_SECONDS = 2.0
_STARTS = 3  # of Ray, at most
_CONNECT_SECONDS = 5.0  # to a cluster
_LATE = "timed out during startup"  # in Ray's message
_STORE_BYTES = 128 * 2**20  # of Ray's object store: small tables, no sound
_OURS = re.compile(r"^livesr\.[\w.]*\b(\w+Error): (.+)$", re.MULTILINE)
_OTHERS = re.compile(r"^[\w.]+(?:Error|Exception|Died)\w*: .+$", re.MULTILINE)
OnProgress = Callable[[dict[str, float]], None]


@contextmanager
def cluster(workers: int, address: str | None) -> Iterator[None]:
    """Start Ray on this machine and stop it at the end, or connect to a cluster.

    Args:
        workers: processes that score at the same time, if Ray is started here.
        address: of a cluster, as for `ray.init`; None starts Ray here. If Ray already runs in
            this process, it is used.

    Raises:
        LivesrError: if Ray does not start, or the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # livesr reports the error that ends a run
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    own: dict[str, Any] = {
        # Ray would otherwise join a cluster that someone else runs on this machine.
        "address": "local",
        "num_cpus": workers + 1,  # one for Ray's own steps
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
    }
    try:
        try:
            if address:
                _find(address)
            _start(lambda: ray.init(**quiet, **({"address": address} if address else own)))
        except Exception as error:  # Ray raises exceptions of many types
            what = f"The Ray cluster at {address}" if address else "Ray on this machine"
            late = "; the machine is busy, try again" if _LATE in str(error) else ""
            raise LivesrError(f"{what} cannot be used: {error!s:.300}{late}") from None
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        yield
    finally:
        with noted(held=True):
            ray.shutdown()


def _find(address: str) -> None:
    """Connect to a cluster's HOST:PORT, if it is one: Ray itself tries for minutes.

    Raises:
        OSError: if nobody listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()


def _start(start: Callable[[], Any]) -> None:
    """Start Ray, again if it was too slow.

    Ray gives its processes 15 to 30 s and has no setting for it; the files that it reads are in
    memory the second time.
    """
    for tries_left in reversed(range(_STARTS)):
        try:
            with noted(held=True):
                start()
            return
        except Exception as error:  # Ray's own is no more special
            if not tries_left or _LATE not in str(error):
                raise
            ray.shutdown()
            print("livesr: Ray did not start in time; once more.", file=sys.stderr)


def processors() -> int:
    """Number of processors in the cluster."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))


@ray.remote(num_cpus=0, max_restarts=-1)
class Tally:
    """Seconds scored, by key: collected from the workers for the progress line."""

    def __init__(self) -> None:
        self._scored: dict[str, float] = {}

    def add(self, key: str, seconds: float) -> None:
        """A worker has scored so many seconds of a row."""
        self._scored[key] = max(seconds, self._scored.get(key, 0.0))

    def take(self) -> dict[str, float]:
        """What was added since the last call."""
        scored, self._scored = self._scored, {}
        return scored


class _Settled(CheckpointManager):
    """Does not read the checkpoint: `livesr.archive.outputs.settle` has done so.

    The rows that are done are not in the pipeline. Ray's own manager would read the checkpoint
    again, with one more worker, and remove nothing.
    """

    def load_checkpoint(self, *_: Any, **__: Any) -> tuple[None, int]:
        """Nothing to remove."""
        return None, 0


class RayScorer:
    """A `Scorer` in one of Ray's workers; it reports its progress to a `Tally`."""

    def __init__(self, tally: Any, *arguments: Any, **options: Any) -> None:
        self._scorer = Scorer(*arguments, **options, on_progress=tally.add.remote)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """As `Scorer`."""
        return self._scorer(batch)


@dataclass(frozen=True)
class Job:
    """What a run needs.

    Attributes:
        out: the archive's output folder.
        scoring: the model and the settings.
        carried: columns of the manifest that are copied into the summary.
        workers: processes that score at the same time.
        reports: whether to write a page for each file.
        checkpoints: when the state inside a long file is saved.
    """

    out: Place
    scoring: Scoring
    carried: pa.Schema
    workers: int
    reports: bool = False
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


def score(job: Job, rows: pa.Table, on_progress: OnProgress = lambda _scored: None) -> None:
    """Score rows of a manifest, the longest first.

    Only scorers reserve a processor. The tasks that read the manifest and write the summary take
    milliseconds, and must also run on a cluster whose processors are all reserved.

    Short files share a task, because a task costs Ray as much as scoring a second of sound. So
    there are two passes, each a pipeline of its own: files of a minute and more, then the others.

    Args:
        job: what the run needs.
        rows: of the manifest, in its order.
        on_progress: is called about every two seconds with the seconds scored of each key.

    Raises:
        OutputError: if the output cannot be written.
        LivesrError: if the run cannot go on.
    """
    short = pc.fill_null(pc.less(rows["duration"], SHORT_SECONDS), False)
    long_rows, short_rows = rows.filter(pc.invert(short)), rows.filter(short)
    tally = Tally.remote()  # type: ignore[attr-defined]
    with _watched(tally, on_progress):
        if len(long_rows):
            _pass(job, "long", long_rows, 1, tally)
        if len(short_rows):
            mean = pc.mean(short_rows["duration"]).as_py() or 1.0
            share = -(-len(short_rows) // job.workers)
            together = min(_MOST_IN_TASK, share, max(1, round(_TASK_SECONDS / mean)))
            _pass(job, "short", short_rows, together, tally)


@contextmanager
def _watched(tally: Any, on_progress: OnProgress) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_PROGRESS_SECONDS):
            try:
                on_progress(ray.get(tally.take.remote(), timeout=5))
            except ray.exceptions.RayError:
                continue  # the tally's worker has died; Ray starts another

    watcher = threading.Thread(target=watch, name="livesr-progress", daemon=True)
    watcher.start()
    try:
        yield
        on_progress(ray.get(tally.take.remote()))
    finally:
        over.set()
        watcher.join(timeout=10)
        ray.kill(tally)


def _pass(job: Job, name: str, rows: pa.Table, together: int, tally: Any) -> None:
    """Run a pipeline over rows, with so many rows in a task."""
    place = job.out / PASSES
    place.make()
    place.write(f"{name}.parquet", packed(rows))
    files, manifest = place.arrow()
    _, summary = (job.out / SUMMARY).arrow()
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False  # it starts 32 readers, for a file of a few rows
    # A block is a task's, so that blocks spread over the workers and Ray has few of them.
    context.target_max_block_size = rows.nbytes * together // len(rows) if together > 1 else 1
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
            # Ray only warns, and would then score everything again after a kill.
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
                fn_constructor_kwargs={"reports": job.reports, "checkpoints": job.checkpoints},
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(
                    min_size=min(2, job.workers), max_size=job.workers
                ),
            ).write_parquet(
                summary,
                filesystem=files,
                min_rows_per_file=together * _SUMMARY_TASKS,
                concurrency=1,
                ray_remote_args={"num_cpus": 0},
            )
    except UserWarning as error:
        raise LivesrError(f"Ray does not keep a checkpoint of this run: {error!s:.200}") from None
    except Exception as error:
        raise _explained(error, job.out) from error
    finally:
        place.remove(f"{name}.parquet")


def _explained(error: Exception, out: Place) -> LivesrError:
    """A failure inside Ray as one of livesr's errors."""
    # Ray passes a worker's exception on as text.
    text = f"{error}\n{error.__cause__ or ''}"
    if ours := _OURS.findall(text):
        kind = OutputError if ours[-1][0] == OutputError.__name__ else LivesrError
        return kind(ours[-1][1])
    if f"[Errno {errno.ENOSPC}]" in text or "No space left" in text:
        return OutputError(full_disk(out.address))
    lines = [line.strip() for line in _OTHERS.findall(text)] or [type(error).__name__]
    return LivesrError(
        f"Ray ended the run ({lines[-1]:.300}). What is written is kept; give the same command "
        "again to continue."
    )
