"""Checks samples as programs have them, and turns them into float32 mono."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from livesr.arrays import Array, Float32
from livesr.errors import AudioError
from livesr.reading import LATEST_START_SECONDS
from livesr.settings import MOST_CHANNELS

RATES = (8000, 192000)  # Hz, lowest and highest
_LONGEST_GAP = 10**13  # samples: so much at 96 kHz
_MOST_AT_ONCE = 8  # channels that a stream's first row alone may have: more is a row of samples
_LARGEST = 100.0  # 40 dB over full scale: larger values are not samples in [-1, 1]
_FAINTEST = 1e-20  # smaller values become 0: sums of denormal numbers are slow
_INTEGER_SCALE = {np.dtype(np.int16): 2.0**-15, np.dtype(np.int32): 2.0**-31}
_AUDIBLE = 1e-5  # mean square (-50 dBFS) above which channels have sound
_CANCELLED = 0.05  # of two channels' power, the least that their mean must keep


class UnscaledError(AudioError):
    """Floating-point samples in the scale of integers.

    Attributes:
        largest: of them, without its sign.
        scale: of the integers that they seem to be.
    """

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self.scale = 2.0**15 if largest <= 2**15 else 2.0**31
        super().__init__(
            f"Samples reach {largest:.6g}, but floating-point samples lie in [-1, 1]; "
            "pass integer samples as an int16 array, or divide by full scale."
        )


def as_mono(samples: Any, channel: int | None = None, channels: int = 0) -> Float32:
    """Samples as a program has them -> float32 [n]: one channel, or the mean of all.

    Args:
        samples: float32 or float64 in [-1, 1], int16 or int32, [n] or [n, channels]; or bytes,
            which are int16, little-endian, mono.
        channel: which one to take, counted from 1; None takes the mean of all.
        channels: of the stream so far; 0 if not known. A single row with another number of
            columns is taken for samples with exchanged axes, and refused.

    Raises:
        AudioError: for another type or shape, a channel that is not there, NaN or infinity, or
            values that cannot be samples of that type.

    Example:
        >>> import numpy as np
        >>> as_mono(np.array([[16384, 0], [-16384, 0]], np.int16))
        array([ 0.25, -0.25], dtype=float32)
    """
    array = shaped(samples, channels)
    wanted, count = check_channel(channel), array.shape[1] if array.ndim == 2 else 1
    if wanted is not None and array.size and wanted > count:
        raise AudioError(
            f"Channel {wanted} is asked for, but these samples have {in_number(count)}; "
            "count from 1."
        )
    if array.size == 0:
        return np.zeros(0, np.float32)
    if wanted is not None and array.ndim == 2:
        array = array[:, wanted - 1]
    array = _as_float(array)
    if array.ndim == 1:
        return array
    # One channel at a time: numpy may add along the short axis in an order that depends on the
    # number of rows, and the same sound must give the same bits in chunks of any length.
    mono: Float32 = array[:, 0].copy()
    for place in range(1, count):
        mono += array[:, place]
    return mono / np.float32(count)


def shaped(samples: Any, channels: int = 0) -> Array:
    """Samples as a program has them, as an array [n] or [n, channels] of their own type.

    Raises:
        AudioError: for another shape; see `as_mono`.
    """
    array = _array(samples)
    if array.ndim not in (1, 2):
        raise AudioError(
            f"Samples of shape {array.shape} have {array.ndim} axes; pass [n] or [n, channels]."
        )
    if array.size and array.ndim == 2:
        count = array.shape[1]
        expected = count == channels if channels else count <= _MOST_AT_ONCE
        if count > MOST_CHANNELS or (len(array) == 1 and count > 1 and not expected):
            raise AudioError(
                f"Samples of shape {array.shape} would be {count} channels; "
                "pass [n, channels], so transpose what has channels first."
            )
    return array


def _as_float(array: Array) -> Float32:
    native = array.dtype.newbyteorder("=")
    if native in _INTEGER_SCALE:
        return array.astype(np.float32) * np.float32(_INTEGER_SCALE[native])
    if native not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise AudioError(
            f"Samples of type {array.dtype} are not understood; pass float32 in [-1, 1] or int16."
        )
    _check_values(array)
    array = array.astype(np.float32)
    array[np.abs(array) < _FAINTEST] = 0
    return array


def _array(samples: Any) -> Array:
    if isinstance(samples, memoryview) and samples.format in ("B", "b", "c"):
        samples = samples.tobytes()
    if isinstance(samples, (bytes, bytearray)):
        if len(samples) % 2:
            raise AudioError(
                f"{len(samples)} bytes are not whole int16 samples; "
                "keep the odd byte and push it with the next ones."
            )
        return np.frombuffer(samples, "<i2")
    if samples is None or isinstance(samples, str):
        raise AudioError(
            f"{in_words(samples)} is no array of samples; for a file use livesr.replay or judge."
        )
    try:
        return np.asarray(samples)
    except MemoryError:
        raise
    except Exception as error:  # a tensor's own complaint, of whatever type its library has
        why = " ".join(str(error).split()).rstrip(".")
        raise AudioError(
            f"These samples are not an array ({why:.200}); pass [n] or [n, channels]."
        ) from None


def check_channel(channel: Any) -> int | None:
    """The number of a channel, counted from 1, as an int; None stays None.

    Raises:
        AudioError: if it is not a whole number from 1 to 64.
    """
    if channel is None:
        return None
    whole = isinstance(channel, (int, np.integer)) and not isinstance(channel, bool)
    if not whole or not 1 <= channel <= MOST_CHANNELS:
        raise AudioError(
            f"There is no channel {in_words(channel)}; count channels from 1 to {MOST_CHANNELS}."
        )
    return int(channel)


class Mixdown:
    """Detects channels that cancel each other out in their mean, such as a pair in opposite phase.

    It decides after a second of sound. A gain, or one silent channel, is no cancellation.
    """

    CANCELLED = "cancel each other out in their mean"  # stands in `words`

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._audible = self._cancelled = 0  # frames of blocks with sound; whose mean has none
        self._reported = False

    def loses(self, samples: Float32) -> bool:
        """Whether float32 [n, channels] shows, for the first time, that the mean loses sound."""
        if self._reported or samples.ndim != 2 or samples.shape[1] < 2 or not len(samples):
            return False
        # `as_mono` refuses what is not finite, or far over full scale.
        with np.errstate(over="ignore", invalid="ignore"):
            power = float(np.mean(np.square(samples, dtype=np.float64)))
            left = float(np.mean(np.square(samples.mean(axis=1, dtype=np.float64))))
        if not power > _AUDIBLE:
            return False
        self._audible += len(samples)
        if left < 2 * _CANCELLED * power / samples.shape[1]:
            self._cancelled += len(samples)
        self._reported = self._audible >= self._rate and 2 * self._cancelled > self._audible
        return self._reported

    @classmethod
    def words(cls, channels: int) -> str:
        """The message for such channels."""
        return (
            f"the {channels} channels {cls.CANCELLED}, which livesr uses; "
            "take one of them with --channel 1 (channel=1)"
        )


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
    raise UnscaledError(max(-lowest, highest))


def in_number(channels: int) -> str:
    """A number of channels, in words."""
    return "one channel" if channels == 1 else f"{channels} channels"


def in_words(value: Any) -> str:
    """A value for a message: its repr, cut short."""
    try:
        return f"{value!r:.40}"
    except ValueError:  # Python does not write integers of more than 4300 digits
        return "a very large number"


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
            f"A gap of {in_words(count)} samples is not possible; "
            f"give a whole number, 0 to {_LONGEST_GAP}."
        )
    return int(count)


def check_skip(count: Any, position: int, rate: int) -> int:
    """As `check_gap`, of a stream that is at this sample of so many a second.

    Raises:
        AudioError: also if sound after the gap would have no time.
    """
    whole = check_gap(count)
    if position + whole > LATEST_START_SECONDS * rate:
        raise AudioError(
            f"A gap of {whole} samples ends later than {LATEST_START_SECONDS:.0f} s, which is as "
            "far as a stream can skip; begin a new one."
        )
    return whole
