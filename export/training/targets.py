"""What a network is trained to answer, where corpora have different classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from livesr.arrays import Bool
from livesr.model.metadata import LABELS


def present(corpora: Sequence[str], labels: Sequence[int]) -> Bool:
    """For each clip, which classes its corpus has, bool [clips, labels].

    A corpus without a class says nothing about it: there, the class is left out of the softmax.

    Example:
        >>> present(["a", "a", "b"], [0, 3, 1]).tolist()[2]
        [False, True, False, False]
    """
    classes: dict[str, set[int]] = defaultdict(set)
    for corpus, label in zip(corpora, labels, strict=True):
        classes[corpus].add(label)
    return np.array([[k in classes[corpus] for k in range(len(LABELS))] for corpus in corpora])


def cross_entropy(logits: Tensor, targets: Tensor, there: Tensor) -> Tensor:
    """Of targets [n, labels], among the classes that are there, [n]."""
    return -(targets * torch.log_softmax(logits.masked_fill(~there, -1e4), 1)).sum(1)
