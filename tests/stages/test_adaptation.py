"""What a voice always sounds like is taken out, what differs from it stays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from livesr.settings import DecisionSettings
from livesr.stages.adaptation import Adaptation

SAD = np.array([0.2, 0.1, 0.1, 0.6])
HOP = 0.25


def after(
    seconds: float, shares: np.ndarray, settings: DecisionSettings | None = None
) -> Adaptation:
    adaptation = Adaptation(settings or DecisionSettings(), 4, HOP)
    for _ in range(round(seconds / HOP)):
        adaptation.push(shares, HOP)
    return adaptation


def test_a_short_clip_alone_is_judged_as_it_is() -> None:
    np.testing.assert_allclose(after(2.75, SAD).push(SAD, HOP), SAD)


def test_silence_counts_for_nothing() -> None:
    adaptation = Adaptation(DecisionSettings(), 4, HOP)
    for _ in range(200):
        heard = adaptation.push(SAD, 0.0)
    np.testing.assert_allclose(heard, SAD)


def test_a_voice_that_always_sounds_sad_is_believed_less_when_it_does() -> None:
    heard = after(30, SAD).push(SAD, HOP)
    assert np.isclose(heard.sum(), 1)
    assert heard[3] < 0.45
    # What is more than its habit leads: sad by a little is not sad any more.
    angry = np.array([0.35, 0.1, 0.1, 0.45])
    assert after(30, SAD).push(angry, HOP).argmax() == 0


def test_the_habit_is_the_mean_before_the_window() -> None:
    settings = DecisionSettings(adaptation=1.0, adaptation_seconds=0.01, memory_seconds=3600.0)
    np.testing.assert_allclose(after(30, SAD, settings).push(SAD, HOP), 0.25, rtol=1e-2)
    adaptation = after(30, SAD, settings)
    angry = np.array([0.7, 0.1, 0.1, 0.1])
    for _ in range(4 * 30):
        adaptation.push(angry, HOP)
    # 30 s of the one and 27.25 s of the other came before this window's 12 hops.
    habit = (30 * np.log(SAD) + 27.25 * np.log(angry)) / 57.25
    expected = SAD * np.exp(-habit)
    np.testing.assert_allclose(adaptation.push(SAD, HOP), expected / expected.sum(), rtol=1e-2)


def test_what_it_is_sure_of_rules_nothing_out() -> None:
    sure = np.array([1.0, 0, 0, 0])
    heard = after(120, sure, DecisionSettings(adaptation=3600.0)).push(sure, HOP)
    assert np.isfinite(heard).all()
    assert np.isclose(heard.sum(), 1)


def test_strength_0_changes_nothing() -> None:
    settings = DecisionSettings(adaptation=0.0)
    np.testing.assert_allclose(after(30, SAD, settings).push(SAD, HOP), SAD)


def test_a_habit_is_forgotten() -> None:
    even = np.full(4, 0.25)
    adaptation = after(60, SAD)
    before = adaptation.push(even, HOP)[3]
    for _ in range(4 * 240):
        now = adaptation.push(even, HOP)[3]
    assert before < 0.2
    assert now > 0.24


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 0.25)), max_size=60))
def test_shares_stay_shares(hops: list[tuple[int, float]]) -> None:
    adaptation = Adaptation(DecisionSettings(), 4, HOP)
    for share, spoken in hops:
        rest = (1 - share / 100) / 3
        found = adaptation.push(np.array([share / 100, rest, rest, rest]), spoken)
        assert np.isclose(found.sum(), 1)
        assert (found >= 0).all()
