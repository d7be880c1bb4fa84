"""Many files in one go: each gives what its own replay gives, in one process or several."""

from __future__ import annotations

import csv
import errno
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from glob import escape
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn, TextIO

from rich.table import Table
from rich.text import Text

from livesr.app.console import PlainConsole
from livesr.app.exit_status import ENDING, ExitStatus, of_signal
from livesr.app.how import How
from livesr.app.inputs import Input
from livesr.app.outputs import (
    STDOUT,
    Place,
    check_outputs,
    is_folder,
    is_stdout,
    open_output,
    shown,
)
from livesr.app.profiles import settings_read
from livesr.app.progress import FileProgress, lengths
from livesr.app.report.report import Report
from livesr.app.writers import CsvWriter, JsonlWriter, Writer, write_to_all
from livesr.errors import LivesrError
from livesr.event import Event, Item
from livesr.files.jsonl import is_session
from livesr.files.recording import events_path
from livesr.files.replay import judged_by, opened, play
from livesr.files.samples import Samples
from livesr.files.soundfile import STDIN, SoundFile
from livesr.reading import Reading
from livesr.summary import Summary
from livesr.text import made_printable

_WIDTH = 160  # cells of the table where there is no terminal
_MOST_NOTES = 20
_PARQUET = ".parquet"
_LOOK_SECONDS = 0.2  # between two looks at how far other processes are
_CLOSING_SECONDS = 3.0  # that they have to close their files


@dataclass(frozen=True, slots=True)
class Job:
    """A file to process, and where its outputs go; None for nowhere.

    Attributes:
        input: the file.
        number: of the job, from 0.
    """

    input: Input
    number: int
    jsonl: str | None = None
    events: str | None = None
    rows: str | None = None  # CSV of this file alone, to be joined
    report: str | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a file.

    Attributes:
        summaries: by channel; None is the mean of all.
        failed: why it could not be processed, or not to its end.
        notes: words about it.
        early: events before the first reading, which says of which channels there is a summary.
    """

    summaries: dict[int | None, Summary] = field(default_factory=dict)
    failed: str = ""
    notes: list[str] = field(default_factory=list)
    early: list[Event] = field(default_factory=list)

    def fail(self, error: LivesrError) -> None:
        """Something could not be done; the first such thing is told."""
        self.failed = self.failed or str(error)

    def take(self, item: Item) -> None:
        """Take one reading or event."""
        if isinstance(item, Reading):
            if item.channel not in self.summaries:
                self.summaries[item.channel] = Summary()
                for event in self.early:
                    if event.channel == item.channel:
                        self.summaries[item.channel].add(event)
            self.summaries[item.channel].add(item)
            return
        if item.channel in self.summaries:
            self.summaries[item.channel].add(item)
        else:
            self.early.append(item)
        if item.kind == "file":
            self.failed = self.failed or item.text
        elif item.kind in ("note", "silence"):
            self.notes.append(item.text)


def process(job: Job, how: How, tell: Callable[[int, float], None]) -> Outcome:
    """Process one file to its end, and write what was asked for. It raises nothing of livesr's.

    Args:
        job: the file and its outputs.
        how: common to all.
        tell: called with the job's number and the seconds of it that are done.
    """
    outcome, writers = Outcome(), ExitStack()
    try:
        with writers:
            if is_session(job.input.path):
                raise LivesrError(
                    f"{job.input.path} holds readings, not sound: replay it alone "
                    f"(livesr replay {job.input.path})."
                )
            sound = opened(job.input.path, raw=how.raw)
            writers.enter_context(sound)
            items = play(job.input.path, how, sound=sound)
            outputs: list[Writer] = []
            for make in _writers_of(job, how):
                try:
                    outputs.append(writers.enter_context(make()))
                except LivesrError as error:
                    outcome.fail(error)
            pages: dict[int | None, Report | None] = {}
            for item in items:
                for failure in write_to_all(outputs, item):
                    outcome.fail(failure)
                try:
                    if page := _page(pages, job, how, item.channel, writers, sound):
                        page.write(item)
                except LivesrError as error:
                    outcome.fail(error)
                outcome.take(item)
                if isinstance(item, Reading):
                    tell(job.number, item.end - how.start)
    except LivesrError as error:
        outcome.fail(error)
    return outcome


def _writers_of(job: Job, how: How) -> Iterator[Callable[[], Writer]]:
    """What opens each output of a file: one that cannot be opened stops no other."""
    force = how.force
    if job.jsonl:
        only: Literal["readings"] | None = "readings" if job.events else None
        yield partial(JsonlWriter, job.jsonl, force=force, attention=how.attention, only=only)
    if job.events:
        yield partial(JsonlWriter, job.events, force=force, only="events")
    if job.rows:
        yield partial(CsvWriter, job.rows, force=True, before={"file": job.input.shown})


def _page(
    pages: dict[int | None, Report | None],
    job: Job,
    how: How,
    channel: int | None,
    stack: ExitStack,
    sound: SoundFile | Samples,
) -> Report | None:
    """The page of a channel; of what is about all, the first. None where there is none.

    Raises:
        LivesrError: if it cannot be opened; the first time.
    """
    if not job.report:
        return None
    key = channel if channel is not None or not pages else next(iter(pages))
    if key is None and how.channel == "each":
        key = 1
    if key not in pages:
        pages[key] = None
        path = Path(job.report)
        told = path if key is None else path.with_name(f"{path.stem}.{key}{path.suffix}")
        source = job.input.shown + ("" if key is None else f", channel {key}")
        model, _ = judged_by(sound, how)
        pages[key] = stack.enter_context(Report(source, str(model), told))
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
        inputs: what is processed.
        how: common to all.
        jsonl: a folder; of one input a file, too.
        events: the same.
        report: the same.
        csv_path: one for all.
        summary: the same.
        parts: a folder for what is joined at the end.

    Raises:
        LivesrError: if an output would destroy something, or two would be one.
    """
    jobs = [
        Job(
            each,
            number,
            _below("--jsonl", jsonl, each, len(inputs), ".jsonl"),
            _below("--events", events, each, len(inputs), ".events.jsonl"),
            os.path.join(parts, f"{number}.csv") if csv_path else None,
            _below("--report", report, each, len(inputs), ".html"),
        )
        for number, each in enumerate(inputs)
    ]
    if how.channel == "each" and report is not None and is_stdout(report):
        raise LivesrError(
            "--channel each makes a page for each channel, and one standard output cannot hold "
            "several; give --report a path."
        )
    taken: dict[str, str] = {}
    for job in jobs:
        for path in (job.jsonl, job.events, job.report):
            if path and (other := taken.setdefault(path, job.input.shown)) != job.input.shown:
                raise LivesrError(
                    f"{other} and {job.input.shown} would both be written to {path}; "
                    "give the folder that holds both, or replay them in turn."
                )
    reads = [Place("the file to replay", each.path) for each in inputs]
    reads += [Place("its events", events_path(each.path)) for each in inputs if each.path != STDIN]
    reads += settings_read(how.model, how.profile_path, how.profile)
    writes = [Place("--jsonl", job.jsonl) for job in jobs if job.jsonl is not None]
    writes += [Place("--events", job.events) for job in jobs if job.events is not None]
    writes += [Place("--report", path) for job in jobs for path in _pages_of(job, how)]
    named = (("--csv", csv_path), ("--summary", summary))
    writes += [Place(what, path) for what, path in named if path is not None]
    check_outputs(reads, writes, force=how.force)
    for what, path in named:  # opened when there is something to write: hours later
        if path and path != STDOUT:
            _check_place(what, path)
    if summary and summary != STDOUT:
        _check_summary(summary)
    for job in jobs:
        for path in (job.jsonl, job.events, job.report):
            if path and path != STDOUT:
                _make_folder(Path(path).parent)
    return jobs


def _pages_of(job: Job, how: How) -> list[str]:
    """The page of a job; of separate channels, which are not counted yet, those that exist."""
    if job.report is None:
        return []
    if how.channel != "each":
        return [job.report]
    path = Path(job.report)
    pages = path.parent.glob(f"{escape(path.stem)}.*{path.suffix}")
    return [str(page) for page in pages if page.stem.rpartition(".")[2].isdecimal()]


def _below(what: str, path: str | None, each: Input, count: int, ending: str) -> str | None:
    """Where the output of one input goes: the path itself, or a file in the folder that it is."""
    if not path or (count == 1 and not is_folder(path)):  # an empty one: refused below
        return path
    file = path == STDOUT or (os.path.exists(path) and not os.path.isdir(path))
    named = path.lower().endswith(ending[ending.rindex(".") :])  # page.html is meant as a file
    if file or (named and not is_folder(path)):
        raise LivesrError(
            f"{what} {path} is one file, and there are {count} inputs; name a folder: DIR/"
        )
    name = each.below if each.path != STDIN else Path("stdin")
    return os.path.join(path, str(name) + ending)


def _check_summary(path: str) -> None:
    ending = Path(path).suffix.lower()
    if _is_parquet(path):
        _pyarrow()
    elif ending not in ("", ".csv"):
        raise LivesrError(f"--summary {path}: name a .csv or .parquet file, not {ending}.")


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(_PARQUET)


def _check_place(what: str, path: str) -> None:
    """Refuse what cannot be written, before hours are spent.

    Raises:
        LivesrError: saying why.
    """
    try:
        place = os.path.realpath(path)
        try:
            os.stat(place)
        except FileNotFoundError:
            place = os.path.dirname(place)
            os.stat(place)
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise LivesrError(f"{what} {path} cannot be written: {why}; name another place.") from None


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
    """Process all of them, write what was asked for, and show a table of verdicts.

    Args:
        inputs: as `find_inputs` found them.
        how: common to all.
        jsonl: a folder for a file of JSON lines each (of one input a file, too).
        events: the same, for events.
        csv_path: one file for all readings; "-" is standard output.
        report: the same as jsonl, for pages.
        summary: a .csv or .parquet file for the table of verdicts.
        processes: that work at once.

    Returns:
        0, or 3 if something was not processed or written.

    Raises:
        LivesrError: if nothing can be begun, or the only input cannot be used.
    """
    if processes > 1:
        _refuse_pipes(inputs)
    to_stdout = STDOUT in (jsonl, events, csv_path, report, summary)
    joined: _Joined | None = None
    results: list[tuple[Job, Outcome]] = []
    try:
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
            if csv_path:
                # What `listen` recorded may have a profile of its own, and with it other labels.
                alike = how.profile or not any(
                    each.path != STDIN and os.path.exists(events_path(each.path)) for each in inputs
                )
                joined = stack.enter_context(_Joined(csv_path, force=how.force, alike=bool(alike)))
            console = PlainConsole(stderr=True)
            shown = console.is_terminal
            paths = [each.path for each in inputs]
            seconds = lengths(paths, how.start, how.end, how.raw) if shown else [0.0] * len(paths)
            with FileProgress(seconds, console, disable=not shown) as progress:
                for job, outcome in _all(jobs, how, processes, progress):
                    results.append((job, outcome))
                    progress.finish(job.number)
                    if joined and job.rows:
                        joined.append(job.rows)
                        if joined.left and not (jsonl or events or report or summary):
                            break  # the reader wants no more, and there is nothing else to write
    except BaseException:  # Ctrl-C, say: what is finished is told all the same
        if results:
            _conclude(results, summary, how.force, joined, to_stdout)
            with suppress(OSError):
                print(f"livesr: ended after {len(results)} of {len(inputs)} files", file=sys.stderr)
        raise
    if len(results) == 1 and results[0][1].failed and not results[0][1].summaries:
        raise LivesrError(results[0][1].failed)
    return _conclude(results, summary, how.force, joined, to_stdout)


def _conclude(
    results: list[tuple[Job, Outcome]],
    summary: str | None,
    force: bool,
    joined: _Joined | None,
    to_stdout: bool,
) -> ExitStatus:
    """Show and write the table of verdicts, and say what went wrong."""
    results.sort(key=lambda found: found[0].number)
    rows = [row for job, outcome in results for row in _rows(job, outcome)]
    notes = [note for _, outcome in results for note in outcome.notes]
    failures = [outcome.failed for _, outcome in results if outcome.failed]
    try:
        _show(rows, PlainConsole(stderr=to_stdout))
    except OSError as error:
        failures.append(f"standard output cannot be written: {error.strerror}.")
    if joined and joined.failed:
        failures.append(joined.failed)
    if summary:
        try:
            _write_summary(summary, rows, force)
        except LivesrError as error:
            failures.append(str(error))
    with suppress(OSError):  # the terminal has closed
        for text in (*notes[:_MOST_NOTES], *failures):
            print(f"livesr: {text}", file=sys.stderr)
        if len(notes) > _MOST_NOTES:
            print(f"livesr: and {len(notes) - _MOST_NOTES} more such notes.", file=sys.stderr)
    return ExitStatus.PARTLY if failures else ExitStatus.DONE


def _refuse_pipes(inputs: Sequence[Input]) -> None:
    """Refuse what other processes cannot open."""
    for each in inputs:
        path = Path(each.path)
        if each.path == STDIN or path.is_relative_to("/dev") or path.is_fifo():
            raise LivesrError(f"{each.shown} can be read by one process alone; leave -j out.")


def _all(
    jobs: Sequence[Job], how: How, processes: int, progress: FileProgress
) -> Iterator[tuple[Job, Outcome]]:
    """Each job and what came of it, in order."""
    if processes == 1 or len(jobs) == 1:
        done, looked = [0.0] * len(jobs), 0.0

        def tell(number: int, seconds: float) -> None:
            nonlocal looked
            done[number] = seconds
            if (now := time.monotonic()) > looked + _LOOK_SECONDS:
                looked = now
                progress.show(done, jobs[number].input.shown)

        for job in jobs:
            yield job, process(job, how, tell)
        return
    # Not forked: onnxruntime's and the terminal's state do not survive it.
    context = multiprocessing.get_context("spawn")
    shared = context.Array("d", len(jobs), lock=False)

    def in_pool(some: Sequence[Job], at_once: int) -> Iterator[tuple[Job, Outcome | None]]:
        pool = ProcessPoolExecutor(at_once, context, initializer=_begin, initargs=(shared,))
        return _from_pool(pool, some, how, partial(progress.show, shared))

    left = list(jobs)
    while left:
        broken = []
        for job, found in in_pool(left, min(processes, len(left))):
            if found is None:
                broken.append(job)
            else:
                yield job, found
        how = replace(how, force=True)  # what a dead process left is written again
        left = broken[1:]
        # Which of them killed its process is not known: the first is tried alone.
        for job, found in in_pool(broken[:1], 1):
            died = f"{job.input.shown}: the process that worked on it has died"
            yield job, found or Outcome(failed=died)


def _from_pool(
    pool: ProcessPoolExecutor, jobs: Sequence[Job], how: How, show: Callable[[str], None]
) -> Iterator[tuple[Job, Outcome | None]]:
    """Each job and what came of it, in order; None where a process died, which ends all others.

    Where it is ended early, those that were finished out of turn come before the error.
    """
    futures: list[Future[Outcome]] = []
    given = 0
    try:
        with suppress(BrokenProcessPool):
            for job in jobs:
                futures.append(pool.submit(_process, job, how))
        for job, future in zip_longest(jobs, futures):
            while future and not wait([future], _LOOK_SECONDS).done:
                show(job.input.shown)
            try:
                found = future.result() if future else None
            except BrokenProcessPool:
                found = None
            given += 1
            yield job, found
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.terminate()
        until = time.monotonic() + _CLOSING_SECONDS
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                worker.kill()
        if not isinstance(error, GeneratorExit):  # nobody takes more
            for job, future in zip(jobs[given:], futures[given:], strict=False):
                if future.done() and not future.cancelled() and not future.exception():
                    yield job, future.result()
        raise
    pool.shutdown()


_done: Any = None  # in a process of the pool: seconds done of each job, shared with the parent


def _begin(done: Any) -> None:
    """Of a process of the pool: what it shares, and how it ends."""
    global _done  # noqa: PLW0603  (how a pool's processes are given something)
    _done = done
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _ended)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    """As an exception, so that files are closed; once, as a second one would find them closing."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(of_signal(number))


def _process(job: Job, how: How) -> Outcome:
    """`process` in a process of the pool."""
    try:
        return process(job, how, _done.__setitem__)
    except SystemExit as ended:
        # The pool would take it for what came of this file, and begin the next one.
        os._exit(int(ended.code or 0))


class _Joined:
    """One CSV of the rows of many files, with the columns of all of them.

    It is opened when there is a row, so that nothing is emptied for nothing.

    Args:
        path: of the file, "-" for standard output.
        force: whether an existing file is replaced.
        alike: whether all parts have the same columns, so that each can be written at once. Else
            they are held to the end, as the header stands first.

    Attributes:
        failed: why it could not be written, or not to its end.
        left: whether its reader has gone.
    """

    def __init__(self, path: str, *, force: bool, alike: bool) -> None:
        self._path, self._force, self._alike = path, force, alike
        self._file: TextIO | None = None
        self.failed, self.left = "", False
        self._columns: list[str] = []  # as written
        self._held: dict[str, list[str]] = {}  # parts that are not written yet, and their columns

    def __enter__(self) -> _Joined:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()  # also where Ctrl-C ends it: what is there is kept
        if self._file not in (None, sys.stdout):
            with suppress(OSError):  # a full disk is told of already
                self._file.close()

    def append(self, path: str) -> None:
        """Take the rows of a part."""
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8", newline="") as part:
            self._held[path] = next(csv.reader(part), [])
        if self._alike:
            self._write()

    def _write(self) -> None:
        parts, self._held = self._held, {}
        if not parts or self.failed or self.left:
            return
        try:
            if self._file is None:
                to_stdout = self._path == STDOUT
                self._file = sys.stdout if to_stdout else open_output(self._path, force=self._force)
                self._columns = _united(parts.values())
                csv.writer(self._file, lineterminator="\n").writerow(self._columns)
            for path, columns in parts.items():
                with open(path, encoding="utf-8", newline="") as part:
                    self._copy(part, columns, self._file)
                os.unlink(path)
            self._file.flush()
        except BrokenPipeError:
            self.left = True
        except LivesrError as error:
            self.failed = str(error)
        except OSError as error:
            self.failed = (
                f"--csv cannot be written further: {error.strerror}; make room, or write elsewhere."
            )

    def _copy(self, part: TextIO, columns: list[str], file: TextIO) -> None:
        if columns == self._columns:
            part.readline()
            shutil.copyfileobj(part, file)
            return
        rows = csv.DictReader(part)
        csv.DictWriter(file, self._columns, lineterminator="\n").writerows(rows)


def _rows(job: Job, outcome: Outcome) -> Iterator[dict[str, Any]]:
    """A row of the table for each channel; of a file that failed, one that says why."""
    for channel, summary in (outcome.summaries or {None: Summary()}).items():
        label = summary.label
        yield {
            "file": job.input.shown,
            "channel": channel,
            "label": label,
            "share": summary.shares.get(label, 0.0) if label and summary.labelled else None,
            **{f"probabilities_{name}": value for name, value in summary.probabilities.items()},
            "seconds": summary.end - summary.begin,
            "speech": summary.spoken,
            "unsure": summary.seconds.get("unsure", 0.0),
            "lost": summary.lost,
            "failed": outcome.failed or None,
        }


def _united(headers: Iterable[Iterable[str]]) -> list[str]:
    """Every column once: files with profiles of their own have labels of their own.

    A new one stands before the name that follows it in its own header."""
    united: list[str] = []
    for names in dict.fromkeys(map(tuple, headers)):
        place = len(united)
        for name in reversed(names):
            if name in united:
                place = united.index(name)
            else:
                united.insert(place, name)
    return united


def _show(rows: Sequence[dict[str, Any]], console: PlainConsole) -> None:
    if not console.is_terminal:  # a file or a pipe has no edge
        console.width = max(console.width, _WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    channels = any(row["channel"] is not None for row in rows)
    shares = [name for name in _united(rows) if name.startswith("probabilities_")]
    table.add_column("file", overflow="fold", min_width=16)
    for title in (*(["channel"] if channels else []), "verdict", "share"):
        table.add_column(title, justify="right" if title != "verdict" else "left", no_wrap=True)
    for title in (*(name.partition("_")[2] for name in shares), "length", "speech", "unsure"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        failed = row["failed"]
        cells = [row["file"], *([str(row["channel"] or "")] if channels else [])]
        cells += [row["label"] or ("-" if row["seconds"] else "failed")]
        cells += ["" if row["share"] is None else f"{row['share']:.0%}"]
        cells += [f"{row[name]:.2f}" if name in row else "" for name in shares]
        cells += [f"{row[name]:.1f} s" for name in ("seconds", "speech", "unsure")]
        said = f"{row['lost']:.1f} s lost" if row["lost"] else ""
        said = "in part" if failed and row["seconds"] else said
        table.add_row(*(Text(made_printable(cell)) for cell in cells), said)
    with suppress(BrokenPipeError):  # the reader is gone
        console.print(table)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415  (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        raise LivesrError(
            "Parquet needs pyarrow, which is not installed: pip install 'livesr[table]', "
            "or name a .csv file."
        ) from None
    return pa, parquet


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose names of files Parquet takes: they may hold bytes that are no UTF-8."""
    return {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _write_summary(path: str, rows: Sequence[dict[str, Any]], force: bool) -> None:
    columns = _united(rows)
    if _is_parquet(path):
        pa, parquet = _pyarrow()
        types = {"file": pa.string(), "label": pa.string(), "failed": pa.string()}
        types["channel"] = pa.int32()
        schema = pa.schema([(name, types.get(name, pa.float64())) for name in columns])
        table = pa.Table.from_pylist([_storable(row) for row in rows], schema=schema)
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
    except BrokenPipeError:
        return  # the reader is gone: its wish
    except OSError as error:
        raise LivesrError(f"{shown(path)} cannot be written: {error.strerror}.") from None
    finally:
        if out is not sys.stdout:
            with suppress(OSError):  # a full disk is told of already
                out.close()
