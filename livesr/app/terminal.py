"""Readings on their way to a person: a live view, plain lines, files, a summary."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from livesr.app.report.report import Report
from livesr.app.ui.keys import keys
from livesr.app.ui.view import View
from livesr.app.writers import STDOUT, CsvWriter, JsonlWriter, LineWriter, Writer
from livesr.errors import LivesrError
from livesr.event import Item
from livesr.microphone.listener import Listener
from livesr.model.metadata import LABELS
from livesr.reading import Reading
from livesr.summary import Summary

FRAME_SECONDS = 1 / 15
_NOTICE_SECONDS = 2.0  # that a mark is confirmed for
_ENDING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}


class Session:
    """One run's outputs: open while it lasts; the summary is told at its end, however it ends.

    Args:
        view: what a terminal shows.
        jsonl: path or "-"; None for none.
        csv: the same.
        report: an HTML page to write at the end.

    Raises:
        LivesrError: if they cannot be written, or both want standard output.
    """

    def __init__(self, view: View, jsonl: str | None, csv: str | None, report: Path | None) -> None:
        if jsonl == STDOUT and csv == STDOUT:
            raise LivesrError(
                "Standard output can take --jsonl or --csv, not both; name a file for one."
            )
        self._view, self._summary = view, Summary(LABELS)
        self._jsonl, self._csv, self._report = jsonl, csv, report
        self._quiet = STDOUT in (jsonl, csv)
        self._writers: list[Writer | Report] = []
        self._live: Live | None = None
        self._due = 0.0

    def __enter__(self) -> Session:
        with ExitStack() as stack:
            stack.callback(self._tell_summary)
            if self._jsonl:
                self._writers.append(stack.enter_context(JsonlWriter(self._jsonl)))
            if self._csv:
                self._writers.append(stack.enter_context(CsvWriter(self._csv)))
            if self._report:
                page = Report(self._view.source, self._view.model, self._report)
                self._writers.append(stack.enter_context(page))
            console = Console()
            if console.is_terminal and not self._quiet:
                live = Live(self._view, console=console, screen=True, auto_refresh=False)
                self._live = stack.enter_context(_on_screen(live))
            elif not self._quiet:
                self._writers.append(LineWriter(STDOUT))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def take(self, item: Item) -> None:
        """Write it and count it; `paint` shows it."""
        for writer in self._writers:
            writer.write(item)
        if isinstance(item, Reading):
            self._summary.add(item)
            self._view.add(item)

    def paint(self) -> None:
        """Show the view, not more often than eyes can see."""
        began = time.monotonic()
        if self._live is None or began < self._due:
            return
        try:
            self._live.refresh()
        except OSError:  # the terminal has closed
            sys.exit(128 + 1)  # as the hang-up that is about to be told does
        ended = time.monotonic()
        # A slow terminal must not slow the replay: paint a fifth of the time at most.
        self._due = max(began + FRAME_SECONDS, ended + 4 * (ended - began))

    def _tell_summary(self) -> None:
        """The last picture, where there was one, and the summary."""
        if not self._summary.end:
            return
        console = Console(stderr=self._quiet, highlight=False)
        with suppress(OSError):  # nobody reads on, or the disk is full: that was told already
            if self._live:
                console.print(self._view, height=min(24, console.height - 1))
            for text in self._summary.lines():
                console.print(text, markup=False, soft_wrap=True)


@contextmanager
def _on_screen(live: Live) -> Iterator[Live]:
    live.start()
    try:
        yield live
    finally:
        with suppress(OSError):  # the terminal has closed
            live.stop()


def show_replay(session: Session, items: Iterable[Item]) -> None:
    """A recording's readings, as they come."""
    with session:
        for item in items:
            session.take(item)
            session.paint()


def show_listening(session: Session, view: View, listener: Listener, seconds: float | None) -> None:
    """A microphone's readings until somebody ends it, or for so many seconds."""
    with session, keys() as typed, _noted_signals() as noted:
        noticed = 0.0
        try:
            while not noted and (items := listener.items(FRAME_SECONDS)) is not None:
                for item in items:
                    session.take(item)
                if seconds and view.readings and view.readings[-1].end >= seconds:
                    listener.stop()
                for key in typed.pressed().lower():
                    if note := _obey(key, listener):
                        view.note, noticed = note, time.monotonic()
                if time.monotonic() > noticed + _NOTICE_SECONDS:
                    view.note = ""
                _tell_state(view, listener)
                session.paint()
        finally:
            listener.stop()
            _take_rest(session, listener)
        if noted:
            sys.exit(128 + noted[0])


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Signals that ask for an end, noted for whoever looks.

    An exception just where readings pass from the listener to the files would lose them. Whoever
    asks twice gets it all the same.
    """
    noted: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if noted:
            sys.exit(128 + number)
        noted.append(number)

    before = {number: signal.signal(number, note) for number in _ENDING}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _obey(key: str, listener: Listener) -> str:
    """Do what a key says; what to tell about it."""
    if key == "q":
        listener.stop()
    elif key == " ":
        (listener.resume if listener.paused else listener.pause)()
    elif key == "r":
        listener.reset()
        return "forgotten: a new voice"
    elif key == "m":
        listener.mark()
        return "marked"
    return ""


def _tell_state(view: View, listener: Listener) -> None:
    view.notice = listener.trouble or ("paused; space goes on" if listener.paused else "")
    view.level = listener.level()
    view.now = listener.seconds
    middle, high = (f"{1e3 * seconds:.0f}" for seconds in listener.latency(50, 95))
    view.facts["latency"] = f"{middle}/{high} ms".replace("nan", "-")
    view.facts["dropped"] = f"{listener.dropped_seconds:.1f} s"


def _take_rest(session: Session, listener: Listener) -> None:
    """What was heard until it stopped, so that files are whole however it ends."""
    with suppress(LivesrError, OSError):
        while items := listener.items(0):
            for item in items:
                session.take(item)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what C libraries print away from the terminal; Python's own errors still show.

    PortAudio and ALSA report every device that does not answer on standard error, across any
    view drawn there.
    """
    try:
        kept = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    before = sys.stderr
    sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1, errors="replace")
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        sys.stderr = before
