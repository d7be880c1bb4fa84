"""Where output goes, so that none takes the place of an input or of another output."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import unicodedata
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO

from livesr.errors import LivesrError

STDOUT = STDIN = "-"


@dataclass(frozen=True, slots=True)
class Place:
    """A path on the command line.

    Attributes:
        what: what it is there: "--jsonl", "the file to replay".
        path: "-" is standard input among inputs, standard output among outputs.
        replaceable: whether --force may replace an existing file (a recording's never).
    """

    what: str
    path: str | Path
    replaceable: bool = True


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a command is asked to write; each a path, "-" for standard output, None for none.

    Attributes:
        jsonl: readings and events as JSON lines.
        csv: readings as CSV.
        report: a page to look at.
        events: events as JSON lines, which are then not in `jsonl`.
        attention: whether the readings in `jsonl` have theirs.
        force: whether existing files are replaced.
        command: what is run at a change of label.
        sound: what the report plays, Ogg Opus.
    """

    jsonl: str | None = None
    csv: str | None = None
    report: str | None = None
    force: bool = False
    events: str | None = None
    attention: bool = True
    command: str | None = None
    sound: bytes | None = None

    def checked(self, inputs: Iterable[Place], others: Iterable[Place] = ()) -> Outputs:
        """These, with every name of standard output as "-".

        Args:
            inputs: all that is read, or must not be touched.
            others: what is written beside these.

        Raises:
            LivesrError: as `check_outputs`, or if the command is empty.
        """
        named = {
            "jsonl": self.jsonl,
            "csv": self.csv,
            "report": self.report,
            "events": self.events,
        }
        if self.command is not None and not self.command.strip():
            raise LivesrError("--exec is empty; give a command to run, or leave it out.")
        places = [Place(f"--{name}", path) for name, path in named.items() if path is not None]
        check_outputs(inputs, [*places, *others], force=self.force)
        jsonl, csv, report, events = (
            STDOUT if path is not None and is_stdout(path) else path for path in named.values()
        )
        return replace(self, jsonl=jsonl, csv=csv, report=report, events=events)

    @property
    def to_stdout(self) -> bool:
        """Whether one of them goes to standard output, so that nothing else may."""
        return STDOUT in (self.jsonl, self.csv, self.report, self.events)


def check_outputs(
    inputs: Iterable[Place], outputs: Iterable[Place], *, force: bool = False
) -> None:
    """Look at every path before any is opened.

    Two paths are one file if device and inode are the same; of a file that is yet to be made, if
    its folder is the same and its name too (in any case, where the file system folds case).

    Args:
        inputs: all that is read, or must not be touched.
        outputs: all that will be written.
        force: let an output replace an existing file; an input or another output it never does.

    Raises:
        LivesrError: naming both paths, or the file that would be overwritten.

    Example:
        check_outputs([Place("the recording", "a.flac")], [Place("--jsonl", "a.jsonl")])
    """
    known: dict[Hashable, Place] = {}
    for place in inputs:
        found = _stat(place.path, descriptor=0)
        # A terminal or a socket is read and written at once.
        if found is None or not (stat.S_ISCHR(found.st_mode) or stat.S_ISSOCK(found.st_mode)):
            known.setdefault(_identity(place.path, found), place)
    stdout = _stat(STDOUT, descriptor=1)
    if stdout and stat.S_ISREG(stdout.st_mode) and (read := known.get(_identity(STDOUT, stdout))):
        raise LivesrError(f"Standard output goes to {read.path}, {read.what}; send it elsewhere.")
    planned: dict[Hashable, list[Place]] = {}  # files yet to be made, by their folded name
    for place in outputs:
        if not str(place.path):
            raise LivesrError(f"The path of {place.what} is empty; name a file, or leave it out.")
        found = _stat(place.path, descriptor=1)
        if found and is_null(found):
            continue
        identity = _identity(place.path, found)
        other = known.get(identity)
        if other is None and found is None:
            *folder, name = identity
            alike = planned.setdefault((*folder, _folded(str(name))), [])
            other = next((made for made in alike if _one_file(made.path, place.path)), None)
            alike.append(place)
        if other is not None:
            raise LivesrError(_conflict(place, other))
        known[identity] = place
        if found is None or not stat.S_ISREG(found.st_mode) or is_stdout(place.path):
            continue
        if not place.replaceable:
            raise LivesrError(f"{place.path} exists; remove it, or record under another name.")
        if not force:
            raise LivesrError(
                f"{place.path} ({place.what}) exists; --force replaces it, or name another file."
            )


def is_folder(path: str) -> bool:
    """Whether an output is a folder to write into: by its ending, or because it is one."""
    return path.endswith(("/", os.sep)) or os.path.isdir(path)


def is_stdout(path: str | Path) -> bool:
    """Whether it is standard output, by any name: "-", /dev/stdout, the file it goes to."""
    if str(path) == STDOUT:
        return True
    found, stdout = _stat(path, descriptor=1), _stat(STDOUT, descriptor=1)
    if found is None or stdout is None or is_null(found):
        return False
    if str(path) == "/dev/tty":
        return os.isatty(1)
    return _identity(path, found) == _identity(STDOUT, stdout)


def shown(path: str | Path) -> str:
    """What an output is called in a message."""
    return "standard output" if str(path) == STDOUT else str(path)


def open_output(path: str | Path, *, force: bool = False, keep: bool = False) -> TextIO:
    """A text file to write: a new one, an existing one by `force`, or a device or pipe.

    Args:
        path: of the file.
        force: whether an existing file is replaced.
        keep: leave what an existing file holds, until it is truncated.

    Raises:
        LivesrError: if it cannot be opened, or exists.
    """
    try:
        special = os.path.exists(path) and not os.path.isfile(path)
        # A link whose file is yet to be made is followed: "x" itself follows none.
        made = path if special else os.path.realpath(path)
        mode: Literal["w", "x"] = "w" if special or force else "x"
        opener = _opened_as_it_is if keep and force and os.path.isfile(made) else None
        return open(made, mode, encoding="utf-8", errors="replace", newline="", opener=opener)
    except FileExistsError:
        raise LivesrError(f"{path} exists; --force replaces it.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise LivesrError(f"{path} cannot be written: {why}.") from None


def _opened_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC)


def stand_in_for_closed_streams() -> None:
    """Give standard streams that are closed (`>&-`, pythonw) a place that goes nowhere.

    Else the next file to be opened gets their number, and what is printed lands in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        closed = False
        try:
            os.fstat(number)
        except OSError:
            closed = True
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if closed or getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _stat(path: str | Path, descriptor: int) -> os.stat_result | None:
    """Of what the path leads to; of the descriptor for "-"; None where there is nothing."""
    try:
        return os.fstat(descriptor) if str(path) == "-" else os.stat(path)
    except (OSError, ValueError):
        return None


def is_null(found: os.stat_result) -> bool:
    """Whether it is the null device, by any name."""
    return stat.S_ISCHR(found.st_mode) and _device(found) == _device(os.stat(os.devnull))


def _device(found: os.stat_result) -> int:
    """The number of a device file; 0 on Windows, which has none."""
    number: int = getattr(found, "st_rdev", 0)
    return number


def _identity(path: str | Path, found: os.stat_result | None) -> tuple[Hashable, ...]:
    """The same for two paths of one file; the last part of a file yet to be made is its name."""
    if found is not None:
        if stat.S_ISCHR(found.st_mode) and _device(found):
            return ("device", _device(found))
        if found.st_ino:
            return ("file", found.st_dev, found.st_ino)
        return ("path", os.path.normcase(os.path.realpath(path)))
    folder, name = os.path.split(os.path.realpath(path) if "\0" not in str(path) else str(path))
    try:
        holds = os.stat(folder)
    except (OSError, ValueError):
        return ("in", folder, name)
    return ("in", holds.st_dev, holds.st_ino or folder, name)


def _folded(name: str) -> str:
    """A name as the most forgiving file systems compare it."""
    return unicodedata.normalize("NFKC", name.casefold()).rstrip(". ")


def _one_file(first: str | Path, second: str | Path) -> bool:
    """Whether two files yet to be made, in one folder and of like names, would be one.

    Only the file system knows: a name in the like of the first is made for a moment.
    """
    (folder, one), (_, two) = (os.path.split(os.path.realpath(path)) for path in (first, second))
    mark = f".livesr-{secrets.token_hex(8)}-"
    try:
        with open(os.path.join(folder, mark + one), "xb"):
            pass
    except (OSError, ValueError):
        return True  # nothing can be written there, or the name is too long to tell
    try:
        return os.path.lexists(os.path.join(folder, mark + two))
    finally:
        os.unlink(os.path.join(folder, mark + one))


def _conflict(place: Place, other: Place) -> str:
    if is_stdout(place.path):
        return f"{place.what} and {other.what} would mix on standard output; name a file for one."
    if other.what.startswith("--"):
        return (
            f"{place.what} {place.path} and {other.what} {other.path} are one file; "
            "name another for one."
        )
    return f"{place.what} {place.path} would destroy {other.path}, {other.what}; name another file."
