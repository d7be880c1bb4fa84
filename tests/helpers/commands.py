"""The command line as click sees it, the commands of extras included, and run in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

import pytest
import typer.main

from livesr.__main__ import add_extras
from livesr.app.cli import app, tidy_end


@cache
def commands() -> dict[str, Any]:
    """Name -> command of `livesr`, and "" -> `livesr` itself."""
    add_extras()
    root: Any = typer.main.get_command(app)
    return {"": root, **root.commands}


def livesr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`livesr` in this process: a second of processor time less than in a new one.

    For what it says, writes and returns. What depends on descriptors, signals or the start of a
    process (a closed or full standard output, say) is tested with a process of its own.

    Args:
        arguments: of the command line.
        environment: more variables.
    """
    commands()
    out, err, status = StringIO(), StringIO(), 0
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with (
        pytest.MonkeyPatch.context() as patch,
        open(os.devnull, encoding="utf-8") as nothing,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["livesr", *arguments])
        patch.setattr(sys, "stdin", nothing)
        try:
            with tidy_end():
                app()
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            for number, handler in handlers.items():
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
