"""How far a run over many files has come, counted in seconds of sound and not in files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from stat import S_ISREG

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from livesr.app.ui.foreground import Foreground
from livesr.errors import LivesrError
from livesr.files.soundfile import RawFormat, SoundFile

_BYTES_A_SECOND = 32_000  # of files, where the length of none is known
_SPEED_SECONDS = 600.0  # over which the speed is averaged: a long file takes minutes
_NAME_CELLS = 40
_LEAVE = b"\r\x1b[2K\x1b[?25h"  # the line empty, the cursor shown


def lengths(
    paths: Iterable[str], start: float = 0.0, end: float | None = None, raw: RawFormat | None = None
) -> list[float]:
    """Seconds of sound to process in each file, by its header; else estimated from its size.

    Only regular files are opened: a pipe can be read once. No file counts as nothing.

    Args:
        paths: of sound files; "-" is standard input.
        start: seconds of each file that are left out.
        end: seconds of each file that are the last; None is all.
        raw: what files without a header hold.
    """
    known, sizes = [], []
    for path in paths:
        seconds, size = math.inf, 0
        with suppress(OSError, ValueError):
            found = os.stat(path)
            if S_ISREG(found.st_mode):
                size = found.st_size
                with suppress(LivesrError), SoundFile(path, raw=raw) as sound:
                    seconds = sound.seconds
        known.append(seconds)
        sizes.append(size)
    told = [(s, size) for s, size in zip(known, sizes, strict=True) if math.isfinite(s) and size]
    a_byte = sum(s for s, _ in told) / sum(size for _, size in told) if told else 0.0
    a_byte = a_byte or 1 / _BYTES_A_SECOND
    return [
        max(0.1, min(s if math.isfinite(s) else size * a_byte, end or math.inf) - start)
        for s, size in zip(known, sizes, strict=True)
    ]


class FileProgress:
    """A bar with the share of the sound that is done, the files that are done and the time left.

    Ctrl-Z gives the terminal back, and in the background nothing is drawn.

    Args:
        lengths: seconds of each file, as `lengths` gives them.
        console: to draw on.
        disable: draw nothing.
        clock: seconds; None is the system's.
    """

    def __init__(
        self,
        lengths: Sequence[float],
        console: Console,
        *,
        disable: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._lengths, self._done = list(lengths), [0.0] * len(lengths)
        self._finished = 0
        self._console, self._foreground, self._turn = console, Foreground(), -1
        try:
            self._descriptor = console.file.fileno()
        except OSError:  # of no file
            self._descriptor = -1
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[files]} files"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("left  {task.description}", markup=False),
            console=console,
            transient=True,
            auto_refresh=False,  # by a thread, which a stop would find in the middle of a line
            disable=disable,
            get_time=clock,
            speed_estimate_period=_SPEED_SECONDS,
        )
        self._task = self._bar.add_task("", total=sum(lengths), files=self._files())

    def __enter__(self) -> FileProgress:
        self._foreground.__enter__()
        self._foreground.before_stop.append(self._leave_at_once)
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        with self._foreground.undisturbed(), open(os.devnull, "w") as nowhere:
            if not self._foreground.held(self._descriptor):
                self._console.file = nowhere
            self._bar.stop()
        self._foreground.__exit__()

    def _draw(self) -> None:
        with self._foreground.undisturbed():
            if self._bar.disable or not self._foreground.held(self._descriptor):
                return
            if self._turn != self._foreground.turns:
                self._turn = self._foreground.turns
                self._bar.start()
                self._console.show_cursor(False)
            self._bar.refresh()

    def _leave_at_once(self) -> None:
        """From a signal's handler, where the console may not be used."""
        if self._turn == self._foreground.turns and self._foreground.held(self._descriptor):
            with suppress(OSError):
                os.write(self._descriptor, _LEAVE)

    def show(self, done: Iterable[float], name: str) -> None:
        """Draw it anew.

        Args:
            done: seconds of each file that are processed so far.
            name: of the file that is being processed.
        """
        self._done = [
            max(before, min(seconds, length))
            for before, seconds, length in zip(self._done, done, self._lengths, strict=True)
        ]
        self._bar.update(self._task, completed=sum(self._done), description=name[-_NAME_CELLS:])
        self._draw()

    def finish(self, number: int) -> None:
        """The file of this number, from 0, is done, whatever came of it."""
        self._done[number] = self._lengths[number]
        self._finished += 1
        self._bar.update(self._task, completed=sum(self._done), files=self._files())
        self._draw()

    def _files(self) -> str:
        return f"{self._finished}/{len(self._lengths)}"
