"""Samples to log-mels, frame by frame: eq. (1).

Frame t covers samples [160 t, 160 t + 400).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from python_speech_features import get_filterbanks
from scipy.fft import rfft

from livesr.arrays import Float32, Float64
from livesr.settings import FrontEndSettings
from livesr.stages.stage import Stage


def mel_filterbank(settings: FrontEndSettings) -> Float64:
    """The triangular mel filters of `python_speech_features.get_filterbanks`.

    Returns:
        float64 [bands, fft_samples // 2 + 1], each filter with peak 1.

    Example:
        >>> mel_filterbank(FrontEndSettings()).shape
        (40, 257)
    """
    filters: Float64 = get_filterbanks(
        nfilt=settings.bands, nfft=settings.fft_samples, samplerate=settings.sample_rate
    )
    return filters


class Framer(Stage):
    """Samples to overlapping frames."""

    _fields = ("_tail",)

    def __init__(self, settings: FrontEndSettings) -> None:
        self._window = settings.window_samples
        self._shift = settings.shift_samples
        self.reset()

    def reset(self) -> None:
        self._tail: Float32 = np.zeros(0, np.float32)

    def push(self, samples: Float32) -> Float32:
        """float32 [n] -> every frame now whole, float32 [frames, window_samples] (a view)."""
        held = np.concatenate((self._tail, samples))
        count = max(0, (len(held) - self._window) // self._shift + 1)
        self._tail = held[count * self._shift :].copy()
        if not count:
            return np.zeros((0, self._window), np.float32)
        step = held.itemsize
        # What as_strided does, at a fortieth of its cost: this runs every hop.
        strides = (self._shift * step, step)
        return np.ndarray((count, self._window), held.dtype, held, strides=strides)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        frames = max(0, (taken - self._window) // self._shift + 1)
        return {"tail": (taken - frames * self._shift, len(values["_tail"]))}


@lru_cache(maxsize=8)
def _filters(settings: FrontEndSettings) -> Float32:
    """The filterbank as `LogMel` multiplies it; shared by all streams."""
    return (mel_filterbank(settings).T * (1 / settings.fft_samples)).astype(np.float32)


class LogMel(Stage):
    """Frames to log-mels, as in eq. (1): m_i = log p_i.

    A Hamming window, a power spectrum, and the energies p_i of the mel filters.

    In single precision: against double precision the probabilities of a reading move by less than
    1e-5, and a hop costs less.
    """

    def __init__(self, settings: FrontEndSettings) -> None:
        self._hamming = np.hamming(settings.window_samples).astype(np.float32)
        self._fft_samples = settings.fft_samples
        self._filters = _filters(settings)
        self._floor = np.float32(settings.log_floor)

    def reset(self) -> None:
        """Keeps nothing."""

    def push(self, frames: Float32) -> Float64:
        """float32 [n, window_samples] -> natural log of mel energies, float64 [n, bands]."""
        spectrum = rfft(frames * self._hamming, self._fft_samples)
        power = spectrum.real**2 + spectrum.imag**2
        energies = np.maximum(power @ self._filters, self._floor)
        return np.asarray(np.log(energies), np.float64)
