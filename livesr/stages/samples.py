"""What may come in as samples, and how it becomes float32 mono."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from livesr.arrays import Array, Float32
from livesr.errors import AudioError

RATES = (8000, 192000)  # Hz, lowest and highest
_LONGEST_GAP = 10**13  # samples: so much at 96 kHz
MOST_CHANNELS = 64
_LARGEST = 100.0  # 40 dB over full scale: beyond it, these were never samples in [-1, 1]
_FAINTEST = 1e-20  # where a filter's tail fades into denormals, every sum is slow
_INTEGER_SCALE = {np.dtype(np.int16): 2.0**-15, np.dtype(np.int32): 2.0**-31}


def as_mono(samples: Any) -> Float32:
    """Samples as an app has them, as float32 [n], channels averaged.

    Args:
        samples: float32 or float64 in [-1, 1], int16 or int32; [n] or [n, channels].

    Raises:
        AudioError: for another type or shape, NaN or infinity, or values that cannot be
            samples of that type. Nothing has been heard then.
    """
    try:
        array: Array = np.asarray(samples)
    except ValueError as error:
        raise AudioError(
            f"These samples are not an array ({error}); pass [n] or [n, channels]."
        ) from None
    if array.ndim not in (1, 2):
        raise AudioError(
            f"Samples of shape {array.shape} have {array.ndim} axes; pass [n] or [n, channels]."
        )
    if array.size == 0:
        return np.zeros(0, np.float32)
    if array.ndim == 2 and array.shape[1] > MOST_CHANNELS:
        raise AudioError(
            f"Samples of shape {array.shape} would be {array.shape[1]} channels; "
            "pass [n, channels], so transpose what has channels first."
        )
    native = array.dtype.newbyteorder("=")
    if native in _INTEGER_SCALE:
        array = array.astype(np.float32) * np.float32(_INTEGER_SCALE[native])
    elif native in (np.dtype(np.float32), np.dtype(np.float64)):
        _check_values(array)
        array = array.astype(np.float32)
        array[np.abs(array) < _FAINTEST] = 0
    else:
        raise AudioError(
            f"Samples of type {array.dtype} are not understood; pass float32 in [-1, 1] or int16."
        )
    if array.ndim == 1:
        return array
    # One channel at a time: a sum along the short axis may add in another order for another
    # number of rows, and the same sound must give the same bits however it is cut.
    mono: Float32 = array[:, 0].copy()
    for channel in range(1, array.shape[1]):
        mono += array[:, channel]
    return mono / np.float32(array.shape[1])


def _check_values(array: Array) -> None:
    lowest, highest = float(array.min()), float(array.max())  # NaN if any value is
    if lowest >= -_LARGEST and highest <= _LARGEST:
        return
    finite = np.isfinite(array)
    if not finite.all():
        place = int(np.argwhere(~finite)[0][0])
        what = "NaN" if np.isnan(array[place]).any() else "infinite"
        raise AudioError(
            f"Sample {place} of {len(array)} is {what}; repair or drop it before pushing."
        )
    raise AudioError(
        f"Samples reach {max(-lowest, highest):.6g}, but floating-point samples lie in [-1, 1]; "
        "pass integer samples as an int16 array, or divide by full scale."
    )


def in_words(value: Any) -> str:
    """What somebody gave, for a message: short, whatever it is."""
    try:
        return f"{value!r:.40}"
    except ValueError:  # Python writes no number of more than 4300 digits
        return "so many"


def check_rate(sample_rate: Any) -> int:
    """A sample rate in Hz, as an int.

    Raises:
        AudioError: if it is not a whole number from 8000 to 192000.
    """
    lowest, highest = RATES
    try:
        rate = operator.index(sample_rate)
    except TypeError:
        whole = isinstance(sample_rate, (float, np.floating)) and float(sample_rate).is_integer()
        rate = int(sample_rate) if whole else 0
    if isinstance(sample_rate, bool) or not lowest <= rate <= highest:
        raise AudioError(
            f"A sample rate of {in_words(sample_rate)} Hz is not supported; "
            f"use a whole number from {lowest} to {highest}."
        )
    return rate


def check_gap(count: Any) -> int:
    """A number of lost samples, as an int.

    Raises:
        AudioError: if it is not a whole number, 0 to 10**13.
    """
    whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
    if not whole or not 0 <= count <= _LONGEST_GAP:
        raise AudioError(
            f"A gap of {in_words(count)} samples cannot be; "
            f"give a whole number, 0 to {_LONGEST_GAP}."
        )
    return int(count)
