"""The command line as click sees it, the commands of extras included, and run in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
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


@contextmanager
def _captured(number: int, name: str) -> Iterator[Callable[[], str]]:
    """What is written to a descriptor and to the stream of `sys` on it."""
    with tempfile.TemporaryFile() as file:
        kept, before = os.dup(number), getattr(sys, name)
        os.dup2(file.fileno(), number)
        stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)

        def text() -> str:
            file.seek(0)
            return file.read().decode()

        try:
            yield text
        finally:
            setattr(sys, name, before)
            os.dup2(kept, number)
            os.close(kept)


def livesr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`livesr` in this process: a second of processor time less than in a new one.

    For what it says, writes and returns. What depends on signals, on closed streams or on the start
    of a process is tested in a process of its own.

    Args:
        arguments: of the command line.
        environment: more variables.
    """
    commands()
    status = 0
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with (
        pytest.MonkeyPatch.context() as patch,
        open(os.devnull, encoding="utf-8") as nothing,
        _captured(1, "stdout") as out,
        _captured(2, "stderr") as err,
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
            sys.stdout.flush()
            sys.stderr.flush()
            for number, handler in handlers.items():
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
        return subprocess.CompletedProcess(arguments, status, out(), err())
