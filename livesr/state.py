"""A stream's state, or a profile, as bytes: numbers, strings and arrays, never pickled."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.errors import LivesrError, ModelError

State = dict[str, Any]

# What using values that were unpacked may raise, where somebody has changed them.
UNREADABLE = (
    AttributeError,
    IndexError,
    KeyError,
    LivesrError,
    OverflowError,
    TypeError,
    ValueError,
)
_FORMATS = {"state": "2", "profile": "1"}
_NEXT = {"state": "pass what Recognizer.state() gave", "profile": "give a file that livesr wrote"}
_HEADER = struct.Struct("<II")  # length of the JSON text, CRC-32 of all that follows
_DTYPES = ("<f2", "<f4", "<f8", "<i8", "|b1")


def _magic(kind: str, version: str) -> bytes:
    return f"livesr-{kind}-{version}\n".encode()


def pack(state: Mapping[str, Any], kind: str = "state") -> bytes:
    """Nested dicts of numbers, strings and arrays as checksummed bytes, without pickle.

    A line that names the kind and the format's version; the length of a JSON text and the CRC-32
    of all that follows, as two unsigned 32-bit numbers, little-endian; the JSON text, in which an
    array stands as its type and shape; the arrays' bytes, one after the other.

    Args:
        state: lists may stand in it where they hold no arrays.
        kind: "state" or "profile".

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
    return _magic(kind, _FORMATS[kind]) + _HEADER.pack(len(text), zlib.crc32(body)) + body


def unpack(data: bytes, kind: str = "state") -> State:
    """The inverse of `pack`.

    Raises:
        ModelError: if `data` is not, byte for byte, something `pack` made of this kind.
    """
    magic = _magic(kind, _FORMATS[kind])
    start = len(magic) + _HEADER.size
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ModelError(f"A saved {kind} is bytes, not {type(data).__name__}; {_NEXT[kind]}.")
    data = bytes(data)
    if data.startswith(_magic(kind, "")[:-1]) and not data.startswith(magic):
        theirs = data[len(_magic(kind, "")) - 1 : start].split(b"\n")[0].decode(errors="replace")
        raise ModelError(
            f"This is a {kind} of format {theirs!r}, this livesr has {_FORMATS[kind]!r}; "
            "use it with the version of livesr that saved it."
        )
    if len(data) < start or not data.startswith(magic):
        raise ModelError(f"These bytes are not a livesr {kind}; {_NEXT[kind]}.")
    length, checksum = _HEADER.unpack_from(data, len(magic))
    if zlib.crc32(data[start:]) != checksum:
        raise ModelError(f"The saved {kind} is damaged or cut short; save it again.")
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
            f"The saved {kind} cannot be read ({error!s:.200}); save it again."
        ) from None
    return state
