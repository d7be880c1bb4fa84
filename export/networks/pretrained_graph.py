"""A network with a pretrained encoder as a stateful ONNX graph; see `export.networks.graph`.

    inputs   features [N, F, 201]      F new frames, even, of a block: 120 numbers of log-mel,
                                       delta and delta-delta, 80 log-mels of the encoder, speech
             mels_tail [N, 80, 2], steps_tail [N, 384, 1]   of the two convolutions
             window [N, 150, 384]      the convolutions' output for the last 3 s
             keys, values [N, 150, 384] of the second layer
             encodings [N, 150, D], valid [N, 150]
             sums [N, 12, 1537]        of each of the last 12 blocks (3 s): the encoder's values
                                       and their squares, weighted by speech, and the weight
    outputs  as those of `export.networks.graph`; context [N, 64] is the window's statistics in the
             directions of `export.training.probe`, by which a known voice is told; distances
             [N, C] are those from each corpus of the training clips

The first layer's positions are counted back from the newest step, so its keys and values are made
anew for each block; the second layer has none of its own and keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from export.features.encoder import HEADS, LAYERS, STEPS, VALUES
from export.networks.graph import GraphBuilder, recur, set_metadata
from livesr.model.metadata import LABELS, ModelInfo

UNSPOKEN = 0.02  # weight of a step without speech in mean and deviation, beside one with
LEAST_VARIANCE = 1e-4
BLOCKS = 12  # of a window
_MELS, _TAIL_MELS, _TAIL_STEPS = 80, 2, 1
PAPER_VALUES = 120  # numbers of a frame that the paper's branch takes


@dataclass(frozen=True, slots=True)
class HeadWidths:
    """Sizes of what stands on the encoder."""

    linear: int = 128
    cells: int = 64
    dense: int = 64
    directions: int = 64
    components: int = 64


def head_shapes(widths: HeadWidths, corpora: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight after the encoder, batch norms folded in."""
    gates, statistics = 4 * widths.cells, 2 * LAYERS * VALUES
    return {
        "linear.weight": (LAYERS * VALUES, widths.linear),
        "linear.bias": (widths.linear,),
        "lstm.input": (2, gates, widths.linear),
        "lstm.recurrent": (2, gates, widths.cells),
        "lstm.bias": (2, 2 * gates),
        "attention.weight": (2 * widths.cells, 1),
        "dense.weight": (2 * widths.cells, widths.dense),
        "dense.bias": (widths.dense,),
        "output.weight": (widths.dense, len(LABELS)),
        "output.bias": (len(LABELS),),
        "probe.mean": (LAYERS * VALUES,),
        "probe.scale": (LAYERS * VALUES,),
        "probe.weight": (statistics, len(LABELS)),
        "directions.weight": (statistics, widths.directions),
        "directions.bias": (widths.directions,),
        "relative.weight": (statistics, len(LABELS)),
        "relative.bias": (len(LABELS),),
        "components.weight": (statistics, widths.components),
        "corpora": (corpora, widths.components),
    }


def build_pretrained(
    widths: HeadWidths,
    encoder: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    info: ModelInfo,
) -> onnx.ModelProto:
    """The streaming graph.

    Args:
        widths: sizes of the head.
        encoder: its weights, float16, as `encoder_weights` names them.
        weights: of the rest, as `head_shapes` names them.
        info: what the file says of itself; its temperature divides the logits before the softmax.
    """
    graph = GraphBuilder()
    for name, value in encoder.items():
        graph.half(name, value)
    corpora = len(weights["corpora"])
    for name, shape in head_shapes(widths, corpora).items():
        if weights[name].shape != shape:
            raise ValueError(f"{name}: shape {weights[name].shape}, expected {shape}")
        graph.constant(name, weights[name])
    scalars = {
        "temperature": info.temperature,
        "one": 1,
        "half": 0.5,
        "root_two": math.sqrt(2),
        "masked": 1e9,
        "unspoken": UNSPOKEN,
        "least_variance": LEAST_VARIANCE,
    }
    for name, number in scalars.items():
        graph.scalar(name, number)
    graph.indices("end", [np.iinfo(np.int64).max])
    graph.indices("window_start", [-STEPS])
    for axis in range(4):
        graph.indices(f"axis_{axis}", [axis])

    convolved = _convolve(graph)
    absent = _exist(graph, convolved)
    encoded = _encode(graph, convolved)
    flow = graph.node("MatMul", [encoded, "linear.weight"], "linear")
    fresh = graph.node("Relu", [graph.node("Add", [flow, "linear.bias"], "linear+")], "new_steps")
    c = _summarise(graph, widths, _slid(graph, "encodings", fresh), absent)
    flow = graph.node("Gemm", [c, "dense.weight", "dense.bias"], "dense")
    flow = graph.node("Relu", [flow], "dense_on")
    own = graph.node("Gemm", [flow, "output.weight", "output.bias"], "own_logits")
    statistics = _pool(graph, encoded)
    probe = graph.node("MatMul", [statistics, "probe.weight"], "probe_logits")
    logits = graph.node("Add", [own, probe], "logits")
    graph.node("Softmax", [graph.node("Div", [logits, "temperature"], "cooled")], "probabilities")
    flow = graph.node("MatMul", [statistics, "directions.weight"], "directed")
    graph.node("Sub", [flow, "directions.bias"], "context")
    flow = graph.node("MatMul", [statistics, "relative.weight"], "related")
    graph.node("Add", [flow, "relative.bias"], "relative")
    _distances(graph, widths, statistics)

    state = {
        "mels_tail": ["N", _MELS, _TAIL_MELS],
        "steps_tail": ["N", VALUES, _TAIL_STEPS],
        "window": ["N", STEPS, VALUES],
        "keys": ["N", STEPS, VALUES],
        "values": ["N", STEPS, VALUES],
        "encodings": ["N", STEPS, widths.linear],
        "valid": ["N", STEPS],
        "sums": ["N", BLOCKS, 2 * LAYERS * VALUES + 1],
    }
    model = graph.model(
        "acrnn",
        inputs={"features": ["N", "F", PAPER_VALUES + _MELS + 1], **state},
        outputs={
            "probabilities": ["N", len(LABELS)],
            "logits": ["N", len(LABELS)],
            "attention": ["N", STEPS],
            "context": ["N", widths.directions],
            "relative": ["N", len(LABELS)],
            "distances": ["N", corpora],
            **{f"new_{name}": shape for name, shape in state.items()},
        },
    )
    set_metadata(model, info)
    return model


def _gelu(graph: GraphBuilder, flow: str, output: str) -> str:
    part = graph.node("Erf", [graph.node("Div", [flow, "root_two"], f"{output}/")], f"{output}?")
    part = graph.node("Mul", [flow, graph.node("Add", [part, "one"], f"{output}+")], f"{output}*")
    return graph.node("Mul", [part, "half"], output)


def cut(graph: GraphBuilder, flow: str, start: int, end: int, axis: int, output: str) -> str:
    graph.indices(f"{output}.start", [start])
    graph.indices(f"{output}.end", [end])
    return graph.node("Slice", [flow, f"{output}.start", f"{output}.end", f"axis_{axis}"], output)


def _slid(graph: GraphBuilder, name: str, fresh: str) -> str:
    """The newest 150 of a part of the memory and what is new."""
    known = graph.node("Concat", [name, fresh], f"{name}_known", axis=1)
    return graph.node("Slice", [known, "window_start", "end", "axis_1"], f"new_{name}")


def _convolve(graph: GraphBuilder) -> str:
    """Whisper's two convolutions, looking back only: [N, F / 2, 384]."""
    flow = cut(graph, "features", PAPER_VALUES, PAPER_VALUES + _MELS, 2, "mels")
    flow = graph.node("Transpose", [flow], "mels_by_band", perm=[0, 2, 1])
    for number, (tail, length) in enumerate(
        (("mels_tail", _TAIL_MELS), ("steps_tail", _TAIL_STEPS))
    ):
        seen = graph.node("Concat", [tail, flow], f"{tail}_seen", axis=2)
        graph.indices(f"{tail}.start", [-length])
        graph.node("Slice", [seen, f"{tail}.start", "end", "axis_2"], f"new_{tail}")
        weights = [f"conv{number}.weight", f"conv{number}.bias"]
        flow = graph.node("Conv", [seen, *weights], f"conv_{number}", strides=[1 + number])
        flow = _gelu(graph, flow, f"conv_{number}_on")
    return graph.node("Transpose", [flow], "convolved", perm=[0, 2, 1])


def _exist(graph: GraphBuilder, fresh: str) -> str:
    """Which steps of the window do not exist, and which of the new ones are speech."""
    speech = cut(graph, "features", PAPER_VALUES + _MELS, PAPER_VALUES + _MELS + 1, 2, "speech")
    graph.indices("pair", [2])
    graph.indices("first", [0])
    speech = graph.node("Slice", [speech, "first", "end", "axis_1", "pair"], "speech_by_step")
    speech = graph.node("Squeeze", [speech, "axis_2"], "speech_flat")
    ones = graph.node("Add", [graph.node("Sub", [speech, speech], "zeros"), "one"], "fresh")
    valid = _slid(graph, "valid", ones)
    absent = graph.node("Sub", ["one", valid], "absent")
    gone = graph.node("Mul", [absent, "masked"], "gone")
    gone = graph.node("Unsqueeze", [gone, "axis_1"], "gone_by_head")
    graph.node("Unsqueeze", [gone, "axis_1"], "gone_by_query")
    graph.indices("minus", [-1])
    graph.indices("second", [2])
    size = graph.node("Shape", [fresh], "fresh_shape")
    size = graph.node("Slice", [size, "axis_1", "second", "axis_0"], "fresh_count")
    graph.node("Mul", [size, "minus"], "fresh_start")
    return absent


def _encode(graph: GraphBuilder, convolved: str) -> str:
    """What both layers make of the new steps, side by side: [N, F / 2, 768]."""
    window = _slid(graph, "window", convolved)
    placed = graph.node("Add", [window, "position"], "placed")
    normed = _normed(graph, placed, "0.norm1")
    rows = _newest(graph, normed, "0.rows")
    key, value = _projected(graph, normed, "0.key"), _projected(graph, normed, "0.value")
    seen = _attend(graph, 0, rows, key, value)
    one = _feed(graph, 0, _newest(graph, placed, "placed_rows"), seen)
    normed = _normed(graph, one, "1.norm1")
    key = _slid(graph, "keys", _projected(graph, normed, "1.key"))
    value = _slid(graph, "values", _projected(graph, normed, "1.value"))
    two = _feed(graph, 1, one, _attend(graph, 1, normed, key, value))
    return graph.node("Concat", [one, two], "encoded", axis=2)


def _newest(graph: GraphBuilder, flow: str, output: str) -> str:
    return graph.node("Slice", [flow, "fresh_start", "end", "axis_1"], output)


def _normed(graph: GraphBuilder, flow: str, name: str) -> str:
    inputs = [flow, f"{name}.scale", f"{name}.bias"]
    return graph.node("LayerNormalization", inputs, f"{name}.out", axis=-1, epsilon=1e-5)


def _projected(graph: GraphBuilder, flow: str, name: str) -> str:
    flow = graph.node("MatMul", [flow, f"{name}.weight"], f"{name}.product")
    if name.endswith(".key"):  # Whisper's keys have no bias
        return flow
    return graph.node("Add", [flow, f"{name}.bias"], f"{name}.sum")


def _by_head(graph: GraphBuilder, flow: str, perm: list[int], output: str) -> str:
    graph.indices(f"{output}.shape", [0, -1, HEADS, VALUES // HEADS])
    flow = graph.node("Reshape", [flow, f"{output}.shape"], f"{output}.parts")
    return graph.node("Transpose", [flow], output, perm=perm)


def _attend(graph: GraphBuilder, layer: int, rows: str, key: str, value: str) -> str:
    """New steps attend to all of the window that exist: [N, F / 2, 384]."""
    query = _projected(graph, rows, f"{layer}.query")
    query = _by_head(graph, query, [0, 2, 1, 3], f"{layer}.queries")
    key = _by_head(graph, key, [0, 2, 3, 1], f"{layer}.keys")
    value = _by_head(graph, value, [0, 2, 1, 3], f"{layer}.values")
    scores = graph.node("MatMul", [query, key], f"{layer}.scores")
    scores = graph.node("Sub", [scores, "gone_by_query"], f"{layer}.scores_masked")
    weight = graph.node("Softmax", [scores], f"{layer}.weights", axis=-1)
    seen = graph.node("MatMul", [weight, value], f"{layer}.seen")
    seen = graph.node("Transpose", [seen], f"{layer}.seen_by_step", perm=[0, 2, 1, 3])
    graph.indices(f"{layer}.joined", [0, -1, VALUES])
    return graph.node("Reshape", [seen, f"{layer}.joined"], f"{layer}.seen_flat")


def _feed(graph: GraphBuilder, layer: int, steps: str, seen: str) -> str:
    out = _projected(graph, seen, f"{layer}.out")
    steps = graph.node("Add", [steps, out], f"{layer}.attended")
    flow = _projected(graph, _normed(graph, steps, f"{layer}.norm2"), f"{layer}.grow")
    flow = _gelu(graph, flow, f"{layer}.grown")
    flow = _projected(graph, flow, f"{layer}.shrink")
    return graph.node("Add", [steps, flow], f"{layer}.steps")


def _summarise(graph: GraphBuilder, widths: HeadWidths, steps: str, absent: str) -> str:
    """BLSTM, attention, eq. (4), and c of eq. (5): [N, 2 cells]."""
    hidden = recur(graph, widths.cells, 2, steps, absent)
    scores = graph.node("MatMul", [hidden, "attention.weight"], "scores")
    scores = graph.node("Squeeze", [scores, "axis_2"], "scores_flat")
    scores = graph.node("Sub", [scores, "gone"], "scores_masked")
    attention = graph.node("Softmax", [scores], "attention", axis=1)
    row = graph.node("Unsqueeze", [attention, "axis_1"], "attention_row")
    flow = graph.node("MatMul", [row, hidden], "c_row")
    return graph.node("Squeeze", [flow, "axis_1"], "c")


def _pool(graph: GraphBuilder, encoded: str) -> str:
    """Mean and deviation of the encoder's values over the window's speech: [N, 1536]."""
    values = graph.node("Sub", [encoded, "probe.mean"], "centred")
    values = graph.node("Mul", [values, "probe.scale"], "standard")
    squares = graph.node("Mul", [values, values], "squares")
    ones = graph.node("Unsqueeze", ["fresh", "axis_2"], "ones")
    powers = graph.node("Concat", [values, squares, ones], "powers", axis=2)
    row = graph.node("Add", ["speech_flat", "unspoken"], "speech_weight")
    row = graph.node("Unsqueeze", [row, "axis_1"], "speech_row")
    block = graph.node("MatMul", [row, powers], "block_sums")
    kept = graph.node("Concat", ["sums", block], "sums_known", axis=1)
    graph.indices("sums_start", [-BLOCKS])
    kept = graph.node("Slice", [kept, "sums_start", "end", "axis_1"], "new_sums")
    graph.constant("every_block", np.ones((1, BLOCKS)))
    whole = graph.node("MatMul", ["every_block", kept], "whole_row")
    whole = graph.node("Squeeze", [whole, "axis_1"], "whole_sums")
    count = LAYERS * VALUES
    weight = cut(graph, whole, 2 * count, 2 * count + 1, 1, "whole_weight")
    mean = graph.node("Div", [cut(graph, whole, 0, count, 1, "whole_linear"), weight], "mean")
    square = cut(graph, whole, count, 2 * count, 1, "whole_square")
    square = graph.node("Div", [square, weight], "mean_of_squares")
    spread = graph.node("Sub", [square, graph.node("Mul", [mean, mean], "mean_square")], "spread")
    spread = graph.node("Relu", [spread], "variance")
    spread = graph.node("Add", [spread, "least_variance"], "variance_at_least")
    return graph.node(
        "Concat", [mean, graph.node("Sqrt", [spread], "deviation")], "statistics", axis=1
    )


def _distances(graph: GraphBuilder, widths: HeadWidths, statistics: str) -> str:
    """Mean square over the components of what lies between a window and each corpus: [N, C]."""
    place = graph.node("MatMul", [statistics, "components.weight"], "place")
    place = graph.node("Unsqueeze", [place, "axis_1"], "place_row")
    apart = graph.node("Sub", [place, "corpora"], "apart")
    squares = graph.node("Mul", [apart, apart], "apart_squares")
    graph.constant("every_component", np.full((widths.components, 1), 1 / widths.components))
    means = graph.node("MatMul", [squares, "every_component"], "apart_means")
    return graph.node("Squeeze", [means, "axis_2"], "distances")
