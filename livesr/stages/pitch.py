"""The pitch of a voice: the median fundamental frequency of a piece of speech."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, rfft

from livesr.arrays import Float32
from livesr.settings import SAMPLE_RATE, FrontEndSettings
from livesr.stages.logmel import Framer, LogMel

_LOWEST_HZ, _HIGHEST_HZ = 65, 450
_WINDOW_SAMPLES = 640  # 40 ms: more than two periods of the lowest
_FFT_SAMPLES = 2048
_OCTAVE_COST = 0.04  # of a strength, for each octave below the highest: half a pitch is no pitch
_LEAST_STRENGTH = 0.55  # of a voiced frame
_RANGE_NEPERS = 6.0  # in log power, below the loudest frames: quieter ones are not the voice
_LEAST_FRAMES = 10  # voiced ones


def pitch(samples: Float32) -> float:
    """Median fundamental frequency of the voiced frames, in Hz; 0 where hardly any is voiced.

    By autocorrelation, divided by that of the window, with a cost for each octave down (Boersma
    1993, sections 3 and 4, without its path finder), in frames of 40 ms every 10 ms, of which only
    the loud ones count.

    Args:
        samples: of one voice, float32 [n] at 16 kHz, without DC offset.

    Example:
        >>> time = np.arange(16000) / 16000
        >>> wave = sum(np.sin(2 * np.pi * 200 * k * time) / k for k in range(1, 9))
        >>> round(pitch(wave.astype(np.float32)))
        200
    """
    settings = FrontEndSettings()
    shift = settings.shift_samples
    powers = np.exp(LogMel(settings).push(Framer(settings).push(samples))).sum(axis=1)
    count = (len(samples) - _WINDOW_SAMPLES) // shift + 1
    if count < _LEAST_FRAMES:
        return 0.0
    levels = np.log(powers)
    loud = (levels > np.percentile(levels, 95) - _RANGE_NEPERS)[:count]
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW_SAMPLES)[::shift][loud]
    window = np.hanning(_WINDOW_SAMPLES)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    lags = np.arange(SAMPLE_RATE // _HIGHEST_HZ, SAMPLE_RATE // _LOWEST_HZ)
    alike, of_window = _autocorrelation(frames), _autocorrelation(window[None])
    strength = alike[:, lags] / np.maximum(alike[:, :1], 1e-9)
    strength /= of_window[:, lags] / of_window[:, :1]
    strength *= 1 - _OCTAVE_COST * np.log2(lags / lags[0])
    voiced = strength.max(axis=1, initial=0) > _LEAST_STRENGTH
    if np.count_nonzero(voiced) < _LEAST_FRAMES:
        return 0.0
    return float(np.median(SAMPLE_RATE / lags[strength[voiced].argmax(axis=1)]))


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    spectrum = rfft(frames, _FFT_SAMPLES)
    return np.asarray(irfft(spectrum.real**2 + spectrum.imag**2, _FFT_SAMPLES))
