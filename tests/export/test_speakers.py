"""Measures of a report with results made up so that the right answer is known by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.corpora.clips import Clip
from export.evaluation import metrics, neutral, speakers
from export.evaluation.curves import Curve, Gain
from export.evaluation.judging import ClipResult, Evaluation
from export.evaluation.speakers import Speakers, interval
from livesr import Recognizer
from livesr.model.metadata import LABELS
from livesr.reading import Reading
from tests.helpers.tiny import DATA


def made(speaker: str, emotion: str, **about: object) -> Clip:
    plain = Clip(DATA / "banglaser.flac", "made", speaker, emotion, "t", "CC0-1.0", "test")
    return replace(plain, **about)  # type: ignore[arg-type]


def test_brier_score() -> None:
    shares = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert metrics.brier(shares, [0, 0]) == pytest.approx((0 + 0.5) / 2)
    assert metrics.brier(shares, [1, 2]) == pytest.approx((2 + 1.5) / 2)


def test_area_under_the_risk_coverage_curve() -> None:
    shares = np.array([[0.7, 0.3, 0, 0], [0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0]])
    # Surest first: right, wrong, right.
    assert metrics.aurc(shares, [0, 0, 0]) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert metrics.aurc(shares, [0, 0, 1]) == 0
    equal = np.array([[0.6, 0.4, 0, 0]] * 2)  # no order: each has half an error
    assert metrics.aurc(equal, [0, 1]) == metrics.aurc(equal, [1, 0]) == pytest.approx(0.5)


def test_classwise_calibration_error() -> None:
    shares = np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    # Angry was said with 1.0 and right in half; happy with 0.0 and right in half.
    assert metrics.classwise_error(shares, [0, 1]) == pytest.approx((0.5 + 0.5 + 0 + 0) / 4)
    assert metrics.classwise_error(shares, [0, 0]) == 0
    even = np.full((4, 4), 0.25)
    assert metrics.classwise_error(even, [0, 1, 2, 3]) == pytest.approx(0)


def test_many_tables_have_the_uar_of_each() -> None:
    tables = np.random.default_rng(1).integers(0, 5, (6, 4, 4))
    tables[0, 2], tables[1] = 0, 0
    np.testing.assert_allclose(metrics.uars(tables), [metrics.uar(table) for table in tables])


def test_the_bootstrap_draws_speakers() -> None:
    """Half of 16 speakers are always right: a draw's UAR is a binomial of 16 at 0.5."""
    clips = [made(f"s{n:02}", "sad") for n in range(16) for _ in range(3)]
    found = Speakers.of(clips, [[3 if n < 8 else 0 for n in range(16) for _ in range(3)]])
    assert found.uar == 0.5
    draws = found.drawn(np.random.default_rng(0))
    assert draws.shape == (2000,)
    assert draws.std() == pytest.approx(np.sqrt(0.25 / 16), rel=0.05)
    assert interval(draws) == "0.250 to 0.750"  # the binomial's quantiles, 4 and 12 of 16
    np.testing.assert_array_equal(draws, found.drawn(np.random.default_rng(0)))
    alone = found.picked("s03".__eq__)
    assert set(alone.drawn(np.random.default_rng(0))) == {1.0}
    seeds = Speakers.of(clips, [[3] * 48, [0] * 48])
    assert set(seeds.drawn(np.random.default_rng(0))) == {0.5}  # the mean of both


def guessed(clips: Sequence[Clip], wrong: Callable[[Clip], bool]) -> list[int]:
    return [(clip.label + wrong(clip)) % 4 for clip in clips]


def test_the_worst_speaker_has_enough_clips_and_emotions() -> None:
    clips = [made("few", emotion) for emotion in LABELS[:3]]
    clips += [made("one", "angry") for _ in range(20)]
    clips += [made(name, emotion) for name in ("a", "b") for emotion in LABELS for _ in range(2)]
    found = speakers.by_corpus(clips, [guessed(clips, lambda c: c.speaker in ("few", "one", "b"))])
    assert found["made"].worst() == (1, 0.0, 2)  # b of a and b
    lines = list(speakers.intervals(found))
    assert any(line.endswith("| b, of 2 | 8, 4 | 0.000 | 0.000 |") for line in lines)
    assert "Fewer than 6 speakers (made) show too little" in "\n".join(lines)
    none = speakers.by_corpus(clips[:3], [guessed(clips[:3], lambda _: False)])
    text = "\n".join(speakers.intervals(none))
    assert "| made | 1 | 1.000 | none: one speaker | no speaker has so many |" in text
    assert "takes made, of one speaker, as certain" in text


def test_gaps_by_sex_and_age() -> None:
    clips = [
        made(f"s{n}", emotion, gender="FM"[n % 2], age=20.0 + n)
        for n in range(6)
        for emotion in LABELS
    ]
    clips.append(made("s0", "sad", corpus="other", gender="F", age=20.0))
    wrong = [1 if clip.gender == "M" and clip.emotion == "angry" else clip.label for clip in clips]
    lines = list(speakers.gaps(clips, speakers.by_corpus(clips, [wrong])))
    assert "| made | women - men | 3, 3 | 1.000, 0.750 | +0.250 | 0.250 to 0.250 |" in lines
    assert "| other | only women | 1 | | | |" in lines
    assert any(line.startswith("| made | up to 22 years - older | 3, 3 | 0.917, 0.833 |")
               for line in lines)  # fmt: skip
    unknown = [replace(clip, gender="", age=None) for clip in clips[:-1]]
    lines = list(speakers.gaps(unknown, speakers.by_corpus(unknown, [wrong[:-1]])))
    assert "| made | sex is not known | 6 | | | |" in lines
    assert not any("years" in line for line in lines)


def test_alarms_and_changes_are_counted(tiny: Path) -> None:
    template = Recognizer(tiny).push(np.zeros(4000, np.float32))[0]
    labels = [None, "neutral", "angry", "angry", None, "angry", "sad", "neutral"]
    readings: list[Reading] = [
        replace(template, end=(n + 1) / 4, label=label) for n, label in enumerate(labels)
    ]
    found = neutral.shown(readings)
    assert (found.minutes, found.changes, found.alarms) == (2 / 60, 3, 2)
    np.testing.assert_allclose(found.seconds, [0.75, 0, 0.5, 0.25, 0.5])
    both = found + found
    assert both.row[:2] == [3 / 2 * 60, 2 / 2 * 60]
    np.testing.assert_allclose(both.row[2:], [0.375, 0, 0.25, 0.125, 0.25])


def test_neutral_speech_of_a_speaker_lasts_a_minute(tiny: Path) -> None:
    clips = [made("s1", "neutral", name=str(n)) for n in range(4)]
    clips += [made("s1", "angry"), *(made("s2", "neutral") for _ in range(3))]
    (talk,) = neutral.talks(clips)
    assert (talk.speaker, len(talk.samples())) == ("s1", 60 * 16000)
    lines = list(neutral.by_corpus(clips, Evaluation(str(tiny))))
    assert any(line.startswith("| made | 1 | 1.0 | ") for line in lines)
    lines = list(neutral.by_corpus(clips[4:], Evaluation(str(tiny))))
    assert "No speaker has 4 neutral clips.\n" in lines


def test_results_after_so_many_seconds_and_confidence_by_corpus() -> None:
    pytest.importorskip("matplotlib")
    from export.report import Judged, by_speech, surest  # noqa: PLC0415

    def result(early: Sequence[int], whole: int, spoken: float, sure: float) -> ClipResult:
        shares = np.full(4, (1 - sure) / 3)
        shares[whole] = sure
        return ClipResult(shares, shares, True, spoken, np.eye(4)[list(early)])

    clips = [made("a", "angry"), made("a", "sad")]
    results = [result([1, 0, 0, 0, 0], 0, 2.5, 0.9), result([1, 1, 3, 1, 1], 1, 1.0, 0.5)]
    one = Judged(clips, results)
    cells = "0.000 (2) | 0.500 (2) | 1.000 (1) | 0.500 (0) | 0.500 (0) | 0.500 (2)"
    assert f"| made | {cells} |" in list(by_speech([one]))
    row = next(line for line in surest([one]) if line.startswith("| made |"))
    # Errors of 0.1 and 0.5; Brier: 0.01 + 0.1^2 / 3, and 0.25 + (5/6)^2 + 2 / 36; AURC: 0, 1/2.
    assert row.split(" | ")[1] == "0.300"
    brier = (0.01 + 0.01 / 3 + 0.25 + 25 / 36 + 2 / 36) / 2
    assert row.split(" | ")[3:6] == [f"{brier:.3f}", "0.250", "0.500"]
    assert row.endswith("| 1.000 | +0.500 |")


def test_what_a_profile_brings_a_speaker_has_an_interval_over_clips() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    # The first draw mends two of three clips of a label; the second breaks one of the other's.
    steps = [np.array([np.nan, 1, 1, 0, np.nan, 0]), np.array([0, np.nan, 0, 0, -1, np.nan])]
    gain = Gain(truth, steps)
    assert gain.mean == pytest.approx(((2 / 3 + 0) / 2 + (0 - 1) / 2) / 2)
    draws = gain.drawn()
    assert np.quantile(draws, 0.025) < gain.mean < np.quantile(draws, 0.975)
    alike = Gain(truth, [np.full(6, 1.0)])
    assert alike.mean == 1 and (alike.drawn() == 1).all()


def test_who_loses_by_a_profile_is_counted() -> None:
    one, two = (Gain(np.array([0, 1]), [np.array([step, step])]) for step in (-1.0, 1.0))
    found = Curve(gains={"b": two, "a": one})
    assert found.losers() == "1 of 2 lose; least: a, -1.000 (-1.000 to -1.000)"
