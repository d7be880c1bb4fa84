"""Signals that ask for an end, while Ray runs in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from livesr.app.exit_status import ENDING


@contextmanager
def noted(*, held: bool = False) -> Iterator[list[int]]:
    """Note the signals that arrive, the first one first, and pass them on to their handlers.

    Signals that are ignored, or end the process at once, stay so.

    Args:
        held: pass the first one on at the end of the block, however that ends. In the middle of a
            start or an end of Ray, an exception would crash the process. A second one is passed on
            at once: Ray may hang.
    """
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    found = {number: signal.getsignal(number) for number in ENDING}
    before = {number: handler for number, handler in found.items() if callable(handler)}

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if not held or len(arrived) > 1:
            before[number](number, frame)

    set_handler = signal.signal

    def set_another(number: int, handler: Any) -> Any:
        return note if number in before else set_handler(number, handler)

    for number in before:
        set_handler(number, note)
    if held:  # Ray sets a handler too, which ends the process at once, with another status
        signal.signal = set_another  # type: ignore[assignment]
    try:
        yield arrived
    finally:
        signal.signal = set_handler
        for number, handler in before.items():
            set_handler(number, handler)
        if held and arrived:
            before[arrived[0]](arrived[0], None)
