"""16 kHz samples in, standardised log-mels with deltas out, incrementally.

Framer -> LogMel -> Level -> Standardise -> Deltas, composed by `FrontEnd`. Each works on
whatever whole frames have arrived, keeps a fixed amount of memory and has no Python loop per
frame. Frame t covers samples [160 t, 160 t + 400) (Chen et al. 2018, section 2.2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from livesr.deltas import Deltas
from livesr.stage import Bool, Float32, Float64, Stage

_LEVEL_BLOCK = 1024  # frames: beyond some ten thousand, exp(-sum / memory) would underflow


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """The constants of the front end; a model carries those it was trained with."""

    sample_rate: int = 16000
    window_samples: int = 400  # 25 ms
    shift_samples: int = 160  # 10 ms
    fft_samples: int = 512
    bands: int = 40
    log_floor: float = 1e-12
    level_memory_seconds: float = 3.0  # of speech
    level_idle_weight: float = 1e-6  # of a frame without speech, beside one with
    range_nepers: float = 10.0  # below the level, in log power
    delta_reach: int = 2  # N of the regression
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The constants as plain values, for a model's metadata."""
        return asdict(self)


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


class Level(Stage):
    """Log-mels relative to how loud the voice has been so far.

    The paper gives each utterance unit variance; a stream has no utterance, so the power is a
    running mean over the last few seconds *of speech* (a frame that voice activity does not
    call speech weighs a millionth: it decides only until someone has spoken). A floor
    `range_nepers` below that level replaces what a recording has in its silences, which tells
    rooms and corpora apart but not emotions. A gain moves mel energies and level alike, so it
    cancels exactly.
    """

    _fields = ("_power", "_weight")

    def __init__(self, settings: FrontEndSettings) -> None:
        self._memory = settings.level_memory_seconds * settings.sample_rate / settings.shift_samples
        self._idle = settings.level_idle_weight
        self._floor = np.exp(-settings.range_nepers)
        self.reset()

    def reset(self) -> None:
        self._power = 0.0
        self._weight = 0.0

    def push(self, log_mels: Float64, speech: Bool) -> Float64:
        """float64 [n, bands] and whether each frame is speech, bool [n] -> float64 [n, bands]."""
        if len(log_mels) > _LEVEL_BLOCK:
            halves = np.split(np.arange(len(log_mels)), [len(log_mels) // 2])
            return np.concatenate([self.push(log_mels[half], speech[half]) for half in halves])
        if not len(log_mels):
            return log_mels
        mels = np.exp(log_mels)
        weight = self._idle + speech
        # An exponential mean whose clock runs only while somebody speaks, without a loop:
        # decay_t = exp(-sum of weights up to t / memory).
        decay = np.exp(-np.cumsum(weight) / self._memory)
        power = decay * (self._power + np.cumsum(weight * mels.sum(1) / (mels.shape[1] * decay)))
        total = decay * (self._weight + np.cumsum(weight / decay))
        self._power, self._weight = float(power[-1]), float(total[-1])
        return np.asarray(np.log(mels * (total / power)[:, None] + self._floor))

    def finish(self) -> Float64:
        """No frames: each one is answered at once."""
        return np.zeros((0, 0))


class Standardise(Stage):
    """Zero mean and unit deviation over the training set, band by band."""

    def __init__(self, mean: Float64, deviation: Float64) -> None:
        self._mean = np.asarray(mean, np.float64)
        self._scale = 1.0 / np.asarray(deviation, np.float64)

    def reset(self) -> None:
        pass

    def push(self, values: Float64) -> Float32:
        """float64 [n, bands] -> float32 [n, bands]."""
        return ((values - self._mean) * self._scale).astype(np.float32)

    def finish(self) -> Float32:
        """No frames: each one is answered at once."""
        return np.zeros((0, len(self._mean)), np.float32)


class FrontEnd(Stage):
    """The whole front end: samples and voice activity's verdicts to the network's input."""

    _fields = ("_frames", "_speech", "_speech_start")

    def __init__(self, settings: FrontEndSettings, mean: Float64, deviation: Float64) -> None:
        self.settings = settings
        self.framer = Framer(settings)
        self.log_mel = LogMel(settings)
        self.level = Level(settings)
        self.standardise = Standardise(mean, deviation)
        self.deltas = Deltas(settings.bands, settings.delta_reach)
        self.reset()

    def reset(self) -> None:
        for stage in self._stages():
            stage.reset()
        self._frames = 0  # framed so far
        # Verdicts that frames to come may need; before the first block, nobody spoke.
        self._speech: Bool = np.zeros(1, np.bool_)
        self._speech_start = -1  # index of the first of them

    def push(self, samples: Float32, speech: Bool, block_samples: int) -> Float32:
        """Samples and the verdicts of the voice-activity blocks that they completed.

        Args:
            samples: float32 [n], 16 kHz.
            speech: bool [k], one for each block of `block_samples` samples newly whole.
            block_samples: length of such a block, the same at every call.

        Returns:
            float32 [m, bands, 3]: m = n / 160 in the long run, 40 ms behind.
        """
        self._speech = np.concatenate((self._speech, speech))
        log_mels = self.log_mel.push(self.framer.push(samples))
        gate = self._frame_speech(len(log_mels), block_samples)
        return self.deltas.push(self.standardise.push(self.level.push(log_mels, gate)))

    def finish(self) -> Float32:
        """The last 2 N frames, with the stream's edge replicated, float32 [m, bands, 3]."""
        last = self.deltas.finish()
        self.reset()
        return last

    def _frame_speech(self, count: int, block_samples: int) -> Bool:
        """The verdict of the last block that had ended when each frame ended."""
        shift, window = self.settings.shift_samples, self.settings.window_samples
        ends = (self._frames + np.arange(count)) * shift + window
        blocks = ends // block_samples - 1
        gate = self._speech[blocks - self._speech_start]
        self._frames += count
        keep = (self._frames * shift + window) // block_samples - 1
        if keep > self._speech_start:
            self._speech = self._speech[keep - self._speech_start :].copy()
            self._speech_start = keep
        return gate

    def _stages(self) -> tuple[Stage, ...]:
        return (self.framer, self.log_mel, self.level, self.standardise, self.deltas)

    def state(self) -> dict[str, Any]:
        children = {type(stage).__name__: stage.state() for stage in self._stages()}
        return {**super().state(), **children}

    def restore(self, state: Any) -> None:
        rest = dict(state)
        for stage in self._stages():
            stage.restore(rest.pop(type(stage).__name__, {}))
        super().restore(rest)
