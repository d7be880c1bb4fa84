"""Rows of readings as CSV."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from livesr.app.writers import CsvWriter
from tests.app.test_ui import reading


def test_a_profile_that_a_correction_begins_shifts_no_column(tmp_path: Path) -> None:
    first, second, third = (reading(0.25 * k) for k in (1, 2, 3))
    with CsvWriter(tmp_path / "a.csv", before={"file": "a"}) as writer:
        for item in (first, dataclasses.replace(second, profile="corrections"), third):
            writer.write(item)
    with (tmp_path / "a.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert [len(row) for row in rows] == [len(header)] * 3
    assert [row[header.index("end")] for row in rows] == ["0.25", "0.5", "0.75"]
