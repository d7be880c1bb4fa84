"""Where the time of a reading goes: each stage, beside the multiply-adds that it needs."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from export.peers.counting import REST, kernel_times, multiply_adds, peak_rate
from export.peers.timing import HOP, RATE, Table, hops, ms
from livesr.app.bench import stage_times
from livesr.arrays import Float32
from livesr.model.load import PAPER, bundled, load_model, models_directory
from livesr.settings import FrontEndSettings
from livesr.stages.logmel import mel_filterbank
from livesr.stages.vad import BLOCK_SAMPLES

_HOP_FRAMES = 26  # a hop has 25; the graph takes an even number, so 26 and 24 in turn
_DEVICE_RATE = 48000
_PARTS = {"Conv": "convolutions", "LSTM": "LSTM", REST: "all else"}


def table(samples: Float32, quick: bool) -> Table:
    """Stages of a reading: milliseconds, multiply-adds, and the time those take at peak rate."""
    peak = peak_rate(5 if quick else 20)
    rounds = 1 if quick else 5

    def row(name: str, spent: float, needed: float) -> tuple[str, ...]:
        if not needed:
            return name, ms(spent), "", "", ""
        ideal = needed / peak * 1e3
        return name, ms(spent), f"{needed / 1e6:.2f}", ms(ideal), f"{ideal / spent:.0%}"

    arithmetic = {"features": features(), "voice activity": voice()}
    rows = []
    for size, name in (("acrnn-compact", "acrnn-compact"), ("the paper's widths", PAPER)):
        path = bundled()[name]
        feed = network_feed(path)
        counts = multiply_adds(path, feed)
        spent = stages(samples, path, rounds)
        own = spent.pop("network")
        if name != PAPER:
            rows += [row(name, value, arithmetic.get(name, 0)) for name, value in spent.items()]
        # Counted for 26 frames; a hop of 25 does 25/26 of it, except for the LSTM.
        rows.append(row(f"network, {size}", own, sum(counts.values())))
        kernels = kernel_times(path, feed, 100 * rounds)
        rows += [row(f"… its {_PARTS[k]}", kernels[k], counts[k]) for k in _PARTS]
    return Table(
        "Where a reading's time goes, every 250 ms",
        ("stage", "time", "million multiply-adds", "at the core's peak", "of the peak"),
        rows,
        f"The peak, measured on float32 matrices of 1024 x 1024: {peak / 1e9:.0f} thousand "
        "million multiply-adds a second. The rest of the time is memory access, LSTM steps that "
        "wait for the one before, and calls from Python. The parts of the network are from "
        "onnxruntime's profiler.",
    )


def stages(samples: Float32, model: Path, rounds: int) -> dict[str, float]:
    """Processor milliseconds of each stage inside a real Recognizer, and of a resampler."""
    sound = np.tile(np.concatenate(hops(samples)), rounds)
    found = stage_times(model, np.repeat(sound, _DEVICE_RATE // RATE), time.process_time)
    whole = found.pop("all")
    return found | {"all else": max(0.0, whole - sum(found.values()))}


def features() -> float:
    """Multiply-adds of a hop: window, real FFT (5/4 n log2 n), power, non-zero mel weights."""
    settings = FrontEndSettings()
    size = settings.fft_samples
    frame = settings.window_samples + 1.25 * size * math.log2(size) + size
    mels = np.count_nonzero(mel_filterbank(settings))
    return HOP / settings.shift_samples * (frame + float(mels))


def voice() -> float:
    """Multiply-adds of voice activity, per hop."""
    path = models_directory() / "silero-vad.onnx"
    feed = {"blocks": np.zeros((2, 576), np.float32), "memory": np.zeros((2, 1, 128), np.float32)}
    return sum(multiply_adds(path, feed).values()) / 2 * HOP / BLOCK_SAMPLES


def network_feed(path: Path) -> dict[str, Float32]:
    """Random inputs of one stream whose window is full: a hop of frames and the model's state."""
    model = load_model(path)
    random = np.random.default_rng(0)
    shapes = {"features": (_HOP_FRAMES, 40, 3), **model.memory_shapes}
    feed = {n: random.standard_normal((1, *s)).astype(np.float32) for n, s in shapes.items()}
    return feed | {"valid": np.ones_like(feed["valid"])}
