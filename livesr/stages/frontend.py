"""16 kHz samples in, standardised log-mels with deltas out, incrementally.

Framer -> LogMel -> Level -> Standardise -> Deltas, composed by `FrontEnd`. Each works on
whatever whole frames have arrived, keeps a fixed amount of memory and has no Python loop per
frame. Frame t covers samples [160 t, 160 t + 400) (paper, section 2.2). For a model with a
pretrained encoder, `EncoderMels` takes the same frames beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from livesr.arrays import Bool, Float32, Float64
from livesr.settings import EncoderSettings, FrontEndSettings
from livesr.stages.deltas import Deltas
from livesr.stages.encoder_mels import EncoderMels
from livesr.stages.level import Level
from livesr.stages.logmel import Framer, LogMel
from livesr.stages.stage import Stage
from livesr.stages.vad import BLOCK_SAMPLES
from livesr.state import State


class Standardise(Stage):
    """Zero mean and unit deviation over the training set, band by band."""

    def __init__(self, mean: Float64, deviation: Float64) -> None:
        self._mean = np.asarray(mean, np.float64)
        self._scale = 1.0 / np.asarray(deviation, np.float64)

    def reset(self) -> None:
        """Keeps nothing."""

    def push(self, values: Float64) -> Float32:
        """float64 [n, bands] -> float32 [n, bands]."""
        return ((values - self._mean) * self._scale).astype(np.float32)


class FrontEnd(Stage):
    """The whole front end: samples and voice activity's verdicts to the network's input.

    Args:
        settings: the constants.
        mean: of the levelled log-mels over the training set, [bands].
        deviation: likewise.
        encoder: the constants of a model's pretrained encoder, if it has one.
    """

    _fields = ("_frames", "_speech", "_speech_start")

    def __init__(
        self,
        settings: FrontEndSettings,
        mean: Float64,
        deviation: Float64,
        encoder: EncoderSettings | None = None,
    ) -> None:
        self.settings = settings
        self.framer = Framer(settings)
        self.log_mel = LogMel(settings)
        self.level = Level(settings)
        self.standardise = Standardise(mean, deviation)
        self.deltas = Deltas(settings.bands, settings.delta_reach)
        self.encoder_mels = EncoderMels(encoder, settings) if encoder else None
        self.reset()

    def reset(self) -> None:
        for stage in self._stages():
            stage.reset()
        self._frames = 0  # framed so far
        # Speech or not, for frames to come; before the first block there is no speech.
        self._speech: Bool = np.zeros(1, np.bool_)
        self._speech_start = -1  # index of the first of them

    def push(self, samples: Float32, speech: Bool) -> Float32:
        """Samples, and whether the voice-activity blocks that they completed are speech.

        Args:
            samples: float32 [n], 16 kHz.
            speech: bool [k], one for each block of 512 samples newly whole.

        Returns:
            float32 [m, bands, 3]: m = n / 160 in the long run, 40 ms behind. With an encoder
            float32 [m, 3 bands + 80 + 1]: the same, then the encoder's log-mels, then 1 where
            there is speech and 0 elsewhere.
        """
        self._speech = np.concatenate((self._speech, speech))
        frames = self.framer.push(samples)
        log_mels = self.log_mel.push(frames)
        gate = self._frame_speech(len(log_mels))
        features = self.deltas.push(self.standardise.push(self.level.push(log_mels, gate)))
        if self.encoder_mels:
            if len(frames):
                self.encoder_mels.push(frames, gate)
            features = self._joined(self.encoder_mels, features)
        self._forget_speech()
        return features

    def finish(self) -> Float32:
        """The last 2 N frames, with the stream's edge replicated, as `push` gives them."""
        last = self.deltas.finish()
        if self.encoder_mels:
            last = self._joined(self.encoder_mels, last)
        self.reset()
        return last

    def _frame_speech(self, count: int) -> Bool:
        """The verdict of the last block that had ended when each frame ended."""
        shift, window = self.settings.shift_samples, self.settings.window_samples
        ends = (self._frames + np.arange(count)) * shift + window
        blocks = ends // BLOCK_SAMPLES - 1
        self._frames += count
        return self._speech[blocks - self._speech_start]

    def _joined(self, mels: EncoderMels, features: Float32) -> Float32:
        """Features with the encoder's log-mels of the same frames, and where there is speech."""
        count = len(features)
        taken = mels.take(count)
        first = self._frames - mels.held - count
        # The block around a frame's middle has ended by now, but for the stream's last frames.
        blocks = self._middle_block(first + np.arange(count)) - self._speech_start
        speech = np.append(self._speech, False)[np.minimum(blocks, len(self._speech))]
        flat = features.reshape(count, 3 * self.settings.bands)
        return np.concatenate((flat, taken, speech[:, None]), axis=1, dtype=np.float32)

    def _middle_block(self, frame: Any) -> Any:
        """The voice-activity block that a frame's middle lies in."""
        middle = frame * self.settings.shift_samples + self.settings.window_samples // 2
        return middle // BLOCK_SAMPLES

    def _first_block(self, frames: int) -> int:
        """The first voice-activity block that frames to come ask for, after so many."""
        end = frames * self.settings.shift_samples + self.settings.window_samples
        first = end // BLOCK_SAMPLES - 1
        if self.encoder_mels:
            first = min(first, int(self._middle_block(self.deltas.given(frames))))
        return first

    def _forget_speech(self) -> None:
        first = self._first_block(self._frames)
        if first > self._speech_start:
            self._speech = self._speech[first - self._speech_start :].copy()
            self._speech_start = first

    def _stages(self) -> tuple[Stage, ...]:
        own = (self.framer, self.log_mel, self.level, self.standardise, self.deltas)
        return (*own, self.encoder_mels) if self.encoder_mels else own

    def state(self) -> State:
        children = {type(stage).__name__: stage.state() for stage in self._stages()}
        return {**super().state(), **children}

    def given(self, taken: int) -> int:
        """How many frames `push` has given after `taken` samples."""
        return self.deltas.given(self._frames_of(taken))

    def _frames_of(self, taken: int) -> int:
        settings = self.settings
        return max(0, (taken - settings.window_samples) // settings.shift_samples + 1)

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        rest, frames = dict(state), self._frames_of(taken)
        for stage in self._stages():
            own = taken if stage is self.framer else frames
            stage.restore(rest.pop(type(stage).__name__, {}), own)
        super().restore(rest, taken)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        frames = self._frames_of(taken)
        start = self._first_block(frames)
        return {
            "frames": (frames, values["_frames"]),
            "start of speech": (start, values["_speech_start"]),
            "speech": (taken // BLOCK_SAMPLES - start, len(values["_speech"])),
        }
