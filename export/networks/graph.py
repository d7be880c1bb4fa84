"""The networks as stateful ONNX graphs, built node by node from their weights.

Written out rather than traced: the streaming graph differs from the training module (state in,
state out, masks), and every tensor of it has a name here.

    inputs   features [N, F, bands, 3]   F new frames, an even number of them
             tail_i   [N, maps, 4, bins] the last inputs of convolution i
             encodings [N, S, D]         one row per step (two frames) of the last 3 s
             valid    [N, S]             1 where that step exists, 0 before the stream began
    outputs  probabilities [N, C] (calibrated), logits [N, C], attention [N, S] (0 where not
             valid), context [N, hidden] (c of eq. (5)), and new_* for each part of the state

Convolutions look back only, so a step's encoding never changes once made. A step that does not
exist yet carries a flag that shuts the LSTM's input gate: cell and output stay exactly zero
there, in both directions, and attention is masked. So a stream's first second and a batch of
streams of any ages give what each gives alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.networks.sizes import KERNEL_TIME, Widths, weight_shapes
from livesr.model.metadata import METADATA_KEY, ModelInfo

OPSET, IR_VERSION = 17, 8
_LARGE = 4096  # values of a weight that is worth storing in 16 bits
SHUT = -1e4  # added to an input gate: its sigmoid is then exactly 0 in float32


def build(widths: Widths, weights: Mapping[str, np.ndarray], info: ModelInfo) -> onnx.ModelProto:
    """The streaming graph of a network.

    Args:
        widths: sizes of the network.
        weights: as `weight_shapes` names them.
        info: the metadata; its temperature divides the logits before the softmax.
    """
    graph = GraphBuilder()
    _weights(graph, widths, weights)
    graph.scalar("temperature", info.temperature)
    graph.scalar("one", 1)
    graph.indices("end", [np.iinfo(np.int64).max])
    for axis in range(3):
        graph.indices(f"axis_{axis}", [axis])
    steps = _encode(graph, widths)
    window, valid = _slide(graph, widths, steps)
    absent = graph.node("Sub", ["one", valid], "absent")
    hidden = window
    if widths.cells:
        hidden = recur(graph, widths.cells, widths.directions, window, absent)
    attention = _attend(graph, widths, hidden, absent)
    _classify(graph, hidden, attention)

    tails = {f"tail_{i}": ["N", *shape] for i, shape in enumerate(widths.tails())}
    state = tails | {"encodings": ["N", widths.steps, widths.linear], "valid": ["N", widths.steps]}
    model = graph.model(
        "acrnn",
        inputs={"features": ["N", "F", widths.bands, 3], **state},
        outputs={
            "probabilities": ["N", widths.labels],
            "logits": ["N", widths.labels],
            "attention": ["N", widths.steps],
            "context": ["N", widths.hidden],
            **{f"new_{name}": shape for name, shape in state.items()},
        },
    )
    set_metadata(model, info)
    return model


def _weights(graph: GraphBuilder, widths: Widths, weights: Mapping[str, np.ndarray]) -> None:
    for name, shape in weight_shapes(widths).items():
        if weights[name].shape != shape:
            raise ValueError(f"{name}: shape {weights[name].shape}, expected {shape}")
        if widths.half and weights[name].size > _LARGE:
            graph.half(name, weights[name])
        else:
            graph.constant(name, weights[name])


def _encode(graph: GraphBuilder, widths: Widths) -> str:
    """Convolutions, each seeing its last four inputs again in front of the new ones."""
    graph.indices("tail_start", [-(KERNEL_TIME - 1)])
    flow = "features"
    if widths.flat:
        graph.indices("bands_as_channels", [0, 0, 1, 3 * widths.bands])
        flow = graph.node("Reshape", [flow, "bands_as_channels"], "flat_features")
    flow = graph.node("Transpose", [flow], "by_channel", perm=[0, 3, 1, 2])
    over = widths.kernel[1] - 1
    pads = [0, over // 2, 0, over - over // 2]
    for index in range(len(widths.maps)):
        seen = graph.node("Concat", [f"tail_{index}", flow], f"seen_{index}", axis=2)
        graph.node("Slice", [seen, "tail_start", "end", "axis_2"], f"new_tail_{index}")
        weight, bias = f"conv{index}.weight", f"conv{index}.bias"
        flow = graph.node("Conv", [seen, weight, bias], f"conv_{index}", pads=pads)
        flow = graph.node("Relu", [flow], f"map_{index}")
        pool = [2 if index == 0 else 1, 1 if widths.flat else widths.pools[index]]
        if pool != [1, 1]:
            flow = graph.node("MaxPool", [flow], f"pooled_{index}", kernel_shape=pool, strides=pool)
    graph.indices("joined_maps", [0, -1, widths.encoded])
    flow = graph.node("Transpose", [flow], "by_step", perm=[0, 2, 1, 3])
    flow = graph.node("Reshape", [flow, "joined_maps"], "steps_flat")
    flow = graph.node("MatMul", [flow, "linear.weight"], "linear")
    return graph.node("Relu", [graph.node("Add", [flow, "linear.bias"], "linear+")], "new_steps")


def _slide(graph: GraphBuilder, widths: Widths, steps: str) -> tuple[str, str]:
    """The newest S encodings, and which of them exist."""
    graph.indices("window_start", [-widths.steps])
    graph.indices("first_column", [0])
    graph.indices("second_column", [1])
    known = graph.node("Concat", ["encodings", steps], "known", axis=1)
    window = graph.node("Slice", [known, "window_start", "end", "axis_1"], "new_encodings")
    column = graph.node("Slice", [steps, "first_column", "second_column", "axis_2"], "column")
    column = graph.node("Squeeze", [column, "axis_2"], "column_flat")
    fresh = graph.node("Add", [graph.node("Sub", [column, column], "zeros"), "one"], "fresh")
    exists = graph.node("Concat", ["valid", fresh], "exists", axis=1)
    return window, graph.node("Slice", [exists, "window_start", "end", "axis_1"], "new_valid")


def recur(graph: GraphBuilder, cells: int, directions: int, window: str, absent: str) -> str:
    """LSTM over the window, shut where a step does not exist: [N, S, directions * cells]."""
    shut = np.zeros((directions, 4 * cells, 1))
    shut[:, :cells] = SHUT
    graph.constant("lstm.shut", shut)
    graph.node("Concat", ["lstm.input", "lstm.shut"], "lstm.flagged", axis=2)
    flag = graph.node("Unsqueeze", [absent, "axis_2"], "absent_flag")
    flow = graph.node("Concat", [window, flag], "window_flagged", axis=2)
    flow = graph.node("Transpose", [flow], "window_by_time", perm=[1, 0, 2])
    flow = graph.node(
        "LSTM",
        [flow, "lstm.flagged", "lstm.recurrent", "lstm.bias"],
        "lstm",
        hidden_size=cells,
        direction="bidirectional" if directions > 1 else "forward",
    )  # [S, directions, N, cells]
    graph.indices("joined", [0, 0, directions * cells])
    flow = graph.node("Transpose", [flow], "lstm_by_stream", perm=[2, 0, 1, 3])
    return graph.node("Reshape", [flow, "joined"], "hidden")


def _attend(graph: GraphBuilder, widths: Widths, hidden: str, absent: str) -> str:
    """Attention, eq. (4): a_t = softmax(W h_t), over the steps that exist.

    The networks to compare with have equal weights, or all weight on the last step.
    """
    graph.scalar("masked", 1e9)
    if widths.summary == "attention":
        scores = graph.node("MatMul", [hidden, "attention.weight"], "scores")
        scores = graph.node("Squeeze", [scores, "axis_2"], "scores_flat")
    else:
        row = np.zeros(widths.steps)
        row[-1] = 2e9 if widths.summary == "last" else 0
        graph.constant("fixed_scores", row)
        scores = "fixed_scores"
    gone = graph.node("Mul", [absent, "masked"], "gone")
    scores = graph.node("Sub", [scores, gone], "scores_masked")
    return graph.node("Softmax", [scores], "attention", axis=1)


def _classify(graph: GraphBuilder, hidden: str, attention: str) -> None:
    """The summary, eq. (5): c = sum_t a_t h_t; then the fully connected layers and the softmax."""
    row = graph.node("Unsqueeze", [attention, "axis_1"], "attention_row")
    flow = graph.node("MatMul", [row, hidden], "context_row")
    flow = graph.node("Squeeze", [flow, "axis_1"], "context")
    flow = graph.node("Gemm", [flow, "dense.weight", "dense.bias"], "dense")
    flow = graph.node("Relu", [flow], "dense_on")
    logits = graph.node("Gemm", [flow, "output.weight", "output.bias"], "logits")
    graph.node("Softmax", [graph.node("Div", [logits, "temperature"], "cooled")], "probabilities")


class GraphBuilder:
    """Nodes and constants as they are named, in order."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> None:
        array = np.ascontiguousarray(value, np.float32)
        self._constants.append(numpy_helper.from_array(array, name))

    def half(self, name: str, value: np.ndarray) -> None:
        """Stored in 16 bits, computed in 32."""
        array = np.ascontiguousarray(value, np.float16)
        self._constants.append(numpy_helper.from_array(array, f"{name}.half"))
        self.node("Cast", [f"{name}.half"], name, to=TensorProto.FLOAT)

    def scalar(self, name: str, value: float) -> None:
        self._constants.append(numpy_helper.from_array(np.array(value, np.float32), name))

    def indices(self, name: str, values: list[int]) -> None:
        self._constants.append(numpy_helper.from_array(np.array(values, np.int64), name))

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        return self.nodes(kind, inputs, [output], **attributes)[0]

    def nodes(
        self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any
    ) -> list[str]:
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def join(
        self, other: onnx.GraphProto, named: Callable[[str], str], without: Sequence[str]
    ) -> None:
        """Another's nodes, but for those `without`, and constants, by new names."""
        for node in other.node:
            if node.output[0] in without:
                continue
            self._nodes.append(onnx.NodeProto())
            self._nodes[-1].CopyFrom(node)
            self._nodes[-1].name = named(node.name)
            self._nodes[-1].input[:] = map(named, node.input)
            self._nodes[-1].output[:] = map(named, node.output)
        known = {constant.name for constant in self._constants}
        for constant in other.initializer:
            if named(constant.name) not in known:
                self._constants.append(onnx.TensorProto())
                self._constants[-1].CopyFrom(constant)
                self._constants[-1].name = named(constant.name)

    def model(
        self, name: str, inputs: Mapping[str, list[Any]], outputs: Mapping[str, list[Any]]
    ) -> onnx.ModelProto:
        """The whole, checked; every input and output is float32."""

        def tensors(shapes: Mapping[str, list[Any]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self._nodes, name, tensors(inputs), tensors(outputs), self._constants
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="livesr",
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def set_metadata(model: onnx.ModelProto, info: ModelInfo) -> None:
    """Have a graph of `build` say this of itself, temperature included."""
    helper.set_model_props(model, {METADATA_KEY: json.dumps(info.to_metadata())})
    constant = next(c for c in model.graph.initializer if c.name == "temperature")
    value = np.array(info.temperature, np.float32)
    constant.CopyFrom(numpy_helper.from_array(value, "temperature"))
