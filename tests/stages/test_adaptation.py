"""What a voice always sounds like is taken out; a mood that lasts, and what is sure, stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livesr.errors import ModelError
from livesr.settings import DecisionSettings
from livesr.stages.adaptation import Adaptation

HOP = 0.25
SAD = np.array([0.1, 0.1, 0.1, 0.7])
# A voice that sounds sad in everything: angry is what it is when there is more of it than usual.
CALM = [np.array(shares) for shares in ([0.3, 0.05, 0.05, 0.6], [0.01, 0.01, 0.58, 0.4])]


def after(
    seconds: float, shares: list[np.ndarray], settings: DecisionSettings | None = None
) -> Adaptation:
    """3 s of each in turn."""
    adaptation = Adaptation(settings or DecisionSettings(), 4, HOP)
    for hop in range(round(seconds / HOP)):
        adaptation.push(shares[hop // 12 % len(shares)], HOP)
    return adaptation


def test_a_short_clip_alone_is_judged_as_it_is() -> None:
    np.testing.assert_allclose(after(2.75, CALM).push(SAD, HOP), SAD, rtol=1e-12)


def test_silence_counts_for_nothing() -> None:
    adaptation = Adaptation(DecisionSettings(), 4, HOP)
    for hop in range(200):
        adapted = adaptation.push(CALM[hop % 2], 0.0)
    np.testing.assert_allclose(adapted, CALM[1], rtol=1e-12)


@pytest.mark.parametrize("share", [0.4, 0.55, 0.7, 0.95])
def test_a_voice_that_stays_in_one_mood_keeps_it(share: float) -> None:
    rest = (1 - share) / 3
    mood = np.array([rest, rest, rest, share])
    np.testing.assert_allclose(after(300, [mood]).push(mood, HOP), mood, rtol=1e-9)


def test_what_a_voice_that_turns_always_sounds_like_is_taken_out() -> None:
    adaptation = after(60, CALM)
    assert adaptation.variety() > DecisionSettings().full_variety
    unsure = np.array([0.35, 0.1, 0.1, 0.45])
    assert adaptation.push(unsure, HOP).argmax() == 0
    # and of a mood that it was not seen to leave, nothing
    assert after(60, CALM[:1]).push(unsure, HOP).argmax() == 3


def test_a_mood_that_lasts_counts_as_one_emotion() -> None:
    angry, sad = np.array([0.88, 0.04, 0.04, 0.04]), np.array([0.04, 0.04, 0.04, 0.88])
    settings = DecisionSettings(
        memory_seconds=3600.0,
        adaptation_seconds=0.01,
        least_variety=0.0,
        full_variety=1e-6,
    )
    adaptation = after(6, [angry], settings)
    for _ in range(4 * 60):
        adaptation.push(sad, HOP)
    adapted = adaptation.push(np.full(4, 0.25), HOP)
    # By a mean over time, of 6 s and 57 s, the odds would be 22 to the power of 0.8: 12.
    assert 0.9 < adapted[0] / adapted[3] < 5


def test_after_an_outburst_a_neutral_voice_is_neutral_again() -> None:
    neutral, angry = np.array([0.1, 0.15, 0.6, 0.15]), np.array([0.7, 0.02, 0.26, 0.02])
    adaptation = after(90, [neutral])
    for _ in range(15 * 4):
        adaptation.push(angry, HOP)
    for _ in range(30 * 4):
        adapted = adaptation.push(neutral, HOP)
        assert adapted.argmax() == 2
        assert adapted[2] > 0.5


def test_what_the_network_is_sure_of_stays() -> None:
    settings = DecisionSettings()
    sure = np.array([0.02, 0.03, 0.03, 0.92])
    assert sure.max() >= settings.sure_from
    np.testing.assert_allclose(after(120, CALM).push(sure, HOP), sure, rtol=1e-12)


def test_nothing_is_ruled_out() -> None:
    certain = [np.eye(4)[0], np.eye(4)[3]]
    adapted = after(120, certain, DecisionSettings(adaptation=3600.0)).push(np.full(4, 0.25), HOP)
    assert np.isfinite(adapted).all()
    assert np.isclose(adapted.sum(), 1)


def test_strength_0_changes_nothing() -> None:
    settings = DecisionSettings(adaptation=0.0)
    np.testing.assert_allclose(after(60, CALM, settings).push(SAD, HOP), SAD, rtol=1e-12)


def test_an_offset_is_forgotten() -> None:
    adaptation = after(60, CALM, DecisionSettings(adaptation_seconds=1.0))
    even = np.full(4, 0.25)
    before = adaptation.push(even, HOP)
    for _ in range(4 * 240):
        now = adaptation.push(even, HOP)
    assert before.max() > 0.4
    np.testing.assert_allclose(now, even, atol=0.01)


def test_a_state_of_other_lengths_is_refused() -> None:
    adaptation = after(30, CALM)
    state = adaptation.state()
    other = Adaptation(DecisionSettings(), 4, HOP)
    other.restore(state, 120)
    np.testing.assert_array_equal(other.push(SAD, HOP), adaptation.push(SAD, HOP))
    with pytest.raises(ModelError, match="_window"):
        Adaptation(DecisionSettings(), 3, HOP).restore(state, 120)
    with pytest.raises(ModelError, match="window"):
        other.restore(state, 5)
    with pytest.raises(ModelError, match="sums"):
        other.restore({**state, "_heard": -state["_heard"]}, 120)


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 0.25)), max_size=60))
def test_shares_stay_shares(hops: list[tuple[int, float]]) -> None:
    adaptation = Adaptation(DecisionSettings(), 4, HOP)
    for number, (share, spoken) in enumerate(hops):
        rest = (1 - share / 100) / 3
        found = adaptation.push(np.roll([share / 100, rest, rest, rest], number // 7), spoken)
        assert np.isclose(found.sum(), 1)
        assert (found >= 0).all()
    state = adaptation.state()
    Adaptation(DecisionSettings(), 4, HOP).restore(state, len(hops))


RELATIVE = [np.array(scores) for scores in ([1.0, -1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 1.0])]


def heard(relative: list[np.ndarray], settings: DecisionSettings | None = None) -> Adaptation:
    """A minute of CALM with these relative logits, 3 s of each in turn."""
    adaptation = Adaptation(settings or DecisionSettings(), 4, HOP)
    for hop in range(240):
        adaptation.push(CALM[hop // 12 % 2], HOP, relative[hop // 12 % 2])
    return adaptation


def test_what_relative_logits_are_beyond_their_mean_is_added() -> None:
    weak = np.full(4, 0.25)
    more, less = (
        heard(RELATIVE).push(weak, HOP, np.array([score, 0.0, 0.0, 0.0])) for score in (2.0, -2.0)
    )
    assert more[0] / more[1] == pytest.approx(less[0] / less[1] * np.exp(4), rel=1e-6)
    none = DecisionSettings(relative_weight=0.0)
    without = after(60, CALM).push(weak, HOP)
    np.testing.assert_allclose(heard(RELATIVE, none).push(weak, HOP, RELATIVE[0]), without)


def test_an_offset_of_the_relative_logits_is_taken_out_too() -> None:
    settings = DecisionSettings(adaptation_seconds=0.01)
    voice = np.array([0.0, 3.0, 0.0, -2.0])
    moved = heard([scores + voice for scores in RELATIVE], settings)
    weak = np.full(4, 0.25)
    expected = heard(RELATIVE, settings).push(weak, HOP, RELATIVE[1])
    found = moved.push(weak, HOP, RELATIVE[1] + voice)
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_relative_logits_change_nothing_of_a_voice_that_stays_in_one_mood() -> None:
    adaptation = Adaptation(DecisionSettings(), 4, HOP)
    for _ in range(240):
        adapted = adaptation.push(SAD, HOP, np.array([5.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(adapted, SAD, rtol=1e-9)


def test_a_state_holds_the_relative_logits() -> None:
    adaptation, other = heard(RELATIVE), Adaptation(DecisionSettings(), 4, HOP)
    other.restore(adaptation.state(), 240)
    one, two = (each.push(SAD, HOP, RELATIVE[0]) for each in (adaptation, other))
    np.testing.assert_array_equal(one, two)


def test_little_speech_changes_little() -> None:
    weak = np.full(4, 0.25)
    none, half, whole = (
        heard(RELATIVE).push(weak, HOP, 3 * RELATIVE[0], evidence) for evidence in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(none, weak)
    odds = [np.log(found / found[0]) for found in (half, whole)]
    np.testing.assert_allclose(odds[1], 2 * odds[0], atol=1e-9)
    assert whole.max() > 0.5
