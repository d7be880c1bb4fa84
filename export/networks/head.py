"""What stands on the pretrained encoder, in torch; `weights()` is what the graph takes.

The paper's network from its linear layer on: linear, BLSTM, attention, eq. (4), c, eq. (5), fully
connected, softmax.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from export.networks.acrnn import folded, lstm_weights, recur, weigh
from export.networks.pretrained_graph import HeadWidths
from livesr.model.metadata import LABELS


class Head(nn.Module):
    """The encoder's steps [B, S, 768] -> logits [B, labels].

    Args:
        mean: of each of the encoder's values over the training set's speech, float32 [768].
        deviation: likewise.
        widths: sizes.
        dropout: before and after the classifier's first layer.
        hidden_values: share of the encoder's values hidden from a window in training.
    """

    def __init__(
        self,
        mean: np.ndarray,
        deviation: np.ndarray,
        widths: HeadWidths | None = None,
        dropout: float = 0.3,
        hidden_values: float = 0.1,
    ) -> None:
        super().__init__()
        self.widths = widths = widths or HeadWidths()
        self.hidden_values = hidden_values
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", 1 / torch.from_numpy(deviation))
        self.linear = nn.Linear(len(mean), widths.linear, bias=False)
        self.linear_norm = nn.BatchNorm1d(widths.linear)
        self.lstm = nn.LSTM(widths.linear + 1, widths.cells, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * widths.cells, 1, bias=False)
        self.context_norm = nn.BatchNorm1d(2 * widths.cells)
        self.dense = nn.Linear(2 * widths.cells, widths.dense)
        self.dense_norm = nn.BatchNorm1d(widths.dense)
        self.output = nn.Linear(widths.dense, len(LABELS))
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """A batch of windows.

        Args:
            steps: [B, S, 768], zero where there is none.
            valid: [B, S], 1 where a step exists.

        Returns:
            logits [B, labels], and attention [B, S].
        """
        context, attention = self.summary(self.encodings(steps, valid), valid)
        return self.classify(context), attention

    def encodings(self, steps: Tensor, valid: Tensor) -> Tensor:
        """What the linear layer makes of the steps, [B, S, linear]; zero where there is none."""
        steps = (steps - self.mean) * self.scale
        if self.training:
            kept = torch.rand_like(steps[:, :1]) > self.hidden_values
            steps = steps * kept / (1 - self.hidden_values)
        flat = self.linear_norm(self.linear(steps).flatten(0, 1))
        return torch.relu(flat.view(*steps.shape[:2], -1)) * valid[..., None]

    def hidden(self, encodings: Tensor, valid: Tensor) -> Tensor:
        """The BLSTM's states h_t, [B, S, 2 cells]; zero where there is none."""
        return recur(self.lstm, encodings, valid)

    def summary(self, encodings: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """c, eq. (5), [B, 2 cells], and attention [B, S]."""
        hidden = self.hidden(encodings, valid)
        attention = weigh(self.score, hidden, valid)
        return (attention[:, None] @ hidden)[:, 0], attention

    def classify(self, context: Tensor) -> Tensor:
        """Logits [B, labels] of what `summary` gives."""
        dense = self.dense(self.dropout(self.context_norm(context)))
        dense = torch.relu(self.dense_norm(dense))
        logits: Tensor = self.output(self.dropout(dense))
        return logits

    @torch.no_grad()
    def weights(self) -> dict[str, np.ndarray]:
        """Weights as `head_shapes` names them, norms folded in."""
        scale, bias = folded(self.linear_norm)
        linear = self.linear.weight * scale[:, None]
        found = {
            "linear.weight": (linear * self.scale).T,
            "linear.bias": bias - linear @ (self.mean * self.scale),
        }
        found |= lstm_weights(self.lstm)
        found["attention.weight"] = self.score.weight.T
        before, shift = folded(self.context_norm)
        scale, bias = folded(self.dense_norm)
        dense = self.dense.weight * scale[:, None]
        found["dense.weight"] = (dense * before).T
        found["dense.bias"] = self.dense.bias * scale + bias + dense @ shift
        found["output.weight"], found["output.bias"] = self.output.weight.T, self.output.bias
        return {name: value.cpu().numpy().astype(np.float32) for name, value in found.items()}
