"""What the commands take, and what they refuse while their command line is read. No torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from export.evaluation.options import (
    Once,
    above_zero,
    add_cache,
    add_corpora,
    command_parser,
    factor,
    new_file,
    new_folder,
    refuse_beside,
    up_to_one,
    whole,
)


def test_numbers() -> None:
    assert (whole("0"), above_zero("2"), up_to_one("0.3"), factor("1.75")) == (0, 2, 0.3, 1.75)
    for kind, text, why in (
        (whole, "-1", "'-1' is not a whole number, 0 or more"),
        (whole, "1.5", "not a whole number"),
        (above_zero, "0", "'0' is not a whole number above 0"),
        (up_to_one, "1.1", "'1.1' is not a number from 0 to 1"),
        (up_to_one, "nan", "from 0 to 1"),
        (up_to_one, "x", "from 0 to 1"),
        (factor, "-3", "'-3' is not a number from 0 to 100"),
        (factor, "inf", "from 0 to 100"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=why):
            kind(text)


def test_values_are_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", nargs="+", action=Once, type=int)
    assert parser.parse_args(["--seeds", "1", "2"]).seeds == [1, 2]
    with pytest.raises(SystemExit):
        parser.parse_args(["--seeds", "1", "2", "01"])
    assert "argument --seeds: 1 is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "place", "why"),
    [
        (new_file, "folder", "folder is a folder"),
        (new_file, "file/a.onnx", "file is no folder"),
        (new_folder, "file", "file is no folder"),
        (new_folder, "file/below/it", "file is no folder"),
        (new_file, "folder/new/a.onnx", ""),
        (new_file, "file", ""),
        (new_folder, "folder", ""),
        (new_folder, "folder/new", ""),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    tmp_path: Path, kind: Callable[[str], Path], place: str, why: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / place
    if why:
        with pytest.raises(argparse.ArgumentTypeError, match=f"cannot be written: .*{why}"):
            kind(str(path))
    else:
        there = path.exists()
        assert kind(str(path)) == path
        assert path.exists() == there


def test_help_says_the_defaults_that_there_are() -> None:
    parser = command_parser("A command.\n\n    its example")
    add_corpora(parser)
    add_cache(parser, Path("kept"))
    parser.add_argument("--seeds", nargs="+", default=[1, 2], help="train with these seeds")
    parser.add_argument("--enrol", nargs="+", default=[], help="enrol these")
    parser.add_argument("--examples", type=whole, default=0, help="enrol so many")
    parser.add_argument("--warm", action="store_true", help="judge warm")
    told = " ".join(parser.format_help().split())
    assert "\n    its example\n" in parser.format_help()
    for text in ("(default: kept)", "(default: 1 2)", "enrol so many (default: 0)"):
        assert text in told
    assert told.count("(default: ") == 3


def test_an_option_that_another_leaves_unused_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--voices", action="store_true")
    parser.add_argument("--left-out")
    parser.add_argument("--enrol", nargs="+", default=[])
    for given in (["--voices"], ["--left-out", "a", "--enrol", "sad"], []):
        refuse_beside(parser, parser.parse_args(given), "voices", "left_out", "enrol")
    with pytest.raises(SystemExit):
        options = parser.parse_args(["--voices", "--left-out", "a"])
        refuse_beside(parser, options, "voices", "enrol", "left_out")
    assert "--left-out is not used beside --voices" in capsys.readouterr().err
