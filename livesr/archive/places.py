"""Folders that fsspec opens: on a local disk or in an object store."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from livesr.errors import LivesrError

_PART = ".part"  # a file that is being written


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

    def holds(self, address: str) -> bool:
        """Whether an absolute path or URL lies in this folder, or is it."""
        return f"{address}/".startswith(self.address.rstrip("/") + "/")

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
        try:
            files.makedirs(root, exist_ok=True)
        except OSError as error:
            raise self._failed(error) from None

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None if there is none."""
        files, path = self.path(name)
        try:
            return bytes(files.cat_file(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self) -> Iterator[str]:
        """Names of the files in this folder, unfinished ones included."""
        files, root = self.path()
        try:
            found = files.ls(root, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
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
        part = f"{folder}/.{secrets.token_hex(8)}{_PART}"
        try:
            with open(part, "xb") as file:
                yield file
            if self.local:
                os.replace(part, path)
            else:
                files.put_file(part, path)  # an object store shows complete objects only
        except OSError as error:
            raise self._failed(error) from None
        finally:
            with suppress(OSError):
                os.unlink(part)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        files, path = self.path(name)
        with suppress(FileNotFoundError):
            files.rm_file(path)

    def sweep(self) -> None:
        """Remove the unfinished files of a killed process."""
        for name in list(self.names()):
            if name.startswith(".") and name.endswith(_PART):
                self.remove(name)

    def _failed(self, error: OSError) -> OutputError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return OutputError(full_disk(self.address))
        return OutputError(
            f"{self.address} cannot be written: {error.strerror or error}. What is written "
            "is kept; give the same command again to continue."
        )


def full_disk(address: str) -> str:
    """The message for a full disk."""
    return (
        f"{address} cannot be written: the disk is full. What is written is kept; free some space "
        "and give the same command again."
    )
