"""The evaluation of models, on a corpus cut from the bundled speech.

Skipped where training's packages are not installed (CI installs them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import calibrate, evaluate
from export.corpora.clips import Clip, CorpusError, read_clips
from export.corpora.conditions import CONDITIONS, voices
from export.evaluate import check_card
from export.evaluation import calibration, metrics
from export.evaluation.conversation import Conversation, Passage, Streaming, converse, count, string
from export.evaluation.judging import (
    ClipResult,
    Evaluation,
    clip_result,
    clips_before,
    heading,
    judge_all,
    judges,
    score,
    some,
    table,
)
from livesr import Recognizer
from livesr.model.load import load_model
from livesr.model.metadata import LABELS
from livesr.reading import Reading, Status
from livesr.settings import DecisionSettings
from tests.export.conftest import Refusal
from tests.helpers.corpora import Cut, save_corpus
from tests.helpers.tiny import add_distances, save_tiny, tiny_info


@pytest.fixture
def clips(tmp_path: Path, speech: np.ndarray) -> list[Clip]:
    """Two speakers, each label twice, two seconds each."""
    cuts = (Cut(n * 24_000, "made", f"s{n // 8}", LABELS[n % 4], "test") for n in range(16))
    return read_clips(save_corpus(tmp_path, speech, cuts, 32_000))


@pytest.fixture
def reading(tiny: Path) -> Callable[..., Reading]:
    template = Recognizer(tiny).push(np.zeros(4000, np.float32))[0]

    def made(end: float, status: Status, label: str | None = None, leading: int = 0) -> Reading:
        shares = {name: 0.7 if i == leading else 0.1 for i, name in enumerate(LABELS)}
        return replace(template, end=end, status=status, label=label, smoothed=shares)

    return made


def test_a_verdict_is_the_mean_of_all_readings_by_their_speech(
    reading: Callable[..., Reading],
) -> None:
    def reading_of(label: int, speech: float, status: Status = "speech") -> Reading:
        shares = {name: 0.7 if i == label else 0.1 for i, name in enumerate(LABELS)}
        one = reading(1, status, "sad" if status == "speech" else None, label)
        return replace(one, probabilities=shares, speech=speech)

    said = clip_result([reading_of(3, 0.9), reading_of(1, 0.3), reading_of(0, 0.0, "no-speech")])
    expected = np.average(
        [[0.1, 0.1, 0.1, 0.7], [0.1, 0.7, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1]],
        axis=0,
        weights=[0.9, 0.3, 0.001],
    )
    np.testing.assert_allclose(said.probabilities, expected)
    assert (said.guess, int(said.shown.argmax()), said.labelled) == (3, 1, True)
    assert not clip_result([reading_of(3, 0.9, "unsure")]).labelled
    assert not clip_result([reading_of(3, 0.0, "no-speech")]).labelled


def test_a_result_after_so_much_speech_is_of_the_readings_up_to_then(
    reading: Callable[..., Reading],
) -> None:
    def reading_of(end: float, speech: float, label: int) -> Reading:
        shares = {name: float(i == label) for i, name in enumerate(LABELS)}
        return replace(reading(end, "speech"), probabilities=shares, speech=speech)

    # 0.25, 0.5, 0.5, 1.0, 1.1 s of speech so far, in a clip that starts at 3.1 s.
    rows = [(3.35, 1.0, 0), (3.6, 1.0, 1), (3.85, 0.0, 2), (4.35, 1.0, 1), (4.6, 0.4, 3)]
    said = clip_result([reading_of(*one) for one in rows], 3.1)
    assert said.spoken == pytest.approx(1.1)
    np.testing.assert_allclose(said.early[0], [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(said.early[1], np.array([1, 2, 0.001, 0]) / 3.001)
    for row in said.early[2:]:
        np.testing.assert_array_equal(row, said.probabilities)


def test_some_clips_are_the_same_for_a_seed_and_of_all_emotions(clips: list[Clip]) -> None:
    drawn = some(clips, 4)
    assert sorted(clip.label for clip in drawn) == [0, 1, 2, 3]
    assert drawn == some(clips, 4)
    assert drawn != some(clips, 4, seed=1)
    assert len(some(clips + [replace(clip, corpus="other") for clip in clips], 3)) == 6
    assert some(clips, 100) == some(clips, None) == clips


def test_babble_is_of_other_speakers(clips: list[Clip], tiny: Path) -> None:
    drawn = voices(clips[0], clips, 6)
    assert len(drawn) == 6
    assert {clip.speaker for clip in drawn} == {"s1"}
    babble = Evaluation(str(tiny), "babble, 0 dB")
    loud, plain = judge_all(clips[:1], babble, clips), judge_all(clips[:1], Evaluation(str(tiny)))
    assert not np.array_equal(loud[0].probabilities, plain[0].probabilities)
    with pytest.raises(CorpusError, match="other speakers"):
        judge_all(clips[:8], babble)


def test_warm_is_after_other_clips_of_the_same_speaker(clips: list[Clip]) -> None:
    before = clips_before(clips[0], clips, 5.0)
    assert {clip.speaker for clip in before} == {"s0"}
    assert clips[0] not in before
    assert len(before) == 3  # of two seconds
    assert before == clips_before(clips[0], clips, 5.0)


def test_adaptation_matters_when_warm_and_not_when_cold(clips: list[Clip], tmp_path: Path) -> None:
    loud = DecisionSettings(
        adaptation=1.0,
        adaptation_seconds=0.01,
        typical_lead=0.0,
        least_variety=0.0,
        full_variety=1e-9,
        unsure_below=2.0,
        sure_from=3.0,
    )
    model = str(save_tiny(tmp_path / "m.onnx", tiny_info(decision=loud)))

    def shares(**how: Any) -> np.ndarray:
        return np.stack([v.probabilities for v in judge_all(clips[:2], Evaluation(model, **how))])

    np.testing.assert_array_equal(shares(), shares(adaptation=0.0))
    assert np.abs(shares(warm=5.0) - shares(warm=5.0, adaptation=0.0)).max() > 0.01


def test_the_table_counts_every_clip(clips: list[Clip]) -> None:
    said = [ClipResult(row, row, True) for row in np.eye(4)[[clip.label for clip in clips]]]
    said[0] = ClipResult(np.eye(4)[3], np.eye(4)[3], False)
    lines = table(clips, said)
    assert "| made | 2 | 16 | 0.938 | 0.938 | 0.75 / 1.00 / 1.00 / 1.00 | 94% |" in lines
    assert "Mean UAR of what was shown when somebody had last spoken: 0.938" in lines
    assert "Of the 15 labels given 15 are right." in lines
    assert score(clips, said) == pytest.approx(15 / 16)


def test_the_temperature_fits_what_the_stream_decides(clips: list[Clip], tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "m.onnx", tiny_info(temperature=1.0))
    temperature, said, _ = calibration.Calibration([(clip, str(model)) for clip in clips]).fit()
    assert temperature > 1  # weights drawn at random know nothing
    shown = tiny_info(temperature=temperature)
    again = str(save_tiny(tmp_path / "n.onnx", shown))
    shares = np.stack([v.probabilities for v in judge_all(clips, Evaluation(again))])
    np.testing.assert_allclose(said, shares, 1e-4)
    twice, same, _ = calibration.Calibration([(clip, again) for clip in clips]).fit()
    assert twice == temperature  # whatever the file's own was
    np.testing.assert_allclose(same, shares, 1e-4)


def test_what_little_speech_costs_is_what_a_model_with_that_setting_says(
    clips: list[Clip], tmp_path: Path
) -> None:
    model = str(save_tiny(tmp_path / "m.onnx", tiny_info(temperature=1.0)))
    settings = DecisionSettings(half_evidence_seconds=2.0)
    other = tiny_info(temperature=1.0, decision=settings)
    expected = judge_all(clips, Evaluation(str(save_tiny(tmp_path / "n.onnx", other))))
    for clip, result in zip(clips, expected, strict=True):
        found = calibration.said((clip, model)).result(1.0, settings)
        np.testing.assert_allclose(found, result.probabilities, 1e-6)
        # Whatever the file's own setting was.
        again = calibration.said((clip, str(tmp_path / "n.onnx"))).result(1.0, settings)
        np.testing.assert_allclose(again, result.probabilities, 1e-6)


def test_what_distance_costs_is_what_a_model_with_that_setting_says(
    clips: list[Clip], tmp_path: Path
) -> None:
    model, said = save_tiny(tmp_path / "m.onnx", tiny_info(temperature=1.0)), [3.0, 2.0]
    usual = str(add_distances(model, tmp_path / "usual.onnx", said))
    settings = DecisionSettings(distance_power=1.5)
    other = save_tiny(tmp_path / "n.onnx", tiny_info(temperature=1.0, decision=settings))
    steeper = str(add_distances(other, tmp_path / "steeper.onnx", said))
    for clip, result in zip(clips, judge_all(clips, Evaluation(steeper)), strict=True):
        for file in (usual, steeper):
            found = calibration.said((clip, file)).result(1.0, settings)
            np.testing.assert_allclose(found, result.probabilities, 1e-6)
    all_of = calibration.Calibration([(clip, usual) for clip in clips])
    head, _, *rows = all_of.by_distance()
    assert head == "| power | log loss | made | mean | all clips |"
    _, shares, loss = all_of.fit(DecisionSettings(distance_power=0.5))
    error = f"{metrics.calibration_error(shares, all_of.truth.tolist()):.3f}"
    assert rows[2] == f"| 0.5 | {loss:.3f} | {error} | {error} | {error} |"  # of one corpus
    assert len(set(rows)) == len(rows)


def with_dev(folder: Path) -> list[Clip]:
    """The clips in a folder, those of s0 moved to `dev`."""
    listed = folder / "clips.csv"
    rows = listed.read_text().splitlines()
    listed.write_text("\n".join(r.replace("test", "dev") if ",s0," in r else r for r in rows))
    return read_clips(folder)


@pytest.mark.usefixtures("clips")
def test_what_others_make_of_corpora_left_out_calibrates_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = with_dev(tmp_path)
    odd = DecisionSettings(least_probability=0.9, smoothing_seconds=2.0)
    plain = tiny_info(temperature=2.0, decision=odd)
    model = save_tiny(tmp_path / "m.onnx", plain)
    folder = tmp_path / "runs" / "left-seed1"
    (folder / "made").mkdir(parents=True)
    other = save_tiny(folder / "made" / "made.onnx", plain, 2)
    pairs = calibration.left_out(folder, clips, 3)
    assert len(pairs) == 3
    assert {file for _, file in pairs} == {str(other)}
    assert {clip.split for clip, _ in pairs} == {"dev"}
    target = tmp_path / "calibrated.onnx"
    command = ["calibrate", str(model), "--corpora", str(tmp_path), "--left-out", str(folder)]
    command += ["--most", "3", "--output", str(target)]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr("sys.argv", [*command[:-1], str(other)])
    with pytest.raises(SystemExit, match="among the models"):
        calibrate.main()
    strange = save_tiny(tmp_path / "strange.onnx", tiny_info(labels=LABELS[::-1]))
    monkeypatch.setattr("sys.argv", ["calibrate", str(strange), *command[2:]])
    with pytest.raises(SystemExit, match=r"made\.onnx has the labels .* as sad, neutral, happy"):
        calibrate.main()
    monkeypatch.setattr("sys.argv", [*command, "--known-sharpness=-3"])
    with pytest.raises(SystemExit):
        calibrate.main()
    assert "'-3' is not a number from 0 to 100" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", command)
    calibrate.main()
    assert "| 0.55 | 0% | 0% |" in capsys.readouterr().out
    info = load_model(target).info
    assert info.temperature == calibration.Calibration(pairs).fit()[0]
    assert info.decision == replace(odd, least_probability=DecisionSettings().least_probability)
    assert info.name == "calibrated"
    said = [Recognizer(file).push(clips[0].samples())[-1] for file in (model, target)]
    warmer, colder = (np.array(list(one.probabilities.values())) for one in said)
    ratio = 2.0 / info.temperature
    np.testing.assert_allclose(warmer**ratio / (warmer**ratio).sum(), colder, rtol=1e-4)
    (folder / "made").rename(folder / "other")
    with pytest.raises(SystemExit, match="left none of these corpora out"):
        calibrate.main()


@pytest.mark.usefixtures("clips")
def test_calibrating_gives_a_model_with_distances_the_usual_one_of_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = with_dev(tmp_path)
    settings = DecisionSettings(known_sharpness=1.75)
    plain = save_tiny(tmp_path / "plain.onnx", tiny_info(temperature=2.0, decision=settings))
    model = add_distances(plain, tmp_path / "m.onnx", [3.0, 2.0], 2.0)
    folder = tmp_path / "runs"
    (folder / "made").mkdir(parents=True)
    left = folder / "made" / "made.onnx"
    pairs = calibration.left_out(folder, clips, 3)
    target = tmp_path / "calibrated.onnx"
    command = ["calibrate", str(model), "--corpora", str(tmp_path), "--left-out", str(folder)]
    command += ["--most", "3", "--output", str(target)]
    monkeypatch.setattr("sys.argv", command)
    left.write_bytes(plain.read_bytes())
    with pytest.raises(SystemExit, match=r"made\.onnx gives no distances"):
        calibrate.main()
    left.write_bytes(model.read_bytes())
    all_of = calibration.Calibration(pairs)
    for only in (False, True):
        monkeypatch.setattr("sys.argv", [*command, *["--only-distance"] * only])
        calibrate.main()
        told = capsys.readouterr().out
        info = load_model(target).info
        assert info.decision.known_sharpness == 1.75
        fitted = all_of.fit(DecisionSettings(distance_power=0))[0]
        assert info.temperature == (2.0 if only else fitted)
        assert ("temperature kept" in told) == only
        usual, expected = all_of.usual_distance(info.temperature)
        assert info.decision.usual_distance == usual
        assert f"usual distance {usual:.2f}" in told and "power: `distance_power`" in told
        found = judge_all([clip for clip, _ in pairs], Evaluation(str(target)))
        np.testing.assert_allclose([one.probabilities for one in found], expected, 1e-4)
    monkeypatch.setattr("sys.argv", ["calibrate", str(plain), *command[2:], "--only-distance"])
    with pytest.raises(SystemExit, match="leave --only-distance out"):
        calibrate.main()


def test_a_table_names_whether_its_speakers_were_trained_on() -> None:
    info = tiny_info(training_data="emodb (train and dev split); asterisk-it", version="3-seed1+2")
    assert heading("dev", info) == "`dev` split, speakers SEEN in training, tiny 3-seed1+2"
    assert heading("test", info) == "`test` split, speakers unseen in training, tiny 3-seed1+2"


def test_a_conversation_holds_runs_of_one_emotion(clips: list[Clip]) -> None:
    talk = string(clips[:8], np.random.default_rng(1))
    spans = [span for passage in talk.passages for span in passage.spans]
    assert len(spans) >= 6
    assert all(end < start for (_, end), (start, _) in pairwise(spans))
    assert spans[-1][1] <= len(talk.samples) / 16000
    labels = [passage.label for passage in talk.passages]
    assert all(a != b for a, b in pairwise(labels))


def test_time_and_turns_are_counted(reading: Callable[..., Reading]) -> None:
    talk = Conversation(
        "made", np.zeros(0, np.float32), (Passage(0, ((0.0, 4.0),)), Passage(3, ((5.0, 9.0),)))
    )
    readings = [reading(end, "speech", "angry", 0) for end in (1, 2, 3, 4, 4.5, 6)]
    readings += [reading(7, "unsure", leading=3), reading(8, "speech", "sad", 3)]
    found = Streaming()
    count(talk, readings, found)
    assert (found.spoken, found.labelled, found.changes, found.delays) == (7, 6, 1, [3.0])
    assert found.uar() == pytest.approx((4 / 4 + 1 / 2) / 2)
    assert found.uar(1) == pytest.approx((4 / 4 + 2 / 3) / 2)


def test_conversations_go_through_recognizer(clips: list[Clip], tiny: Path) -> None:
    found = converse(clips, Evaluation(str(tiny)))
    assert found.spoken > 50
    assert found.tables["made"][1].sum() == found.spoken


def test_metrics() -> None:
    counts = np.array([[2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 4]])
    assert metrics.wa(counts) == pytest.approx(7 / 8)
    np.testing.assert_allclose(metrics.per_label(counts)[0], [2 / 3, 1, 0.8])
    np.testing.assert_allclose(metrics.per_label(counts)[2], 0)
    sure = np.array([[0.9, 0.1, 0, 0], [0.6, 0.4, 0, 0], [0.3, 0.7, 0, 0], [0.45, 0.55, 0, 0]])
    curve = metrics.coverage_curve(sure, [0, 1, 1, 0], ["a"] * 4, (1.0, 0.5))
    assert curve == [0.5, 1.0]
    of = metrics.tables([0, 0, 1, 2], [0, 1, 1, 0], ["b", "a", "b", "a"], labels=3)
    assert list(of) == ["a", "b"]
    assert of["a"].tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert metrics.matrix(of["b"][:2, :2], ("angry", "happy"), recall=True) == [
        "| true \\ recognised as | angry | happy | recall |",
        "|---|---|---|---|",
        "| angry | 1 | 0 | 1.000 |",
        "| happy | 0 | 1 | 1.000 |",
    ]
    assert metrics.spread([0.5]) == "0.500"
    assert metrics.spread([0.4, 0.6]) == "0.500 ± 0.141"


def test_a_model_with_other_labels_is_refused(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = save_tiny(tmp_path / "strange.onnx", tiny_info(labels=LABELS[::-1]))
    told = r"strange\.onnx has the labels sad, neutral, happy, angry, .* give another model"
    with pytest.raises(CorpusError, match=told):
        judges(clips, str(strange), None)
    command = ["evaluate", "--corpora", str(tmp_path), "--model", str(strange)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match=told):
        evaluate.main()
    pytest.importorskip("matplotlib")
    from export import report  # noqa: PLC0415

    monkeypatch.setattr("sys.argv", ["report", str(strange), "--corpora", str(tmp_path)])
    with pytest.raises(SystemExit, match=told):
        report.main()


def test_an_emotion_that_a_corpus_lacks_costs_no_f1(clips: list[Clip]) -> None:
    pytest.importorskip("matplotlib")
    from export import report  # noqa: PLC0415

    heard = [clip for clip in clips if clip.emotion != "sad"]
    right = [ClipResult(row, row, True) for row in np.eye(4)[[clip.label for clip in heard]]]
    assert report.Judged(heard, right).metrics()["macro F1"] == pytest.approx(1)


def test_folders_left_out_are_looked_at_before_anything_is_judged(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from export import report  # noqa: PLC0415

    model = str(save_tiny(tmp_path / "a.onnx"))
    run = tmp_path / "runs" / "one-seed1"
    run.mkdir(parents=True)
    written = ["--output", str(tmp_path / "written")]
    monkeypatch.setattr(
        "sys.argv", ["report", model, "--corpora", str(tmp_path), *written, "--left-out", str(run)]
    )
    with pytest.raises(SystemExit, match="share no corpus"):
        report.main()
    (run / "made").mkdir()
    (run / "made" / "made.onnx").write_bytes(b"no model")
    with pytest.raises(SystemExit, match=r"made\.onnx"):
        report.main()
    assert not (tmp_path / "written").exists()


@pytest.mark.slow
def test_the_report_has_every_network_and_seed(
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    from export import report  # noqa: PLC0415

    few = ("as recorded", "telephone band", "babble, 0 dB", "AMR, 4.75 kbit/s")
    monkeypatch.setattr(report, "CONDITIONS", {name: CONDITIONS[name] for name in few})
    files = []
    for name, seed in (("one", 1), ("one", 2), ("other", 1)):
        path = tmp_path / f"{name}{seed}.onnx"
        files.append(str(save_tiny(path, tiny_info(name=name), seed)))
    out = tmp_path / "runs" / "one-seed1" / "made"
    out.mkdir(parents=True)
    save_tiny(out / "made.onnx")
    folder = tmp_path / "written"
    arguments = ["report", *files, "--corpora", str(tmp_path), "--output", str(folder)]
    arguments += ["--most", "4"]
    monkeypatch.setattr("sys.argv", [*arguments, "--left-out", str(out.parent)])
    report.main()
    text = (folder / "report.md").read_text()
    assert "16 clips of 2 speakers" in text
    assert text.count("| one | 2 | ") == 1
    assert "other clips, unlabelled (warm)" in text
    assert "| other | 1 | " in text
    assert "| other | sad | " in text
    assert "4 clips, the same ones in each condition: 4 of made." in text
    for name in few:
        assert f"\n| {name} | " in text
    assert "| made | women - men | 1, 1 | " in text
    assert "### After so many seconds of speech" in text
    assert "No speaker has 4 neutral clips" in text
    assert "| s0, of 2 |" in text or "| s1, of 2 |" in text
    for name in ("silence", "white noise", "coloured noise", "hum", "tones"):
        assert f"| {name} | 0% | 0.25 |" in text
    assert "| babble of 12 voices | " in text
    assert "| 1.0 | " in text
    assert "### Leave one corpus out" in text
    for name in ("confusion-one", "confusion-other", "networks", "calibration", "coverage"):
        assert (folder / f"{name}.png").stat().st_size > 5000
    alone = ["report", "--corpora", str(tmp_path), "--output", str(folder), "--most", "4"]
    monkeypatch.setattr("sys.argv", [*alone, "--left-out", str(out.parent)])
    report.main()
    assert (folder / "report.md").read_text() == text[text.index("### Leave one corpus out") :]
    (tmp_path / "runs" / "none-seed1").mkdir()
    monkeypatch.setattr("sys.argv", [*alone, "--left-out", str(tmp_path / "runs" / "none-seed1")])
    with pytest.raises(SystemExit, match="no corpus that was left out"):
        report.main()
    monkeypatch.setattr("sys.argv", alone)
    with pytest.raises(SystemExit):
        report.main()
    assert "nothing to report: give models before --corpora" in capsys.readouterr().err


_TOLD = [
    "| my-corpus.2 | 2 | 9 | 0.500 | 0.4 |",
    "Expected calibration error over all clips, 15 bins: 0.100",
    "Of the 100 labels given 70 are right.",
]


@pytest.mark.parametrize(
    ("place", "line", "agrees"),
    [
        (0, "| my-corpus.2 | 2 | 9 | 0.510 | 0.4 |", True),
        (0, "| my-corpus.2 | 2 | 9 | 0.600 | 0.4 |", False),
        (0, "| my-corpus.2 | 3 | 9 | 0.500 | 0.4 |", False),
        (1, "Expected calibration error over all clips, 15 bins: 0.119", True),
        (1, "Expected calibration error over all clips, 15 bins: 0.130", False),
        (2, "Of the 103 labels given 69 are right.", True),
        (2, "Of the 110 labels given 70 are right.", False),
        (2, "Of the 100 labels given 60 are right.", False),
        (1, "no such line", False),
    ],
)
def test_a_card_is_compared_with_what_was_measured(
    place: int, line: str, agrees: bool, tmp_path: Path
) -> None:
    card = tmp_path / "card.md"
    card.write_text("\n".join([*_TOLD[:place], line, *_TOLD[place + 1 :]]))
    if agrees:
        assert check_card(card, _TOLD) == 4
        return
    with pytest.raises(SystemExit, match=r"card\.md differs from what was measured"):
        check_card(card, _TOLD)


def test_a_table_of_nothing_agrees_with_no_card(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("\n".join(_TOLD))
    with pytest.raises(SystemExit, match="Nothing was measured"):
        check_card(card, ["| true | angry |"])


def test_several_models_are_judged_at_once_as_each_alone(
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [str(save_tiny(tmp_path / f"{n}.onnx", tiny_info(name=f"m{n}"), n)) for n in (1, 2)]
    cards = [tmp_path / f"{n}.md" for n in (1, 2)]

    def run(*options: str) -> str:
        monkeypatch.setattr("sys.argv", ["evaluate", "--corpora", str(tmp_path), *options])
        evaluate.main()
        return capsys.readouterr().out

    alone = [run("--model", file) for file in files]
    assert [said.split("\n\n")[1] for said in alone] == [
        "\n".join(table(clips, judge_all(clips, Evaluation(file)))).split("\n\n")[0]
        for file in files
    ]
    for card, said in zip(cards, alone, strict=True):
        card.write_text(said)
    said = run("--model", *files, "--check", *map(str, cards))
    agree = "".join(f"\n{card}: 6 figures agree.\n" for card in cards)
    assert said == "\n".join(alone) + agree
    cards[1].write_text(alone[1].replace("| 2 | 16 |", "| 3 | 16 |"))
    with pytest.raises(SystemExit, match=r"2\.md differs .*; the card does not have it"):
        run("--model", *files, "--check", *map(str, cards))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--most", "3"], "give --conditions too"),
        (["--model", "open", "acrnn", "--check", "a.md"], "a card for each of the 2 model"),
        (["--model", "open", "open"], "open is given twice"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    options: list[str], why: str, refusal: Refusal
) -> None:
    assert why in refusal(evaluate.main, *options)
