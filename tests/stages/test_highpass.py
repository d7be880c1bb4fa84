"""The high-pass: what it takes out, what it leaves, and that cuts do not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livesr.stages.highpass import HighPass


def direct(samples: np.ndarray) -> np.ndarray:
    """The difference equation, sample by sample."""
    decay, output, found = math.exp(-2 * math.pi * 20 / 16000), 0.0, []
    before = float(samples[0])
    for sample in samples.astype(np.float64):
        output = sample - before + decay * output
        before = sample
        found.append(output)
    return np.array(found)


def test_it_is_the_difference_equation() -> None:
    samples = np.random.default_rng(0).normal(0, 0.3, 50_000).astype(np.float32)
    np.testing.assert_allclose(HighPass().push(samples), direct(samples), atol=1e-7)


@pytest.mark.parametrize(
    ("hertz", "least", "most"), [(1, 0, 0.06), (20, 0.69, 0.73), (200, 0.99, 1)]
)
def test_its_gain(hertz: float, least: float, most: float) -> None:
    wave = np.sin(2 * np.pi * hertz * np.arange(64_000) / 16_000).astype(np.float32)
    assert least < np.abs(HighPass().push(wave)[32_000:]).max() <= most


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=5))
def test_it_goes_on_where_it_was(sizes: list[int]) -> None:
    samples = np.random.default_rng(1).normal(0.2, 0.3, 60_000).astype(np.float32)
    whole, stage, found = HighPass().push(samples), HighPass(), []
    for start, end in zip(np.cumsum([0, *sizes[:-1]]), np.cumsum(sizes), strict=True):
        found.append(stage.push(samples[start:end]))
        fresh = HighPass()
        fresh.restore(stage.state(), int(end))
        stage = fresh
    joined = np.concatenate(found)
    np.testing.assert_allclose(joined, whole[: len(joined)], atol=1e-6)


def test_a_constant_gives_nothing_from_the_first_sample_on() -> None:
    assert not HighPass().push(np.full(1000, 0.25, np.float32)).any()


def test_nothing_in_nothing_out() -> None:
    assert len(HighPass().push(np.zeros(0, np.float32))) == 0
