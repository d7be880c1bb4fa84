"""The classifier of a known voice; tests/test_profile.py has what profiles do with it."""

import numpy as np

from livesr.model.metadata import LABELS
from livesr.stages.known_voice import KnownVoice


def test_sharpness_makes_a_whole_profile_surer_and_changes_no_verdict() -> None:
    rng = np.random.default_rng(3)
    context, logs = rng.standard_normal((8, 6)), np.log(rng.dirichlet(np.ones(4), 8))
    label, windows = [0, 1, 2, 3] * 2, rng.standard_normal((20, 6))
    shares = rng.dirichlet(np.ones(4), 20)
    plain = KnownVoice(context, logs, label, LABELS, LABELS).push(windows, shares)
    sharp = KnownVoice(context, logs, label, LABELS, LABELS, 2.0).push(windows, shares)
    expected = plain**2 / (plain**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sharp, expected)
    some = [0, 1, 0, 1, 0, 1, 0, 1]  # two labels have no examples: the voice is not known yet
    plain = KnownVoice(context, logs, some, LABELS, LABELS).push(windows, shares)
    sharp = KnownVoice(context, logs, some, LABELS, LABELS, 2.0).push(windows, shares)
    np.testing.assert_array_equal(sharp, plain)
