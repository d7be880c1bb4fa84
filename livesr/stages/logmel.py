"""Samples to log-mels, frame by frame (eq. 1).

Frame t covers samples [160 t, 160 t + 400).
"""

from __future__ import annotations

import numpy as np

from livesr.arrays import Float32, Float64
from livesr.settings import FrontEndSettings
from livesr.stages.stage import Stage


def mel_filterbank(settings: FrontEndSettings) -> Float64:
    """Triangular mel filters, as `python_speech_features.get_filterbanks` defines them.

    Returns:
        float64 [bands, fft_samples // 2 + 1], each filter with peak 1.
    """
    top = 2595 * np.log10(1 + settings.sample_rate / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, settings.bands + 2) / 2595) - 1)
    edges = np.floor((settings.fft_samples + 1) * hertz / settings.sample_rate)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(settings.fft_samples // 2 + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = (bins - low) / (centre - low)
        falling = (high - bins) / (high - centre)
    inside = (bins >= low) & (bins < centre), (bins >= centre) & (bins < high)
    return np.where(inside[0], rising, np.where(inside[1], falling, 0.0))


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

    def finish(self) -> Float32:
        """No frames: what is left is shorter than one, and nothing is invented to fill it."""
        self.reset()
        return np.zeros((0, self._window), np.float32)


class LogMel(Stage):
    """Frames to mel-band energies: Hamming window, power spectrum, triangular filters."""

    def __init__(self, settings: FrontEndSettings) -> None:
        self._hamming = np.hamming(settings.window_samples)
        self._fft_samples = settings.fft_samples
        self._filters = mel_filterbank(settings).T.copy()
        self._floor = settings.log_floor

    def reset(self) -> None:
        pass

    def push(self, frames: Float32) -> Float64:
        """float32 [n, window_samples] -> natural log of mel energies, float64 [n, bands]."""
        padded = np.zeros((len(frames), self._fft_samples))
        np.multiply(frames, self._hamming, out=padded[:, : frames.shape[1]])
        spectrum = np.fft.rfft(padded)
        power = (spectrum.real**2 + spectrum.imag**2) / self._fft_samples
        return np.asarray(np.log(np.maximum(power @ self._filters, self._floor)))

    def finish(self) -> Float64:
        """No frames: each one is answered at once."""
        return np.zeros((0, self._filters.shape[1]))
