"""A stream's state as bytes: nested dicts of numbers, strings and arrays, never pickled."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.errors import ModelError

State = dict[str, Any]

_KIND = b"livesr-state-"
_FORMAT = "2"
_MAGIC = _KIND + _FORMAT.encode() + b"\n"
_HEADER = struct.Struct("<II")  # length of the JSON text, CRC-32 of all that follows
_DTYPES = ("<f4", "<f8", "<i8", "|b1")


def pack(state: Mapping[str, Any]) -> bytes:
    """Nested dicts of numbers, strings and arrays as checksummed bytes, without pickle.

    Example:
        >>> import numpy as np
        >>> unpack(pack({"hop": 4000, "tail": np.zeros(2, np.float32)}))
        {'hop': 4000, 'tail': array([0., 0.], dtype=float32)}
    """
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
