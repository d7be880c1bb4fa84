"""Multiply-adds and milliseconds of an ONNX graph, by kind of node."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from livesr.arrays import Float32
from livesr.model.runtime import open_session

_COUNTED = {
    "Conv": lambda x, w, y: math.prod(y) * math.prod(w[1:]),
    "MatMul": lambda x, w, y: math.prod(y) * x[-1],
    "Gemm": lambda x, w, y: math.prod(y) * x[-1],
    # [time, directions, batch, cells]; four gates see the input and the cells.
    "LSTM": lambda x, w, y: math.prod(y) * 4 * (w[-1] + y[-1]),
}
REST = "all else"


def peak_rate(rounds: int) -> float:
    """Multiply-adds per second of one core: the fastest of several float32 matrix products."""
    square = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    best = math.inf
    for _ in range(rounds):
        began = time.process_time()
        square @ square
        best = min(best, time.process_time() - began)
    return 1024**3 / best


def multiply_adds(path: Path, feed: dict[str, Float32]) -> dict[str, int]:
    """Multiply-adds of one run, counted from the shapes that the nodes produce.

    Args:
        path: an ONNX graph.
        feed: its inputs.

    Returns:
        The count for `Conv`, `LSTM` and `REST`.
    """
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type in _COUNTED]
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    told = {output.name for output in model.graph.output}
    needed = {name for node in nodes for name in (*node.input[:2], node.output[0])}
    for name in sorted(needed - told - set(weights) - set(feed)):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = open_session(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    made = dict(zip(names, session.run(names, feed), strict=True))
    shapes = {name: array.shape for name, array in (weights | feed | made).items()}
    counts: dict[str, int] = defaultdict(int)
    for node in nodes:
        first, second, result = (shapes[name] for name in (*node.input[:2], node.output[0]))
        count = _COUNTED[node.op_type]
        counts[_kind(node.op_type)] += count(first, second, result)
    return dict(counts)


def kernel_times(path: Path, feed: dict[str, Float32], runs: int) -> dict[str, float]:
    """Median milliseconds of one run, for the same kinds, from onnxruntime's profiler."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if event["name"].endswith("_kernel_time"):
            kind = _kind(event["args"]["op_name"])
            spent[kind][event["name"]].append(event["dur"] / 1e3)
    return {kind: float(sum(map(np.median, nodes.values()))) for kind, nodes in spent.items()}


def _kind(operator: str) -> str:
    return operator if operator in ("Conv", "LSTM") else REST
