"""When there is a label, and when there honestly is none."""

from __future__ import annotations

import numpy as np

from livesr.settings import DecisionSettings
from livesr.stages.decision import Decision, Verdict

SETTINGS = DecisionSettings(least_probability=0.4)  # where margins matter
ANGRY, HAPPY = np.array([0.7, 0.1, 0.1, 0.1]), np.array([0.1, 0.7, 0.1, 0.1])
CLOSE = np.array([0.46, 0.44, 0.05, 0.05])
SPEECH, SILENCE = np.ones(8, bool), np.zeros(8, bool)


class Hops:
    """A Decision fed hop after hop of 0.256 s."""

    def __init__(self) -> None:
        self.decision = Decision(SETTINGS, 4, 0.032)
        self.end = 0.0

    def push(self, probabilities: np.ndarray, speech: np.ndarray, times: int = 1) -> Verdict:
        for _ in range(times):
            self.end += 0.256
            verdict = self.decision.push(probabilities, speech, self.end)
        return verdict


def test_warming_up_then_a_label() -> None:
    hops = Hops()
    assert hops.push(ANGRY, SPEECH, 3).status == "warming-up"
    verdict = hops.push(ANGRY, SPEECH)
    assert (verdict.status, verdict.label, verdict.reason) == ("speech", 0, None)


def test_silence_is_no_speech_for_any_probabilities() -> None:
    verdict = Hops().push(ANGRY, SILENCE, 8)
    assert (verdict.status, verdict.label) == ("no-speech", None)
    np.testing.assert_array_equal(verdict.smoothed, 0.25)


def test_too_little_speech_is_unsure() -> None:
    hops = Hops()
    hops.push(ANGRY, SILENCE, 4)
    first = hops.push(ANGRY, SPEECH)
    assert (first.status, first.reason) == ("unsure", "too little speech yet")
    assert hops.push(ANGRY, SPEECH).status == "speech"


def test_a_label_outlives_a_short_pause_and_not_a_long_one() -> None:
    hops = Hops()
    hops.push(ANGRY, SPEECH, 8)
    assert hops.push(HAPPY, SILENCE, 3).label == 0  # a pause is not scored
    assert hops.push(HAPPY, SILENCE, 2).status == "no-speech"
    hops.push(HAPPY, SPEECH, 2)
    assert hops.push(HAPPY, SPEECH).label == 1  # nothing of the anger before is left


def test_close_probabilities_are_unsure() -> None:
    verdict = Hops().push(CLOSE, SPEECH, 8)
    assert (verdict.status, verdict.label, verdict.reason) == ("unsure", None, "too close to call")


def test_weak_probabilities_are_unsure() -> None:
    verdict = Hops().push(np.array([0.39, 0.21, 0.2, 0.2]), SPEECH, 8)
    assert (verdict.status, verdict.reason) == ("unsure", "not sure enough")


def test_a_label_is_kept_by_a_smaller_margin_than_it_takes() -> None:
    hops = Hops()
    hops.push(ANGRY, SPEECH, 8)
    between = np.array([0.47, 0.40, 0.07, 0.06])  # leads by 0.07
    assert hops.push(between, SPEECH, 40).label == 0
    assert Hops().push(between, SPEECH, 40).label is None


def test_smoothing_takes_about_a_second_of_speech() -> None:
    hops = Hops()
    hops.push(ANGRY, SPEECH, 16)
    turned = 0
    while hops.push(HAPPY, SPEECH).label != 1:
        turned += 1
    assert 0.5 <= turned * 0.256 <= 1.5


def test_a_window_with_little_speech_weighs_little() -> None:
    hops = Hops()
    hops.push(HAPPY, SILENCE, 12)
    hops.push(HAPPY, SPEECH)  # a word
    verdict = hops.push(ANGRY, SPEECH)
    assert verdict.smoothed[0] > 0.55  # 1 : 4, less what a quarter of a second forgets
