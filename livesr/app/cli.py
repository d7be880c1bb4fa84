"""The command line: its commands, and how it ends."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from io import TextIOWrapper
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from livesr.app.commands.bench import bench
from livesr.app.commands.config import config
from livesr.app.commands.devices import devices
from livesr.app.commands.enrol import enrol
from livesr.app.commands.listen import listen
from livesr.app.commands.models import models
from livesr.app.commands.profiles import profiles
from livesr.app.commands.replay import replay
from livesr.app.config import config_path, defaults, read
from livesr.app.exit_status import ExitStatus, of_signal
from livesr.app.outputs import stand_in_for_closed_streams
from livesr.errors import LivesrError
from livesr.version import __version__

# What a write to standard output fails with, though its reader is there.
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))


class _Group(TyperGroup):
    """The commands; an error of one says which of its options came from the user's file."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except LivesrError as error:
            given = (ctx.default_map or {}).get(ctx.invoked_subcommand or "", {})
            if given:
                options = ", ".join(
                    f"{name.rstrip('_')} = {value!s:.40}" for name, value in given.items()
                )
                error.add_note(f"From {config_path()}: {options} (livesr config shows the file).")
            raise


app = typer.Typer(
    cls=_Group,
    help="Real-time speech emotion recognition: how angry, happy, neutral or sad a voice sounds, "
    "and how sure that is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def add(name: str, command: Callable[..., None]) -> None:
    """Make it a command: Ctrl-C is 130; a reader of its output that went away is no failure."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            raise SystemExit(of_signal(signal.SIGINT)) from None
        except BrokenPipeError:
            raise typer.Exit(ExitStatus.DONE) from None

    app.command(name)(run)


for _command in (replay, listen, enrol, profiles, devices, models, bench, config):
    add(_command.__name__, _command)


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and end.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Log what livesr does to standard error."),
    ] = False,
) -> None:
    if version:
        print(f"livesr {__version__}")
        raise typer.Exit
    if verbose:
        log_to_stderr()
    # The command that mends the file must work while it is broken.
    if context.invoked_subcommand != "config" and not context.resilient_parsing:
        try:
            path = config_path()
        except LivesrError:  # without a home directory there is no file either
            return
        context.default_map = defaults(read(path), context, path)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to standard error as it is at the moment: `quiet_libraries` exchanges it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def log_to_stderr() -> None:
    """Show what is logged under `livesr`, down to DEBUG."""
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("livesr")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


@contextmanager
def tidy_end() -> Iterator[None]:
    """A user's mistake is one line and status 2, never a traceback; a signal's status is its own.

    Everything that a command opened is closed before the process ends.
    """
    stand_in_for_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name may be in any script, or in none
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup asks for that
            signal.signal(number, _terminated)
    try:
        yield
    except LivesrError as error:
        for text in (error, *getattr(error, "__notes__", ())):
            print(f"livesr: {text}", file=sys.stderr)
        sys.exit(ExitStatus.USAGE)
    except OSError as error:
        if error.filename is not None or error.errno not in _NO_ROOM:
            raise
        _tell_no_room(error)
        sys.exit(ExitStatus.PARTLY)
    finally:
        _flush()


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    # As an exception, so that files are closed and the terminal restored on the way out.
    sys.exit(of_signal(number))


def _flush() -> None:
    """What is left of standard output; Python itself would complain of a reader gone."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        ends = error.__context__  # what the process was about to end with
        told = isinstance(ends, SystemExit) and ends.code not in (0, None)
        if error.errno in _NO_ROOM and not told:
            _tell_no_room(error)
            sys.exit(ExitStatus.PARTLY)


def _tell_no_room(error: OSError) -> None:
    with suppress(OSError):
        print(f"livesr: standard output cannot be written: {error.strerror}.", file=sys.stderr)
