"""A tiny network, built on the spot, and where the bundled speech lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from export.networks.graph import build
from export.networks.sizes import Widths, weight_shapes
from livesr.model.metadata import LABELS, ModelInfo

DATA = Path(__file__).parents[1] / "data"
TINY = Widths(maps=(4, 6, 6), linear=8, cells=4, dense=8)


def tiny_weights(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: (2 * rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in weight_shapes(TINY).items()
    }


def tiny_info(**changes: Any) -> ModelInfo:
    values: dict[str, Any] = {
        "name": "tiny",
        "labels": LABELS,
        "mean": np.full(40, -4.0),
        "deviation": np.full(40, 2.0),
        "temperature": 0.5,
        "training_data": "none",
        "licence": "MIT",
        "version": "0",
    }
    return ModelInfo(**{**values, **changes})


def save_tiny(path: Path, info: ModelInfo | None = None, seed: int = 0) -> Path:
    onnx.save(build(TINY, tiny_weights(seed), info or tiny_info()), path)
    return path


def add_distances(model: Path, path: Path, said: ArrayLike, more: float = 0.0) -> Path:
    """The network again, with distances of each window: `said`, and `more` by its logits."""
    found = onnx.load(model)
    graph = found.graph
    graph.initializer.append(numpy_helper.from_array(np.full((4, 2), more, np.float32), "more"))
    graph.node.append(helper.make_node("Mul", ["logits", "logits"], ["squares"]))
    graph.initializer.append(numpy_helper.from_array(np.array(said, np.float32), "said"))
    graph.node.append(helper.make_node("MatMul", ["squares", "more"], ["farther"]))
    graph.node.append(helper.make_node("Add", ["farther", "said"], ["distances"]))
    told = helper.make_tensor_value_info("distances", onnx.TensorProto.FLOAT, None)
    graph.output.append(told)
    onnx.save(found, path)
    return path
