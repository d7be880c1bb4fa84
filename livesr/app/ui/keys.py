"""Single key presses, without waiting for them."""

from __future__ import annotations

import os
import re
import select
import stat
import sys
from contextlib import suppress
from typing import Any, TextIO

from livesr.app.ui.foreground import Foreground

_NAMES = {"\x1b[D": "left", "\x1b[C": "right", "\x1bOD": "left", "\x1bOC": "right"}
_WINDOWS_NAMES = {"K": "left", "M": "right"}
# An answer of the terminal (OSC, DCS), which may come late over a slow line; a key that sends
# several characters, which begin with Escape; or one character.
_KEY = re.compile(r"\x1b[\]P^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[\[O][0-?]*[ -/]*[@-~]|.", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:[\]P^_][^\x07\x1b]*\x1b?|[\[O][0-?]*[ -/]*)?\Z")
_MOST_LOOKS = 10  # without anything new, until what is unfinished is dropped


class Keyboard:
    """The keys typed since the last look, while this process has the terminal.

    Where standard input is not a terminal there are none. Nor are there where standard output is a
    pipe: the program that reads it may want the keys, as pagers do. Ctrl-C still interrupts.
    """

    def __init__(self, foreground: Foreground) -> None:
        self._foreground, self._turn = foreground, -1
        self._before: list[Any] | None = None
        self._unfinished, self._looks = "", 0
        usable = sys.stdin is not None and sys.stdin.isatty() and not _is_piped(sys.stdout)
        self._descriptor = sys.stdin.fileno() if usable else None

    def __enter__(self) -> Keyboard:
        self._foreground.before_stop.append(self._release)
        return self

    def __exit__(self, *_: object) -> None:
        self._foreground.before_stop.remove(self._release)
        self._release()

    def pressed(self) -> list[str]:
        """Keys, oldest first: characters as they are, arrows as "left" and "right"."""
        if self._descriptor is None:
            return []
        if sys.platform == "win32":
            return _typed_on_windows()
        if not self._foreground.held(self._descriptor):
            self._before = None
            return []
        if self._before is None or self._turn != self._foreground.turns:
            self._take()
        if not select.select([self._descriptor], [], [], 0)[0]:
            self._looks += 1
            if self._looks > _MOST_LOOKS:
                self._unfinished = ""
            return []
        typed = os.read(self._descriptor, 1024).decode(errors="replace")
        if not typed:
            self._descriptor = None  # closed
        return self._keys(typed)

    def _keys(self, typed: str) -> list[str]:
        """What was typed, key by key; what ends in the midst of one is kept for the next look."""
        typed, self._looks = self._unfinished + typed, 0
        rest = _UNFINISHED.search(typed)
        self._unfinished = rest.group() if rest else ""
        typed = typed[: len(typed) - len(self._unfinished)]
        found = (_NAMES.get(key, key) for key in _KEY.findall(typed))
        return [key for key in found if len(key) == 1 or key in _NAMES.values()]

    def _take(self) -> None:
        """Keys at once and unseen, from here on."""
        if sys.platform == "win32":
            return
        import termios  # noqa: PLC0415  (not on Windows)
        import tty  # noqa: PLC0415

        assert self._descriptor is not None
        with suppress(termios.error):  # the terminal has closed
            self._turn = self._foreground.turns
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)

    def _release(self) -> None:
        """The keyboard as it was; not from the background, where that would stop the process."""
        if self._before is None or self._descriptor is None or sys.platform == "win32":
            return
        import termios  # noqa: PLC0415

        before, self._before = self._before, None
        if self._foreground.held(self._descriptor):
            with suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)


def _is_piped(stream: TextIO | None) -> bool:
    with suppress(OSError, ValueError):  # closed, or no file of the system
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    return False


def _typed_on_windows() -> list[str]:
    if sys.platform != "win32":
        return []
    import msvcrt  # noqa: PLC0415

    typed = []
    while msvcrt.kbhit():
        key = msvcrt.getwch()
        if key in "\x00\xe0":  # an arrow or a function key: its name comes next
            key = _WINDOWS_NAMES.get(msvcrt.getwch(), "")
        typed.append(key)
    return typed
