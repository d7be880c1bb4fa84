"""The contract that every streaming stage keeps.

`push(...)` takes what has newly arrived and gives what follows from it. `reset()` forgets the
stream. `state()` gives all that the stage keeps between two calls, as plain numbers and arrays;
`restore(state, taken)` takes it up in another object, which then goes on bit for bit.

What a stage keeps stands in the attributes named by `_fields` (and in the stages that it is made
of), and nowhere else. Each is bounded: a stage keeps what its next output needs, at most the
model's window, and never grows with the stream.

Most stages answer at once. The three that hold output back until they have seen what follows
(`InputResampler`, `HopCutter`, `FrontEnd`) also have `finish()`, which gives the rest at the
stream's end. A stage does no input or output, starts no thread and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from livesr.errors import ModelError
from livesr.state import State

_LARGEST = 1e12  # sound 40 dB over full scale, squared and summed, stays below
MOST_SAMPLES = 10**18  # that a stream may count


class Stage:
    """A streaming stage that keeps exactly the attributes named in `_fields`."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def reset(self) -> None:
        """Forget the stream: the next `push` begins a new one."""
        raise NotImplementedError

    def state(self) -> State:
        """What this stage keeps, as plain numbers and arrays (copied)."""
        return {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in ((name, getattr(self, name)) for name in self._fields)
        }

    def restore(self, state: Mapping[str, Any], taken: int) -> None:
        """Go on with a stream where `state()` left it.

        Args:
            state: what `state()` gave.
            taken: how much the stage had taken by then, in the unit of its `push`. It decides
                the length of everything that the stage keeps.

        Raises:
            ModelError: if a value is missing, unknown, or one that no stream leaves. The stage
                is then unchanged, unless it is made of others: their owner restores them.
        """
        if set(state) != set(self._fields):
            raise ModelError(
                f"The saved state does not fit {type(self).__name__}: it holds "
                f"{sorted(state)}, expected {sorted(self._fields)}. "
                "Save the state again with state()."
            )
        values = {name: _same_kind(name, state[name], getattr(self, name)) for name in self._fields}
        for name, (right, found) in self._lengths(values, taken).items():
            if found != right:
                raise _unlike(f"{type(self).__name__}, {name}")
        for name, value in values.items():
            setattr(self, name, value)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        """What must agree after `taken`: name -> what is right, what was found."""
        return {}


def _unlike(what: str) -> ModelError:
    return ModelError(
        f"The saved state cannot be used: {what} is not what a stream leaves. "
        "Save it again with state()."
    )


def _same_kind(name: str, value: Any, like: Any) -> Any:
    """`value`, checked against the attribute that it replaces; the first axis alone may differ."""
    if isinstance(like, np.ndarray):
        if not (
            isinstance(value, np.ndarray)
            and value.dtype == like.dtype
            and value.ndim == like.ndim
            and value.shape[1:] == like.shape[1:]
        ):
            raise _unlike(name)
        value = value.copy()
    elif type(value) is not type(like):
        raise _unlike(name)
    # Written so that NaN is refused too.
    if not np.all(np.abs(value) <= (MOST_SAMPLES if type(value) is int else _LARGEST)):
        raise _unlike(name)
    return value
