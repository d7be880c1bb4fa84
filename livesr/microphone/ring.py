"""The last seconds of a device's sound, between its callback and the worker."""

from __future__ import annotations

import numpy as np

from livesr.arrays import Float32


class Ring:
    """Single producer, single consumer, fixed memory, no lock.

    The producer never waits: what the consumer has not read in time is overwritten, and the
    consumer is told so. Positions count frames since the start and never wrap.

    Attributes:
        written: frames so far; sound before it is whole.
        read: the consumer's position.
    """

    def __init__(self, frames: int, channels: int) -> None:
        self._data: Float32 = np.zeros((frames, channels), np.float32)
        self.written = 0
        self.read = 0

    @property
    def waiting(self) -> int:
        """Frames written and not yet read, lost ones included."""
        return self.written - self.read

    def push(self, block: Float32) -> None:
        """The producer's: float32 [n, channels], n at most a quarter of the ring."""
        size = len(self._data)
        start = self.written % size
        room = min(len(block), size - start)
        self._data[start : start + room] = block[:room]
        if room < len(block):
            self._data[: len(block) - room] = block[room:]
        self.written += len(block)  # last: the consumer trusts what lies before it

    def pull(self, most: int) -> tuple[int, Float32]:
        """The consumer's: frames overwritten before they were read, and those that follow.

        Args:
            most: frames to take.

        Returns:
            How many frames are gone, and float32 [n, channels] with n at most `most`.
        """
        # A quarter is kept clear: a callback may be writing there while this copies.
        keep = len(self._data) * 3 // 4
        gone = max(0, self.waiting - keep)
        begin = self.read + gone
        count = min(most, self.written - begin)
        taken = self._copy(begin, count)
        late = max(0, self.written - keep - begin)  # may have been overwritten during the copy
        if late:
            gone, taken = gone + min(late, count), taken[late:]
        self.read = begin + count
        return gone, taken

    def _copy(self, begin: int, count: int) -> Float32:
        size = len(self._data)
        start = begin % size
        room = min(count, size - start)
        return np.concatenate((self._data[start : start + room], self._data[: count - room]))

    def newest(self, frames: int) -> Float32:
        """The last of what was written, for a level meter; float32 [n, channels]."""
        end = self.written
        count = min(frames, end, len(self._data) // 4)
        return self._copy(end - count, count)
