"""A real terminal: a tmux session of its own server."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_PATIENCE_SECONDS = 60.0  # a busy machine starts a program slowly


class Terminal:
    """Typed into, and looked at."""

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        self._socket = str(folder / "tmux")
        self._run("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "sh")

    def _run(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        # readline, which pytest loads, exports these behind Python's back, and pytest-xdist passes
        # them on; they are the size of another terminal.
        sizes = ("COLUMNS", "LINES")
        own = {name: value for name, value in os.environ.items() if name not in sizes}
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
        return told.stdout

    def type(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def modes(self) -> tuple[str, str]:
        """Whether the alternate screen is on, and whether the cursor is shown: "0" or "1"."""
        told = self._run("display-message", "-p", "#{alternate_on} #{cursor_flag}").split()
        return told[0], told[1]

    def until(self, seen: Callable[[str], bool]) -> str:
        screen, end = "", time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            screen = self.screen()
            if seen(screen):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"never seen; the screen at the end:\n{screen}")

    def resize(self, columns: int, rows: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def close(self) -> None:
        """As when its window is closed: the program gets a hang-up."""
        self._run("kill-server")
