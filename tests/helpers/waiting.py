"""Waiting for what another process or thread brings about."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], object], most: float = 60) -> None:
    """Wait until it is true; seconds at most."""
    end = time.monotonic() + most
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
