"""The whole terminal as one picture, given back whenever it is not ours."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from rich.console import Console, RenderableType
from rich.control import Control
from rich.screen import Screen as WholeScreen

from livesr.app.ui.foreground import Foreground

_LEAVE = b"\x1b[?25h\x1b[?1049l"  # the cursor shown; the screen of before


def full_screen(console: Console) -> bool:
    """Whether standard output is a terminal that a picture can be painted on.

    Only a real one: FORCE_COLOR and TTY_COMPATIBLE make rich take a pipe for one. Where
    `--verbose` logs to the same terminal there are plain lines too.
    """
    logs = logging.getLogger("livesr").isEnabledFor(logging.INFO) and sys.stderr.isatty()
    real = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    return real and not logs


class Screen:
    """Paints one renderable on the alternate screen; in the background it paints nothing.

    Args:
        picture: rendered anew by each `paint`.
        console: of standard output.
        foreground: says when the terminal is this process's.
    """

    def __init__(self, picture: RenderableType, console: Console, foreground: Foreground) -> None:
        self._picture, self._console = WholeScreen(picture), console
        self._foreground, self._turn = foreground, -1

    def __enter__(self) -> Screen:
        self._foreground.before_stop.append(self._leave_at_once)
        return self

    def __exit__(self, *_: object) -> None:
        self._foreground.before_stop.remove(self._leave_at_once)
        with suppress(OSError):  # the terminal has closed
            if self.shown:
                self._console.show_cursor(True)
                self._console.set_alt_screen(False)

    @property
    def shown(self) -> bool:
        """Whether the picture stands on the terminal now."""
        return self._turn == self._foreground.turns and self._foreground.held(1)

    def paint(self) -> None:
        """Show the picture as it is now.

        Raises:
            OSError: if the terminal has closed.
        """
        with self._foreground.undisturbed():
            if not self._foreground.held(1):
                self._turn = -1
                return
            with self._console:  # all in one write
                if self._turn != self._foreground.turns:
                    self._turn = self._foreground.turns
                    self._console.set_alt_screen(True)
                    self._console.show_cursor(False)
                self._console.print(Control.home(), self._picture, end="")

    def _leave_at_once(self) -> None:
        """From a signal's handler, where the console may be in the middle of a write."""
        if self.shown:
            with suppress(OSError):
                os.write(1, _LEAVE)
        self._turn = -1
