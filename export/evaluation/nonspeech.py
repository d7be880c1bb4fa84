"""Sounds without one voice in front: noise, hum, music, babble. No model may label them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from export.corpora import augment
from export.corpora.clips import RATE, Clip
from export.evaluation.judging import Evaluation
from livesr.arrays import Float32

_SECONDS = 30
_VOICES = (4, 6, 8, 12)


def hum(rng: np.random.Generator) -> Float32:
    """Mains hum with its harmonics."""
    time = np.arange(_SECONDS * RATE) / RATE
    mains = float(rng.choice([50, 60]))
    mixed = sum(np.sin(2 * np.pi * mains * k * time) / k for k in range(1, 6))
    return np.asarray(0.05 * mixed, np.float32)


def tones(rng: np.random.Generator) -> Float32:
    """Plucked notes, two a second, over two octaves."""
    time = np.arange(RATE // 2) / RATE
    notes = []
    for _ in range(2 * _SECONDS):
        pitch = 220 * 2 ** (rng.integers(0, 25) / 12)
        mixed = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5))
        notes.append(0.1 * np.exp(-3 * time) * mixed)
    return np.concatenate(notes).astype(np.float32)


def sounds(clips: Sequence[Clip]) -> Iterator[tuple[str, Float32]]:
    """The name and 30 s of each sound; babble is mixed from these clips."""
    rng = np.random.default_rng(0)
    count = _SECONDS * RATE
    yield "silence", np.zeros(count, np.float32)
    yield "white noise", (0.03 * rng.standard_normal(count)).astype(np.float32)
    yield "coloured noise", np.float32(0.03) * augment.coloured_noise(count, rng)
    yield "hum", hum(rng)
    yield "tones", tones(rng)
    for voices in _VOICES:
        own = [clips[i].samples() for i in rng.integers(len(clips), size=voices)]
        babble = np.float32(0.05) * augment.babble(count, own, rng)
        yield f"babble of {voices} voices", babble


def labelled(clips: Sequence[Clip], evaluation: Evaluation) -> Iterator[tuple[str, float, float]]:
    """For each sound: name, share of readings with a label, largest smoothed probability."""
    for name, samples in sounds(clips):
        recognizer = evaluation.recognizer()
        readings = recognizer.push(samples) + recognizer.finish()
        share = float(np.mean([reading.label is not None for reading in readings]))
        yield name, share, max(max(reading.smoothed.values()) for reading in readings)
