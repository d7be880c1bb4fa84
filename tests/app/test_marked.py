"""Figures are written between two marks of a page, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from livesr import LivesrError
from livesr.app.marked import replace_part, table


def test_only_the_part_between_the_marks_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- a -->\nafter <!-- b -->\n")
    lines = table(["what", "value"], [["x", "1"], ["y", "2"]], numbers=True)
    for _ in range(2):  # writing again gives the same
        replace_part(page, "a", lines)
        assert page.read_text() == (
            "before\n<!-- a -->\n| what | value |\n| --: | --: |\n| x | 1 |\n| y | 2 |\n"
            "<!-- a -->\nafter <!-- b -->\n"
        )
    with pytest.raises(LivesrError, match="must have the mark <!-- b --> twice"):
        replace_part(page, "b", lines)
