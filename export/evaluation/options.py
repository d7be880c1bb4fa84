"""What the commands take: counts, shares, values that are given once, folders, and their help.

Each is refused while the command line is read, before hours are spent.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
WINDOWS = CACHE / "windows"  # of the commands that keep what a network says
_MOST_FACTOR = 100.0


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Help that keeps the lines of a command's docstring, and says each default that is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if default is None or default is False or default == []:
            return action.help
        if isinstance(default, (list, tuple)):
            return f"{action.help} (default: {' '.join(map(str, default))})"
        return super()._get_help_string(action)


def command_parser(about: str | None) -> argparse.ArgumentParser:
    """The parser of a command, without options yet.

    Args:
        about: the docstring of the command's module.
    """
    return argparse.ArgumentParser(description=about, formatter_class=_Help)


def whole(text: str) -> int:
    """A count from a command line.

    Raises:
        argparse.ArgumentTypeError: unless it is a whole number, 0 or more.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def above_zero(text: str) -> int:
    """As `whole`, without 0.

    Raises:
        argparse.ArgumentTypeError: unless it is a whole number above 0.
    """
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def up_to_one(text: str) -> float:
    """A number from 0 to 1.

    Raises:
        argparse.ArgumentTypeError: unless it is one.
    """
    return _number(text, 1.0)


def factor(text: str) -> float:
    """What something is multiplied by, from 0 to 100.

    Raises:
        argparse.ArgumentTypeError: unless it is such a number.
    """
    return _number(text, _MOST_FACTOR)


def _number(text: str, most: float) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {most:g}")
    return found


class Once(argparse.Action):
    """An option of many values, none of which is given twice: it would count twice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, Sequence)
        if twice := [value for value in values if list(values).count(value) > 1]:
            raise argparse.ArgumentError(self, f"{twice[0]} is given twice")
        setattr(namespace, self.dest, values)


def new_file(text: str) -> Path:
    """A file to write.

    Raises:
        argparse.ArgumentTypeError: if it cannot be written.
    """
    return _writable(text, is_folder=False)


def new_folder(text: str) -> Path:
    """A folder to write, which may be there already.

    Raises:
        argparse.ArgumentTypeError: if nothing can be written there.
    """
    return _writable(text, is_folder=True)


def _writable(text: str, is_folder: bool) -> Path:
    path = Path(text)
    target = path.absolute()
    there = next(place for place in (target, *target.parents) if place.exists())
    needs_folder = is_folder or there != target
    if there.is_dir() != needs_folder:
        found = "no folder" if needs_folder else "a folder"
        raise argparse.ArgumentTypeError(f"{path} cannot be written: {there} is {found}")
    if not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f"{path} cannot be written: no right to write to {there}")
    return path


def add_corpora(parser: argparse.ArgumentParser) -> None:
    """The option that names the corpora."""
    parser.add_argument(
        "--corpora",
        nargs="+",
        required=True,
        help="read these corpora: folders with clips.csv, or published ones as NAME=FOLDER",
    )


def add_cache(
    parser: argparse.ArgumentParser, folder: Path = CACHE, kept: str = "features"
) -> None:
    """The option that names the folder of what is computed once."""
    parser.add_argument(
        "--cache",
        type=new_folder,
        default=folder,
        help=f"keep {kept} in this folder, and read there what was computed before",
    )


def add_seeds(parser: argparse.ArgumentParser, usual: Sequence[int] = (1,)) -> None:
    """`--seeds`."""
    parser.add_argument(
        "--seeds",
        nargs="+",
        action=Once,
        type=whole,
        default=list(usual),
        help="train each network once with each of these seeds",
    )


def add_trials(parser: argparse.ArgumentParser, epochs: int) -> None:
    """The options of a command that trains networks on a frozen encoder, and judges them."""
    add_seeds(parser)
    parser.add_argument(
        "--epochs", type=above_zero, default=epochs, help="train for so many epochs of 150 batches"
    )
    parser.add_argument(
        "--most",
        type=above_zero,
        default=150,
        help="judge at most so many clips of each split of a corpus",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The option that says how many processes compute features."""
    parser.add_argument(
        "--workers", type=above_zero, default=2, help="compute features in so many processes"
    )


def add_threads(parser: argparse.ArgumentParser, usual: int) -> None:
    """The option that says on how many threads a network is trained; `usual` are torch's own."""
    parser.add_argument(
        "--threads", type=above_zero, default=usual, help="train on so many threads"
    )


def add_mels(parser: argparse.ArgumentParser) -> None:
    """The options of a command that computes the encoder's log-mels."""
    add_cache(parser, kept="the encoder's log-mels")
    add_workers(parser)


def add_judged(parser: argparse.ArgumentParser) -> None:
    """The options of a command that judges speakers by a model."""
    parser.add_argument(
        "--speakers",
        type=above_zero,
        default=1000,
        help="judge at most so many speakers of each corpus",
    )
    parser.add_argument(
        "--model",
        help="judge by this bundled model or .onnx file; by the default model unless given",
    )


def refuse_beside(
    parser: argparse.ArgumentParser, options: argparse.Namespace, given: str, *unused: str
) -> None:
    """End with an error if an option is given, and beside it one that it leaves unused.

    Args:
        parser: of the command.
        options: as parsed; one that is not given is None, False or empty.
        given: name of the option.
        unused: names of those that it leaves unused.
    """
    if not getattr(options, given):
        return
    for name in unused:
        if getattr(options, name):
            one, other = (f"--{n.replace('_', '-')}" for n in (given, name))
            parser.error(f"{other} is not used beside {one}: leave one of them out")
