"""The pitch of a voice, on sounds whose pitch is known."""

from __future__ import annotations

import numpy as np
import pytest

from livesr.arrays import Float32
from livesr.stages.pitch import pitch

TIME = np.arange(32_000) / 16_000


def buzz(hertz: float) -> Float32:
    """A tone with falling harmonics, as a voice has."""
    waves = [np.sin(2 * np.pi * hertz * k * TIME) / k for k in range(1, 12)]
    return np.sum(waves, axis=0, dtype=np.float32)


@pytest.mark.parametrize("hertz", [80, 120, 210, 330, 420])
def test_it_is_that_of_a_tone_with_harmonics(hertz: int) -> None:
    assert pitch(np.float32(0.1) * buzz(hertz)) == pytest.approx(hertz, rel=0.02)


def test_it_does_not_need_the_fundamental_nor_depend_on_level() -> None:
    missing = buzz(150) - np.sin(2 * np.pi * 150 * TIME).astype(np.float32)
    assert pitch(missing) == pytest.approx(150, rel=0.02)
    assert pitch(np.float32(0.001) * buzz(150)) == pytest.approx(pitch(buzz(150)), rel=1e-6)


def test_quiet_sound_does_not_count() -> None:
    quiet = np.float32(0.001) * buzz(300)
    assert pitch(np.concatenate((buzz(100), quiet, quiet))) == pytest.approx(100, rel=0.02)


def test_there_is_none_without_a_voice() -> None:
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    assert pitch(noise) == 0
    assert pitch(np.zeros(32_000, np.float32)) == 0
    assert pitch(np.zeros(0, np.float32)) == 0
    assert pitch(buzz(200)[:1000]) == 0
