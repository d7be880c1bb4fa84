"""Voices pushed together read as each does alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livesr import AudioError, LivesrError, Reading, Recognizer, push_all


def alone(recognizer: Recognizer, samples: np.ndarray) -> list[Reading]:
    parts = [samples[k : k + 4000] for k in range(0, len(samples), 4000)]
    return [reading for part in parts for reading in recognizer.push(part)]


@pytest.mark.parametrize("hop", [pytest.param(0.02, marks=pytest.mark.slow), 0.25, 1.0])
@pytest.mark.parametrize("model", ["tiny", None])
def test_together_is_alone_bit_for_bit(
    tiny: Path, speech: np.ndarray, model: str | None, hop: float
) -> None:
    path = tiny if model else None
    voices = [speech[start : start + 24_000] for start in range(0, 11 * 30_000, 30_000)]
    one_by_one, together = ([Recognizer(path, hop=hop) for _ in voices] for _ in range(2))
    expected = [alone(*each) for each in zip(one_by_one, voices, strict=True)]
    found: list[list[Reading]] = [[] for _ in voices]
    for start in range(0, 24_000, 4000):
        chunks = [voice[start : start + 4000] for voice in voices]
        for own, new in zip(found, push_all(together, chunks), strict=True):
            own.extend(new)
    assert found == expected
    assert [r.state() for r in together] == [r.state() for r in one_by_one]


def test_voices_of_any_age_rate_chunk_and_model(tiny: Path, speech: np.ndarray) -> None:
    def voices() -> list[Recognizer]:
        made = [Recognizer(tiny), Recognizer(tiny), Recognizer(), Recognizer(tiny, hop=0.1)]
        made[1].push(speech[:5000], 44100)
        return made

    chunks = [speech[:90_000], speech[9000:40_000], speech[:0], speech[50_000:50_010]]
    one_by_one, together = voices(), voices()
    expected = [r.push(c, 44100) for r, c in zip(one_by_one, chunks, strict=True)]
    assert push_all(together, chunks, 44100) == expected
    assert [r.state() for r in together] == [r.state() for r in one_by_one]
    assert [r.finish() for r in together] == [r.finish() for r in one_by_one]


def test_if_one_cannot_use_its_samples_none_is_pushed(tiny: Path, speech: np.ndarray) -> None:
    voices = [Recognizer(tiny), Recognizer(tiny)]
    voices[0].push(speech[:5000])
    before = [voice.state() for voice in voices]
    for chunks, rate in (
        ([speech[:9000], np.array([np.nan], np.float32)], 16000),
        ([speech[:9000], speech[:9000]], 48000),
        ([speech[:9000], speech[:9000]], 7),
    ):
        with pytest.raises(AudioError):
            push_all(voices, chunks, rate)
        with pytest.raises(AudioError):
            push_all(voices[::-1], chunks[::-1], rate)
        assert [voice.state() for voice in voices] == before
    assert voices[1].push(speech[:9000], 48000) == Recognizer(tiny).push(speech[:9000], 48000)


def test_what_does_not_fit_together(tiny: Path, speech: np.ndarray) -> None:
    voice = Recognizer(tiny)
    with pytest.raises(LivesrError, match="one each"):
        push_all([voice], [])
    with pytest.raises(LivesrError, match="once"):
        push_all([voice, voice], [speech[:10], speech[:10]])
    with pytest.raises(LivesrError, match="Give Recognizers"):
        push_all([1], [speech[:10]])  # type: ignore[list-item]
    with pytest.raises(LivesrError, match="a list"):
        push_all([voice], None)  # type: ignore[arg-type]
    assert push_all([], []) == []


def test_an_error_says_of_which_voice(tiny: Path) -> None:
    voices = [Recognizer(tiny) for _ in range(3)]
    with pytest.raises(AudioError, match="Voice 2 of 3: Sample 0"):
        push_all(voices, [np.zeros(4000), np.full(1, np.nan), np.zeros(4000)])
