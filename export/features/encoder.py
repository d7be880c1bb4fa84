"""The first two layers of Whisper tiny's encoder, as a stream hears them.

Weights to begin with come from Smart Turn 3.2 (Daily 2026, BSD-2-Clause), which trained Whisper
tiny (Radford et al. 2022, MIT) further; `make teacher` installs the package that holds it. Its
weights are whole numbers of 8 bits and a scale; here they are rounded to 16 bits, as a model file
stores them, so that training hears what a stream will hear.

Streamed: convolutions look back only, a block of steps attends to itself and to the steps of the
last 3 s before it, positions counted back from the newest. The second layer sees the steps of the
first as they were made. A step's encoding never changes once made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from export.features.teacher import smart_turn
from livesr.arrays import Array, Float32
from livesr.stages.model_stream import block_ends

VALUES, HEADS, LAYERS, STEPS = 384, 6, 2, 150
_LONGEST_BLOCK = 13  # steps
_FILE = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
_POSITIONS = 400
_EPSILON = 1e-5  # of a layer norm, torch's own
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
    graph = onnx.load(str(smart_turn().locate_file(_FILE))).graph
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


class Encoder(nn.Module):
    """Log-mels of whole streams -> their steps; every block as a live stream computes it.

    Args:
        weights: as `encoder_weights` names them; those, unless given.

    Example:
        >>> steps = Encoder()(torch.zeros(1, 100, 80), torch.tensor([50]))  # doctest: +SKIP
        >>> steps.shape  # doctest: +SKIP
        torch.Size([1, 50, 768])
    """

    def __init__(self, weights: Mapping[str, Array] | None = None) -> None:
        super().__init__()
        weights = encoder_weights() if weights is None else weights
        self._names = tuple(weights)
        for name, value in weights.items():
            own = nn.Parameter(torch.from_numpy(value.astype(np.float32)))
            self.register_parameter(name.replace(".", "_"), own)

    def weights(self) -> dict[str, Array]:
        """As `encoder_weights` names them, float16: what a model file stores."""
        return {n: self._own(n).detach().cpu().numpy().astype(np.float16) for n in self._names}

    def forward(self, mels: Tensor, counts: Tensor) -> Tensor:
        """A batch of streams.

        Args:
            mels: of `EncoderMels`, [B, 2 S, 80], zero after a stream's end.
            counts: steps of each stream, int [B], at most S.

        Returns:
            what both layers leave, [B, S, 768]; after a stream's end, numbers without a meaning.
        """
        flow = mels.transpose(1, 2)
        for number, (before, stride) in enumerate(((2, 1), (1, 2))):
            weight, bias = self._own(f"conv{number}.weight"), self._own(f"conv{number}.bias")
            flow = F.gelu(F.conv1d(F.pad(flow, (before, 0)), weight, bias, stride=stride))
        steps = flow.transpose(1, 2)
        every = torch.arange(steps.shape[1], device=steps.device)
        blocks = block_ends(0, steps.shape[1])
        if not blocks or blocks[-1] < steps.shape[1]:
            blocks.append(steps.shape[1])
        whole = torch.tensor(blocks, device=steps.device)
        block = torch.bucketize(every, whole, right=True)  # of each step
        last = torch.minimum(whole[block], counts[:, None])  # the end of each step's block, [B, S]
        one = self._first_layer(steps, last)

        # The second layer has no positions: it sees the first's steps as they were made.
        normed = self._normed("1", 1, one)
        query, key, value = (
            self._by_head(f"1.{part}", normed) for part in ("query", "key", "value")
        )
        seeable = (every >= last[..., None] - STEPS) & (every < last[..., None])
        seeable = seeable | (every >= counts[:, None])[..., None]  # no softmax over nothing
        seen = F.scaled_dot_product_attention(
            query, key, value, attn_mask=seeable[:, None], scale=1.0
        )
        two = self._fed("1", one, seen.transpose(1, 2).flatten(-2))
        return torch.cat((one, two), -1)

    def _first_layer(self, steps: Tensor, last: Tensor) -> Tensor:
        """The layer with positions, which count back from the end of a step's block.

        Each block sees a step at another position, so its keys and values are of
        LN(step + position). They are the step's part and the position's, added and divided by the
        deviation of both together: each step and each position is projected once for all blocks.

        Args:
            steps: [B, S, 384].
            last: the end of each step's block, [B, S].
        """
        position = self._own("position").flip(0)  # of the newest step first
        every = torch.arange(steps.shape[1], device=steps.device)
        back = last[..., None] - every  # from a step's block back to each step, [B, S, S]
        seen = ((back >= 1) & (back <= STEPS))[:, None]
        back = back.clamp(1, STEPS) - 1
        placed = steps + position[(last - every).clamp(1, _LONGEST_BLOCK) - 1]
        query = self._by_head("0.query", self._normed("0", 1, placed))

        step, place = (part - part.mean(-1, keepdim=True) for part in (steps, position))
        variance = step.square().mean(-1, keepdim=True) + place.square().mean(-1)
        variance = variance + 2 / VALUES * step @ place.T  # [B, S, 150]
        over = (variance + _EPSILON).rsqrt().transpose(1, 2).gather(1, back)
        over = over[:, None]  # [B, 1, S, S]
        back = back[:, None].expand(-1, HEADS, -1, -1)
        scale, bias = (self._own(f"0.norm1.{part}") for part in ("scale", "bias"))

        def parts(name: str) -> Iterator[Tensor]:
            weight = self._own(f"0.{name}.weight")
            return (self._heads(part * scale @ weight) for part in (step, place))

        # What LN's bias adds to a key is the same for all steps that a query weighs.
        own, placed_key = parts("key")
        score = query @ own.transpose(-1, -2)
        score = (score + (query @ placed_key.transpose(-1, -2)).gather(-1, back)) * over
        weight = score.masked_fill(~seen, -torch.inf).softmax(-1) * over
        own, placed_value = parts("value")
        by_place = weight.new_zeros(*weight.shape[:-1], STEPS).scatter_add(-1, back, weight)
        summary = weight @ own + by_place @ placed_value
        summary = summary.transpose(1, 2).flatten(-2)
        summary = summary + self._projected("0.value", bias)
        return self._fed("0", placed, summary)

    def _own(self, name: str) -> Tensor:
        found: Tensor = getattr(self, name.replace(".", "_"))
        return found

    def _normed(self, layer: str, number: int, steps: Tensor) -> Tensor:
        scale, bias = (self._own(f"{layer}.norm{number}.{part}") for part in ("scale", "bias"))
        return F.layer_norm(steps, (VALUES,), scale, bias)

    def _projected(self, name: str, steps: Tensor) -> Tensor:
        flow = steps @ self._own(f"{name}.weight")
        return flow if name.endswith("key") else flow + self._own(f"{name}.bias")

    def _by_head(self, name: str, steps: Tensor) -> Tensor:
        """[..., steps, 384] -> [..., heads, steps, 64]."""
        return self._heads(self._projected(name, steps))

    @staticmethod
    def _heads(flow: Tensor) -> Tensor:
        """[..., steps, 384] -> [..., heads, steps, 64]."""
        return flow.unflatten(-1, (HEADS, VALUES // HEADS)).transpose(-3, -2)

    def _fed(self, layer: str, steps: Tensor, seen: Tensor) -> Tensor:
        steps = steps + self._projected(f"{layer}.out", seen)
        flow = self._projected(f"{layer}.grow", self._normed(layer, 2, steps))
        return steps + self._projected(f"{layer}.shrink", F.gelu(flow))


@torch.no_grad()
def encode(encoder: Encoder, mels: Float32) -> Float32:
    """One whole stream's steps.

    Args:
        encoder: on any device.
        mels: float32 [frames, 80] of `EncoderMels`.

    Returns:
        float32 [frames // 2, 768].
    """
    count = len(mels) // 2
    if not count:
        return np.zeros((0, LAYERS * VALUES), np.float32)
    device = encoder.position.device
    whole = torch.from_numpy(np.ascontiguousarray(mels[: 2 * count]))[None].to(device)
    steps = encoder(whole, torch.tensor([count], device=device))
    return np.asarray(steps[0].cpu().numpy())
