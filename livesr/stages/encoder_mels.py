"""Frames to the input of Whisper's encoder: 80 log-mels, relative to the voice's level.

Whisper (Radford et al. 2022, section 2.2) takes the log10 of 80 mel energies and scales it by the
loudest of 30 s. A stream has no such loudest; `Level` stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from livesr.arrays import Bool, Float32, Float64
from livesr.settings import EncoderSettings, FrontEndSettings
from livesr.stages.level import Level
from livesr.stages.stage import Stage
from livesr.state import State


def slaney_filterbank(settings: EncoderSettings, sample_rate: int) -> Float64:
    """Triangular mel filters of equal area on Slaney's scale, as Whisper has them.

    Linear below 1 kHz, logarithmic above (Slaney 1998, Auditory Toolbox).

    Returns:
        float64 [bands, fft_samples // 2 + 1].
    """
    step = np.log(6.4) / 27
    top = 15 + np.log(sample_rate / 2 / 1000) / step
    mels = np.linspace(0, top, settings.bands + 2)
    hertz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    bins = np.linspace(0, sample_rate / 2, settings.fft_samples // 2 + 1)
    low, centre, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters: Float64 = np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))
    return filters


@lru_cache(maxsize=8)
def _filters(settings: EncoderSettings, sample_rate: int) -> Float64:
    """The filterbank as `EncoderMels` multiplies it; shared by all streams."""
    return slaney_filterbank(settings, sample_rate).T.copy()


class EncoderMels(Stage):
    """Frames to levelled log-mels in Whisper's scale, held until `take` asks for them."""

    _fields = ("_held",)

    def __init__(self, encoder: EncoderSettings, front_end: FrontEndSettings) -> None:
        self._encoder = encoder
        self._window = np.hanning(front_end.window_samples + 1)[:-1].astype(np.float32)
        self._filters = _filters(encoder, front_end.sample_rate)
        self._floor = front_end.log_floor
        self._level = Level(front_end)
        self._behind = 2 * front_end.delta_reach  # frames that `Deltas` waits for
        self.reset()

    def reset(self) -> None:
        self._level.reset()
        self._held: Float32 = np.zeros((0, self._encoder.bands), np.float32)

    def push(self, frames: Float32, speech: Bool) -> None:
        """float32 [n, window_samples] and whether each frame is speech, bool [n]."""
        spectrum = scipy.fft.rfft(frames * self._window, self._encoder.fft_samples)
        power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
        log_mels = np.log(np.maximum(power @ self._filters, self._floor))
        relative = self._level.push(log_mels, speech) / np.log(10) + self._encoder.offset
        scaled = (np.maximum(relative, self._encoder.floor) + 4) / 4
        self._held = np.concatenate((self._held, scaled.astype(np.float32)))

    @property
    def held(self) -> int:
        """Frames that wait for `take`."""
        return len(self._held)

    def take(self, count: int) -> Float32:
        """The oldest `count` frames held, float32 [count, bands]."""
        taken, self._held = self._held[:count], self._held[count:].copy()
        return taken

    def state(self) -> State:
        return {**super().state(), "level": self._level.state()}

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        rest = dict(state)
        self._level.restore(rest.pop("level", {}), taken)
        super().restore(rest, taken)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        return {"frames": (min(taken, self._behind), len(values["_held"]))}
