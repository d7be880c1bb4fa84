"""The bytes of a file at any place, and files made of pieces of them."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

_BLOCK = 1 << 20  # bytes read at once
_END = 1 << 60  # stands for the end of a stream of unknown length

Piece = bytes | range  # bytes as they are, or those of a file from one place to another


class Content:
    """A file's bytes at any place, a block of them kept.

    Args:
        file: open, binary, and able to seek.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = file.seek(0, os.SEEK_END)
        self._start, self._block = 0, b""

    def at(self, place: int, count: int) -> bytes:
        """So many bytes from there; fewer where the file ends."""
        within = place - self._start
        if within >= 0 and within + count <= len(self._block):
            return self._block[within : within + count]
        if count >= _BLOCK:
            return self._read(place, count)
        self._start, self._block = place, self._read(place, _BLOCK)
        return self._block[:count]

    def find(self, pattern: bytes, start: int, stop: int | None = None) -> int:
        """The first place from `start` on where these bytes are; -1 if there is none."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            block = self.at(start, min(_BLOCK, stop - start))
            found = block.find(pattern)
            if found >= 0:
                return start + found
            if len(block) < _BLOCK:
                return -1
            start += len(block) - len(pattern) + 1
        return -1

    def zeros(self, start: int) -> bool:
        """Whether nothing but zeros follows."""
        while block := self.at(start, _BLOCK):
            if block.strip(b"\0"):
                return False
            start += len(block)
        return True

    def _read(self, place: int, count: int) -> bytes:
        self.file.seek(place)
        # Python reserves memory for all that is asked for, and a header may promise gigabytes.
        return read_fully(self.file, min(count, max(0, self.size - place)))


class Pieces(io.RawIOBase):
    """A file made of bytes and of pieces of another file; read-only.

    Attributes:
        error: what went wrong while it was read: C libraries that call back cannot say it.
    """

    def __init__(self, content: Content, pieces: Sequence[Piece]) -> None:
        self._content, self._pieces = content, [piece for piece in pieces if len(piece)]
        self._place = 0
        self.size = sum(len(piece) for piece in self._pieces)
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._place, self.size)[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._bytes(len(view))
        except BaseException as error:  # told by whoever called the library
            self.error = error
            return 0
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _bytes(self, count: int) -> bytes:
        found, start = [], 0
        place, left = self._place, count
        for piece in self._pieces:
            within = place - start
            if left and 0 <= within < len(piece):
                taken = piece[within : within + left]
                data = taken if isinstance(taken, bytes) else self._piece(taken)
                found.append(data)
                place, left = place + len(data), left - len(data)
                if len(data) < len(taken):
                    break
            start += len(piece)
        return b"".join(found)

    def _piece(self, place: range) -> bytes:
        return self._content.at(place.start, len(place))


class Incoming(io.RawIOBase):
    """What comes from a pipe, as a file that C libraries read from its beginning to its end.

    Its first bytes can be read again until `begun`; from then on nothing is kept.

    Args:
        pipe: open, binary.

    Attributes:
        ended: whether the pipe has given all it had.
        missing: bytes that a header promised and that did not come.
        error: what went wrong while it was read.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._kept = bytearray()  # from `_from` on
        self._from = self._place = 0
        self._limit = _END
        self._begun = self.ended = False
        self.error: BaseException | None = None

    def begun(self) -> None:
        """What has been read is not asked for again."""
        self._begun = True

    def peek(self, count: int) -> bytes:
        """So many bytes from the beginning, fewer at the end; they are read again later."""
        self._fetch(count)
        return bytes(self._kept[:count])

    def put(self, header: bytes, length: int, follows: int | None) -> None:
        """Have a header in place of the first bytes, and so many bytes after it; None for all."""
        self._kept[:length] = header
        self._limit = _END if follows is None else len(header) + follows

    @property
    def missing(self) -> int:
        come = self._from + len(self._kept)
        return self._limit - come if self.ended and self._limit < _END else 0

    def rest(self, count: int) -> bytes:
        """So many bytes after all that was asked for; fewer at the end."""
        self._limit, self._place = _END, self._from
        return self.read(count) or b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = max(0, offset + (0, self._place, self._limit)[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        within, count = self._place - self._from, min(len(view), self._limit - self._place)
        # A library that looks for what may follow the sound finds the end there.
        if count <= 0 or within < 0 or within > len(self._kept) + _BLOCK:
            return 0
        try:
            self._fetch(self._place + count)
        except BaseException as error:
            self.error = error
            return 0
        data = self._kept[within : within + count]
        view[: len(data)] = data
        self._place += len(data)
        if self._begun:
            del self._kept[: within + len(data)]
            self._from = self._place
        return len(data)

    def _fetch(self, until: int) -> None:
        while not self.ended and self._from + len(self._kept) < until:
            more = self._pipe.read(until - self._from - len(self._kept))
            self.ended = not more
            self._kept += more or b""


def spooled(pipe: Incoming) -> BinaryIO:
    """All that comes from a pipe, in a temporary file: for what needs its end before its start.

    Raises:
        OSError: if the pipe cannot be read, or the disk is full.
    """
    spool = tempfile.TemporaryFile(prefix="livesr-")  # noqa: SIM115  (the caller's to close)
    try:
        pipe.begun()
        while block := pipe.read(_BLOCK):
            spool.write(block)
        if pipe.error:
            raise pipe.error
    except BaseException:
        spool.close()
        raise
    return cast(BinaryIO, spool)


def read_fully(file: BinaryIO, count: int) -> bytes:
    """So many bytes, fewer only at the end: a raw file may give less at once."""
    data = file.read(count) or b""
    while len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data
