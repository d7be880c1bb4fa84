"""Memory that has been freed, returned to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    """glibc's `malloc_trim`; None with another C library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def return_memory() -> None:
    """Return what libc keeps of freed memory. Takes milliseconds, in which other threads run."""
    if (trim := _trim()) is not None:
        trim(0)
