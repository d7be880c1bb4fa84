"""A program of the user's, run whenever the label changes."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from livesr.errors import LivesrError
from livesr.event import Item
from livesr.reading import Reading

_END_SECONDS = 5.0  # that the last run is waited for


class OnChange:
    """Runs a command for each label that differs from the one before; nothing waits for it.

    The command is the system's shell's, and finds the label in its environment: LIVESR_LABEL,
    LIVESR_BEFORE (empty at first), LIVESR_PROBABILITY and LIVESR_TIME (seconds of the stream). One
    runs at a time: if labels change faster than it ends, only the newest change is run next.

    Args:
        command: as it would be typed.

    Raises:
        LivesrError: from `write` or on leaving, once, if it ended with another status than 0.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._label = ""
        self._waiting: dict[str, str] | None = None
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OnChange:
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    def write(self, item: Item) -> None:
        """Take one reading or event, as a `Writer` does."""
        if isinstance(item, Reading) and item.label is not None and item.label != self._label:
            self._waiting = {
                "LIVESR_LABEL": item.label,
                "LIVESR_BEFORE": self._label,
                "LIVESR_PROBABILITY": f"{item.smoothed[item.label]:.3f}",
                "LIVESR_TIME": f"{item.end:.2f}",
            }
            self._label = item.label
        if self._running is None or self._running.poll() is not None:
            self._check()
            self._start()

    def _start(self) -> None:
        if self._waiting is None:
            return
        environment, self._waiting = {**os.environ, **self._waiting}, None
        self._running = subprocess.Popen(
            self._command,
            shell=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _check(self) -> None:
        if self._running is None:
            return
        status, self._running = self._running.returncode, None
        if status and status != -signal.SIGINT:  # Ctrl-C ends it along with livesr
            self._waiting = None
            raise LivesrError(
                f"--exec {self._command!r} ended with status {status} and is not run again."
            )

    def _finish(self) -> None:
        for _ in range(2):  # the one that runs, and the change that came meanwhile
            if self._running is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._running.wait(_END_SECONDS)
                if self._running.returncode is None:
                    return  # it goes on by itself
                self._check()
            self._start()
