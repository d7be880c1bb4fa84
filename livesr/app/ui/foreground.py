"""Whose terminal it is: a job that is stopped or in the background leaves it to the shell."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_STOP, _GO_ON = getattr(signal, "SIGTSTP", None), getattr(signal, "SIGCONT", None)


class Foreground:
    """The times in which this process may draw on a terminal and read its keys.

    While it is entered, Ctrl-Z calls what `before_stop` holds, and then stops as it always did.

    Attributes:
        before_stop: called in the signal's handler; they may use `os.write`, not `sys.stdout`.
        turns: how often the process went on after a stop: what was drawn before is not there
            any more, and the keyboard is as the shell left it.
    """

    def __init__(self) -> None:
        self.before_stop: list[Callable[[], object]] = []
        self.turns = 0
        self._kept: dict[int, Any] = {}
        self._painting = False
        self._asked = False  # to stop, while painting

    def __enter__(self) -> Foreground:
        for number, handler in ((_STOP, self._stop), (_GO_ON, self._went_on)):
            with suppress(ValueError):  # not the main thread
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    self._kept[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)

    @staticmethod
    def held(descriptor: int) -> bool:
        """Whether this process is in the foreground of the terminal behind a descriptor."""
        if sys.platform == "win32":
            return True
        try:
            return os.tcgetpgrp(descriptor) == os.getpgrp()
        except OSError:  # a terminal that does not control this process has no foreground
            return True

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Ctrl-Z waits until this is left: half a picture would be finished in the background."""
        self._painting = True
        try:
            yield
        finally:
            self._painting = False
            if self._asked and _STOP is not None:
                self._asked = False
                self._stop(_STOP, None)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._painting:
            self._asked = True
            return
        for leave in self.before_stop:
            leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # and here it stands until it is continued
        signal.signal(number, self._stop)
        self.turns += 1

    def _went_on(self, _number: int, _frame: FrameType | None) -> None:
        self.turns += 1
