"""The three measures of adaptation, on a corpus made of the bundled speech."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.corpora.clips import Clip, first_speakers, read_clips
from export.evaluation.judging import file_without
from export.evaluation.talks import Talk
from export.evaluation.windows import BLOCK_SECONDS, Windows, decide, judge_sounds
from export.steady import Material, enrol, measure, strung, talks
from livesr import Recognizer
from livesr.model.metadata import LABELS
from livesr.settings import DecisionSettings
from livesr.stages.evidence import Evidence, factor, tempered
from tests.helpers.corpora import Cut, save_corpus
from tests.helpers.tiny import add_distances, save_tiny

SETTINGS = DecisionSettings()


@pytest.fixture
def clips(tmp_path: Path, speech: np.ndarray) -> list[Clip]:
    """Two speakers, each label once, two seconds each."""
    cuts = (Cut(n * 24_000, "made", f"s{n // 4}", LABELS[n % 4], "test") for n in range(8))
    return read_clips(save_corpus(tmp_path, speech, cuts, 32_000))


@pytest.mark.parametrize("far", [False, True])
def test_windows_are_what_the_recognizer_decides_on(
    far: bool, clips: list[Clip], tiny: Path, tmp_path: Path
) -> None:
    model = add_distances(tiny, tmp_path / "far.onnx", [3.0, 2.0], 4.0) if far else tiny
    named = [(clip.key, clip.samples) for clip in clips]
    judged = judge_sounds(named, str(model), tmp_path / "cache", "clips")
    kept = judge_sounds(named, str(model), tmp_path / "cache", "clips")
    assert (np.ptp(np.concatenate([one.distance for one in judged])) > 0.1) == far
    recognizer = Recognizer(model)
    evidence = Evidence(SETTINGS, BLOCK_SECONDS)
    for clip, windows, again in zip(clips, judged, kept, strict=True):
        np.testing.assert_array_equal(windows.context, again.context)
        np.testing.assert_array_equal(windows.distance, again.distance)
        recognizer.reset()
        readings = recognizer.push(clip.samples()) + recognizer.finish()
        said, shown = decide(again, SETTINGS)
        np.testing.assert_array_equal([list(r.probabilities.values()) for r in readings], said)
        np.testing.assert_array_equal([r.speech for r in readings], again.likely)
        assert [r.status for r in readings] == [v.status for v in shown]
        smoothed = [list(r.smoothed.values()) for r in readings]
        np.testing.assert_array_equal(smoothed, [v.smoothed for v in shown])
        power = factor(windows.spoken_in_window(SETTINGS.window_seconds), SETTINGS)
        evidence.reset()
        fair = [evidence.push(*hop) for hop in zip(again.probabilities, again.speech, strict=True)]
        np.testing.assert_allclose(tempered(windows.probabilities, power), fair)


def test_talks_are_strung_of_one_emotion_or_of_an_outburst(clips: list[Clip]) -> None:
    steady, outbursts = talks(first_speakers(clips, 1))
    assert [talk.parts for talk in steady] == [((label, 150.0),) for label in range(4)]
    assert [talk.parts[1] for talk in outbursts] == [(label, 15.0) for label in (0, 1, 3)]
    assert len(steady[0].samples()) == 150 * 16000
    assert len(outbursts[0].samples()) == 135 * 16000
    other = [replace(clip, name=f"{clip.path.name} again") for clip in first_speakers(clips, 1)]
    every = (*steady, *outbursts, *talks(other)[0])
    assert len({talk.name for talk in every}) == 11


def test_a_stream_of_clips_ends_with_the_last_one(clips: list[Clip], tiny: Path) -> None:
    windows = judge_sounds([(clip.key, clip.samples) for clip in clips], str(tiny), None, "clips")
    whole, last = strung(windows[:2]), windows[1]
    count, pause = len(last.ends), 12  # hops
    assert len(whole.ends) == len(windows[0].ends) + pause + count
    np.testing.assert_array_equal(whole.probabilities[-count:], last.probabilities)
    np.testing.assert_allclose(np.diff(whole.ends)[-count + 1 :], np.diff(last.ends))
    assert whole.ends[-count - 1] == pytest.approx(windows[0].ends[-1] + 3)
    for own, there in zip(last.speech, whole.speech[-count:], strict=True):
        np.testing.assert_array_equal(own, there)


def test_a_profile_is_enrolled_from_clips_that_are_in_no_talk(
    clips: list[Clip], tiny: Path
) -> None:
    twice = [*clips, *(replace(clip, name=f"{clip.path.name} again") for clip in clips)]
    windows = judge_sounds([(clip.key, clip.samples) for clip in twice], str(tiny), None, "clips")
    known, enrolled = enrol(twice, windows, SETTINGS, 1)
    assert known.keys() == {"s0", "s1"}
    assert all(voice.complete for voice in known.values())
    left = [clip for clip in twice if clip.key not in enrolled]
    assert sorted((clip.speaker, clip.label) for clip in left) == sorted(
        (clip.speaker, clip.label) for clip in clips
    )
    assert enrol(twice, windows, SETTINGS, 0) == ({}, set())
    assert len(enrol(twice, windows, SETTINGS, 5)[1]) == 8  # one of each is left to judge


def test_each_corpus_is_judged_by_the_model_that_never_heard_it(
    tmp_path: Path, speech: np.ndarray
) -> None:
    cuts = (Cut(n * 24_000, f"made{n // 4}", "s0", LABELS[0], "dev") for n in range(8))
    two = read_clips(save_corpus(tmp_path / "two", speech, cuts, 32_000))
    for number in (0, 1):
        (tmp_path / f"made{number}").mkdir()
        save_tiny(file_without(tmp_path, f"made{number}"), seed=number)
    found = Material.of(two, None, None, left_out=tmp_path)
    for clip, windows in zip(found.clips, found.windows, strict=True):
        file = str(file_without(tmp_path, clip.corpus))
        (alone,) = judge_sounds([(clip.key, clip.samples)], file, None, "clips")
        np.testing.assert_array_equal(windows.probabilities, alone.probabilities)


def _made(label: int, *parts: tuple[int, float]) -> tuple[Talk, Windows]:
    """A network that is always right, by seven in ten."""
    said = np.concatenate([np.full(round(4 * seconds), part) for part, seconds in parts])
    count = len(said)
    probabilities = np.where(np.eye(4)[said] > 0, 0.7, 0.1)
    speech = tuple([np.ones(8, np.bool_)] * count)
    context, ends = np.zeros((count, 2), np.float32), np.arange(1, count + 1) / 4
    ones = np.ones(count)
    windows = Windows(probabilities, context, np.zeros((count, 0)), ones, speech, ends, ones)
    return Talk("made", "s", tuple(parts), ()), windows


def test_measures_count_what_is_shown() -> None:
    steady = [_made(label, (label, 150.0)) for label in range(4)]
    outburst = _made(0, (2, 90.0), (0, 15.0), (2, 30.0))
    material = Material([], [], steady, [outburst], {})
    found = measure(material, SETTINGS)
    assert list(found.steady.values()) == [1, 1, 1, 1]
    assert next(iter(found.noticed.values())) > 0.9
    assert found.delays[0] <= 1.5
