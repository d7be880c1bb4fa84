"""How the cost of a reading grows: with the window, with the hop, with the number of voices."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx

from export.evaluation.options import ROOT
from export.networks.graph import build
from export.networks.sizes import COMPACT, Widths, weight_shapes
from export.peers.readings import again, hop_by_hop
from export.peers.timing import HOP, HOP_SECONDS, RATE, Table, core, medians, ms, times
from livesr.app.bench import resident_mb
from livesr.arrays import Float32
from livesr.batch import push_all
from livesr.model.load import DEFAULT
from livesr.model.metadata import LABELS, ModelInfo
from livesr.recognizer import Recognizer

_STEPS_A_SECOND = 50
_WINDOWS = (1, 2, 3, 5, 10)  # seconds
_MODEL = "acrnn-compact"
_HOPS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_VOICES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def _made_up(widths: Widths) -> dict[str, Float32]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
        for name, shape in weight_shapes(widths).items()
    }


def _info(name: str) -> ModelInfo:
    bands = COMPACT.bands
    return ModelInfo(
        name=name,
        labels=LABELS,
        mean=np.zeros(bands),
        deviation=np.ones(bands),
        temperature=1.0,
        training_data="none: only for timing",
        licence="MIT",
        version="1",
    )


def windows(samples: Float32, quick: bool) -> Table:
    """The compact network with windows of other lengths; the weights are random."""
    calls: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in _WINDOWS:
            path = Path(folder) / f"{seconds}.onnx"
            widths = replace(COMPACT, steps=seconds * _STEPS_A_SECOND)
            onnx.save(build(widths, _made_up(widths), _info(f"{seconds} s")), path)
            calls[f"{seconds} s"] = hop_by_hop(path, samples)
            calls[f"{seconds} s again"] = again(path, samples[: seconds * RATE])
    cost = medians(calls, 3 if quick else 15)
    rows = []
    for seconds in _WINDOWS:
        ours, whole = cost[f"{seconds} s"], cost[f"{seconds} s again"]
        rows.append((f"{seconds} s", ms(ours), ms(whole), times(whole / ours)))
    return Table(
        "A reading by the length of the window (one network of acrnn-compact's sizes)",
        ("window", "livesr", "the window again", "ratio"),
        rows,
        "Of livesr's cost, only the LSTM and the attention grow with the window: they read all "
        "of it.",
    )


def hops(samples: Float32, quick: bool) -> Table:
    """The compact network at other hops."""
    calls = {f"{hop:g} s": hop_by_hop(_MODEL, samples, hop) for hop in _HOPS}
    cost = medians(calls, 3 if quick else 15)
    rows = [
        (name, ms(spent), core(spent, hop))
        for (name, spent), hop in zip(cost.items(), _HOPS, strict=True)
    ]
    return Table(f"A reading by the hop ({_MODEL})", ("hop", "time", "of a core"), rows)


def voices(samples: Float32, quick: bool) -> Table:
    """Many streams in one process: pushed one after the other, and with `push_all`."""
    rows = []
    for count in _VOICES[:: 4 if quick else 1]:
        coming = cycle(said(samples, count))
        each, together = ([Recognizer(_MODEL) for _ in range(count)] for _ in range(2))
        calls: dict[str, Callable[[], object]] = {
            "each": partial(_one_by_one, each, coming),
            "together": partial(_together, together, coming),
        }
        spent = medians(calls, 4 if quick else max(4, 60 // count))
        alone, shared = (spent[name] / count for name in calls)
        fit = HOP_SECONDS * 1e3 / shared
        rows.append((str(count), ms(alone), ms(shared), times(alone / shared), f"{fit:.0f}"))
    kilobytes = [
        f"{_kilobytes(rate, model):.0f} kB at {rate} Hz ({model})"
        for model in (_MODEL, DEFAULT)
        for rate in (RATE, 3 * RATE)
    ]
    return Table(
        f"A reading by the number of voices ({_MODEL}, every 250 ms)",
        ("voices", "push, each", "push_all", "ratio", "voices that fill a core"),
        rows,
        "Resident memory per voice, with 256 voices: "
        + ", ".join(kilobytes)
        + ". At 48000 Hz the resampler keeps its last seconds. One process, one loaded network.",
    )


def _kilobytes(rate: int, model: str) -> float:
    code = f"from export.peers.growth import memory; memory({rate}, {model!r})"
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(told.stdout)


def memory(rate: int, model: str, count: int = 256) -> None:
    """Print the resident kB that each of `count` voices adds, once its window is full."""
    sound = np.random.default_rng(0).standard_normal(rate // 4).astype(np.float32) / 10
    one = Recognizer(model)
    for _ in range(16):
        one.push(sound, rate)
    before = resident_mb()
    others = [Recognizer(model) for _ in range(count)]
    for _ in range(16):
        push_all(others, [sound] * count, rate)
    print((resident_mb() - before) / count * 1e3)


def said(samples: Float32, count: int) -> list[list[Float32]]:
    """Four hops for each of `count` voices, each from another place of the recording."""
    starts = np.random.default_rng(0).integers(0, len(samples) - 4 * HOP, count)
    return [[samples[s + k * HOP :][:HOP] for s in starts] for k in range(4)]


def _together(recognizers: list[Recognizer], coming: cycle[list[Float32]]) -> object:
    return push_all(recognizers, next(coming))


def _one_by_one(recognizers: list[Recognizer], coming: cycle[list[Float32]]) -> None:
    for recognizer, chunk in zip(recognizers, next(coming), strict=True):
        recognizer.push(chunk)
