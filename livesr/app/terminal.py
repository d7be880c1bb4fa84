"""Readings on their way to a person: a live view, plain lines, files, a summary."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from livesr.app.exit_status import ENDING, ExitStatus, of_signal
from livesr.app.outputs import STDOUT, Outputs
from livesr.app.ui.closing import closing
from livesr.app.ui.foreground import Foreground
from livesr.app.ui.ground import ground
from livesr.app.ui.keys import Keyboard
from livesr.app.ui.theme import Ground
from livesr.app.ui.view import View
from livesr.app.writers import CsvWriter, JsonlWriter, LineWriter, Writer, write_to_all
from livesr.errors import AudioError, DeviceError, LivesrError
from livesr.event import Event, Item
from livesr.model.metadata import LABELS
from livesr.reading import Reading
from livesr.summary import Summary

# These, and rich with them, are imported where they are used: a reading that goes to a file or a
# pipe does not wait for them.
if TYPE_CHECKING:
    from livesr.app.on_change import OnChange
    from livesr.app.report.report import Report
    from livesr.app.ui.screen import Screen
    from livesr.microphone.listener import Listener

FRAME_SECONDS = 1 / 15
_NUMBERS = "123456789"
_NOTICE_SECONDS = 2.0  # that a mark is confirmed for
_STILL_SECONDS = 1.0  # that no sound came for, before real time counts in place of stream time


class OutputRun:
    """One run's outputs: open while it lasts; the summary is told at its end, however it ends.

    An output that fails is told of at the end, and the others go on. One whose reader went away
    is dropped without a word.

    Args:
        view: what a terminal shows.
        outputs: what is written, as `Outputs.checked` gave it.

    Attributes:
        keyboard: what was typed.
        status: the exit status so far.

    Raises:
        LivesrError: if an output cannot be opened.
    """

    def __init__(self, view: View, outputs: Outputs) -> None:
        self._view, self._summary, self._outputs = view, Summary(LABELS), outputs
        self._quiet = outputs.to_stdout
        self._writers: list[Writer | Report | OnChange] = []
        self._failures: list[LivesrError] = []
        self._foreground = Foreground()
        self.keyboard = Keyboard(self._foreground)
        self._screen: Screen | None = None
        self._ground: Ground | None = None
        self._due = 0.0

    def __enter__(self) -> OutputRun:
        outputs = self._outputs
        with ExitStack() as stack:
            stack.callback(self._tell_end)
            if outputs.jsonl:
                writer = JsonlWriter(
                    outputs.jsonl,
                    force=outputs.force,
                    attention=outputs.attention,
                    only="readings" if outputs.events else None,
                )
                self._writers.append(stack.enter_context(writer))
            if outputs.events:
                noted = JsonlWriter(outputs.events, force=outputs.force, only="events")
                self._writers.append(stack.enter_context(noted))
            if outputs.csv:
                rows = CsvWriter(outputs.csv, force=outputs.force)
                self._writers.append(stack.enter_context(rows))
            if outputs.report:
                from livesr.app.report.report import Report  # noqa: PLC0415

                view = self._view
                source = view.source + (f", {view.recording}" if view.recording else "")
                page = Report(source, view.model, outputs.report, outputs.sound)
                self._writers.append(page.__enter__())
                stack.push(partial(self._close, page))
            if outputs.command:
                from livesr.app.on_change import OnChange  # noqa: PLC0415

                hook = OnChange(outputs.command)
                self._writers.append(hook)
                stack.push(partial(self._close, hook))
            stack.enter_context(self._foreground)
            stack.enter_context(self.keyboard)
            self._screen = self._terminal()
            if self._screen:
                stack.enter_context(self._screen)
            elif not self._quiet:
                self._writers.append(LineWriter(STDOUT))
            self._stack = stack.pop_all()
        return self

    def _terminal(self) -> Screen | None:
        """The view on a terminal that can show it; None elsewhere."""
        if self._quiet or not sys.stdout.isatty():
            return None
        from livesr.app.console import PlainConsole  # noqa: PLC0415
        from livesr.app.ui.picture import Picture  # noqa: PLC0415
        from livesr.app.ui.screen import Screen, full_screen  # noqa: PLC0415

        console = PlainConsole()
        if not full_screen(console):
            return None
        console.ground = self._ground = ground()
        return Screen(Picture(self._view), console, self._foreground)

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    @property
    def began(self) -> bool:
        """Whether there was a reading."""
        return self._summary.end > 0

    @property
    def unread(self) -> bool:
        """Whether no output is left that takes readings."""
        return not self._writers and self._screen is None

    @property
    def status(self) -> ExitStatus:
        """0 if all was done, 3 if something was not."""
        return ExitStatus.PARTLY if self._failures else ExitStatus.DONE

    @property
    def turns(self) -> int:
        """How often the process was stopped (Ctrl-Z) and went on."""
        return self._foreground.turns

    def obey(self, key: str) -> bool:
        """Do what a key says to any view; False if it is another key."""
        if key != "?":
            return False
        self._view.legend = not self._view.legend
        return True

    def fail(self, error: LivesrError) -> None:
        """Something could not be done, and what could is kept: told at the end, status 3."""
        self._failures.append(error)

    def take(self, item: Item) -> None:
        """Write it and count it; `paint` shows it."""
        for error in write_to_all(self._writers, item):
            self.fail(error)
        if isinstance(item, Reading):
            self._summary.labels = tuple(item.smoothed)  # a profile may have its own
        elif item.kind == "file":  # told at the end, status 3
            self.fail(AudioError(f"{item.text}."))
        self._summary.add(item)
        self._view.take(item)

    def paint(self) -> None:
        """Show the view, not more often than eyes can see."""
        began = time.monotonic()
        if self._screen is None or began < self._due:
            return
        try:
            self._screen.paint()
        except OSError:  # the terminal has closed
            sys.exit(of_signal(1))  # as the hang-up that is about to be told does
        ended = time.monotonic()
        # A slow terminal must not slow the replay: paint a fifth of the time at most.
        self._due = max(began + FRAME_SECONDS, ended + 4 * (ended - began))

    def _close(self, writer: Report | OnChange, *error: object) -> None:
        try:
            writer.__exit__(*error)
        except LivesrError as failure:
            self.fail(failure)

    def _tell_end(self) -> None:
        """The last picture, where there was one, the summary, and what went wrong."""
        if self.began:
            from livesr.app.console import PlainConsole  # noqa: PLC0415
            from livesr.app.ui.picture import Picture  # noqa: PLC0415

            console = PlainConsole(stderr=self._quiet)
            console.ground = self._ground
            with suppress(OSError):  # the reader is gone, or the disk is full: that is told below
                if self._screen and self._foreground.held(1):
                    console.print(Picture(self._view), height=min(24, console.height - 1))
                for text in closing(self._summary):
                    # In a terminal at words; in a file a sentence is a line.
                    console.print(text, markup=False, soft_wrap=not console.file.isatty())
        for failure in self._failures:
            with suppress(OSError):
                print(f"livesr: {failure}", file=sys.stderr)


def show_listening(
    run: OutputRun, view: View, listener: Listener, seconds: float | None
) -> ExitStatus:
    """A microphone's readings until it is ended, or for so many seconds.

    Args:
        run: takes them.
        view: the run's.
        listener: started.
        seconds: of stream time; None for no end.
    """
    with run, _noted_signals() as noted:
        noticed, began = 0.0, time.monotonic()
        heard, moved = 0.0, began
        try:
            while not noted and (items := listener.items(FRAME_SECONDS)) is not None:
                for item in items:
                    run.take(item)
                    if isinstance(item, Event) and item.kind == "recording":
                        run.fail(LivesrError(item.text))
                now = time.monotonic()
                if listener.seconds > heard:
                    heard, moved = listener.seconds, now
                # Stream time stands still while the microphone is gone, or the user pauses.
                passed = now - began if now > moved + _STILL_SECONDS else heard
                if seconds is not None and seconds <= passed:
                    listener.stop()
                if run.unread:  # the recording is closed whole
                    listener.stop()
                for key in run.keyboard.pressed():
                    if not run.obey(key) and (note := _obey(key.lower(), listener)):
                        view.note, noticed = note, time.monotonic()
                if time.monotonic() > noticed + _NOTICE_SECONDS:
                    view.note = ""
                _tell_state(view, listener)
                run.paint()
        except DeviceError as error:
            run.fail(error)
        finally:
            listener.stop()
            _take_rest(run, listener)
        if noted:
            sys.exit(of_signal(noted[0]))
    return run.status


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Signals that ask for an end, noted for whoever looks.

    An exception just where readings pass from the listener to the files would lose them. Whoever
    asks twice gets it all the same.
    """
    noted: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if noted:
            sys.exit(of_signal(number))
        noted.append(number)

    # A signal that is ignored stays so: that is what nohup and a shell's `&` ask for.
    heeded = {number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, note) for number in heeded}
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
        return "reset: another speaker"
    elif key == "m":
        listener.mark()
        return "marked"
    elif key == "u":
        return _corrected(listener.untaught, "correction undone")
    elif key in _NUMBERS and _NUMBERS.index(key) < len(listener.labels):
        label = listener.labels[_NUMBERS.index(key)]
        return _corrected(lambda: listener.teach(label), f"corrected: {label}")
    return ""


def _corrected(correct: Callable[[], None], done: str) -> str:
    try:
        correct()
    except LivesrError as error:
        return str(error)
    return done


def _tell_state(view: View, listener: Listener) -> None:
    view.notice = listener.trouble or ("paused; space goes on" if listener.paused else "")
    view.level = listener.level()
    view.now = listener.seconds
    middle, high = (f"{1e3 * seconds:.0f}" for seconds in listener.latency(50, 95))
    view.facts["latency"] = f"{middle}/{high} ms".replace("nan", "-")
    view.facts["dropped"] = f"{listener.dropped_seconds:.1f} s"


def _take_rest(run: OutputRun, listener: Listener) -> None:
    """What the listener gave until it stopped, so that files are whole however it ends."""
    try:
        while items := listener.items(0):
            for item in items:
                run.take(item)
    except LivesrError as error:
        run.fail(error)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what C libraries print away from the terminal; Python's own errors still show.

    PortAudio and ALSA report every device that does not answer on standard error, across any
    view drawn there. A call that has not returned goes on doing so: then it stays as it is.
    """
    from livesr.microphone.devices import unanswered  # noqa: PLC0415

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
        if not unanswered():
            os.dup2(kept, 2)
            sys.stderr = before
        os.close(kept)
