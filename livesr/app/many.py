"""Many files in one go: each heard as its own replay is, in one process or several."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from livesr.app.console import PlainConsole
from livesr.app.exit_status import ExitStatus
from livesr.app.inputs import Input
from livesr.app.outputs import STDOUT, Place, check_outputs, open_output
from livesr.app.report.report import Report
from livesr.app.writers import CsvWriter, JsonlWriter, Writer
from livesr.errors import LivesrError
from livesr.files.recording import events_path
from livesr.files.replay import Channel, play
from livesr.files.soundfile import RawFormat
from livesr.model.load import DEFAULT
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.settings import HOP_SECONDS
from livesr.summary import Summary

_WIDTH = 160  # cells of the table where there is no terminal


@dataclass(frozen=True, slots=True)
class How:
    """What is common to all files.

    Attributes:
        model: as for `replay`; so are hop, channel, start, end and raw.
        attention: whether JSON lines hold it.
        force: whether existing files are replaced.
        profile: as for `replay`; so is adapt.
    """

    model: str | None = None
    hop: float = HOP_SECONDS
    channel: Channel = None
    start: float = 0.0
    end: float | None = None
    raw: RawFormat | None = None
    attention: bool = True
    force: bool = False
    profile: Profile | None = None
    adapt: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """A file to hear, and where what comes of it goes; None for nowhere."""

    input: Input
    jsonl: str | None = None
    events: str | None = None
    rows: str | None = None  # CSV of this file alone, to be joined
    report: str | None = None


@dataclass(slots=True)
class Heard:
    """What came of a file.

    Attributes:
        summaries: by channel; None is the mean of all.
        failed: why it was not heard, or not to its end.
        notes: words about it.
    """

    summaries: dict[int | None, Summary] = field(default_factory=dict)
    failed: str = ""
    notes: list[str] = field(default_factory=list)


def hear(job: Job, how: How) -> Heard:
    """Hear one file to its end, and write what was asked for. It raises nothing of livesr's."""
    heard, writers = Heard(), ExitStack()
    try:
        with writers:
            items = play(
                job.input.path,
                model=how.model,
                hop=how.hop,
                profile=how.profile,
                adapt=how.adapt,
                channel=how.channel,
                start=how.start,
                end=how.end,
                raw=how.raw,
            )
            outputs: list[Writer] = []
            if job.jsonl:
                outputs.append(
                    JsonlWriter(
                        job.jsonl,
                        force=how.force,
                        attention=how.attention,
                        only="readings" if job.events else None,
                    )
                )
            if job.events:
                outputs.append(JsonlWriter(job.events, force=how.force, only="events"))
            if job.rows:
                outputs.append(CsvWriter(job.rows, force=True, before={"file": job.input.shown}))
            for writer in outputs:
                writers.enter_context(writer)
            pages: dict[int | None, Report] = {}
            for item in items:
                for writer in outputs:
                    writer.write(item)
                if job.report:
                    _page(pages, job, how, item.channel, writers).write(item)
                if isinstance(item, Reading):
                    heard.summaries.setdefault(item.channel, Summary()).add(item)
                elif item.kind in ("file", "note", "silence"):
                    heard.notes.append(item.text)
                    heard.failed = heard.failed or (item.text if item.kind == "file" else "")
    except LivesrError as error:
        heard.failed = str(error)
    except BrokenPipeError:
        heard.failed = "nobody reads on"
    return heard


def _page(
    pages: dict[int | None, Report], job: Job, how: How, channel: int | None, stack: ExitStack
) -> Report:
    """The page of a channel; of what is about all, the first."""
    assert job.report
    key = channel if channel is not None or not pages else next(iter(pages))
    if key is None and how.channel == "each":
        key = 1
    if key not in pages:
        path = Path(job.report)
        told = path if key is None else path.with_name(f"{path.stem}.{key}{path.suffix}")
        source = job.input.shown + ("" if key is None else f", channel {key}")
        pages[key] = stack.enter_context(Report(source, how.model or DEFAULT, told))
    return pages[key]


def plan(
    inputs: Sequence[Input],
    how: How,
    *,
    jsonl: str | None,
    events: str | None,
    report: str | None,
    csv_path: str | None,
    summary: str | None,
    parts: str,
) -> list[Job]:
    """Where everything goes, checked before anything is opened.

    Args:
        inputs: what is heard.
        how: common to all.
        jsonl: a folder; of one input a file, too.
        events: the same.
        report: of one input, a file.
        csv_path: one for all.
        summary: the same.
        parts: a folder for what is joined at the end.

    Raises:
        LivesrError: if an output would destroy something, or two would be one.
    """
    if report and len(inputs) > 1:
        raise LivesrError("--report makes a page of one file; give one, or replay them in turn.")
    jobs = [
        Job(
            each,
            _below(jsonl, each, len(inputs), ".jsonl"),
            _below(events, each, len(inputs), ".events.jsonl"),
            os.path.join(parts, f"{number}.csv") if csv_path else None,
            report,
        )
        for number, each in enumerate(inputs)
    ]
    taken: dict[str, str] = {}
    for job in jobs:
        if job.jsonl and (other := taken.setdefault(job.jsonl, job.input.shown)) != job.input.shown:
            raise LivesrError(
                f"{other} and {job.input.shown} would both be written to {job.jsonl}; "
                "give the folder that holds both, or replay them in turn."
            )
    reads = [Place("the file to replay", each.path) for each in inputs]
    reads += [Place("its events", events_path(each.path)) for each in inputs if each.path != "-"]
    if how.model:
        reads.append(Place("the model", how.model))
    writes = [Place("--jsonl", job.jsonl) for job in jobs if job.jsonl]
    writes += [Place("--events", job.events) for job in jobs if job.events]
    named = (("--csv", csv_path), ("--summary", summary), ("--report", report))
    writes += [Place(what, path) for what, path in named if path]
    check_outputs(reads, writes, force=how.force)
    for job in jobs:
        for path in (job.jsonl, job.events):
            if path and path != STDOUT:
                _make_folder(Path(path).parent)
    return jobs


def is_folder(path: str) -> bool:
    """Whether an output is a folder to write into: by its ending, or because it is one."""
    return path.endswith(("/", os.sep)) or os.path.isdir(path)


def _below(path: str | None, each: Input, count: int, ending: str) -> str | None:
    if path is None or (count == 1 and not is_folder(path)):
        return path
    if path == STDOUT or (os.path.exists(path) and not os.path.isdir(path)):
        raise LivesrError(f"{path} cannot hold the lines of several files; name a folder: DIR/")
    name = each.below if each.path != "-" else Path("stdin")
    return os.path.join(path, str(name) + ending)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LivesrError(f"{folder} cannot be made: {error.strerror}.") from None


def replay_many(
    inputs: Sequence[Input],
    how: How,
    *,
    jsonl: str | None = None,
    events: str | None = None,
    csv_path: str | None = None,
    report: str | None = None,
    summary: str | None = None,
    processes: int = 1,
) -> ExitStatus:
    """Hear all of them, write what was asked for, and show a table of verdicts.

    Args:
        inputs: as `find_inputs` found them.
        how: common to all.
        jsonl: a folder for a file of JSON lines each (of one input a file, too).
        events: the same, for events.
        csv_path: one file for all readings; "-" is standard output.
        report: a page, of one input.
        summary: a .csv or .parquet file for the table of verdicts.
        processes: that hear at once.

    Returns:
        0, or 3 if something was not heard or written.

    Raises:
        LivesrError: if nothing can be begun, or the only input cannot be heard.
    """
    with ExitStack() as stack:
        parts = stack.enter_context(tempfile.TemporaryDirectory(prefix="livesr-"))
        jobs = plan(
            inputs,
            how,
            jsonl=jsonl,
            events=events,
            report=report,
            csv_path=csv_path,
            summary=summary,
            parts=parts,
        )
        joined = None
        if csv_path:
            file = sys.stdout if csv_path == STDOUT else open_output(csv_path, force=how.force)
            if file is not sys.stdout:
                stack.enter_context(file)
            joined = _Joined(file)
        quiet = STDOUT in (jsonl, events, csv_path, report, summary)
        results: list[tuple[Job, Heard]] = []
        with _bar(jobs) as bar:
            task = bar.add_task("", total=len(jobs), size=0)
            for job, heard in _all(jobs, how, processes):
                results.append((job, heard))
                if joined and job.rows:
                    joined.append(job.rows)
                bar.update(task, advance=1, description=job.input.shown[-40:])
    if len(results) == 1 and results[0][1].failed and not results[0][1].summaries:
        raise LivesrError(results[0][1].failed)
    rows = [row for job, heard in results for row in _rows(job, heard)]
    _show(rows, PlainConsole(stderr=quiet))
    if summary:
        _write_summary(summary, rows, how.force)
    failures = [heard.failed for _, heard in results if heard.failed]
    for failure in failures:
        print(f"livesr: {failure}", file=sys.stderr)
    return ExitStatus.PARTLY if failures else ExitStatus.DONE


def _bar(jobs: Sequence[Job]) -> Progress:
    console = PlainConsole(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or len(jobs) < 2,
    )


def _all(jobs: Sequence[Job], how: How, processes: int) -> Iterator[tuple[Job, Heard]]:
    """Each job and what came of it, in order."""
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, hear(job, how)
        return
    # Not forked: onnxruntime's and the terminal's state do not survive it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(jobs)), context)
    try:
        futures = [pool.submit(hear, job, how) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            yield job, _result(job, future)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _result(job: Job, future: Future[Heard]) -> Heard:
    try:
        return future.result()
    except BrokenProcessPool:
        return Heard(failed=f"{job.input.shown} was not heard: a process ended before its time")


class _Joined:
    """One CSV of the rows of many files."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._begun = file, False

    def append(self, path: str) -> None:
        """The rows of a part; the first brings the header."""
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8", newline="") as part:
            header = part.readline()
            self._file.write("" if self._begun else header)
            self._begun = True
            shutil.copyfileobj(part, self._file)
        self._file.flush()
        os.unlink(path)


def _rows(job: Job, heard: Heard) -> Iterator[dict[str, Any]]:
    """A row of the table for each channel; of a file that was not heard, one that says why."""
    for channel, summary in (heard.summaries or {None: Summary()}).items():
        label = summary.label
        yield {
            "file": job.input.shown,
            "channel": channel,
            "label": label,
            "share": summary.shares.get(label, 0.0) if label and summary.labelled else None,
            **{f"probabilities_{name}": value for name, value in summary.probabilities.items()},
            "seconds": summary.end,
            "speech": summary.spoken,
            "unsure": summary.seconds.get("unsure", 0.0),
            "lost": summary.lost,
            "failed": heard.failed or None,
        }


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All columns; where some rows lack those of labels, as the fullest row has them."""
    fullest: dict[str, Any] = max(rows, key=len, default={})
    return list(fullest)


def _show(rows: Sequence[dict[str, Any]], console: PlainConsole) -> None:
    if not console.is_terminal:  # a file or a pipe has no edge
        console.width = max(console.width, _WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    channels = any(row["channel"] is not None for row in rows)
    shares = [name for name in _columns(rows) if name.startswith("probabilities_")]
    table.add_column("file", overflow="fold", min_width=16)
    for title in (*(["channel"] if channels else []), "verdict", "share"):
        table.add_column(title, justify="right" if title != "verdict" else "left", no_wrap=True)
    for title in (*(name.partition("_")[2] for name in shares), "length", "speech", "unsure"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        failed = row["failed"]
        cells = [row["file"], *([str(row["channel"] or "")] if channels else [])]
        cells += [row["label"] or ("-" if row["seconds"] else "not heard")]
        cells += ["" if row["share"] is None else f"{row['share']:.0%}"]
        cells += [f"{row[name]:.2f}" if name in row else "" for name in shares]
        cells += [f"{row[name]:.1f} s" for name in ("seconds", "speech", "unsure")]
        said = f"{row['lost']:.1f} s lost" if row["lost"] else ""
        table.add_row(*map(Text, cells), "in part" if failed and row["seconds"] else said)
    with suppress(OSError):  # nobody reads on
        console.print(table)


def _write_summary(path: str, rows: Sequence[dict[str, Any]], force: bool) -> None:
    columns = _columns(rows)
    if path.lower().endswith(".parquet"):
        try:
            import pyarrow as pa  # noqa: PLC0415  (an extra)
            from pyarrow import parquet  # noqa: PLC0415
        except ModuleNotFoundError:
            raise LivesrError(
                "Parquet needs pyarrow, which is not installed: pip install 'livesr[table]', "
                "or name a .csv file."
            ) from None
        types = {"file": pa.string(), "label": pa.string(), "failed": pa.string()}
        types["channel"] = pa.int32()
        schema = pa.schema([(name, types.get(name, pa.float64())) for name in columns])
        table = pa.Table.from_pylist(list(rows), schema=schema)
        try:
            parquet.write_table(table, path)
        except OSError as error:
            raise LivesrError(f"{path} cannot be written: {error.strerror or error}.") from None
        return
    out = sys.stdout if path == STDOUT else open_output(path, force=force)
    try:
        writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
        out.flush()
    except OSError as error:
        raise LivesrError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        if out is not sys.stdout:
            out.close()
