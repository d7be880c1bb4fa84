"""The contract every streaming stage keeps, and how its state travels.

A stage takes whatever has arrived (`push`), gives what is still held back at the end of a
stream (`finish`) and can be made as new (`reset`). What it must remember between two calls
stands in the attributes named by `_fields`, and nowhere else: that is what makes a stream
resumable in another process.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from livesr.errors import ModelError

Array = npt.NDArray[Any]
Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
State = dict[str, Any]

_KIND = b"livesr-state-"
_FORMAT = "1"
_MAGIC = _KIND + _FORMAT.encode() + b"\n"
_HEADER = struct.Struct("<II")  # length of the JSON text, CRC-32 of all that follows
_DTYPES = ("<f4", "<f8", "<i8", "|b1")


class Stage:
    """A streaming stage whose memory is exactly the attributes in `_fields`."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def reset(self) -> None:
        """Forget the stream: the next `push` begins a new one."""
        raise NotImplementedError

    def state(self) -> State:
        """What this stage remembers, as plain numbers and arrays (copied)."""
        return {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in ((name, getattr(self, name)) for name in self._fields)
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a stream where `state()` left it.

        Raises:
            ModelError: if a value is missing, unknown, or of another kind or shape than
                this stage keeps. The stage is then unchanged.
        """
        if set(state) != set(self._fields):
            raise ModelError(
                f"The saved state does not fit {type(self).__name__}: it holds "
                f"{sorted(state)}, expected {sorted(self._fields)}. "
                "Use a state saved by this version of livesr."
            )
        values = {name: _same_kind(name, state[name], getattr(self, name)) for name in self._fields}
        for name, value in values.items():
            setattr(self, name, value)


def _same_kind(name: str, value: Any, like: Any) -> Any:
    """`value`, checked against the attribute it replaces; the first axis alone may differ."""
    if isinstance(like, np.ndarray):
        if (
            isinstance(value, np.ndarray)
            and value.dtype == like.dtype
            and value.ndim == like.ndim
            and value.shape[1:] == like.shape[1:]
        ):
            return value.copy()
    elif type(value) is type(like):
        return value
    raise ModelError(
        f"The saved state does not fit: {name!r} is of another kind or shape than expected. "
        "Use a state saved with the same model and version of livesr."
    )


def pack(state: Mapping[str, Any]) -> bytes:
    """Nested dicts of numbers, strings and arrays as bytes (no pickle, checksummed)."""
    blobs: list[bytes] = []

    def encode(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: encode(item) for key, item in value.items()}
        if isinstance(value, np.ndarray):
            blobs.append(np.ascontiguousarray(value).tobytes())
            return {"__array__": value.dtype.str, "shape": list(value.shape)}
        return value

    text = json.dumps(encode(state)).encode()
    body = text + b"".join(blobs)
    return _MAGIC + _HEADER.pack(len(text), zlib.crc32(body)) + body


def unpack(data: bytes) -> State:
    """The inverse of `pack`.

    Raises:
        ModelError: if `data` is not, byte for byte, something `pack` made.
    """
    start = len(_MAGIC) + _HEADER.size
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ModelError(
            f"A saved state is bytes, not {type(data).__name__}; pass what state() gave."
        )
    data = bytes(data)
    if data.startswith(_KIND) and not data.startswith(_MAGIC):
        theirs = data[len(_KIND) : start].split(b"\n")[0].decode(errors="replace")
        raise ModelError(
            f"This is a state of format {theirs!r}, this livesr has {_FORMAT!r}; "
            "restore it with the version of livesr that saved it."
        )
    if len(data) < start or not data.startswith(_MAGIC):
        raise ModelError("These bytes are not a livesr state; pass what Recognizer.state() gave.")
    length, checksum = _HEADER.unpack_from(data, len(_MAGIC))
    if zlib.crc32(data[start:]) != checksum:
        raise ModelError("The saved state is damaged or cut short; save it again with state().")
    offset = start + length

    def decode(value: Any) -> Any:
        nonlocal offset
        if not isinstance(value, dict):
            return value
        if "__array__" not in value:
            return {key: decode(item) for key, item in value.items()}
        if value["__array__"] not in _DTYPES:
            raise ValueError(value["__array__"])
        dtype = np.dtype(value["__array__"])
        count = int(np.prod(value["shape"], dtype=np.int64))
        array = np.frombuffer(data, dtype, count, offset).reshape(value["shape"]).copy()
        offset += array.nbytes
        return array

    try:
        state = dict(decode(json.loads(data[start:offset])))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(
            f"The saved state cannot be read ({error!s:.200}); save it again with state()."
        ) from None
    return state
