"""What a profile brings: the real command, on a corpus made of the bundled speech."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from export import profiles, steady
from livesr.model.metadata import LABELS
from tests.export.conftest import Refusal
from tests.helpers.corpora import Cut, save_corpus
from tests.helpers.tiny import save_tiny


@pytest.fixture
def corpora(tmp_path: Path, speech: np.ndarray) -> Path:
    """Two corpora of one speaker each, four clips of each label, a second each."""
    cuts = [
        Cut(n * 12_000 + place * 700, corpus, f"{corpus}_1", LABELS[n % 4], split)
        for place, (corpus, split) in enumerate((("made", "train"), ("other", "dev")))
        for n in range(16)
    ]
    return save_corpus(tmp_path / "speech", speech, cuts, 16_000)


def told(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["profiles", *arguments, "--draws", "6"])
    profiles.main()


def test_a_row_for_each_corpus(
    corpora: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--corpora", str(corpora), "--model", str(tiny), "--cache", str(tmp_path / "kept"))
    told(*options, "--split", "train", monkeypatch=monkeypatch)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| held-out speakers", "| made"]
    assert rows[1].count(" - |") + rows[1].endswith(" - |") >= 1  # of four clips two are left


def test_each_corpus_is_judged_by_the_model_that_never_heard_it(
    corpora: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = tmp_path / "left"
    for number, corpus in enumerate(("made", "other")):
        (left / corpus).mkdir(parents=True)
        save_tiny(left / corpus / f"{corpus}.onnx", seed=number)
    options = ("--corpora", str(corpora), "--cache", str(tmp_path / "kept"))
    told(*options, "--left-out", str(left), monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    first, _, neutral, by_corpus, _, typical = said.split("\n\n")
    rows = [line for line in first.splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| penalty | known_sharpness")
    assert [tuple(row.split(" | ")[:2]) for row in rows[1:]] == [
        ("| 0.005", "1.75"),
        ("| 0.01", "1.75"),
        ("| 0.02", "1.75"),
        ("| 0.04", "1.75"),
        ("| 0.01", "1.25"),
        ("| 0.01", "2.25"),
    ]
    assert all(row.endswith(" | - | - |") and row.count(", ") == 2 for row in rows[1:])
    assert len(neutral.splitlines()) == 2 + 8
    assert by_corpus.startswith("| two neutral examples | made | other |")
    assert len(by_corpus.splitlines()) == 4
    assert [row.split(" | ")[0] for row in typical.splitlines()[2:]] == [f"| {k}" for k in LABELS]
    (left / "other" / "other.onnx").unlink()
    made = [file.stat().st_mtime_ns for file in (tmp_path / "kept").iterdir()]
    save_tiny(left / "made" / "made.onnx", seed=7)
    with pytest.raises(SystemExit, match=r"other\.onnx"):
        told(*options, "--left-out", str(left), monkeypatch=monkeypatch)
    # Refused before anything is judged.
    assert [file.stat().st_mtime_ns for file in (tmp_path / "kept").iterdir()] == made


def test_nobody_with_enough_clips_is_told_and_no_table_of_nothing(
    tmp_path: Path, speech: np.ndarray, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = [Cut(n * 12_000, "made", "s1", LABELS[n % 4], "test") for n in range(8)]
    folder = save_corpus(tmp_path / "few", speech, cuts, 16_000)
    options = ("--corpora", str(folder), "--model", str(tiny), "--cache", str(tmp_path / "kept"))
    for more in ((), ("--conditions",)):
        with pytest.raises(SystemExit, match="No speaker has enough clips: 3 emotions or more"):
            told(*options, *more, monkeypatch=monkeypatch)


@pytest.mark.parametrize("command", [profiles, steady])
def test_a_clip_that_was_cut_is_refused(
    command: ModuleType, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = corpora / "20.flac"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    arguments = ["--corpora", str(corpora), "--split", "dev", "--cache", str(tmp_path / "kept")]
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    with pytest.raises(SystemExit, match=r"20\.flac"):
        command.main()
    assert not (tmp_path / "kept").exists()


def test_a_clip_of_another_emotion_that_was_cut_is_refused(
    corpora: Path, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = [Cut(0, "other", "other_1", "fear", "dev")]
    more = save_corpus(tmp_path / "more", speech, cut, 16_000, table="other-emotions.csv")
    clip = more / "0.flac"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    options = ("--corpora", str(corpora), "--split", "dev", "--others", str(more))
    with pytest.raises(SystemExit, match=r"more/0\.flac"):
        told(*options, "--cache", str(tmp_path / "kept"), monkeypatch=monkeypatch)


_BOTH = [
    (["--enrol", "netural"], "invalid choice: 'netural'"),
    (["--speakers", "0"], "whole number above 0"),
    (["--cache", __file__], "cannot be written"),
    (["--cache", f"{__file__}/below"], "cannot be written"),
]


@pytest.mark.parametrize(
    ("command", "options", "why"),
    [
        *((command, *case) for command in (profiles, steady) for case in _BOTH),
        (profiles, ["--voices", "--model", "open"], "--model is not used beside --voices"),
        (profiles, ["--voices", "--conditions"], "--conditions is not used beside --voices"),
        (profiles, ["--voices", "--enrol", "sad"], "--enrol is not used beside --voices"),
        (profiles, ["--conditions", "--others", "x"], "--others is not used beside --conditions"),
        (profiles, ["--conditions", "--left-out", "x"], "--left-out is not used beside"),
        (profiles, ["--left-out", "x", "--split", "test"], "--split is not used beside --left-out"),
        (profiles, ["--left-out", "x", "--model", "open"], "--model is not used beside"),
        (steady, ["--enrol", "neutral"], "give --examples too"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    command: ModuleType, options: list[str], why: str, refusal: Refusal
) -> None:
    assert why in refusal(command.main, *options)
