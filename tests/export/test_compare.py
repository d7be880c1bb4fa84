"""The paper's table: networks trained and judged alike, on a corpus cut from the bundled speech."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf

from export import (
    baseline,
    beside,
    branches,
    calibrate,
    compare,
    layers,
    recode,
    train,
    train_pretrained,
)
from export.corpora.clips import Clip, CorpusError, labelled, read_clips
from export.evaluation.metrics import macro
from export.training.config import Config, ConfigError
from livesr.model.load import load_model
from livesr.model.metadata import LABELS
from tests.helpers.corpora import Cut, save_corpus

SPLITS = ("train", "dev", "test")


@pytest.fixture
def corpora(tmp_path: Path, speech: np.ndarray) -> Path:
    """Two corpora of three speakers, a split each; the second has nobody who is sad."""
    cuts = (
        Cut(n * 15_000, "ab"[n // 12], f"s{n // 4}", LABELS[n % 4], SPLITS[n // 4 % 3])
        for n in range(24)
    )
    heard = (cut for cut in cuts if (cut.corpus, cut.emotion) != ("b", "sad"))
    return save_corpus(tmp_path / "speech", speech, heard, 30_000)


def test_the_measures_are_of_the_labels_that_occur() -> None:
    table = np.array([[3, 0, 0, 1], [1, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]])
    assert macro(table) == pytest.approx(
        {
            "accuracy": 6 / 8,
            "precision": (3 / 4 + 1 + 1) / 3,
            "recall": (3 / 4 + 1 / 2 + 1) / 3,
            "F1": (3 / 4 + 2 / 3 + 1) / 3,
        }
    )


def jobs_of(
    clips: list[Clip], tmp_path: Path, left_out: bool = True, calibrate: int = 2
) -> list[compare.Job]:
    configs = [
        Config(network="cnn1d-lstm", corpora=("a", "b"), seed=seed, batch=2) for seed in (1, 2)
    ]
    return compare.jobs_of(configs, clips, left_out, calibrate, 3, tmp_path / "runs", tmp_path)


def test_nobody_who_is_judged_was_heard_in_training(corpora: Path, tmp_path: Path) -> None:
    clips = read_clips(corpora)
    jobs = jobs_of(clips, tmp_path)
    assert [(job.config.seed, job.out) for job in jobs] == [
        (seed, out) for seed in (1, 2) for out in ("", "a", "b")
    ]
    for job in jobs:
        voices = [{clip.speaker for clip in of} for of in (job.train, job.dev, job.judged)]
        assert all(voices)
        assert not voices[0] & voices[1] and not voices[2] & (voices[0] | voices[1])
        if job.out:
            assert {clip.corpus for clip in job.judged} == {job.out}
            assert {clip.split for clip in job.judged} == {"train", "dev"}
            assert job.out not in {*job.config.corpora, *(clip.corpus for clip in job.train)}
            assert len(job.judged) == 6  # three of each split
        else:
            assert job.judged == [clip for clip in clips if clip.split == "test"]
    # A corpus's clips of dev are the same ones, whatever other corpora there are.
    together, without_a, without_b = (job.dev for job in jobs[:3])
    assert {clip.key for clip in together} == {clip.key for clip in without_a + without_b}
    assert len(jobs_of(clips, tmp_path, left_out=False)) == 2
    with pytest.raises(CorpusError, match="leaving one out takes 2 corpora"):
        jobs_of([replace(clip, corpus="a") for clip in clips], tmp_path)
    untested = [clip for clip in clips if clip.split != "test"]
    with pytest.raises(
        CorpusError, match=r"No clip is of the test split: .*cnn1d-lstm-seed1 would"
    ):
        jobs_of(untested, tmp_path)


def test_results_of_other_clips_are_refused(corpora: Path, tmp_path: Path) -> None:
    clips = read_clips(corpora)
    job = jobs_of(clips, tmp_path)[0]
    job.folder.mkdir(parents=True)
    file, config = job.folder / "judged.npz", job.config.to_json()
    keys, rows = [clip.identity for clip in job.judged], np.full((len(job.judged), 4), 0.25)
    np.savez(file, config=config, clips=keys, probabilities=rows)  # before it named the run's clips
    assert job.results() is not None
    np.savez(file, config=config, data=job.data, clips=keys, probabilities=rows)
    assert job.results() is not None
    fewer, changed = jobs_of(clips, tmp_path, calibrate=1), jobs_of(clips[1:], tmp_path)
    for other in (fewer[0], changed[0]):
        with pytest.raises(ConfigError, match=r"judged\.npz was made with other clips; remove"):
            other.results()


@pytest.mark.parametrize(
    ("twice", "told"),
    [(["--seeds", "2", "2"], "2"), (["--networks", "acrnn", "acrnn"], "acrnn")],
)
def test_a_network_is_not_counted_twice(
    twice: list[str],
    told: str,
    corpora: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["compare", "--corpora", str(corpora), *twice])
    with pytest.raises(SystemExit):
        compare.main()
    assert f"{twice[0]}: {told} is given twice" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_trains_judges_and_prints_again(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "config.json"
    settings = {"corpora": ["a", "b"], "batch": 2, "epochs": 1, "scenes": 0, "teach": 0}
    config.write_text(json.dumps(settings))
    runs = tmp_path / "runs"
    arguments = ["compare", "--corpora", str(corpora), "--config", str(config), "--left-out"]
    arguments += ["--networks", "cnn1d-lstm", "--seeds", "1", "--jobs", "3", "--most", "2"]
    arguments += ["--output", str(runs), "--cache", str(tmp_path / "cache")]

    def run(*more: str) -> str:
        monkeypatch.setattr("sys.argv", [*arguments, *more])
        compare.main()
        return capsys.readouterr().out

    assert "the features are in" in run("--only-features")
    assert not runs.exists()
    said = run()
    assert said == (runs / "compare.md").read_text()
    assert said.count("| cnn1d-lstm | 1 |") == 2
    assert "7 clips of 2 speakers unseen in training" in said
    assert "4 of a, 4 of b." in said
    folder = runs / "cnn1d-lstm-seed1"
    files = [folder / "cnn1d-lstm.onnx", folder / "a" / "a.onnx", folder / "b" / "b.onnx"]
    made = [file.stat().st_mtime_ns for file in files]
    assert run() == said
    assert "2 of a, 2 of b." in run("--most", "1")  # judged again, not trained again
    assert [file.stat().st_mtime_ns for file in files] == made
    with pytest.raises(SystemExit, match=r"judged\.npz was made with another config"):
        run("--epochs", "2")
    with pytest.raises(SystemExit, match=r"judged\.npz was made with other clips"):
        run("--calibrate", "1")
    for file in folder.rglob("judged.npz"):
        file.unlink()
    monkeypatch.setattr(compare, "run", None)  # refused before any is trained
    with pytest.raises(SystemExit, match=r"checkpoint\.pt was made with other clips"):
        run("--calibrate", "1")


@pytest.mark.parametrize(
    ("command", "arguments", "output"),
    [
        (compare, ["--corpora", "x", "--output"], "file"),
        (recode, ["x"], "file"),
        (calibrate, ["x", "--corpora", "x", "--left-out", "x", "--output"], "folder"),
        (beside, ["x", "x", "--output"], "folder"),
        (train_pretrained, ["--corpora", "x", "--output"], "folder"),
        (train_pretrained, ["--corpora", "x", "--left-out"], "file"),
        *(
            (command, ["--corpora", "x", "--cache"], "file")
            for command in (baseline, branches, compare, layers, train, train_pretrained)
        ),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_first(
    command: ModuleType,
    arguments: list[str],
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr("sys.argv", ["command", *arguments, str(tmp_path / output)])
    with pytest.raises(SystemExit):
        command.main()
    assert f"{output} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", [compare, train])
@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("seed", "-1", "'-1' is not a whole number, 0 or more"),
        ("epochs", "0", "'0' is not a whole number above 0"),
    ],
)
def test_seeds_and_epochs_are_counts(
    command: ModuleType,
    option: str,
    value: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "--seeds" if (command, option) == (compare, "seed") else f"--{option}"
    monkeypatch.setattr("sys.argv", ["command", "--corpora", "x", f"{name}={value}"])
    with pytest.raises(SystemExit):
        command.main()
    assert why in capsys.readouterr().err


@pytest.fixture
def others(tmp_path: Path, speech: np.ndarray) -> Path:
    """Clips of fear by the speakers of `corpora`."""
    cuts = (Cut(n * 20_000 + 7_000, "a", f"s{n}", "fear", SPLITS[n]) for n in range(3))
    table = "other-emotions.csv"
    return save_corpus(tmp_path / "others", speech, cuts, 30_000, "opus", table)


def test_labels_are_those_of_the_run(
    corpora: Path, others: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    five = (*LABELS, "fear")
    clips = train.labelled_clips(Config(corpora=("a",), labels=five), [str(corpora)], others)
    assert len(clips) == 15
    assert "The config's corpora are a; not used: b." in capsys.readouterr().err
    table = (others / "other-emotions.csv").read_text()
    (others / "clips.csv").write_text(table.replace("fear", "sad"))
    with pytest.raises(CorpusError, match=r"0\.opus is listed twice"):
        train.labelled_clips(Config(corpora=("a",), labels=five), [str(others)], others)
    assert {clip.label for clip in clips} == set(range(5))
    assert clips[-1].target().tolist() == [0, 0, 0, 0, 1]
    heard = replace(clips[-1], heard_as="FS")
    assert heard.target(0.5).tolist() == [0, 0, 0, 0.25, 0.75]
    sad = replace(read_clips(corpora)[3], heard_as="FS")  # with four labels, fear is another's
    assert sad.target(0.5).tolist() == [0, 0, 0, 1]
    for labels, given, message in (
        (LABELS, others, "emotion 'fear' is none of the labels angry, happy, neutral, sad"),
        (five, None, "No clip of a is fear, which is a label"),
    ):
        with pytest.raises(CorpusError, match=message):
            train.labelled_clips(Config(corpora=("a",), labels=labels), [str(corpora)], given)
    # One of the four may be missing in a corpus, as it may on the way to the shipped models.
    b = [clip for clip in read_clips(corpora) if clip.corpus == "b"]
    assert labelled(b, LABELS) == b
    for wrong in (("sad",), ("sad", "sad")):
        with pytest.raises(ConfigError, match="each once"):
            Config(labels=wrong)


def test_a_corpus_goes_through_one_codec(corpora: Path, others: Path, tmp_path: Path) -> None:
    folder = tmp_path / "coded"
    assert recode.write_corpus(corpora, "clips.csv", folder, ["a"], 24) == 12
    clips = read_clips(folder)
    before = [clip for clip in read_clips(corpora) if clip.corpus == "a"]
    assert [(c.speaker, c.emotion, c.split) for c in clips] == [
        (c.speaker, c.emotion, c.split) for c in before
    ]
    assert {clip.path.suffix for clip in clips} == {".opus"}
    assert len(clips[0].samples()) == len(before[0].samples())
    assert clips[0].path.stat().st_size < 0.3 * before[0].path.stat().st_size
    marked = others / "other-emotions.csv"
    marked.write_text(marked.read_text(), encoding="utf-8-sig")  # as Excel does
    recode.write_corpus(others, "other-emotions.csv", folder, None, 24)
    assert (folder / "0.opus").read_bytes() == (others / "0.opus").read_bytes()
    with pytest.raises(CorpusError, match="No corpus is z; there are a, b"):
        recode.write_corpus(corpora, "clips.csv", folder, ["a", "z"], 24)
    with pytest.raises(CorpusError, match="the corpus itself"):
        recode.write_corpus(corpora, "clips.csv", corpora, None, 24)
    kept = (folder / "clips.csv").read_bytes()
    with pytest.raises(CorpusError, match=r"clips\.csv exists"):
        recode.write_corpus(corpora, "clips.csv", folder, None, 24)
    assert (folder / "clips.csv").read_bytes() == kept


def test_two_clips_that_would_be_one_are_not_recoded(tmp_path: Path) -> None:
    rows = ["path,corpus,speaker,emotion,text_id,licence,split"]
    for name, emotion in (("x.wav", "happy"), ("x.flac", "sad")):
        sf.write(tmp_path / name, np.zeros(16_000), 16_000)
        rows.append(f"{name},a,s1,{emotion},t,CC0-1.0,train")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    with pytest.raises(CorpusError, match=r"would become x\.opus"):
        recode.write_corpus(tmp_path, "clips.csv", tmp_path / "coded", None, 24)
    assert not (tmp_path / "coded").exists()


def test_a_clip_that_was_cut_is_not_recoded(corpora: Path, tmp_path: Path) -> None:
    clip = corpora / "3.flac"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(CorpusError, match=r"3\.flac"):
        recode.write_corpus(corpora, "clips.csv", tmp_path / "coded", ["a"], 24)
    assert not (tmp_path / "coded").exists()
    assert recode.write_corpus(corpora, "clips.csv", tmp_path / "coded", ["b"], 24) > 0


@pytest.mark.slow
def test_a_network_with_five_labels(
    corpora: Path,
    others: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train, "ROOT", tmp_path)
    five = [*LABELS, "fear"]
    settings = {"network": "cnn1d-lstm", "corpora": ["a"], "labels": five, "teach": 0}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings | {"batch": 2, "epochs": 1, "scenes": 0}))
    arguments = ["train", "--corpora", str(corpora), "--others", str(others), "--threads", "1"]
    arguments += ["--config", str(config), "--name", "five", "--folds", "speaker"]
    monkeypatch.setattr("sys.argv", [*arguments, "--cache", str(tmp_path / "cache")])
    train.main()
    said = capsys.readouterr().out
    assert "a speaker left out, UAR of 3 folds" in said
    assert "of all 15 clips" in said
    assert "| true \\ recognised as | angry | happy | neutral | sad | fear |" in said
    file = tmp_path / "runs" / "five-seed1" / "s0" / "s0.onnx"
    assert load_model(file).info.labels == tuple(five)
