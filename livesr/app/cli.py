"""The command line: its commands, and how it ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Annotated, NoReturn

import typer

from livesr.app.commands.bench import bench
from livesr.app.commands.devices import devices
from livesr.app.commands.listen import listen
from livesr.app.commands.models import models
from livesr.app.commands.replay import replay
from livesr.errors import LivesrError
from livesr.version import __version__

USER_ERROR = 2

app = typer.Typer(
    help="How a voice sounds, live: angry, happy, neutral or sad, and how sure that is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (replay, listen, devices, models, bench):
    app.command(_command.__name__)(_command)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and end.")
    ] = False,
) -> None:
    if version:
        print(f"livesr {__version__}")
        raise typer.Exit


@contextmanager
def tidy_end() -> Iterator[None]:
    """A user's mistake is one line and status 2, never a traceback; a signal's status is its own.

    Everything that a command opened is closed before the process ends.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a device's name may be in any script
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _terminated)
    try:
        yield
    except LivesrError as error:
        print(f"livesr: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    # As an exception, so that files are closed and the terminal restored on the way out.
    sys.exit(128 + number)


def main() -> None:
    """Entry point of installations from before livesr.__main__ was it; goes with 0.3."""
    with tidy_end():
        app()
