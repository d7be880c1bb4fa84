"""The networks in torch, for training; `weights()` is what `export.networks.graph` takes.

The network of the paper (Akalya Devi et al. 2022, section 2.3) with convolutions that look back
only, and batch normalisation after each of them (folded into the weights on export).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from export.networks.graph import SHUT
from export.networks.sizes import KERNEL_TIME, Widths

CONTEXT_FRAMES = 20  # that a step's encoding can reach back, beyond its own two


class Convolutions(nn.Module):
    """The paper's 2-D convolutions, looking back only: log-mels with deltas -> steps."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        self.convs = nn.ModuleList(
            nn.Conv2d(c, m, widths.kernel, bias=False)
            for c, m in zip(widths.channels, widths.maps, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(m) for m in widths.maps)

    def convolve(self, features: Tensor, exists: Tensor) -> Tensor:
        """[B, T, bands, 3] and which frames exist, [B, T] -> steps [B, T // 2, encoded]."""
        if self.widths.flat:
            features = features.flatten(2)[:, :, None]
        flow = features.permute(0, 3, 1, 2)
        mask = exists[:, None, :, None]
        flow = flow * mask
        over = self.widths.kernel[1] - 1
        around = (over // 2, over - over // 2, KERNEL_TIME - 1, 0)
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            flow = norm(conv(nn.functional.pad(flow, around)))
            frames = 2 if index == 0 else 1
            pool = (frames, 1 if self.widths.flat else self.widths.pools[index])
            if pool != (1, 1):
                flow = nn.functional.max_pool2d(flow, pool)
            mask = mask[:, :, ::frames].to(flow.dtype)
            # A stream begins with nothing remembered, which is not what silence would leave.
            flow = torch.relu(flow) * mask
        return flow.permute(0, 2, 1, 3).flatten(2)


class ACRNN(Convolutions):
    """log-mels with deltas [B, T, bands, 3] -> logits [B, labels], attention [B, T // 2]."""

    def __init__(self, widths: Widths, dropout: float = 0.15) -> None:
        super().__init__(widths)
        self.linear = nn.Linear(widths.encoded, widths.linear, bias=False)
        self.linear_norm = nn.BatchNorm1d(widths.linear)
        if widths.cells:
            self.lstm = nn.LSTM(
                widths.linear + 1,
                widths.cells,
                batch_first=True,
                bidirectional=widths.bidirectional,
            )
        if widths.summary == "attention":
            self.score = nn.Linear(widths.hidden, 1, bias=False)
        self.dense = nn.Linear(widths.hidden, widths.dense, bias=False)
        self.dense_norm = nn.BatchNorm1d(widths.dense)
        self.output = nn.Linear(widths.dense, widths.labels)
        self.dropout = nn.Dropout(dropout)

    def encode(self, features: Tensor, exists: Tensor) -> Tensor:
        """[B, T, bands, 3] and which frames exist, [B, T] -> encodings [B, T // 2, linear]."""
        flow = self.linear(self.convolve(features, exists))
        return torch.relu(self.linear_norm(flow.transpose(1, 2)).transpose(1, 2))

    def attend(self, encodings: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encodings to logits, attention of eq. (4), and the hidden states h_t.

        The summary c of eq. (5) is computed on the way.

        Args:
            encodings: [B, S, linear].
            valid: [B, S], 1 for each step that exists.

        Returns:
            logits [B, labels], attention [B, S], hidden [B, S, hidden].
        """
        hidden = self.dropout(encodings)
        if self.widths.cells:
            hidden = recur(self.lstm, hidden, valid)
        attention = self._weigh(hidden, valid)
        context = (attention[:, None] @ hidden)[:, 0]
        dense = torch.relu(self.dense_norm(self.dense(self.dropout(context))))
        return self.output(dense), attention, hidden

    def _weigh(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Attention, or what stands in its place, [B, S], over the steps that exist."""
        if self.widths.summary == "last":
            last = torch.zeros_like(valid)
            last[:, -1] = 1
            return last
        if self.widths.summary == "mean":
            return valid / valid.sum(1, keepdim=True)
        return weigh(self.score, hidden, valid)

    def forward(
        self, features: Tensor, exists: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A window with its context: `valid` [B, steps] marks the window's steps.

        Returns:
            logits [B, labels], attention [B, steps], and the steps it sums [B, steps, hidden].
        """
        # The LSTM gains nothing from bfloat16, and on a CPU loses a great deal.
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.training):
            encodings = self.encode(features, exists)
        return self.attend(encodings[:, -valid.shape[1] :].float(), valid)

    @torch.no_grad()
    def weights(self) -> dict[str, np.ndarray]:
        """Weights as `export.networks.graph.weight_shapes` names them, batch norms folded in."""
        found: dict[str, Tensor] = {}
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            scale, bias = folded(norm)
            found[f"conv{index}.weight"] = conv.weight * scale[:, None, None, None]
            found[f"conv{index}.bias"] = bias
        for name in ("linear", "dense"):
            scale, bias = folded(getattr(self, f"{name}_norm"))
            weight = getattr(self, name).weight * scale[:, None]
            found[f"{name}.weight"], found[f"{name}.bias"] = weight.T, bias
        if self.widths.cells:
            found |= lstm_weights(self.lstm)
        if self.widths.summary == "attention":
            found["attention.weight"] = self.score.weight.T
        found["output.weight"], found["output.bias"] = self.output.weight.T, self.output.bias
        return {name: value.cpu().numpy().astype(np.float32) for name, value in found.items()}


def recur(lstm: nn.LSTM, encodings: Tensor, valid: Tensor) -> Tensor:
    """Hidden states h_t of encodings [B, S, D]; zero where a step does not exist.

    The last input of the LSTM is a flag of such steps, which shuts its input gate.
    """
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if name.startswith("weight_ih"):
                weight[:, -1] = 0
                weight[: lstm.hidden_size, -1] = SHUT
    hidden: Tensor = lstm(torch.cat((encodings, 1 - valid[..., None]), dim=2))[0]
    return hidden


def weigh(score: nn.Linear, hidden: Tensor, valid: Tensor) -> Tensor:
    """Attention, eq. (4): a_t = softmax(W h_t), [B, S], over the steps that exist."""
    return torch.softmax(score(hidden)[..., 0] - 1e9 * (1 - valid), dim=1)


def lstm_weights(lstm: nn.LSTM) -> dict[str, Tensor]:
    """Weights as both graphs name them: without the flag, which the graph adds itself."""
    order = _gate_order(lstm.hidden_size).to(lstm.weight_ih_l0.device)
    ends = ("", "_reverse") if lstm.bidirectional else ("",)

    def each(kind: str) -> list[Tensor]:
        return [getattr(lstm, f"{kind}_l0{end}")[order] for end in ends]

    biases = zip(each("bias_ih"), each("bias_hh"), strict=True)
    return {
        "lstm.input": torch.stack(each("weight_ih"))[..., :-1],
        "lstm.recurrent": torch.stack(each("weight_hh")),
        "lstm.bias": torch.stack([torch.cat(pair) for pair in biases]),
    }


def folded(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and bias that a batch norm in evaluation amounts to."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _gate_order(cells: int) -> Tensor:
    """torch keeps gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
    part = torch.arange(cells)
    return torch.cat((part, part + 3 * cells, part + cells, part + 2 * cells))
