"""Whether a terminal's ground is dark or light, where it says so."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from contextlib import suppress

from livesr.app.ui.foreground import Foreground
from livesr.app.ui.theme import Ground

# The ground's colour, then what every terminal answers: with that, nothing more is to come.
_ASK = b"\x1b]11;?\x1b\\\x1b[c"
_ANSWER = re.compile(rb"\x1b\]11;rgb:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")
_DONE = re.compile(rb"\x1b\[\?[0-9;]*c")
_WAIT_SECONDS = 0.2


def ground() -> Ground | None:
    """Asks the terminal (OSC 11), else the environment (COLORFGBG); None where neither knows."""
    if sys.platform != "win32" and sys.stdin.isatty() and Foreground.held(0):
        with suppress(OSError, ValueError):
            if found := of_answer(_asked()):
                return found
    last = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    if not last.isdigit():
        return None
    return "light" if int(last) in (7, 15) else "dark"


def of_answer(answer: bytes) -> Ground | None:
    """What a terminal's answer says of its ground."""
    found = _ANSWER.search(answer)
    if not found:
        return None
    red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in found.groups())
    return "light" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 else "dark"


def _asked() -> bytes:
    if sys.platform == "win32":
        return b""
    import termios  # noqa: PLC0415  (not on Windows)
    import tty  # noqa: PLC0415

    try:
        before = termios.tcgetattr(0)
        tty.setcbreak(0)
    except termios.error:
        return b""
    answer, until = b"", time.monotonic() + _WAIT_SECONDS
    try:
        os.write(1, _ASK)
        while not _DONE.search(answer) and (left := until - time.monotonic()) > 0:
            if select.select([0], [], [], left)[0]:
                answer += os.read(0, 256)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
    return answer
