"""Single key presses, without waiting for them."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def _cbreak(descriptor: int) -> Iterator[None]:
    """Keys at once and unseen; Ctrl-C still interrupts."""
    import termios  # noqa: PLC0415  (not on Windows)
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        with suppress(termios.error):  # the terminal has closed
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def keys() -> Iterator[KeyReader]:
    """What is typed, while this lasts; nothing where standard input is not a terminal."""
    if not sys.stdin or not sys.stdin.isatty():
        yield KeyReader(None)
    elif sys.platform == "win32":
        yield KeyReader(0)
    elif os.getpgrp() != os.tcgetpgrp(sys.stdin.fileno()):  # in the background: not ours to read
        yield KeyReader(None)
    else:
        with _cbreak(sys.stdin.fileno()):
            yield KeyReader(sys.stdin.fileno())


class KeyReader:
    """The keys since the last look."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def pressed(self) -> str:
        """Characters typed and not yet given, oldest first."""
        if self._descriptor is None:
            return ""
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415

            typed = ""
            while msvcrt.kbhit():
                typed += msvcrt.getwch()
            return typed
        if not select.select([self._descriptor], [], [], 0)[0]:
            return ""
        typed = os.read(self._descriptor, 1024).decode(errors="replace")
        if not typed:
            self._descriptor = None  # closed
        return typed
