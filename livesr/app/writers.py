"""Readings and events to JSON lines, CSV and plain lines, handed over one by one."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol, TextIO, TypeVar

from livesr.app.outputs import STDOUT, open_output, shown
from livesr.app.ui.lines import event_line, line
from livesr.errors import LivesrError
from livesr.event import Item
from livesr.reading import Reading
from livesr.table import row


class _Takes(Protocol):
    """What takes one reading or event at a time."""

    def write(self, item: Item) -> None: ...


_Taker = TypeVar("_Taker", bound=_Takes)


def write_to_all(outputs: list[_Taker], item: Item) -> list[LivesrError]:
    """Hand it to each; one that fails is taken out of the list, and the others go on.

    Returns:
        what failed. That a reader has gone is its wish, and no failure.
    """
    failures = []
    for output in list(outputs):
        try:
            output.write(item)
        except BrokenPipeError:
            outputs.remove(output)
        except LivesrError as error:
            outputs.remove(output)
            failures.append(error)
    return failures


class Writer:
    """A file, or standard output as "-", that takes one reading or event at a time.

    Raises:
        LivesrError: if it cannot be opened or written. A closed pipe stays a BrokenPipeError:
            that is the reader's wish, not a fault.
    """

    def __init__(self, path: str | Path, *, force: bool = False) -> None:
        to_stdout = str(path) == STDOUT
        self._name = shown(path)
        self._made = not to_stdout and not os.path.exists(path)
        self._replaces = not to_stdout and force and os.path.isfile(path)
        self._written = False
        self._file: TextIO = sys.stdout if to_stdout else open_output(path, force=force, keep=True)

    def write(self, item: Item) -> None:
        """Write one reading or event and hand it to the system at once."""
        try:
            self._empty()
            self._write(self._file, item)
            self._file.flush()
            self._written = True
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LivesrError(
                f"{self._name} cannot be written further: {error.strerror}"
                + ("; the readings so far are in it." if self._written else ".")
            ) from None

    def _write(self, file: TextIO, item: Item) -> None:
        raise NotImplementedError

    def __enter__(self) -> Writer:
        return self

    def _empty(self) -> None:
        """Take out what the file held before: not earlier, as the run may never begin."""
        if self._replaces:
            self._file.truncate(0)
            self._replaces = False

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file is sys.stdout:
            return
        if kind is None:
            with suppress(OSError):
                self._empty()
        with suppress(OSError):  # write() has already reported a full disk
            self._file.close()
        # An empty file would only be in the way of the next try.
        if kind is not None and self._made and not self._written:
            with suppress(OSError):
                os.unlink(os.path.realpath(self._name))


class JsonlWriter(Writer):
    """One JSON object a line, as `to_dict` has it; an event has the key "event".

    Args:
        path: of the file, "-" for standard output.
        force: whether an existing file is replaced.
        attention: whether readings have theirs.
        only: "readings" or "events" to leave out the others.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        force: bool = False,
        attention: bool = True,
        only: Literal["readings", "events"] | None = None,
    ) -> None:
        super().__init__(path, force=force)
        self._attention, self._only = attention, only

    def _write(self, file: TextIO, item: Item) -> None:
        if isinstance(item, Reading):
            if self._only != "events":
                values = item.to_dict(attention=self._attention)
                file.write(json.dumps(values, allow_nan=False) + "\n")
        elif self._only != "readings":
            file.write(json.dumps(item.to_dict(), allow_nan=False) + "\n")


class LineWriter(Writer):
    """One plain line a reading or event, for eyes."""

    def _write(self, file: TextIO, item: Item) -> None:
        file.write((line(item) if isinstance(item, Reading) else event_line(item)) + "\n")


class CsvWriter(Writer):
    """A header, then one row a reading, with the names that `livesr.table` has for the first.

    Args:
        path: of the file, "-" for standard output.
        force: whether an existing file is replaced.
        before: columns that stand first in every row, with their values.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        force: bool = False,
        before: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(path, force=force)
        self._before = dict(before or {})
        self._columns: list[str] = []

    def _write(self, file: TextIO, item: Item) -> None:
        if not isinstance(item, Reading):
            return
        values, out = self._before | row(item), csv.writer(file, lineterminator="\n")
        if not self._columns:
            self._columns = list(values)
            out.writerow(self._columns)
        # A correction may begin a profile in the middle, long after the header was written.
        found = (values.get(name) for name in self._columns)
        out.writerow("" if value is None else value for value in found)
