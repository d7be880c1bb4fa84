"""The ACRNN in torch, for training; `weights()` is what `export.graph` takes.

Chen et al. 2018, section 2.3, with convolutions that look back only and batch norm after each
(folded into the weights on export).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from export.graph import KERNEL_BAND, KERNEL_TIME, SHUT, Widths

CONTEXT_FRAMES = 20  # that a step's encoding can reach back, beyond its own two


class ACRNN(nn.Module):
    """log-mels with deltas [B, T, bands, 3] -> logits [B, labels], attention [B, T // 2]."""

    def __init__(self, widths: Widths, dropout: float = 0.15) -> None:
        super().__init__()
        self.widths = widths
        channels = (3, *widths.maps[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(c, m, (KERNEL_TIME, KERNEL_BAND), bias=False)
            for c, m in zip(channels, widths.maps, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(m) for m in widths.maps)
        flat = widths.maps[-1] * (widths.bands // 2)
        self.linear = nn.Linear(flat, widths.linear, bias=False)
        self.linear_norm = nn.BatchNorm1d(widths.linear)
        self.lstm = nn.LSTM(widths.linear + 1, widths.cells, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * widths.cells, 1, bias=False)
        self.dense = nn.Linear(2 * widths.cells, widths.dense, bias=False)
        self.dense_norm = nn.BatchNorm1d(widths.dense)
        self.output = nn.Linear(widths.dense, widths.labels)
        self.dropout = nn.Dropout(dropout)

    def encode(self, features: Tensor, exists: Tensor) -> Tensor:
        """[B, T, bands, 3] and which frames exist, [B, T] -> encodings [B, T // 2, linear]."""
        flow = features.permute(0, 3, 1, 2)
        mask = exists[:, None, :, None]
        flow = flow * mask
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            flow = nn.functional.pad(flow, (0, KERNEL_BAND - 1, KERNEL_TIME - 1, 0))
            flow = torch.relu(norm(conv(flow)))
            if index == 0:
                flow = nn.functional.max_pool2d(flow, 2)
                mask = mask[:, :, ::2]
            # A stream begins with nothing remembered, which is not what silence would leave.
            flow = flow * mask
        flow = self.linear(flow.permute(0, 2, 1, 3).flatten(2))
        return torch.relu(self.linear_norm(flow.transpose(1, 2)).transpose(1, 2))

    def attend(self, encodings: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Encodings [B, S, linear] and which steps count, [B, S] -> logits, attention."""
        with torch.no_grad():
            for weight in (self.lstm.weight_ih_l0, self.lstm.weight_ih_l0_reverse):
                weight[:, -1] = 0
                weight[: self.widths.cells, -1] = SHUT
        absent = 1 - valid
        hidden, _ = self.lstm(torch.cat((self.dropout(encodings), absent[..., None]), dim=2))
        scores = self.score(hidden)[..., 0] - 1e9 * absent
        attention = torch.softmax(scores, dim=1)
        context = (attention[:, None] @ hidden)[:, 0]
        dense = torch.relu(self.dense_norm(self.dense(self.dropout(context))))
        return self.output(dense), attention

    def forward(self, features: Tensor, exists: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """A window with its context: `valid` [B, steps] marks the window's steps."""
        encodings = self.encode(features, exists)
        return self.attend(encodings[:, -valid.shape[1] :], valid)

    @torch.no_grad()
    def weights(self) -> dict[str, np.ndarray]:
        """Weights as `export.graph.weight_shapes` names them, batch norms folded in."""
        found: dict[str, Tensor] = {}
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            scale, bias = _folded(norm)
            found[f"conv{index}.weight"] = conv.weight * scale[:, None, None, None]
            found[f"conv{index}.bias"] = bias
        for name in ("linear", "dense"):
            scale, bias = _folded(getattr(self, f"{name}_norm"))
            weight = getattr(self, name).weight * scale[:, None]
            found[f"{name}.weight"], found[f"{name}.bias"] = weight.T, bias
        order = _gate_order(self.widths.cells)
        directions = ("", "_reverse")
        for name, kind in (("lstm.input", "weight_ih"), ("lstm.recurrent", "weight_hh")):
            both = [getattr(self.lstm, f"{kind}_l0{d}")[order] for d in directions]
            found[name] = torch.stack(both)
        found["lstm.input"] = found["lstm.input"][..., :-1]
        found["lstm.bias"] = torch.stack(
            [
                torch.cat([getattr(self.lstm, f"bias_{k}_l0{d}")[order] for k in ("ih", "hh")])
                for d in directions
            ]
        )
        found["attention.weight"] = self.score.weight.T
        found["output.weight"], found["output.bias"] = self.output.weight.T, self.output.bias
        return {name: value.cpu().numpy().astype(np.float32) for name, value in found.items()}


def _folded(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and bias that a batch norm in evaluation amounts to."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _gate_order(cells: int) -> Tensor:
    """torch keeps gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
    part = torch.arange(cells)
    return torch.cat((part, part + 3 * cells, part + cells, part + 2 * cells))
