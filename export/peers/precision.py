"""Whether fewer bits pay: the network in int8 and fp16, made by onnxruntime's own tools."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx

from export.peers.timing import HOP, Table, hops, medians, ms
from livesr.arrays import Float32
from livesr.model.load import Model, bundled
from livesr.recognizer import Recognizer

Feed = dict[str, Float32]


def table(samples: Float32, quick: bool) -> Table:
    """The compact network alone: milliseconds per hop, and how far its probabilities move."""
    source = bundled()["acrnn-compact"]
    feeds, truth = feeds_of(samples)
    calls: dict[str, Callable[[], object]] = {}
    told: dict[str, tuple[str, str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in _KINDS.items():
            path = Path(folder) / "network.onnx"
            make(source, path, feeds)
            model = Model(path.read_bytes(), name, str(path))
            found = np.array([run(model, feed)["probabilities"][0] for feed in feeds])
            worst = np.abs(found - truth).max()
            other = (found.argmax(1) != truth.argmax(1)).mean()
            size = path.stat().st_size
            told[name] = (f"{size / 1e6:.2f} MB", f"{worst:.3f}", f"{other:.1%}")
            coming = cycle(feeds)
            calls[name] = partial(_next, model, coming)
    cost = medians(calls, 4 if quick else 20)
    first = next(iter(cost.values()))
    return Table(
        "Fewer bits: acrnn-compact's network alone, a hop of 250 ms",
        ("weights and arithmetic", "time", "ratio", "file", "largest change", "other emotion"),
        [
            (name, ms(cost[name]), f"{cost[name] / first:.2f}", *about)
            for name, about in told.items()
        ],
        "Largest change: of any probability over half a minute of speech. Other emotion: hops at "
        "which another emotion has the highest probability.",
    )


def feeds_of(samples: Float32) -> tuple[list[Feed], Float32]:
    """The network's inputs in a real stream, hop by hop, and its probabilities."""
    recognizer = Recognizer("acrnn-compact")
    network = recognizer._network
    feeds: list[Feed] = []
    found: list[Float32] = []
    pair = network.paired

    def kept(features: Float32) -> list[Float32]:
        paired = pair(features)  # one call a hop, at the default hop
        feeds.extend({"features": part[None], **network.memory} for part in paired)
        return paired

    network.paired = kept  # type: ignore[method-assign]
    for hop in hops(samples, HOP):
        recognizer.push(hop)
        found.append(network.probabilities)
    return feeds, np.array(found)


def _next(model: Model, feeds: Iterator[Feed]) -> Feed:
    return run(model, next(feeds))


def run(model: Model, feed: Feed) -> Feed:
    """The outputs for a feed of `feeds_of`."""
    memory = {name: array for name, array in feed.items() if name != "features"}
    return model.run(feed["features"], memory)


def _float32(source: Path, path: Path, feeds: list[Feed]) -> None:
    path.write_bytes(source.read_bytes())


def _float16(source: Path, path: Path, feeds: list[Feed]) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), path)


def _dynamic(source: Path, path: Path, feeds: list[Feed]) -> None:
    from onnxruntime.quantization import quantize_dynamic  # noqa: PLC0415

    _quietly(lambda: quantize_dynamic(source, path, op_types_to_quantize=["LSTM", "MatMul"]))


def _static(source: Path, path: Path, feeds: list[Feed]) -> None:
    from onnxruntime import quantization  # noqa: PLC0415

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Every other hop; the rest is what the change is measured on too."""

        def __init__(self) -> None:
            self._feeds: Iterator[Feed] = iter(feeds[::2])

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    _quietly(
        lambda: quantization.quantize_static(
            source,
            path,
            Reader(),
            op_types_to_quantize=["Conv", "MatMul"],
            per_channel=True,
        )
    )


def _quietly(call: Callable[[], object]) -> None:
    logging.disable(logging.WARNING)
    try:
        call()
    finally:
        logging.disable(logging.NOTSET)


_KINDS: dict[str, Callable[[Path, Path, list[Feed]], None]] = {
    "float32, as shipped": _float32,
    "fp16": _float16,
    "int8, LSTM and matrices (dynamic)": _dynamic,
    "int8, convolutions and matrices (static)": _static,
}
