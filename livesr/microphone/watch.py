"""Whether PortAudio still calls back, as against a process that stood still itself."""

from __future__ import annotations

import time

_ASLEEP_SECONDS = 1.0  # between two looks: this process stood still
_DEAD_SECONDS = 2.0  # without a callback: the device has gone, whatever PortAudio says


class CallbackWatch:
    """Watches for callbacks that stay away. After Ctrl-Z and `fg` it begins to wait anew."""

    def __init__(self) -> None:
        self._looked = self._awake_since = time.monotonic()

    def dead(self, last: float) -> bool:
        """Whether no callback will come any more; to be asked again and again.

        Args:
            last: when the newest came, or the stream was started, monotonic seconds.
        """
        now = time.monotonic()
        if now - self._looked > _ASLEEP_SECONDS:
            self._awake_since = now
        self._looked = now
        return now - max(last, self._awake_since) > _DEAD_SECONDS
