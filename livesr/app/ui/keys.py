"""Single key presses, without waiting for them."""

from __future__ import annotations

import os
import re
import select
import sys
from contextlib import suppress
from typing import Any

from livesr.app.ui.foreground import Foreground

_NAMES = {"\x1b[D": "left", "\x1b[C": "right", "\x1bOD": "left", "\x1bOC": "right"}
_WINDOWS_NAMES = {"K": "left", "M": "right"}
# A key that sends several characters, which begin with Escape; or one character.
_KEY = re.compile(r"\x1b[\[O][0-9;]*[ -/]*[@-~]|.", re.DOTALL)


class Keyboard:
    """The keys typed since the last look, while this process has the terminal.

    Where standard input is not a terminal there are none. Ctrl-C still interrupts.
    """

    def __init__(self, foreground: Foreground) -> None:
        self._foreground, self._turn = foreground, -1
        self._before: list[Any] | None = None
        usable = sys.stdin is not None and sys.stdin.isatty()
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
            return []
        typed = os.read(self._descriptor, 1024).decode(errors="replace")
        if not typed:
            self._descriptor = None  # closed
        return [_NAMES.get(key, key) for key in _KEY.findall(typed)]

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
