"""`livesr`, and `python -m livesr`: the command line with what is built on top of it."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from livesr.app.cli import add, app, tidy_end
from livesr.errors import LivesrError

# Each needs an extra. livesr/NAME/command.py holds `command`, which typer reads; like
# app's commands it imports what it needs when it runs, so that nothing else waits for it.
_ON_TOP = ("serve", "archive")


def main() -> None:
    """Entry point."""
    try:
        with tidy_end():
            add_extras()
            app()
    except SystemExit as end:
        # A thread of Arrow's pool that still frees a Python object while the interpreter is taken
        # down aborts the process (apache/arrow#34314).
        if "pyarrow" in sys.modules and isinstance(end.code, int) and _is_program():
            _end_at_once(end.code)
        raise


def _is_program() -> bool:
    """Whether this process is the command `livesr`, and not a program that calls it."""
    program = sys.modules["__main__"]
    name = Path(getattr(program, "__file__", None) or "").stem
    return getattr(program, "main", None) is main and name in ("livesr", "__main__")


def _end_at_once(status: int) -> None:
    """End the process as Python does, hooks and outputs included, but leave the interpreter up."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def add_extras() -> None:
    """Add the commands of the extras; once in a process."""
    for name in _ON_TOP:
        if find_spec(f"livesr.{name}"):
            command = import_module(f"livesr.{name}.command").command
            add(name, _of_extra(name, command))


def _of_extra(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """The command, or a sentence where its extra is not installed."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except ModuleNotFoundError as error:
            if (error.name or "livesr").partition(".")[0] == "livesr":
                raise
            raise LivesrError(
                f"`livesr {name}` needs {error.name}, which is not installed: "
                f"pip install 'livesr[{name}]'"
            ) from None

    return run


if __name__ == "__main__":
    main()
