"""What a command's exit status says: one table for every command (docs/commands.md has it too)."""

from __future__ import annotations

import signal
from enum import IntEnum

# Signals that ask for an end; Windows has no hang-up.
ENDING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}


class ExitStatus(IntEnum):
    """How a command ended; 128 + n says that signal n ended it."""

    DONE = 0  # all done; a reader of standard output that went away counts as done
    UNSERVED = 1  # the server's workers could not start
    USAGE = 2  # the command line is wrong, or the only input cannot be used
    PARTLY = 3  # something was done and something was not


def of_signal(number: int) -> int:
    """The exit status of a command that this signal ended."""
    return 128 + number
