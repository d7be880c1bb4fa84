"""The front end against python_speech_features, and against itself in other pieces."""

from __future__ import annotations

import numpy as np
import pytest
import python_speech_features as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from livesr.settings import FrontEndSettings
from livesr.stages.deltas import Deltas
from livesr.stages.frontend import FrontEnd
from livesr.stages.level import Level
from livesr.stages.logmel import Framer, LogMel, mel_filterbank

SETTINGS = FrontEndSettings()


def log_mels(samples: np.ndarray) -> np.ndarray:
    return LogMel(SETTINGS).push(Framer(SETTINGS).push(samples))


def pieces(array: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """`array` cut into pieces of those sizes, again and again."""
    parts, start = [], 0
    while start < len(array):
        for size in sizes:
            parts.append(array[start : start + size])
            start += size
    return parts


def test_filterbank_is_the_oracles() -> None:
    expected = oracle.get_filterbanks(nfilt=40, nfft=512, samplerate=16000)
    np.testing.assert_allclose(mel_filterbank(SETTINGS), expected, atol=1e-12)


def test_log_mels_are_the_oracles_on_real_speech(speech: np.ndarray) -> None:
    energies, _ = oracle.fbank(speech, 16000, nfilt=40, nfft=512, preemph=0, winfunc=np.hamming)
    found = log_mels(speech)
    whole_frames = (len(speech) - 400) // 160 + 1
    assert len(found) == whole_frames
    expected = np.log(energies[:whole_frames])
    above = expected > np.log(SETTINGS.log_floor)  # below, the floors differ by definition
    assert above.mean() > 0.7
    np.testing.assert_allclose(found[above], expected[above], atol=1e-4)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_deltas_are_the_oracles_in_any_pieces(sizes: list[int]) -> None:
    static = np.random.default_rng(1).standard_normal((211, 40)).astype(np.float32)
    deltas = Deltas(40, 2)
    found = np.concatenate([*map(deltas.push, pieces(static, sizes)), deltas.finish()])
    delta = oracle.delta(static, 2)
    expected = np.stack((static, delta, oracle.delta(delta, 2)), axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_deltas_run_four_frames_behind() -> None:
    deltas = Deltas(40, 2)
    assert len(deltas.push(np.zeros((4, 40), np.float32))) == 0
    assert len(deltas.push(np.zeros((3, 40), np.float32))) == 3
    assert len(deltas.finish()) == 4


def test_a_stream_of_one_frame_still_has_deltas() -> None:
    deltas = Deltas(40, 2)
    one = np.arange(40, dtype=np.float32)[None]
    assert len(deltas.push(one)) == 0
    last = deltas.finish()
    assert last.shape == (1, 40, 3)
    np.testing.assert_array_equal(last[0, :, 0], one[0])
    assert not last[..., 1:].any()


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_frames_are_the_same_in_any_pieces(sizes: list[int]) -> None:
    samples = np.random.default_rng(2).standard_normal(20_000).astype(np.float32)
    framer = Framer(SETTINGS)
    found = np.concatenate([framer.push(part) for part in pieces(samples, sizes)])
    np.testing.assert_array_equal(found, Framer(SETTINGS).push(samples))
    np.testing.assert_array_equal(found[7], samples[7 * 160 : 7 * 160 + 400])


def test_level_cancels_gain_exactly(speech: np.ndarray) -> None:
    mels = log_mels(speech[16000:48000])
    spoken = np.arange(len(mels)) > 20
    quiet = Level(SETTINGS).push(mels, spoken)
    for decibels in (-20, 20):
        louder = Level(SETTINGS).push(mels + np.log(10) * decibels / 10, spoken)
        np.testing.assert_allclose(louder, quiet, atol=1e-9)


def test_level_follows_speech_and_ignores_the_rest() -> None:
    loud, soft = np.zeros((100, 40)), np.full((100, 40), -5.0)
    level = Level(SETTINGS)
    level.push(loud, np.ones(100, bool))
    ignored = level.push(soft, np.zeros(100, bool))
    np.testing.assert_allclose(ignored[-1], np.logaddexp(-5, -10), atol=1e-3)
    for _ in range(40):  # far longer than its memory of 3 s
        followed = level.push(soft, np.ones(100, bool))
    np.testing.assert_allclose(followed[-1], np.logaddexp(0, -10), atol=0.02)


def test_level_is_the_running_mean_it_claims() -> None:
    rng = np.random.default_rng(3)
    mels, spoken = rng.normal(size=(300, 40)), rng.random(300) < 0.6
    power = weight = 0.0
    expected = []
    for row, speaks in zip(mels, spoken, strict=True):
        new = SETTINGS.level_idle_weight + speaks
        decay = np.exp(-new / 300)
        power = decay * power + new * np.exp(row).mean()
        weight = decay * weight + new
        expected.append(np.logaddexp(row - np.log(power / weight), -10))
    level = Level(SETTINGS)
    found = np.concatenate([level.push(mels[:77], spoken[:77]), level.push(mels[77:], spoken[77:])])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_level_survives_hours_in_one_push() -> None:
    found = Level(SETTINGS).push(np.zeros((400_000, 40)), np.ones(400_000, bool))
    np.testing.assert_allclose(found, np.logaddexp(0, -10), atol=1e-6)


@pytest.mark.slow
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_front_end_gives_every_frame_the_same_verdict_in_any_pieces(sizes: list[int]) -> None:
    samples = np.random.default_rng(4).standard_normal(48_000).astype(np.float32)
    verdicts = np.random.default_rng(5).random(48_000 // 512) < 0.5

    def run(parts: list[np.ndarray]) -> np.ndarray:
        front = FrontEnd(SETTINGS, np.zeros(40), np.ones(40))
        features, position = [], 0
        for part in parts:
            first, position = position // 512, position + len(part)
            features.append(front.push(part, verdicts[first : position // 512]))
        return np.concatenate([*features, front.finish()])

    whole = run([samples])
    assert whole.shape == ((48_000 - 400) // 160 + 1, 40, 3)
    np.testing.assert_allclose(run(pieces(samples, sizes)), whole, atol=1e-5)
