"""Whether a saved state can be some stream's, before a Recognizer takes it up.

How many samples a stream has heard decides the length of all that its stages keep. A state of
other lengths, or of values that no sound leads to, would fail later, in the midst of a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from livesr.errors import ModelError
from livesr.settings import FrontEndSettings
from livesr.stages.vad import BLOCK_SAMPLES, CONTEXT_SAMPLES
from livesr.state import State

_LARGEST = 1e12  # sound 40 dB over full scale, squared and summed, stays below
_MOST_SAMPLES = 10**18


def check_fits(saved: State, own: State) -> None:
    """See that a state is of a Recognizer like the one whose own state is given beside it.

    Raises:
        ModelError: naming what differs.
    """
    for what, key in (("version", "livesr"), ("model", "model"), ("hop", "hop_samples")):
        if saved.get(key) != own[key]:
            raise ModelError(
                f"This state was saved with the {what} {_in_words(saved, key)}, this Recognizer "
                f"has {_in_words(own, key)}; make a Recognizer like the one that saved it."
            )


def _in_words(state: State, key: str) -> str:
    if key == "model":
        return f"{state.get('model_name')!s:.80} ({str(state.get('model'))[:8]})"
    return f"{state.get(key)!s:.80}" + (" samples" if key == "hop_samples" else "")


def check(saved: State, *, hop: int, hops: int, blocks: int, labels: int, steps: int) -> None:
    """See that a state is one that a stream leaves.

    Args:
        saved: what `Recognizer.state` packed.
        hop: in samples.
        hops: that `Adaptation` holds at most.
        blocks: that `Decision` holds at most.
        labels: of the model.
        steps: of the model's window.

    Raises:
        AttributeError, KeyError, TypeError, ValueError, ModelError: if it is not.
    """
    for name in ("position", "input", "start", "jumped", "lost"):
        if type(saved[name]) is not int or not 0 <= saved[name] <= _MOST_SAMPLES:
            raise ValueError(name)
    waiting = saved["waiting"]
    if waiting.dtype != np.float32 or waiting.ndim != 1 or len(waiting) >= hop:
        raise ModelError("The saved state holds samples that cannot be; save it again.")
    for name, number in _numbers("", saved):
        if not (np.abs(number) <= _LARGEST).all():  # NaN is not
            raise ValueError(name)
    if saved["finished"] is not False:
        if saved["finished"] is not True:
            raise ValueError("finished")
        return  # nothing more comes of it
    heard, settings = saved["position"], FrontEndSettings()
    front, network = saved["front_end"], saved["network"]
    deltas, decision, adaptation = front["Deltas"], saved["decision"], saved["adaptation"]
    frames = max(0, (heard - settings.window_samples) // settings.shift_samples + 1)
    reach = settings.delta_reach
    first = max(0, frames - reach)  # deltas so far
    second = max(0, first - reach)  # and theirs: frames for the network
    start = (frames * settings.shift_samples + settings.window_samples) // BLOCK_SAMPLES - 1
    for name, found, right in (
        ("heard", heard % hop, 0),
        ("frames", front["_frames"], frames),
        ("speech start", front["_speech_start"], start),
        ("steps", network["_steps"], second // 2),
        ("voice", len(saved["voice"]["_held"]), CONTEXT_SAMPLES + heard % BLOCK_SAMPLES),
        ("voice memory", len(saved["voice"]["_memory"]), 2),
        ("tail", len(front["Framer"]["_tail"]), heard - frames * settings.shift_samples),
        ("speech", len(front["_speech"]), heard // BLOCK_SAMPLES - start),
        ("delta", len(deltas["first"]["_held"]), _held(frames, reach)),
        ("second delta", len(deltas["second"]["_held"]), _held(first, reach)),
        ("static", len(deltas["_static"]), frames - second),
        ("waiting delta", len(deltas["_delta"]), first - second),
        ("odd", len(network["_odd"]), second % 2),
        ("probabilities", len(network["_probabilities"]), labels),
        ("attention", len(network["_attention"]), steps),
        ("habit", len(adaptation["_heard"]), labels + 1),
        ("window", len(adaptation["_window"]), min(heard // hop, hops)),
        ("recent", len(decision["_recent"]), min(heard // BLOCK_SAMPLES, blocks)),
        ("smoothed", len(decision["_smoothed"]), labels),
        ("label", decision["_label"] in range(-1, labels), True),
    ):
        if found != right:
            raise ValueError(name)
    for name, least in (
        ("probabilities", min(network["_probabilities"].min(), network["_attention"].min())),
        ("habit", min(adaptation["_heard"].min(), adaptation["_window"].min(initial=0))),
        ("level", min(front["Level"]["_power"], front["Level"]["_weight"])),
        ("smoothed", min(decision["_smoothed"].min(), decision["_weight"])),
    ):
        if not least >= 0:
            raise ValueError(name)
    if not network["_probabilities"].any():
        raise ValueError("probabilities")


def _held(values: int, reach: int) -> int:
    """Rows that `Delta` holds after so many."""
    return min(values + reach, 2 * reach) if values else 0


def _numbers(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(str(key), inner)
    elif isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        yield name, value
