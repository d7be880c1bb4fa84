"""Resampling in a stream against soxr in one go, across the joints."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from livesr.stages.resample import Resampler


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192_000])
def test_equals_one_shot(rate: int) -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(rate * 10 + 777)).astype(np.float32)
    resampler = Resampler(rate, 16000)
    parts, start = [], 0
    while start < len(samples):
        size = int(rng.integers(1, rate))
        parts.append(resampler.push(samples[start : start + size]))
        start += size
    found = np.concatenate([*parts, resampler.finish()])
    expected = soxr.resample(samples, rate, 16000, quality="HQ")
    assert abs(len(found) - len(expected)) <= 1
    length = min(len(found), len(expected))
    np.testing.assert_allclose(found[:length], expected[:length], atol=2e-6)


def test_state_is_small_and_whole() -> None:
    samples = np.random.default_rng(1).standard_normal(48000 * 13).astype(np.float32)
    first = Resampler(48000, 16000)
    head = first.push(samples[: 48000 * 9 + 11])
    second = Resampler(48000, 16000)
    second.restore(first.state(), 0)
    tail = samples[48000 * 9 + 11 :]
    np.testing.assert_array_equal(second.push(tail), first.push(tail))
    assert len(head) > 8.9 * 16000
    assert sum(np.asarray(value).nbytes for value in first.state().values()) < 6 * 48000 * 4 + 100


@pytest.mark.slow
def test_an_hour_in_one_push() -> None:
    resampler = Resampler(8000, 16000)
    found = resampler.push(np.zeros(8000 * 3600, np.float32))
    assert len(found) + len(resampler.finish()) == 16000 * 3600
