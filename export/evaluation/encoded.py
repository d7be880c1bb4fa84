"""Results of clips whose steps are encoded already: what a network says of a stream's windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from export.evaluation.judging import weights
from export.features.encoder import STEPS
from export.features.steps import Encoded
from export.training.pretrained import Window
from livesr.arrays import Float32, Float64
from livesr.stages.model_stream import block_ends

_TOGETHER = 256  # windows that are judged in one call


class Readings:
    """The windows of a stream's readings of clips, one after each block of the encoder.

    Args:
        clips: as recorded.

    Example:
        judged = Readings(clips)
        probabilities = judged.results(judged.logits(network))
    """

    def __init__(self, clips: Sequence[Encoded]) -> None:
        self._cuts: list[Window] = []
        spoken = []
        for number, one in enumerate(clips):
            count, before = len(one.spoken), 0
            for end in sorted({*block_ends(0, count), count}):
                self._cuts.append((number, max(0, end - STEPS), end))
                spoken.append(one.spoken[before:end].mean())
                before = end
        self._weights = weights(np.array(spoken))
        self._clips = len(clips)

    @torch.no_grad()
    def logits(self, of: Callable[[Sequence[Window]], Tensor]) -> Tensor:
        """What is said of each reading's window, [readings, labels]; `of` takes some at a time."""
        starts = range(0, len(self._cuts), _TOGETHER)
        return torch.cat([of(self._cuts[at : at + _TOGETHER]) for at in starts])

    def results(self, logits: Tensor) -> Float64:
        """Probabilities of each clip, [clips, labels]: of its readings, weighted by their speech.

        Args:
            logits: of each reading, [readings, labels].
        """
        said: Float32 = torch.softmax(logits, 1).numpy()
        found = np.zeros((self._clips, said.shape[1]))
        owners = [number for number, _, _ in self._cuts]
        np.add.at(found, owners, said * self._weights[:, None])
        return np.asarray(found / found.sum(1, keepdims=True))
