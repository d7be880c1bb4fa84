"""`to_frame`: the same rows and names in pandas, polars and CSV."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import livesr
from livesr.app.writers import CsvWriter
from livesr.event import Item
from livesr.table import to_frame
from tests.helpers.tiny import DATA


@pytest.fixture(scope="module")
def readings(tiny: Path) -> list[livesr.Reading]:
    return list(livesr.replay(DATA / "banglaser.flac", model=tiny))


def test_a_row_for_each_reading_in_both_libraries(
    readings: list[livesr.Reading], tmp_path: Path
) -> None:
    items: list[Item] = [readings[0], livesr.Event("mark", 0.3), *readings[1:]]
    pandas, polars = to_frame(items), to_frame(items, library="polars")
    assert isinstance(pandas, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    with CsvWriter(tmp_path / "a.csv") as writer:
        for item in items:
            writer.write(item)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(pandas.columns) == polars.columns == list(rows[0])
    assert "attention" not in pandas.columns
    assert len(pandas) == len(polars) == len(rows) == len(readings)
    for number, reading in enumerate(readings):
        for found in (pandas.iloc[number], polars.row(number, named=True), rows[number]):
            assert float(found["end"]) == reading.end
            assert float(found["smoothed_sad"]) == reading.smoothed["sad"]
            assert float(found["probabilities_angry"]) == reading.probabilities["angry"]
            assert found["status"] == reading.status
        assert polars["label"][number] == reading.label
        label = pandas["label"][number]
        assert (None if pd.isna(label) else label) == reading.label


def test_profile_and_channel_are_columns_where_they_are_told(
    readings: list[livesr.Reading],
) -> None:
    values = [reading.to_dict() | {"channel": 2, "profile": "me"} for reading in readings]
    known = [livesr.Reading.from_dict(row) for row in values]
    for library in ("pandas", "polars"):
        frame = to_frame(known, library)  # type: ignore[arg-type]
        assert set(frame["channel"]) == {2}
        assert set(frame["profile"]) == {"me"}
    mixed = to_frame([readings[0], *known[1:]], library="polars")
    assert mixed["profile"].to_list()[:2] == [None, "me"]


def test_no_readings_make_an_empty_frame() -> None:
    assert len(to_frame([])) == len(to_frame([], library="polars")) == 0


def test_what_cannot_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(livesr.LivesrError, match="numpy makes no data frames here; use 'pandas'"):
        to_frame([], library="numpy")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(livesr.LivesrError, match="polars is not installed; pip install polars"):
        to_frame([], library="polars")


def test_numbers_stay_numbers(readings: list[livesr.Reading]) -> None:
    frame = to_frame(readings)
    assert frame["speech"].dtype == float
    assert frame["gap"].sum() == 0
