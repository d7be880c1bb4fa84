"""Decode a client's bytes to samples."""

from __future__ import annotations

import io

import numpy as np
import soundfile as sf

from livesr.arrays import Array
from livesr.serve.protocol import Encoding

_WIDTHS: dict[Encoding, int] = {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}
_LARGEST = 100.0  # more than this is not sound; the same limit as in livesr.stages.samples


def _g711(subtype: str) -> Array:
    """The samples of the 256 codes as libsndfile decodes them, so that a file gives the same."""
    codes = io.BytesIO(bytes(range(256)))
    table, _ = sf.read(
        codes, dtype="int16", format="RAW", subtype=subtype, samplerate=8000, channels=1
    )
    return np.asarray(table)


class Sound:
    """Decodes complete frames of one encoding.

    Args:
        encoding: of a sample.
        channels: interleaved.
        channel: take this channel only, counted from 1; None for all of them.
    """

    def __init__(self, encoding: Encoding, channels: int, channel: int | None) -> None:
        self.frame_bytes = _WIDTHS[encoding] * channels
        self._encoding, self._channels, self._channel = encoding, channels, channel
        self._table = (
            _g711({"mulaw": "ULAW", "alaw": "ALAW"}[encoding])
            if (encoding in ("mulaw", "alaw"))
            else None
        )

    def samples(self, data: bytes | bytearray) -> tuple[Array, int]:
        """Bytes of complete frames -> int16 or float32 [n] or [n, channels], and the bad ones.

        A bad sample is one that is not finite or beyond +-100; it becomes silence.
        """
        kind = {"s16le": "<i2", "f32le": "<f4"}.get(self._encoding, "u1")
        array: Array = np.frombuffer(data, kind)
        if self._channels > 1:
            array = array.reshape(-1, self._channels)
            if self._channel is not None:
                array = array[:, self._channel - 1].copy()
        if self._table is not None:
            return self._table[array], 0
        if self._encoding == "s16le":
            return array, 0
        good = np.abs(array) <= _LARGEST  # NaN is not
        bad = int(good.size - np.count_nonzero(good))
        return (np.where(good, array, np.float32(0)) if bad else array), bad
