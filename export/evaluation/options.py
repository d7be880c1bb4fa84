"""What the commands take: counts, shares, values that are given once, and outputs.

Each is refused while the command line is read, before hours are spent.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
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


def add_mels(parser: argparse.ArgumentParser) -> None:
    """The options of a command that computes the encoder's log-mels."""
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument(
        "--workers", type=above_zero, default=2, help="processes that compute log-mels"
    )
