"""The ring between callback and worker."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from livesr.microphone.ring import Ring


def block(start: int, count: int) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)[:, None]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 25)), max_size=60))
@settings(deadline=None)
def test_every_frame_is_given_once_in_order_or_counted_as_gone(
    steps: list[tuple[bool, int]],
) -> None:
    ring, given_or_gone = Ring(100, 1), 0
    for writes, count in steps:
        if writes:
            ring.push(block(ring.written, count))
        else:
            gone, frames = ring.pull(count)
            given_or_gone += gone
            assert np.array_equal(frames, block(given_or_gone, len(frames)))
            given_or_gone += len(frames)
            assert given_or_gone == ring.read
            assert ring.waiting <= 75 or not len(frames)
    assert ring.written - ring.read == ring.waiting


def test_nothing_torn_between_threads() -> None:
    ring, total = Ring(4096, 2), 400_000
    frames = np.arange(total, dtype=np.float32)

    def produce() -> None:
        for start in range(0, total, 160):
            part = frames[start : start + 160]
            ring.push(np.stack([part, -part], axis=1))

    producer = threading.Thread(target=produce)
    producer.start()
    position = 0
    while producer.is_alive() or ring.waiting:
        gone, taken = ring.pull(512)
        position += gone
        assert np.array_equal(taken[:, 0], frames[position : position + len(taken)])
        assert np.array_equal(taken[:, 1], -taken[:, 0])
        position += len(taken)
    producer.join()
    assert position == total


def test_newest_is_for_the_meter() -> None:
    ring = Ring(100, 1)
    assert ring.newest(10).shape == (0, 1)
    for _ in range(9):
        ring.push(block(ring.written, 17))
    assert np.array_equal(ring.newest(10), block(143, 10))
