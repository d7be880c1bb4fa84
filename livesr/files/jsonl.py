"""What `--jsonl` wrote, read back, and trusted no further than it deserves."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader, TextIOWrapper
from pathlib import Path

from livesr.errors import LivesrError
from livesr.event import Event, Item, UnknownKindError
from livesr.reading import Reading

_LONGEST_LINE = 1 << 20
_GZIP = b"\x1f\x8b"


def is_session(path: str | Path) -> bool:
    """Whether a file is one of readings, by its name: .jsonl, .ndjson or .json, also gzipped."""
    return re.search(r"\.(jsonl|ndjson|json)(\.gz)?$", str(path), re.IGNORECASE) is not None


def readings_from_jsonl(path: str | Path) -> Iterator[Item]:
    """What `--jsonl` wrote, item by item; a last line cut short is left out.

    It may have been gzipped since, or turned into UTF-16 (as PowerShell's `>` does).

    Raises:
        LivesrError: naming the file, at once if it cannot be opened; from the iterator, naming
            the line, where it is not what livesr writes.
    """
    if path == "":  # which `Path` takes for the folder one is in
        raise LivesrError("The file's name is empty; name one that --jsonl wrote.")
    try:
        file = Path(path).open("rb")  # noqa: SIM115  (the iterator closes it)
    except (OSError, TypeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise LivesrError(f"{path} cannot be read: {why}; check the path.") from None
    return _items(path, file)


def _items(path: str | Path, file: BufferedReader) -> Iterator[Item]:
    last: dict[int | None, Reading] = {}  # by channel
    with file:
        for number, line in enumerate(_lines(path, file), 1):
            try:
                item = _item(line, last) if line.strip() else None
            except (TypeError, ValueError, OverflowError) as error:
                cut = isinstance(error, _NotJson) and not line.endswith(b"\n")
                if last and cut and len(line) < _LONGEST_LINE:
                    return  # the program that wrote it was killed here
                raise LivesrError(
                    f"{path}, line {number}, is not what livesr writes ({error!s:.200}); "
                    "give a file that --jsonl wrote."
                ) from None
            if item:
                if isinstance(item, Reading):
                    last[item.channel] = item
                yield item
    if not last:
        raise LivesrError(f"{path} holds no readings; give a file that --jsonl wrote.")


def _lines(path: str | Path, file: BufferedReader) -> Iterator[bytes]:
    """UTF-8 lines, whatever the file was packed in; no longer than may be."""
    try:
        readline = _unpacked(file)
        while line := readline(_LONGEST_LINE):
            yield line
    except EOFError:
        return  # a gzip cut short
    except (OSError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise LivesrError(f"{path} cannot be read: {why}.") from None


def _unpacked(file: BufferedReader) -> Callable[[int], bytes]:
    packed = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
    if packed.peek(2)[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return packed.readline
    text = TextIOWrapper(packed, "utf-16", errors="replace", newline="\n")
    return lambda most: text.readline(most).encode("utf-8", "replace")


class _NotJson(ValueError):
    """A line that is no JSON: of a file's last, the sign that it was cut short."""


def _item(line: bytes, last: dict[int | None, Reading]) -> Item | None:
    """The item of one line, checked against its channel's reading before; None of a later kind."""
    try:
        values = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise _NotJson("no JSON") from None
    if not isinstance(values, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  (of a file, not of a caller)
    if "event" in values:
        try:
            return Event.from_dict(values)
        except UnknownKindError:
            return None
    reading = Reading.from_dict(values)
    if before := last.get(reading.channel):
        if list(reading.smoothed) != list(before.smoothed):
            raise ValueError("other labels than before")
        if reading.end <= before.end:
            raise ValueError("times that do not increase")
    return reading
