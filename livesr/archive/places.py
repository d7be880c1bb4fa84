"""Folders that fsspec opens: on a local disk or in an object store."""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import fsspec
import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from livesr.errors import LivesrError

_PART = re.compile(r"\.[0-9a-f]{16}\.part")  # a file that is being written


class OutputError(LivesrError):
    """The output cannot be written. The run ends; what is written so far is kept."""


def local_path(address: str) -> str | None:
    """The absolute path of a local address; None for a URL."""
    if address.startswith("file://"):
        return os.path.abspath(address[len("file://") :])
    return None if "://" in address else os.path.abspath(os.path.expanduser(address))


def opened(address: str) -> tuple[Any, str]:
    """The fsspec file system of an absolute path or URL, and the path in it.

    Raises:
        LivesrError: if fsspec cannot open such an address.
    """
    try:
        if path := local_path(address):
            return LocalFileSystem(), path
        # Workers write there too, so a cached listing may be out of date.
        files, path = fsspec.url_to_fs(address, use_listings_cache=False)
        return files, str(path)
    except (ImportError, ValueError) as error:
        raise LivesrError(f"{address} cannot be opened: {error!s:.200}.") from None


def _real(address: str) -> str:
    """An absolute path without links; a URL as it is."""
    try:
        return address if "://" in address else os.path.normcase(os.path.realpath(address))
    except ValueError:  # no file can have such a name
        return address


@dataclass(frozen=True)
class Place:
    """A folder that a run writes into. A file is there completely, or not at all.

    Attributes:
        address: absolute path, or URL.
    """

    address: str

    @classmethod
    def of(cls, address: str) -> Place:
        """The folder at a path (made absolute) or URL."""
        return cls((local_path(address) or address).rstrip("/") or "/")

    @cached_property
    def _folder(self) -> str:
        """Without links, for `holds`, which is asked of every file."""
        return _real(self.address).rstrip("/") + "/"

    def holds(self, address: str) -> bool:
        """Whether an absolute path or URL lies in this folder, or is it; through links too."""
        return f"{_real(address)}/".startswith(self._folder)

    def __truediv__(self, name: str) -> Place:
        return Place(f"{self.address}/{name}")

    @property
    def local(self) -> bool:
        """Whether it is on a disk of this machine, or mounted there."""
        return "://" not in self.address

    def path(self, name: str = "") -> tuple[Any, str]:
        """The fsspec file system, and the path of a file in this folder."""
        files, root = opened(self.address)
        return files, f"{root}/{name}" if name else root

    def arrow(self) -> tuple[pyarrow.fs.FileSystem, str]:
        """The same for pyarrow, which Ray Data uses to write."""
        files, root = opened(self.address)
        if self.local:
            return pyarrow.fs.LocalFileSystem(), root
        return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files)), root

    def make(self) -> None:
        """Make the folder.

        Raises:
            OutputError: if it cannot be.
        """
        files, root = self.path()
        with self.used():
            files.makedirs(root, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None if there is none.

        Raises:
            OutputError: if the folder cannot be read.
        """
        files, path = self.path(name)
        with self.used("read"), suppress(FileNotFoundError, NotADirectoryError):
            return bytes(files.cat_file(path))
        return None

    def names(self) -> Iterator[str]:
        """Names of the files in this folder, unfinished ones included.

        Raises:
            OutputError: if the folder cannot be read.
        """
        files, root = self.path()
        found: list[dict[str, Any]] = []
        with self.used("read"), suppress(FileNotFoundError, NotADirectoryError):
            found = files.ls(root, detail=True)
        for entry in found:
            if entry["type"] == "file" and entry["name"].rstrip("/") != root:
                yield entry["name"].rpartition("/")[2]

    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it, in one step.

        Raises:
            OutputError: if the disk is full, or it cannot be written.
        """
        with self.writing(name) as file:
            file.write(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Open a file to write; it appears, or is replaced, when the block ends without an error.

        Raises:
            OutputError: as `write`.
        """
        files, path = self.path(name)
        folder = os.path.dirname(path) if self.local else tempfile.gettempdir()
        part = f"{folder}/.{secrets.token_hex(8)}.part"
        try:
            with Place(folder).used(), open(part, "xb") as file:
                yield file
            with self.used():
                if self.local:
                    os.replace(part, path)
                else:
                    files.put_file(part, path)  # an object store shows complete objects only
        finally:
            with suppress(OSError):
                os.unlink(part)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            OutputError: if it cannot be.
        """
        files, path = self.path(name)
        with self.used(), suppress(FileNotFoundError):
            files.rm_file(path)

    def sweep(self) -> None:
        """Remove the unfinished files of a killed process, and nobody else's."""
        for name in list(self.names()):
            if _PART.fullmatch(name):
                self.remove(name)

    @contextmanager
    def used(self, how: str = "written") -> Iterator[None]:
        """What fails inside, as one of livesr's errors.

        Raises:
            OutputError: if the folder cannot be used like this.
        """
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutputError(full_disk(self.address)) from None
            raise OutputError(
                f"{self.address} cannot be {how}: {error.strerror or error}. What is written "
                "is kept; give the same command again to continue."
            ) from None
        except Exception as error:
            if self.local or isinstance(error, LivesrError):
                raise
            raise OutputError(unreached(self.address, error)) from None


def unreached(address: str, error: Exception) -> str:
    """The message for an error of an object store's library; each has types of its own."""
    return (
        f"{address} cannot be reached: {error!s:.200}. Check the address and the store's "
        "credentials, then give the same command again."
    )


def foreign(place: Place, name: str) -> str:
    """The message for a file in the output folder that would be replaced, but is not livesr's."""
    return (
        f"{place.address}/{name} was not written by livesr archive, or is damaged; move it to "
        "another folder, or name another for OUT."
    )


def full_disk(address: str) -> str:
    """The message for a full disk."""
    return (
        f"{address} cannot be written: the disk is full. What is written is kept; free some space "
        "and give the same command again."
    )
