"""A stream through the network: a call a hop, memory in and out; streams may share a call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from livesr.arrays import Float32, Float64
from livesr.errors import ModelError
from livesr.model.load import STEP_FRAMES, Model
from livesr.stages.stage import Stage
from livesr.state import State

_TOGETHER = 8  # streams a call: more of them no longer fit the core's own cache


class ModelStream(Stage):
    """One stream through the network: new frames in, the window's probabilities out."""

    _fields = ("_odd", "_steps", "_probabilities", "_attention", "_context")

    def __init__(self, model: Model) -> None:
        self.model = model
        self.reset()

    def reset(self) -> None:
        bands, labels = self.model.info.front_end.bands, len(self.model.info.labels)
        self._odd: Float32 = np.zeros((0, bands, 3), np.float32)
        self._steps = 0
        self._probabilities: Float32 = np.full(labels, 1 / labels, np.float32)
        self._attention: Float32 = np.zeros(self.model.steps, np.float32)
        self._context: Float32 = np.zeros(self.model.context_size, np.float32)
        self.memory = self.model.memory()

    @property
    def probabilities(self) -> Float32:
        """Of each label for the window as it stands, float32 [labels]; uniform before a step."""
        return self._probabilities

    @property
    def context(self) -> Float32:
        """c of eq. (5), float32 [context_size]: what the network makes of the window, before it
        names an emotion; zeros before a step."""
        return self._context

    @property
    def attention(self) -> Float32:
        """Of the steps that exist, oldest first, float32 [T], sums to 1."""
        return self._attention[self.model.steps - min(self._steps, self.model.steps) :]

    @property
    def attention_times(self) -> Float64:
        """Seconds from the stream's start to the middle of those steps, float64 [T]."""
        settings = self.model.info.front_end
        first = max(0, self._steps - self.model.steps)
        start = np.arange(first, self._steps) * (STEP_FRAMES * settings.shift_samples)
        length = (STEP_FRAMES - 1) * settings.shift_samples + settings.window_samples
        return np.asarray((start + length / 2) / settings.sample_rate)

    def push(self, features: Float32) -> None:
        """float32 [frames, bands, 3]; an odd last frame waits for its pair."""
        push_together([self], [features])

    def paired(self, features: Float32) -> Float32:
        """The frames that make whole pairs with the one kept; an odd last frame is kept."""
        features = np.concatenate((self._odd, features))
        whole = len(features) - len(features) % STEP_FRAMES
        self._odd = features[whole:].copy()
        return features[:whole]

    def take(self, outputs: Mapping[str, Float32], steps: int) -> None:
        """The network's outputs for this stream, N = 1, after so many new steps."""
        self.memory = {name: outputs[f"new_{name}"] for name in self.memory}
        self._probabilities, self._attention = outputs["probabilities"][0], outputs["attention"][0]
        self._context = outputs["context"][0]
        self._steps += steps

    def state(self) -> State:
        return {**super().state(), "memory": {k: v.copy() for k, v in self.memory.items()}}

    def restore(self, state: Mapping[str, Any], heard: int) -> None:
        rest = dict(state)
        memory = rest.pop("memory", None)
        if not isinstance(memory, dict) or any(
            not isinstance(memory.get(name), np.ndarray)
            or memory[name].shape != like.shape
            or memory[name].dtype != like.dtype
            or not np.isfinite(memory[name]).all()
            for name, like in self.memory.items()
        ):
            raise ModelError("The saved state's network memory does not fit this model.")
        super().restore(rest, heard)
        self.memory = {name: memory[name].copy() for name in self.memory}

    def _lengths(self, values: Mapping[str, Any], heard: int) -> dict[str, tuple[Any, Any]]:
        probabilities, attention = values["_probabilities"], values["_attention"]
        shares = min(probabilities.min(initial=0), attention.min(initial=0)) >= 0
        return {
            "steps": (heard // STEP_FRAMES, values["_steps"]),
            "odd frame": (heard % STEP_FRAMES, len(values["_odd"])),
            "probabilities": (len(self._probabilities), len(probabilities)),
            "attention": (len(self._attention), len(attention)),
            "shares": (True, bool(shares and probabilities.any())),
        }


def push_together(streams: Sequence[ModelStream], features: Sequence[Float32]) -> None:
    """`ModelStream.push` for several streams: those of one model and as many frames share a call.

    Args:
        streams: each at most once.
        features: for each of them, float32 [frames, bands, 3].
    """
    groups: dict[tuple[Model, int], list[tuple[ModelStream, Float32]]] = defaultdict(list)
    for stream, new in zip(streams, features, strict=True):
        paired = stream.paired(new)
        if len(paired):
            groups[stream.model, len(paired)].append((stream, paired))
    for (model, frames), group in groups.items():
        for start in range(0, len(group), _TOGETHER):
            batch = group[start : start + _TOGETHER]
            outputs = model.run(*_joined(batch))
            for row, (stream, _) in enumerate(batch):
                own = outputs
                if len(batch) > 1:  # copied: a view would keep the whole batch in memory
                    own = {k: v[row : row + 1].copy() for k, v in outputs.items()}
                stream.take(own, frames // STEP_FRAMES)


def _joined(batch: Sequence[tuple[ModelStream, Float32]]) -> tuple[Float32, dict[str, Float32]]:
    """Features and memory of all streams, as `Model.run` takes them."""
    (first, alone), *others = batch
    if not others:
        return alone[None], first.memory
    memory = {name: np.concatenate([s.memory[name] for s, _ in batch]) for name in first.memory}
    return np.stack([paired for _, paired in batch]), memory
