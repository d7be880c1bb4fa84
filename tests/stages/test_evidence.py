"""A window is as sure as its speech allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livesr.errors import ModelError
from livesr.settings import DecisionSettings
from livesr.stages.evidence import Evidence, distance_factor, factor

BLOCK = 0.032
SETTINGS = DecisionSettings(half_evidence_seconds=0.5)
ANGRY = np.array([0.7, 0.1, 0.1, 0.1])


def odds(probabilities: np.ndarray) -> float:
    return float(np.log(probabilities[0] / probabilities[1]))


def test_log_odds_grow_with_the_speech_in_the_window() -> None:
    stage, found = Evidence(SETTINGS, BLOCK), []
    for _ in range(12):
        found.append(odds(stage.push(ANGRY, np.ones(8, np.bool_))) / odds(ANGRY))
    spoken = np.minimum(np.arange(1, 13) * 8, 94) * BLOCK
    np.testing.assert_allclose(found, spoken / (spoken + 0.5) * 3.5 / 3, rtol=1e-12)
    assert found[-1] == pytest.approx(1, abs=0.001)


def test_speech_leaves_with_the_window() -> None:
    stage = Evidence(SETTINGS, BLOCK)
    stage.push(ANGRY, np.ones(8, np.bool_))
    for _ in range(12):
        last = stage.push(ANGRY, np.zeros(8, np.bool_))
    assert odds(last) == pytest.approx(odds(ANGRY) * float(factor(BLOCK, SETTINGS)))


def test_without_a_setting_nothing_changes() -> None:
    stage = Evidence(DecisionSettings(half_evidence_seconds=0), BLOCK)
    np.testing.assert_allclose(stage.push(ANGRY, np.ones(1, np.bool_)), ANGRY, rtol=1e-15)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda p: max(p) > 1e-3),
    st.integers(0, 94),
)
def test_the_order_of_the_labels_stays(shares: list[float], blocks: int) -> None:
    before = np.array(shares) / sum(shares)
    after = Evidence(SETTINGS, BLOCK).push(before, np.arange(94) < blocks)
    assert after.sum() == pytest.approx(1)
    assert after[before.argmax()] == after.max()  # two that were nearly equal may become equal
    assert after.max() <= before.max() + 1e-3


def test_a_state_of_another_length_is_refused() -> None:
    stage = Evidence(SETTINGS, BLOCK)
    stage.push(ANGRY, np.ones(8, np.bool_))
    again = Evidence(SETTINGS, BLOCK)
    again.restore(stage.state(), 8)
    assert again.push(ANGRY, np.ones(8, np.bool_)).tolist() == (
        stage.push(ANGRY, np.ones(8, np.bool_)).tolist()
    )
    with pytest.raises(ModelError):
        again.restore(stage.state(), 9)


@pytest.mark.parametrize(
    ("distance", "usual", "power", "expected"),
    [
        (1.0, 1.0, 0.75, 1.0),
        (2.0, 1.0, 1.0, 0.5),
        (0.5, 1.0, 1.0, 2.0),
        (4.0, 1.0, 0.5, 0.5),
        (4.0, 2.0, 1.0, 0.5),
        (1.0, 4.0, 0.5, 2.0),
        (9.0, 2.0, 0.0, 1.0),
    ],
)
def test_a_window_far_from_the_training_clips_is_less_sure(
    distance: float, usual: float, power: float, expected: float
) -> None:
    settings = DecisionSettings(distance_power=power, usual_distance=usual)
    found = distance_factor(distance, settings)
    assert float(found) == pytest.approx(expected)


def test_no_distance_makes_a_window_certain_or_its_factor_endless() -> None:
    assert np.isfinite(distance_factor([0.0, 1e-30, 1e30], SETTINGS)).all()
    assert float(distance_factor(0.0, SETTINGS)) == float(distance_factor(0.1, SETTINGS))
