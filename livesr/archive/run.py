"""A run over an archive, from sources to exit status; it resumes if the output exists."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

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
    carry,
    packed,
    read_summary,
    settle,
    with_carried,
)
from livesr.archive.places import OutputError, Place, foreign
from livesr.archive.progress import Progress, lasting
from livesr.archive.settings import Checkpoints, Scoring
from livesr.archive.signals import noted
from livesr.errors import LivesrError
from livesr.text import made_printable

_MOST_SHOWN = 10
_LOCK = ".lock"
_STATE = re.compile(r"([0-9a-f]{64})\.parquet")
# What of livesr's own files tells them from others of their names.
_PAGE_MARK, _HEADER_MARK = b"livesr archive</title>", b'"name": "livesr"'


@dataclass(frozen=True)
class Archive:
    """The options of a run.

    Attributes:
        sources: as for `livesr.archive.manifest.find`.
        out: folder or URL of the results.
        scoring: the model and the settings.
        channel: None (the mean of all channels), a number from 1 as text, or "each".
        workers: processes that score at the same time; None is one for each processor.
        address: of a Ray cluster; None starts Ray on this machine.
        retry_failed: score the rows again that ended in an error.
        limit: score at most so many rows in this run.
        reports: write a page for each file.
        audformat: also write an audEERING table.
        profile_by: the column that names the file of each voice's profile.
        checkpoints: when the state inside a long file is saved.
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
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


def survey(archive: Archive) -> tuple[Place, pa.Table, pa.Schema]:
    """The output folder, the manifest of the sources, and its carried columns.

    Raises:
        LivesrError: if the sources or the options cannot be used, or something in the folder would
            be replaced that livesr did not write.
    """
    out = Place.of(archive.out)
    if "?" in out.address:  # Ray takes what follows for a query, reads no row, and says nothing
        raise LivesrError(f"OUT is {out.address}; name a folder without a question mark.")
    if out.local and os.path.isfile(out.address):
        raise LivesrError(f"OUT is {out.address}, a file; name a folder for the results, last.")
    for source in archive.sources:  # else the results would take its place
        if out.holds(Place.of(source).address):
            raise LivesrError(
                f"The source {source} is in OUT, {archive.out}; name another folder for OUT."
            )
    known = manifest.load(out, MANIFEST)
    _check_own(out, report.PAGE, _PAGE_MARK)
    if archive.audformat:
        _check_own(out / audformat.FOLDER, audformat.HEADER, _HEADER_MARK)
    files, carried = manifest.find(archive.sources, out=out)
    table = manifest.build(
        files, carried, archive.scoring, archive.channel, known, archive.profile_by
    )
    return out, table, carried


def _check_own(place: Place, name: str, mark: bytes) -> None:
    data = place.read(name)
    if data is not None and mark not in data:
        raise OutputError(foreign(place, name))


def run(archive: Archive) -> int:
    """Score the rows that are not scored yet.

    Returns:
        The exit status: 3 while any row of the manifest is an error, else 0. Rows that `limit`
        leaves are no errors.

    Raises:
        LivesrError: if nothing can be scored, or the run cannot continue.
    """
    progress = Progress()
    with progress.working("reading the headers"):
        out, table, carried = survey(archive)
    out.make()
    with _locked(out):
        for name in (READINGS, SUMMARY, CHECKPOINT, STATES, PASSES, REPORTS):
            (out / name).sweep()
        out.sweep()
        _remove_states(out, table)
        done = settle(out)  # refuses another program's tables before anything is removed
        before = read_summary(out, archive.scoring.labels)
        if before is not None and (outdated := _outdated(before, table)):
            _remove_results(out, outdated)
            settle(out, outdated)
        again = _errors(before, table) if before is not None and archive.retry_failed else set()
        done -= again
        out.write(MANIFEST, packed(table))
        carry(out, _carried(table), archive.scoring.labels)
        todo = table.filter(pc.invert(pc.is_in(table["key"], pa.array(sorted(done), pa.string()))))
        if archive.limit is not None:
            todo = todo[: archive.limit]
        if len(todo):
            _score(archive, out, todo, carried, again, progress)
        rows = rows_of(out, table)
        _check_scored(todo, rows)
        if rows is not None:
            with progress.working("writing the report"):
                _write_pages(archive, out, rows, carried)
        return _print_result(out, table, rows)


def _score(
    archive: Archive,
    out: Place,
    todo: pa.Table,
    carried: pa.Schema,
    again: set[str],
    progress: Progress,
) -> None:
    """Score these rows; of them, `again` are those that ended in an error before."""
    _before_ray(archive.address)
    wanted = set(todo["key"].to_pylist())
    with _stoppable(out, wanted):
        from livesr.archive import pipeline  # noqa: PLC0415  (Ray takes seconds to import)

        workers = archive.workers or os.cpu_count() or 1
        with quiet_libraries(), pipeline.cluster(workers, archive.address):
            if archive.address and not archive.workers:
                workers = pipeline.processors()
            job = pipeline.Job(
                out=out,
                scoring=archive.scoring,
                carried=carried,
                workers=min(workers, len(todo)),
                reports=archive.reports,
                checkpoints=archive.checkpoints,
            )
            if again := again & wanted:  # not removed before they can be scored again
                settle(out, again)
                _remove_pages(out, again)
            with progress.scoring(todo, workers):
                pipeline.score(job, todo, progress.update)


@contextmanager
def _stoppable(out: Place, wanted: set[str]) -> Iterator[None]:
    """After a signal, whatever Ray makes of it, say what is left, and end with its status."""
    with noted() as arrived:
        broken_off = False
        try:
            yield
        except BaseException:
            if not arrived:
                raise
            broken_off = True
        if arrived and ((left := len(wanted - settle(out))) or broken_off):
            print(
                f"livesr: stopped; {left} of {len(wanted)} are left. Give the same command again "
                "to continue.",
                file=sys.stderr,
            )
            raise SystemExit(of_signal(arrived[0]))


def _before_ray(address: str | None) -> None:
    """Set what Ray reads when it is imported: no usage reports, and a random token.

    The ports of a Ray that runs on this machine are open to the network; without the token it
    accepts no requests.
    """
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address is None and "ray" not in sys.modules:
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _check_scored(todo: pa.Table, rows: pa.Table | None) -> None:
    """Ray may end a run well without having read its rows."""
    scored = [] if rows is None else rows["key"].to_pylist()
    if left := len(set(todo["key"].to_pylist()).difference(scored)):
        raise LivesrError(
            f"Ray ended the run before {left} of {len(todo)} were scored. Give the same command "
            "again to continue."
        )


def _errors(rows: pa.Table, table: pa.Table) -> set[str]:
    """Keys of the manifest's rows that ended in an error, by the summary's rows."""
    mine = pc.is_in(rows["key"], table["key"].combine_chunks())
    failed = rows.filter(pc.and_(mine, pc.equal(rows["status"], ERROR)))
    return set(failed["key"].to_pylist())


def _outdated(rows: pa.Table, table: pa.Table) -> set[str]:
    """Keys of the summary's old errors: the file has changed or come back.

    A key alone does not tell: it also changes with `--attention` and with what is in a profile.
    """
    same, changing = ("uri", "channel", "profile"), ("size", "mtime")
    files = table.select(["key", *same, *changing]).to_pylist()
    now = {tuple(row[name] for name in same): [row[name] for name in changing] for row in files}
    keys = {row["key"] for row in files}
    about = table.schema.metadata or {}
    model, hop = about[b"livesr.model_sha256"].decode(), float(about[b"livesr.hop"])
    failed = rows.filter(pc.equal(rows["status"], ERROR))
    return {
        row["key"]
        for row in failed.select(["key", *same, *changing, "model_sha256", "hop"]).to_pylist()
        if (file := now.get(tuple(row[name] for name in same))) is not None
        # An earlier livesr did not write them; then the file counts as changed.
        and file != [row[name] for name in changing]
        and row["key"] not in keys
        and (row["model_sha256"], row["hop"]) == (model, hop)
    }


def _remove_results(out: Place, keys: set[str]) -> None:
    """Readings and page of each key, before its row: a row is what names them."""
    for key in keys:
        (out / READINGS).remove(f"{key}.parquet")
    _remove_pages(out, keys)


def _remove_pages(out: Place, keys: set[str]) -> None:
    for name in {f"{key}.html" for key in keys}.intersection((out / REPORTS).names()):
        (out / REPORTS).remove(name)


def _remove_states(out: Place, table: pa.Table) -> None:
    """States of files that are no longer to be scored: each holds the last seconds of a voice."""
    keys = set(table["key"].to_pylist())
    for name in list((out / STATES).names()):
        if (state := _STATE.fullmatch(name)) and state[1] not in keys:
            (out / STATES).remove(name)


@contextmanager
def _locked(out: Place) -> Iterator[None]:
    """Only one run may write into a folder at a time; an object store has no locks."""
    if sys.platform == "win32" or not out.local:
        yield
        return
    import fcntl  # noqa: PLC0415

    with out.used():
        file = open(out.path(_LOCK)[1], "ab")  # noqa: SIM115  (closed below)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LivesrError(
                f"Another livesr archive is writing to {out.address}; wait until it has ended."
            ) from None
        yield


def rows_of(out: Place, table: pa.Table) -> pa.Table | None:
    """The summary's rows that belong to the manifest, with its carried columns; None if none."""
    rows = read_summary(out, json.loads(table.schema.metadata[b"livesr.labels"]))
    if rows is None:
        return None
    rows = with_carried(rows, _carried(table))
    return rows if len(rows) else None


def _carried(table: pa.Table) -> pa.Table:
    return table.select(["key", *table.column_names[len(manifest.SCHEMA) :]])


def _write_pages(archive: Archive, out: Place, rows: pa.Table, carried: pa.Schema) -> None:
    labels = archive.scoring.labels
    report.write(out, rows, carried.names, labels, of_all=archive.reports)
    if archive.audformat:
        audformat.write(out, rows, labels, archive.scoring.metadata())


def _print_result(out: Place, table: pa.Table, rows: pa.Table | None) -> int:
    """Print what is scored and what failed; returns the exit status."""
    count = 0 if rows is None else len(rows)
    failed = [] if rows is None else rows.filter(pc.equal(rows["status"], ERROR)).to_pylist()
    seconds = 0.0 if rows is None else float(pc.sum(rows["heard"]).as_py() or 0.0)
    print(f"{count} of {len(table)} scored, {lasting(seconds)} of sound: {out.address}")
    if count:
        print(f"The report is {out.address}/{report.PAGE}")
    if failed:
        print(f"{len(failed)} ended in an error:", file=sys.stderr)
        for row in failed[:_MOST_SHOWN]:
            print(f"  {made_printable(row['message'])}", file=sys.stderr)
        if len(failed) > _MOST_SHOWN:
            print(f"  and {len(failed) - _MOST_SHOWN} more, in {SUMMARY}/", file=sys.stderr)
        print("Give --retry-failed to score them again.", file=sys.stderr)
    return ExitStatus.PARTLY if failed else ExitStatus.DONE
