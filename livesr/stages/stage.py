"""The contract every streaming stage keeps, and how its state travels.

A stage takes whatever has arrived (`push`), gives what is still held back at the end of a
stream (`finish`) and can be made as new (`reset`). What it must remember between two calls
stands in the attributes named by `_fields`, and nowhere else: that is what makes a stream
resumable in another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from livesr.errors import ModelError
from livesr.state import State


class Stage:
    """A streaming stage whose memory is exactly the attributes in `_fields`."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def reset(self) -> None:
        """Forget the stream: the next `push` begins a new one."""
        raise NotImplementedError

    def state(self) -> State:
        """What this stage remembers, as plain numbers and arrays (copied)."""
        return {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in ((name, getattr(self, name)) for name in self._fields)
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a stream where `state()` left it.

        Raises:
            ModelError: if a value is missing, unknown, or of another kind or shape than
                this stage keeps. The stage is then unchanged.
        """
        if set(state) != set(self._fields):
            raise ModelError(
                f"The saved state does not fit {type(self).__name__}: it holds "
                f"{sorted(state)}, expected {sorted(self._fields)}. "
                "Use a state saved by this version of livesr."
            )
        values = {name: _same_kind(name, state[name], getattr(self, name)) for name in self._fields}
        for name, value in values.items():
            setattr(self, name, value)


def _same_kind(name: str, value: Any, like: Any) -> Any:
    """`value`, checked against the attribute it replaces; the first axis alone may differ."""
    if isinstance(like, np.ndarray):
        if (
            isinstance(value, np.ndarray)
            and value.dtype == like.dtype
            and value.ndim == like.ndim
            and value.shape[1:] == like.shape[1:]
        ):
            return value.copy()
    elif type(value) is type(like):
        return value
    raise ModelError(
        f"The saved state does not fit: {name!r} is of another kind or shape than expected. "
        "Use a state saved with the same model and version of livesr."
    )
