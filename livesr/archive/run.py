"""A run over an archive, from sources to exit status; a run over one that exists goes on."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from livesr.app.exit_status import ExitStatus, of_signal
from livesr.app.terminal import quiet_libraries
from livesr.archive import audformat, manifest, report
from livesr.archive.outputs import (
    CHECKPOINT,
    ERROR,
    MANIFEST,
    PASSES,
    READINGS,
    REPORTS,
    STATES,
    SUMMARY,
    packed,
    read_table,
    settle,
)
from livesr.archive.places import Place
from livesr.archive.progress import Progress, lasting
from livesr.archive.settings import Scoring
from livesr.errors import LivesrError

_MOST_TOLD = 10
_LOCK = ".lock"


@dataclass(frozen=True)
class Archive:
    """What `livesr archive` was asked for.

    Attributes:
        sources: as `livesr.archive.manifest.find` takes them.
        out: folder or URL of the results.
        scoring: what with.
        channel: None, a number from 1 as text, or "each".
        workers: processes that score at a time; None is one a processor.
        address: of a Ray cluster; None starts Ray here.
        retry_failed: score rows again that ended in an error.
        limit: rows to score at most in this run.
        reports: write a page for each file.
        audformat: write an audEERING table too.
        profile_by: the column that names the file of each voice's profile.
    """

    sources: Sequence[str]
    out: str
    scoring: Scoring
    channel: str | None = None
    workers: int | None = None
    address: str | None = None
    retry_failed: bool = False
    limit: int | None = None
    reports: bool = False
    audformat: bool = False
    profile_by: str | None = None


def survey(archive: Archive) -> tuple[Place, pa.Table, pa.Schema]:
    """Where the results go, the manifest of what there is, and its carried columns.

    Raises:
        LivesrError: if the sources or the options cannot be.
    """
    out = Place.of(archive.out)
    files, carried = manifest.find(archive.sources, out=out.address)
    known = manifest.load(out, MANIFEST)
    table = manifest.build(
        files, carried, archive.scoring, archive.channel, known, archive.profile_by
    )
    return out, table, carried


def run(archive: Archive) -> int:
    """Score what is not scored yet.

    Returns:
        0 if every row of the manifest is scored, 3 while any is an error.

    Raises:
        LivesrError: if nothing can be scored, or the run cannot go on.
    """
    progress = Progress()
    with progress.working("reading the headers"):
        out, table, carried = survey(archive)
    out.make()
    with _alone(out):
        for name in (READINGS, SUMMARY, CHECKPOINT, STATES, PASSES, REPORTS):
            (out / name).sweep()
        out.sweep()
        again = _errors(out, table) if archive.retry_failed else set()
        done = settle(out, again | _outdated(out, table))
        out.write(MANIFEST, packed(table))
        todo = table.filter(pc.invert(pc.is_in(table["key"], pa.array(sorted(done), pa.string()))))
        if archive.limit is not None:
            todo = todo[: archive.limit]
        if len(todo):
            _score(archive, out, todo, carried, progress)
        rows = rows_of(out, table)
        if rows is not None:
            with progress.working("writing the report"):
                _write_pages(archive, out, rows, carried)
        return _tell(out, table, rows)


def _score(
    archive: Archive, out: Place, todo: pa.Table, carried: pa.Schema, progress: Progress
) -> None:
    _before_ray(archive.address)
    from livesr.archive import pipeline  # noqa: PLC0415  (Ray takes seconds to import)

    workers = archive.workers or os.cpu_count() or 1
    with quiet_libraries(), pipeline.cluster(workers, archive.address):
        if archive.address and not archive.workers:
            workers = pipeline.processors()
        job = pipeline.Job(out, archive.scoring, carried, min(workers, len(todo)), archive.reports)
        try:
            with progress.scoring(todo, workers):
                pipeline.score(job, todo, progress.heard)
        except (KeyboardInterrupt, SystemExit) as stop:
            done = settle(out)
            left = len(todo) - len(done & set(todo["key"].to_pylist()))
            print(
                f"livesr: stopped; {left} of {len(todo)} are left. The same command goes on.",
                file=sys.stderr,
            )
            status = stop.code if isinstance(stop, SystemExit) else of_signal(signal.SIGINT)
            raise SystemExit(status) from None


def _before_ray(address: str | None) -> None:
    """What Ray reads when it is imported: it reports nothing.

    The ports of a Ray of our own are open to the network; it obeys nobody who does not know its
    token.
    """
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address is None and "ray" not in sys.modules:
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _errors(out: Place, table: pa.Table) -> set[str]:
    """Keys of the manifest whose row is an error."""
    rows = read_table(out / SUMMARY)
    if rows is None:
        return set()
    mine = pc.is_in(rows["key"], table["key"].combine_chunks())
    failed = rows.filter(pc.and_(mine, pc.equal(rows["status"], ERROR)))
    return set(failed["key"].to_pylist())


def _outdated(out: Place, table: pa.Table) -> set[str]:
    """Keys of errors that the manifest has another row for: the file has come back, or changed."""
    rows = read_table(out / SUMMARY)
    if rows is None:
        return set()
    now = set(zip(*(table[name].to_pylist() for name in ("uri", "channel")), strict=True))
    keys = set(table["key"].to_pylist())
    sha = (table.schema.metadata or {}).get(b"livesr.model_sha256", b"").decode()
    failed = rows.filter(pc.equal(rows["status"], ERROR))
    return {
        row["key"]
        for row in failed.select(["key", "uri", "channel", "model_sha256"]).to_pylist()
        if (row["uri"], row["channel"]) in now
        and row["key"] not in keys
        and row["model_sha256"] == sha
    }


@contextmanager
def _alone(out: Place) -> Iterator[None]:
    """One run at a time writes into a folder; of an object store nobody can tell."""
    if sys.platform == "win32" or not out.local:
        yield
        return
    import fcntl  # noqa: PLC0415

    with open(out.path(_LOCK)[1], "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LivesrError(
                f"Another livesr archive is writing to {out.address}; wait for its end."
            ) from None
        yield


def rows_of(out: Place, table: pa.Table) -> pa.Table | None:
    """Rows of the summary that belong to the manifest."""
    rows = read_table(out / SUMMARY)
    if rows is None:
        return None
    rows = rows.filter(pc.is_in(rows["key"], table["key"].combine_chunks()))
    return rows if len(rows) else None


def _write_pages(archive: Archive, out: Place, rows: pa.Table, carried: pa.Schema) -> None:
    labels = archive.scoring.labels
    report.write(out, rows, carried.names, labels)
    if archive.audformat:
        audformat.write(out, rows, labels, archive.scoring.metadata())


def _tell(out: Place, table: pa.Table, rows: pa.Table | None) -> int:
    """What the archive has come to, and the exit status that says so."""
    count = 0 if rows is None else len(rows)
    failed = [] if rows is None else rows.filter(pc.equal(rows["status"], ERROR)).to_pylist()
    heard = 0.0 if rows is None else float(pc.sum(rows["heard"]).as_py() or 0.0)
    print(f"{count} of {len(table)} scored, {lasting(heard)} heard: {out.address}")
    if count:
        print(f"The report is {out.address}/{report.PAGE}")
    if failed:
        print(f"{len(failed)} could not be scored, or not to their end:", file=sys.stderr)
        for row in failed[:_MOST_TOLD]:
            print(f"  {row['message']}", file=sys.stderr)
        if len(failed) > _MOST_TOLD:
            print(f"  and {len(failed) - _MOST_TOLD} more, in {SUMMARY}/", file=sys.stderr)
        print("--retry-failed tries them again.", file=sys.stderr)
    return ExitStatus.PARTLY if failed else ExitStatus.DONE
