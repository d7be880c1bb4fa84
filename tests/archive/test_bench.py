"""The archive's bench runs whole commands; no test depends on what it measures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from livesr.archive import bench
from tests.helpers.tiny import DATA


@pytest.mark.slow
def test_every_part_is_measured_and_written_into_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    parts = ("start", "long files", "short clips", "a long file")
    marks = [f"<!-- archive figures: {part} -->\n" for part in parts]
    page.write_text("".join(2 * mark for mark in marks))
    small = [
        "--files",
        "2",
        "--minutes",
        "0.05",
        "--clips",
        "3",
        "--hours",
        "0.002",
        "--rounds",
        "1",
    ]
    monkeypatch.setattr(
        sys, "argv", ["bench", str(DATA / "banglaser.flac"), *small, "--write", str(page)]
    )
    bench.main()
    told, text = capsys.readouterr().out, page.read_text()
    for row in ("start and end of a run", "alone, 2 files", "archive, 2 workers", "3 clips"):
        assert row in told
        assert row in text
