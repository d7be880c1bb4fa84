"""The classifier of a known voice; tests/test_profile.py has what profiles do with it."""

import numpy as np

from livesr.model.metadata import LABELS
from livesr.stages.known_voice import KnownSettings, KnownVoice


def test_sharpness_makes_a_whole_profile_surer_and_changes_no_verdict() -> None:
    rng = np.random.default_rng(3)
    context, logs = rng.standard_normal((8, 6)), np.log(rng.dirichlet(np.ones(4), 8))
    label, windows = [0, 1, 2, 3] * 2, rng.standard_normal((20, 6))
    shares = rng.dirichlet(np.ones(4), 20)
    plain = KnownVoice(context, logs, label, LABELS, LABELS).push(windows, shares)
    sharp = KnownVoice(context, logs, label, LABELS, LABELS, 2.0).push(windows, shares)
    expected = plain**2 / (plain**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sharp, expected)
    some = [0, 1, 0, 1, 0, 1, 0, 1]  # two labels have no examples
    plain = KnownVoice(context, logs, some, LABELS, LABELS).push(windows, shares)
    sharp = KnownVoice(context, logs, some, LABELS, LABELS, 2.0).push(windows, shares)
    expected = plain**2 / (plain**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sharp, expected)
    others = ("a", "b", "c", "d")  # of which nothing is typical: the voice is not known yet
    plain = KnownVoice(context, logs, some, others, others).push(windows, shares)
    sharp = KnownVoice(context, logs, some, others, others, 2.0).push(windows, shares)
    np.testing.assert_array_equal(sharp, plain)


def test_few_labels_tell_the_offset_from_what_is_typical() -> None:
    settings = KnownSettings(offset_examples=1.0, most_offset=1e6, raising=0.5)
    typical = np.array(settings.typical)
    shares = np.array([[0.1, 0.2, 0.3, 0.4]])

    def judged(logs: np.ndarray, label: list[int]) -> np.ndarray:
        context = np.zeros((len(label), 6))
        voice = KnownVoice(context, logs, label, LABELS, LABELS, settings=settings)
        return voice.push(np.zeros((1, 6)), shares)

    # Who sounds as strangers do has no offset.
    np.testing.assert_allclose(judged(typical[[2]], [2]), shares)
    np.testing.assert_allclose(judged(typical[[2, 0, 0]], [2, 0, 0]), shares)
    # Whose neutral voice gets a sad log-probability that is higher by 1 has that taken out: by half
    # with one example, by three quarters with three.
    away = np.array([0.0, 0.0, 0.0, 1.0])
    for count, share in ((1, 0.5), (3, 0.75)):
        expected = shares * np.exp(-share * away)
        found = judged(np.tile(typical[2] + away, (count, 1)), [2] * count)
        np.testing.assert_allclose(found, expected / expected.sum())

    # One that is lower by 1 is raised by half as much.
    expected = shares * np.exp(0.5 * 0.75 * away)
    found = judged(np.tile(typical[2] - away, (3, 1)), [2] * 3)
    np.testing.assert_allclose(found, expected / expected.sum())
    # However far from what is typical the examples are, it is not mended further than this.
    settings = KnownSettings()
    for far in (5.0, -5.0):
        found = judged(np.tile(typical[2] + far * away, (50, 1)), [2] * 50)
        moved = np.log(found / shares)[0]
        assert np.ptp(moved) < 2 * settings.most_offset
        assert (moved[3] - moved[2]) * far < 0
