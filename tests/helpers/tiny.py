"""A tiny network, built on the spot, and where the bundled speech lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

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
