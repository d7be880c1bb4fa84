"""What is told about an archive: its page, its audEERING table, and its cost beforehand."""

from __future__ import annotations

import re
from pathlib import Path

import audformat
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import livesr
from livesr.archive import audformat as table_of
from livesr.archive import manifest, report
from livesr.archive.estimate import estimate, measure
from livesr.archive.outputs import CHECKPOINT, MANIFEST, READINGS, REPORTS, SUMMARY, packed
from livesr.archive.places import Place
from livesr.archive.run import Archive, run
from livesr.archive.scorer import Scorer
from livesr.archive.settings import Scoring

LABELS = ("angry", "happy", "neutral", "sad")


@pytest.fixture(scope="module")
def scored(
    recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, pa.Table, list[str]]:
    """An archive of three files of two speakers, and one that is not there; scored without Ray."""
    folder = tmp_path_factory.mktemp("scored")
    listed = {
        "path": [
            *(str(recordings / name) for name in ("long.flac", "short.wav", "below/medium.ogg")),
            "gone <b>.wav",
        ],
        "speaker": ["anna", "anna", "<ben>", "<ben>"],
        "recorded": ["1998-05-01", "1998-05-09", "2001-01-01", "2001-01-02"],
    }
    pyarrow.csv.write_csv(pa.table(listed), folder / "which.csv")
    found, carried = manifest.find([str(folder / "which.csv")])
    scoring, out = Scoring(), Place.of(str(folder / "out"))
    out.make()
    table = manifest.build(found, carried, scoring)
    out.write(MANIFEST, packed(table))
    rows = Scorer(out, scoring, scoring.model_sha, carried)(table)
    (out / SUMMARY).make()
    (out / SUMMARY).write("a.parquet", packed(rows))
    report.write(out, rows, carried.names, LABELS)
    return out, rows, carried.names


def test_the_page_tells_shares_by_column_and_the_worst(
    scored: tuple[Place, pa.Table, list[str]],
) -> None:
    out, rows, _ = scored
    page = Path(out.address, "report.html").read_text()
    assert "4 scored" in page and "20 s of sound" in page and "1 with errors" in page
    assert "By speaker" in page and "By recorded" in page
    assert "1998-05" in page and "2001-01" in page and "1998-05-09" not in page
    assert "&lt;ben&gt;" in page and "<ben>" not in page and "gone <b>" not in page
    told = [row for row in rows.to_pylist() if row["speaker"] == "anna"]
    whole = sum(row["speech"] for row in told)
    angry = sum(row["speech"] * row["share_angry"] for row in told) / whole
    line = re.search(r"<tr><td>anna</td>.*?</tr>", page)
    assert line and f">{angry:.0%}</td>" in line[0]
    first = page.index("gone &lt;b&gt;.wav")
    assert first < page.index("short.wav", page.index("Files to look at first"))
    assert "http://" not in page and "https://" not in page and "<script" not in page


def test_rows_without_a_number_are_one_group() -> None:
    """A NaN is not equal to another."""
    rows = [{"age": value} for value in (float("nan"), 7.0, float("nan"), None)]
    groups = report._groups(rows, "age")
    assert [(name, len(members)) for (name,), members in groups] == [("7.0", 1), ("-", 3)]


def test_the_page_links_to_pages_of_files(scored: tuple[Place, pa.Table, list[str]]) -> None:
    out, _, _ = scored
    page = Path(out.address, "report.html").read_text()
    links = re.findall(r"href='(reports/\w+\.html)'", page)
    assert len(links) == 3
    for link in links:
        own = Path(out.address, link).read_text()
        assert "livesr report" in own or "data-ready" in own or '"columns":' in own


def test_a_page_of_readings_is_that_of_the_session(
    scored: tuple[Place, pa.Table, list[str]],
) -> None:
    """But for attention, and times to the microsecond."""
    out, rows, _ = scored
    row = rows.to_pylist()[1]
    told = pq.read_table(Path(out.address, READINGS, f"{row['key']}.parquet")).to_pylist()
    again = [report.reading_of(one, LABELS) for one in told]
    for reading, expected in zip(again, livesr.replay(row["uri"]), strict=True):
        assert reading.end == pytest.approx(expected.end, abs=1e-6)
        assert (reading.status, reading.label, reading.smoothed, reading.gap) == (
            expected.status,
            expected.label,
            expected.smoothed,
            expected.gap,
        )


def test_audformat_loads_the_table(scored: tuple[Place, pa.Table, list[str]]) -> None:
    out, rows, _ = scored
    table_of.write(out, rows, LABELS, Scoring().metadata())
    database = audformat.Database.load(str(Path(out.address, "audformat")))
    frame = database["emotion"].get()
    assert frame.index.names == ["file", "start", "end"]
    assert len(frame) == sum(row["readings"] for row in rows.to_pylist())
    row = rows.to_pylist()[1]
    own = frame.loc[row["uri"]].reset_index()
    expected = list(livesr.replay(row["uri"]))
    assert own["end"].tolist() == [pd.Timedelta(reading.end, "s") for reading in expected]
    assert own["p_sad"].tolist() == [reading.probabilities["sad"] for reading in expected]
    labels = [None if pd.isna(label) else label for label in own["label"]]
    assert labels == [reading.label for reading in expected]


def test_audformat_loads_a_table_of_each_channel(
    recordings: Path, tmp_path: Path, tiny: Path
) -> None:
    scoring, out = Scoring(str(tiny)), Place.of(str(tmp_path / "out"))
    found, carried = manifest.find([str(recordings / "below" / "two.wav")])
    table = manifest.build(found, carried, scoring, "each")
    rows = Scorer(out, scoring, scoring.model_sha, carried)(table)
    table_of.write(out, rows, LABELS, scoring.metadata())
    database = audformat.Database.load(str(Path(out.address, "audformat")))
    assert list(database.tables) == ["emotion_1", "emotion_2"]
    for channel, own in enumerate(database.tables.values(), start=1):
        audformat.assert_no_duplicates(own.index)
        assert set(own.get()["channel"]) == {channel}


def test_tables_of_other_channels_are_removed(recordings: Path, tmp_path: Path, tiny: Path) -> None:
    scoring, out = Scoring(str(tiny)), Place.of(str(tmp_path / "out"))
    found, carried = manifest.find([str(recordings / "below" / "two.wav")])
    (out / "audformat").make()
    (out / "audformat").write("db.speakers.parquet", b"a table of the user's own")
    for channel, names in (("each", ["emotion_1", "emotion_2"]), ("1", ["emotion"])):
        table = manifest.build(found, carried, scoring, channel)
        rows = Scorer(out, scoring, scoring.model_sha, carried)(table)
        table_of.write(out, rows, LABELS, scoring.metadata())
        files = {f"db.{name}.parquet" for name in [*names, "speakers"]}
        assert set((out / "audformat").names()) == {*files, "db.yaml"}


def test_pages_of_all_are_made_of_what_is_scored(
    recordings: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_WORST", 1)
    scoring, out = Scoring(str(tiny)), Place.of(str(tmp_path / "out"))
    found, carried = manifest.find([str(recordings)])
    table = manifest.build(found, carried, scoring)
    rows = Scorer(out, scoring, scoring.model_sha, carried)(table)
    for folder in (SUMMARY, CHECKPOINT):
        (out / folder).make()
        (out / folder).write("a.parquet", packed(rows))
    for all_of_them, count in ((False, 1), (True, 4)):
        archive = Archive([str(recordings)], out.address, scoring, reports=all_of_them)
        assert run(archive) == 0
        assert len(list((out / REPORTS).names())) == count


def test_a_dry_run_tells_the_cost_and_writes_nothing(
    recordings: Path, tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    archive = Archive([str(recordings)], str(out), Scoring(str(tiny)), workers=4)
    estimate(archive, price=3.0)
    told = capsys.readouterr().out
    assert "4 of 4 to score, 0.01 hours of sound" in told
    assert re.search(r"measured on 25 s of 4 files: \d+ s of processor time an hour", told)
    assert "price" in told and "with 4 workers" in told
    assert not out.exists()


def test_a_dry_run_leaves_out_what_is_scored(
    scored: tuple[Place, pa.Table, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _, _ = scored
    source = str(Path(out.address).parent / "which.csv")
    estimate(Archive([source], out.address, Scoring()))
    assert "0 of 4 to score" in capsys.readouterr().out


def test_a_dry_run_counts_what_is_scored_again(
    scored: tuple[Place, pa.Table, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _, _ = scored
    source = str(Path(out.address).parent / "which.csv")
    with pytest.raises(livesr.LivesrError, match="can be scored"):  # that file is gone
        estimate(Archive([source], out.address, Scoring(), retry_failed=True))
    assert "1 of 4 to score" in capsys.readouterr().out


def test_a_sample_that_cannot_be_scored_is_told(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    found, carried = manifest.find([str(tmp_path)])
    rows = manifest.build(found, carried, Scoring(str(tiny)))
    with pytest.raises(livesr.LivesrError, match="can be scored"):
        measure(rows, Scoring(str(tiny)))


def test_labels_of_a_profile_are_in_page_and_table(
    recordings: Path, tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    profile = livesr.Profile(tiny)
    for number, label in enumerate(("calm", "tense") * 2):
        profile.add(label, speech[number * 48_000 : (number + 1) * 48_000])
    profile.save(tmp_path / "ben.livesr-profile")
    paths = [str(recordings / name) for name in ("long.flac", "short.wav")]
    listed = {"path": paths, "voice": ["ben.livesr-profile", ""]}
    pyarrow.csv.write_csv(pa.table(listed), tmp_path / "which.csv")
    scoring, out = Scoring(str(tiny)), Place.of(str(tmp_path / "out"))
    found, carried = manifest.find([str(tmp_path / "which.csv")])
    table = manifest.build(found, carried, scoring, profile_by="voice")
    rows = Scorer(out, scoring, scoring.model_sha, carried)(table)
    report.write(out, rows, carried.names, LABELS)
    key = rows["key"][0].as_py()
    assert "tense" in Path(out.address, "reports", f"{key}.html").read_text()
    table_of.write(out, rows, LABELS, scoring.metadata())
    database = audformat.Database.load(str(Path(out.address, "audformat")))
    frame = database["emotion"].get()
    expected = list(livesr.replay(paths[0], model=tiny, profile=profile))
    own = frame.loc[paths[0]]
    assert own["p_calm"].tolist() == [reading.probabilities["calm"] for reading in expected]
    assert set(own["label"].dropna()) == {reading.label for reading in expected} - {None}
    assert frame.loc[paths[1]]["p_calm"].isna().all()
