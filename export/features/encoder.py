"""The first two layers of Whisper tiny's encoder, frozen, as a stream hears them.

Weights come from Smart Turn 3.2 (Daily 2026, BSD-2-Clause), which trained Whisper tiny's encoder
(Radford et al. 2022, MIT) further; `make teacher` installs the package that holds it. Its weights
are whole numbers of 8 bits and a scale; here they are rounded to 16 bits, as a model file stores
them, so that training hears what a stream will hear.

Streamed: convolutions look back only, a block of steps attends to itself and to the steps of the
last 3 s before it, positions counted back from the newest. The second layer sees the steps of the
first as they were made. A step's encoding never changes once made.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

from export.corpora.clips import CorpusError
from livesr.arrays import Float32
from livesr.stages.model_stream import block_ends

VALUES, HEADS, LAYERS, STEPS = 384, 6, 2, 150
_FILE = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
_RELEASE = "1.14.0"  # of the package: elsewhere the graph's own names may be others
_POSITIONS = 400
# The graph's own names of a layer's transposed matrices.
_MATRICES = ("query", "key", "value", "out", "grow", "shrink")
_NAMES = (
    ("val_17", "val_25", "val_32", "val_75", "val_79", "val_88"),
    ("val_92", "val_100", "val_107", "val_148", "val_152", "val_161"),
)
_VECTORS = {
    "query.bias": "self_attn.q_proj.bias",
    "value.bias": "self_attn.v_proj.bias",
    "out.bias": "self_attn.out_proj.bias",
    "grow.bias": "fc1.bias",
    "shrink.bias": "fc2.bias",
    "norm1.scale": "self_attn_layer_norm.weight",
    "norm1.bias": "self_attn_layer_norm.bias",
    "norm2.scale": "final_layer_norm.weight",
    "norm2.bias": "final_layer_norm.bias",
}


@cache
def encoder_weights() -> dict[str, np.ndarray]:
    """Of both convolutions, the positions of a window and both layers, float16.

    Names are conv0.weight [384, 80, 3], conv1.weight [384, 384, 3], position [150, 384] (oldest
    first), and for each layer LAYER.query.weight [384, 384] (in, out), scaled by the root of a
    head's size, and so on.

    Raises:
        CorpusError: if the package is not installed, or of another release.
    """
    try:
        package = distribution("pipecat-ai")
    except PackageNotFoundError:
        raise CorpusError("The encoder is not installed: run `make teacher`.") from None
    if package.version != _RELEASE:
        raise CorpusError(
            f"pipecat-ai {package.version} is installed, the encoder is read from {_RELEASE}: "
            "run `make teacher`."
        )
    graph = onnx.load(str(package.locate_file(_FILE))).graph
    known = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    real = dict(known)
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in known:
            real[node.output[0]] = _dequantised(node, known)
    own = "inner.encoder."
    found = {"position": real[f"{own}embed_positions.weight"][_POSITIONS - STEPS : _POSITIONS]}
    for number in range(2):
        name = f"{own}conv{number + 1}"
        found[f"conv{number}.weight"] = real[f"{name}.weight_DequantizeLinear_Output"]
        found[f"conv{number}.bias"] = real[f"{name}.bias"]
    for layer, names in enumerate(_NAMES):
        for matrix, name in zip(_MATRICES, names, strict=True):
            found[f"{layer}.{matrix}.weight"] = real[f"{name}_DequantizeLinear_Output"]
        for vector, name in _VECTORS.items():
            found[f"{layer}.{vector}"] = real[f"{own}layers.{layer}.{name}"]
        for part in ("weight", "bias"):  # a power of two: nothing is lost
            found[f"{layer}.query.{part}"] = found[f"{layer}.query.{part}"] / 8
    return {name: np.asarray(value, np.float16) for name, value in found.items()}


def _dequantised(node: onnx.NodeProto, known: dict[str, np.ndarray]) -> np.ndarray:
    value, scale = (known[name].astype(np.float32) for name in node.input[:2])
    zero = known[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.zeros_like(scale)
    if scale.size > 1:
        shape = [1] * value.ndim
        shape[next((a.i for a in node.attribute if a.name == "axis"), 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return np.asarray((value - zero) * scale)


@cache
def _tensors() -> dict[str, Tensor]:
    return {n: torch.from_numpy(v.astype(np.float32)) for n, v in encoder_weights().items()}


@torch.no_grad()
def encode(mels: Float32) -> Float32:
    """A whole stream's steps, block by block as `livesr.stages.model_stream` cuts them.

    Args:
        mels: float32 [frames, 80] of `EncoderMels`.

    Returns:
        what both layers leave, float32 [frames // 2, 768].
    """
    weights, count = _tensors(), len(mels) // 2
    flow = torch.from_numpy(np.ascontiguousarray(mels[: 2 * count].T))[None]
    for number, (before, stride) in enumerate(((2, 1), (1, 2))):
        weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
        flow = F.gelu(F.conv1d(F.pad(flow, (before, 0)), weight, bias, stride=stride))
    steps = flow[0].T
    ends = block_ends(0, count)
    if not ends or ends[-1] < count:
        ends.append(count)
    first, seen = [], []
    for start, end in zip([0, *ends], ends, strict=False):
        low = max(0, end - STEPS)
        placed = steps[low:end] + weights["position"][STEPS - (end - low) :]
        query, key, value = _asked("0", placed)
        seen.append(_attended(query[:, start - low :], key, value))
        first.append(placed[start - low :])
    one = _fed("0", torch.cat(first), torch.cat(seen))
    query, key, value = _asked("1", one)
    seen = []
    for start, end in zip([0, *ends], ends, strict=False):
        low = max(0, end - STEPS)
        seen.append(_attended(query[:, start:end], key[:, low:end], value[:, low:end]))
    two = _fed("1", one, torch.cat(seen))
    return np.asarray(torch.cat((one, two), 1).numpy())


def _normed(layer: str, number: int, steps: Tensor) -> Tensor:
    own = _tensors()
    scale, bias = own[f"{layer}.norm{number}.scale"], own[f"{layer}.norm{number}.bias"]
    return F.layer_norm(steps, (VALUES,), scale, bias)


def _asked(layer: str, steps: Tensor) -> list[Tensor]:
    """Queries, keys and values [heads, steps, 64]."""
    own, normed = _tensors(), _normed(layer, 1, steps)
    found = []
    for part in ("query", "key", "value"):
        flow = normed @ own[f"{layer}.{part}.weight"]
        if part != "key":  # Whisper's keys have no bias
            flow = flow + own[f"{layer}.{part}.bias"]
        found.append(flow.view(-1, HEADS, VALUES // HEADS).transpose(0, 1))
    return found


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weight = (query @ key.transpose(1, 2)).softmax(-1)
    return (weight @ value).transpose(0, 1).reshape(-1, VALUES)


def _fed(layer: str, steps: Tensor, seen: Tensor) -> Tensor:
    own = _tensors()
    steps = steps + seen @ own[f"{layer}.out.weight"] + own[f"{layer}.out.bias"]
    flow = _normed(layer, 2, steps) @ own[f"{layer}.grow.weight"] + own[f"{layer}.grow.bias"]
    return steps + F.gelu(flow) @ own[f"{layer}.shrink.weight"] + own[f"{layer}.shrink.bias"]
