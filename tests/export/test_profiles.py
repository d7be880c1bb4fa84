"""What a profile brings: the real command, on a corpus made of the bundled speech."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from export import profiles, steady
from livesr.model.metadata import LABELS
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


@pytest.mark.parametrize("command", [profiles, steady])
@pytest.mark.parametrize(
    ("option", "value", "why"),
    [("--enrol", "netural", "invalid choice: 'netural'"), ("--most", "0", "whole number above 0")],
)
def test_options_that_would_do_nothing_are_refused(
    command: ModuleType,
    option: str,
    value: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["command", "--corpora", "nowhere", option, value])
    with pytest.raises(SystemExit):
        command.main()
    assert why in capsys.readouterr().err
