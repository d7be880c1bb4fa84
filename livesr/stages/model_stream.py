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

_BLOCK_FRAMES, _LATE_FRAMES = 25, 6  # of a pretrained encoder; see block_ends
_FARTHEST = 1e6  # a window at this distance says nothing
TOGETHER = 8  # streams a call: more of them no longer fit the core's own cache


class ModelStream(Stage):
    """One stream through the network: new frames in, the window's probabilities out.

    A pretrained encoder takes a block of steps at once, each of which attends to the whole block.
    So that an encoding does not depend on the hop, blocks are counted from the stream's start: one
    ends with every quarter second of its clock. At a hop of 0.25, 0.5 or 1 s that costs no delay,
    at another one a quarter second at most.
    """

    _fields = (
        "_odd",
        "_steps",
        "_probabilities",
        "_attention",
        "_context",
        "_relative",
        "_distance",
    )

    def __init__(self, model: Model) -> None:
        self.model = model
        self.reset()

    def reset(self) -> None:
        labels = len(self.model.info.labels)
        self._odd: Float32 = np.zeros((0, *self.model.frame_shape), np.float32)
        self._steps = 0
        self._probabilities: Float32 = np.full(labels, 1 / labels, np.float32)
        self._attention: Float32 = np.zeros(self.model.steps, np.float32)
        self._context: Float32 = np.zeros(self.model.context_size, np.float32)
        self._relative: Float32 = np.zeros(labels, np.float32)
        self._distance = 1.0
        self.memory = self.model.memory()

    @property
    def probabilities(self) -> Float32:
        """Of each label for the window as it stands, float32 [labels]; uniform before a step."""
        return self._probabilities

    @property
    def context(self) -> Float32:
        """c of eq. (5), float32 [context_size]: the representation of the window, before it
        names an emotion; zeros before a step."""
        return self._context

    @property
    def relative(self) -> Float32 | None:
        """Relative logits of the window, float32 [labels]; None of a model without them.

        See `livesr.stages.adaptation`.
        """
        return self._relative if self.model.relative else None

    @property
    def distance(self) -> float:
        """Of the window from the nearest corpus of the model's training clips, as
        `livesr.stages.evidence` has it; 1 before a step, and of a model that gives none."""
        return self._distance

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
        """float32 [frames, *frame_shape]; an odd last frame waits for its pair."""
        push_together([self], [features])

    def paired(self, features: Float32) -> list[Float32]:
        """The frames that the network can take now, a call each; the rest is kept.

        Whole pairs of frames; for a pretrained encoder, whole blocks of them.
        """
        features = np.concatenate((self._odd, features))
        end = self._steps + len(features) // STEP_FRAMES
        if self.model.info.encoder:
            ends = block_ends(self._steps, end)
        else:
            ends = [end] if end > self._steps else []
        cuts = [(place - self._steps) * STEP_FRAMES for place in ends]
        *parts, rest = np.split(features, cuts)
        self._odd = rest.copy()
        return parts

    def finish(self) -> None:
        """Give the network what waits for the rest of its block, but for an odd frame."""
        whole = len(self._odd) - len(self._odd) % STEP_FRAMES
        if whole:
            self.take(self.model.run(self._odd[None, :whole], self.memory), whole // STEP_FRAMES)
        self._odd = self._odd[whole:]

    def take(self, outputs: Mapping[str, Float32], steps: int) -> None:
        """The network's outputs for this stream, N = 1, after so many new steps."""
        self.memory = {name: outputs[f"new_{name}"] for name in self.memory}
        self._probabilities, self._attention = outputs["probabilities"][0], outputs["attention"][0]
        self._context = outputs["context"][0]
        if self.model.relative:
            self._relative = outputs["relative"][0]
        if self.model.distances:
            self._distance = float(np.clip(outputs["distances"][0].min(), 0, _FARTHEST))
        self._steps += steps

    def state(self) -> State:
        return {**super().state(), "memory": {k: v.copy() for k, v in self.memory.items()}}

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
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
        super().restore(rest, taken)
        self.memory = {name: memory[name].copy() for name in self.memory}

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        probabilities, attention = values["_probabilities"], values["_attention"]
        steps = taken // STEP_FRAMES
        if self.model.info.encoder:
            steps = max([0, *block_ends(max(0, steps - 26), steps)])
        shares = min(probabilities.min(initial=0), attention.min(initial=0)) >= 0
        return {
            "steps": (steps, values["_steps"]),
            "odd frame": (taken - steps * STEP_FRAMES, len(values["_odd"])),
            "probabilities": (len(self._probabilities), len(probabilities)),
            "attention": (len(self._attention), len(attention)),
            "context": (len(self._context), len(values["_context"])),
            "relative": (len(self._relative), len(values["_relative"])),
            "distance": (True, self.model.distances or values["_distance"] == 1),
            "shares": (True, bool(shares and probabilities.any())),
        }


def block_ends(start: int, end: int) -> list[int]:
    """Where blocks of a pretrained encoder end, in steps of the stream: after `start`, up to `end`.

    When k quarter seconds of samples have come, the front end has given 25 k - 6 frames: it is
    behind by the rest of the newest window and by the deltas' reach.

    Example:
        >>> block_ends(0, 50), block_ends(9, 21)
        ([9, 22, 34, 47], [])
    """
    first = (STEP_FRAMES * start + _LATE_FRAMES) // _BLOCK_FRAMES
    last = (STEP_FRAMES * (end + 1) + _LATE_FRAMES) // _BLOCK_FRAMES
    places = [(k * _BLOCK_FRAMES - _LATE_FRAMES) // STEP_FRAMES for k in range(first, last + 1)]
    return [place for place in places if start < place <= end]


def push_together(streams: Sequence[ModelStream], features: Sequence[Float32]) -> None:
    """`ModelStream.push` for several streams: those of one model and as many frames share a call.

    Args:
        streams: each at most once.
        features: for each of them, float32 [frames, *frame_shape].
    """
    waiting = [(own, own.paired(new)) for own, new in zip(streams, features, strict=True)]
    while waiting := [(stream, parts) for stream, parts in waiting if parts]:
        groups: dict[tuple[Model, int], list[tuple[ModelStream, Float32]]] = defaultdict(list)
        for stream, parts in waiting:
            groups[stream.model, len(parts[0])].append((stream, parts.pop(0)))
        for (model, frames), group in groups.items():
            for start in range(0, len(group), TOGETHER):
                _call(model, frames // STEP_FRAMES, group[start : start + TOGETHER])


def _call(model: Model, steps: int, batch: Sequence[tuple[ModelStream, Float32]]) -> None:
    outputs = model.run(*_joined(batch))
    for row, (stream, _) in enumerate(batch):
        own = outputs
        if len(batch) > 1:  # copied: a view would keep the whole batch in memory
            own = {k: v[row : row + 1].copy() for k, v in outputs.items()}
        stream.take(own, steps)


def _joined(batch: Sequence[tuple[ModelStream, Float32]]) -> tuple[Float32, dict[str, Float32]]:
    """Features and memory of all streams, as `Model.run` takes them."""
    (first, alone), *others = batch
    if not others:
        return alone[None], first.memory
    memory = {name: np.concatenate([s.memory[name] for s, _ in batch]) for name in first.memory}
    return np.stack([paired for _, paired in batch]), memory
