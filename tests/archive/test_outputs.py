"""Whatever a run leaves behind, the next one finds rows that are whole, each once."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from livesr import LivesrError, Profile
from livesr.app.exit_status import ExitStatus
from livesr.archive.manifest import build, find
from livesr.archive.outputs import (
    CHECKPOINT,
    MANIFEST,
    READINGS,
    REPORTS,
    STATES,
    SUMMARY,
    packed,
    settle,
)
from livesr.archive.places import OutputError, Place
from livesr.archive.run import Archive, rows_of, run
from livesr.archive.scorer import Scorer
from livesr.archive.settings import Scoring
from livesr.files.recording import events_path


def put(out: Place, folder: str, name: str, keys: str) -> None:
    (out / folder).make()
    columns = {"key": list(keys), "model_sha256": [""] * len(keys)}
    (out / folder).write(name, packed(pa.table(columns)))


def keys(out: Place, folder: str) -> list[str]:
    files = Path(out.address, folder).glob("*.parquet")
    return sorted(key for file in files for key in pq.read_table(file)["key"].to_pylist())


@pytest.fixture
def out(tmp_path: Path) -> Place:
    return Place.of(str(tmp_path))


def test_settle_keeps_complete_files(out: Place) -> None:
    for folder in (SUMMARY, CHECKPOINT):
        put(out, folder, "a.parquet", "abc")
    before = {path: path.stat().st_mtime_ns for path in Path(out.address).rglob("*.parquet")}
    assert settle(out) == set("abc")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_file_whose_checkpoint_is_pending_is_not_done(out: Place) -> None:
    for folder in (SUMMARY, CHECKPOINT):
        put(out, folder, "a.parquet", "ab")
    put(out, CHECKPOINT, "b.pending.parquet", "cd")
    put(out, SUMMARY, "b-0.parquet", "cd")
    assert settle(out) == set("ab")
    assert keys(out, SUMMARY) == keys(out, CHECKPOINT) == ["a", "b"]
    assert not list(Path(out.address).rglob("*pending*"))


def test_a_file_cut_short_is_removed_with_its_checkpoint(out: Place) -> None:
    for folder in (SUMMARY, CHECKPOINT):
        put(out, folder, "a.parquet", "ab")
        put(out, folder, "b.parquet", "cd")
    whole = Path(out.address, SUMMARY, "b.parquet")
    whole.write_bytes(whole.read_bytes()[:100])
    assert settle(out) == set("ab")
    assert keys(out, SUMMARY) == keys(out, CHECKPOINT) == ["a", "b"]


@pytest.mark.parametrize("columns", [("value",), ("key", "value")])
def test_another_program_s_table_stays_as_it_was(out: Place, columns: tuple[str, ...]) -> None:
    for folder in (SUMMARY, CHECKPOINT):
        put(out, folder, "a.parquet", "ab")
    put(out, CHECKPOINT, "b.pending.parquet", "cd")
    foreign = Path(out.address, SUMMARY, "mine.parquet")
    pq.write_table(pa.table({name: ["x"] for name in columns}), foreign)
    before = {path: path.read_bytes() for path in Path(out.address).rglob("*.parquet")}
    with pytest.raises(OutputError, match=r"mine\.parquet was not written by livesr archive"):
        settle(out)
    assert {path: path.read_bytes() for path in before} == before


def test_settle_removes_double_rows(out: Place) -> None:
    put(out, CHECKPOINT, "a.parquet", "abc")
    put(out, SUMMARY, "a.parquet", "ab")
    put(out, SUMMARY, "b.parquet", "bc")
    assert settle(out) == set("abc")
    assert keys(out, SUMMARY) == ["a", "b", "c"]


def test_settle_removes_rows_that_are_scored_again(out: Place) -> None:
    for folder in (SUMMARY, CHECKPOINT):
        put(out, folder, "a.parquet", "abc")
    assert settle(out, {"b"}) == {"a", "c"}
    assert keys(out, SUMMARY) == keys(out, CHECKPOINT) == ["a", "c"]


def test_settle_may_be_killed_and_run_again(out: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, both in (("a", "abc"), ("b", "de")):
        for folder in (SUMMARY, CHECKPOINT):
            put(out, folder, f"{name}.parquet", both)

    class Killed(Exception):
        pass

    write, remove, left = Place.write, Place.remove, [0]

    def counted(method: object) -> object:
        def call(*arguments: object) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            method(*arguments)  # type: ignore[operator]

        return call

    for steps in range(5):
        left[0] = steps
        with monkeypatch.context() as patch:
            patch.setattr(Place, "write", counted(write))
            patch.setattr(Place, "remove", counted(remove))
            try:
                settle(out, set("bde"))
            except Killed:
                continue
        break
    done = settle(out, set("bde"))
    assert done == {"a", "c"}
    assert keys(out, SUMMARY) == keys(out, CHECKPOINT) == ["a", "c"]


def test_sweep_removes_half_written_files(out: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    out.write("a", b"first")
    left: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", left.append)  # as if the process had been killed
        with pytest.raises(ZeroDivisionError), out.writing("a"):
            raise ZeroDivisionError
    assert [Path(name).exists() for name in left] == [True]
    for name in (".movie.mkv.part", ".0123.part", "0123456789abcdef.part"):
        out.write(name, b"somebody's")
    out.sweep()
    assert not Path(left[0]).exists()
    assert sorted(out.names()) == [".0123.part", ".movie.mkv.part", "0123456789abcdef.part", "a"]
    assert out.read("a") == b"first"
    assert out.read("b") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        place = Place.of(str(tmp_path))
        place.write("a", bytes(30000))
        with pytest.raises(OutputError, match=r"the disk is full.* give the same command again"):
            place.write("a", bytes(60000))
        assert place.read("a") == bytes(30000)
        assert sorted(place.names()) == ["a"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Place.of(str(tmp_path / "file" / "out")).make()


def test_parquet_keeps_the_schema_s_metadata() -> None:
    table = pa.table({"a": [1]})
    read = pq.read_table(pa.BufferReader(packed(table, {b"livesr.x": b"y"})))
    assert read.schema.metadata[b"livesr.x"] == b"y"


def test_columns_of_numbers_have_no_dictionary() -> None:
    """Parquet would build one for each column: most of the memory of a long file's last step."""
    kinds = [("label", pa.dictionary(pa.int32(), pa.string())), ("p_sad", pa.float64())]
    columns = {"label": ["sad"] * 50, "p_sad": [place / 50 for place in range(50)]}
    data = packed(pa.table(columns, schema=pa.schema(kinds)))
    group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    assert [group.column(place).has_dictionary_page for place in (0, 1)] == [True, False]


def left_over(source: Path, out: Place, tiny: Path, *, profile_by: str | None = None) -> Archive:
    """A run of nothing over a folder whose only file was cut short when it was scored."""
    scoring = Scoring(str(tiny))
    found, carried = find([str(source)])
    table = build(found, carried, scoring, profile_by=profile_by)
    rows = Scorer(out, scoring, scoring.model_sha, carried)(table)
    assert rows["status"].to_pylist() == ["error"]
    for folder, table in ((SUMMARY, rows), (CHECKPOINT, rows.select(["key"]))):
        (out / folder).make()
        (out / folder).write("a.parquet", packed(table))
    return Archive([str(source)], out.address, scoring, limit=0, profile_by=profile_by)


@pytest.fixture
def cut(recordings: Path, tmp_path: Path) -> Path:
    """A folder with a recording that ends early."""
    folder = tmp_path / "source"
    folder.mkdir()
    whole = (recordings / "long.flac").read_bytes()
    (folder / "a.flac").write_bytes(whole[: len(whole) // 2])
    return folder


def test_what_was_heard_of_a_file_before_it_changed_is_removed(
    cut: Path, recordings: Path, tmp_path: Path, tiny: Path
) -> None:
    out = Place.of(str(tmp_path / "out"))
    archive = left_over(cut, out, tiny)
    (out / REPORTS).make()
    (key,) = [name.removesuffix(".parquet") for name in (out / READINGS).names()]
    (out / REPORTS).write(f"{key}.html", b"")
    assert run(archive) == ExitStatus.PARTLY  # it is still the same file: all is kept
    assert [*(out / READINGS).names(), *(out / REPORTS).names()]
    (cut / "a.flac").write_bytes((recordings / "long.flac").read_bytes())
    assert run(archive) == ExitStatus.DONE
    assert not [*(out / READINGS).names(), *(out / REPORTS).names(), *keys(out, SUMMARY)]


def test_errors_of_another_hop_are_kept(cut: Path, tmp_path: Path, tiny: Path) -> None:
    out = Place.of(str(tmp_path / "out"))
    archive = left_over(cut, out, tiny)
    before = keys(out, SUMMARY)
    run(replace(archive, scoring=replace(archive.scoring, hop=0.5)))
    assert keys(out, SUMMARY) == before


def test_what_was_heard_of_a_file_that_is_the_same_is_kept(
    cut: Path, tmp_path: Path, tiny: Path
) -> None:
    """Attention is part of the key, and so are the events beside a recording."""
    out = Place.of(str(tmp_path / "out"))
    archive = left_over(cut, out, tiny)
    before = keys(out, SUMMARY)
    assert run(replace(archive, scoring=replace(archive.scoring, attention=True))) == 0
    assert keys(out, SUMMARY) == before
    events_path(cut / "a.flac").write_text('{"event": "reset", "at": 1.0}\n')
    assert run(archive) == 0
    assert keys(out, SUMMARY) == before
    assert list((out / READINGS).names()) == [f"{before[0]}.parquet"]


def test_what_was_heard_before_a_profile_changed_is_kept(
    cut: Path, tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    out, table = Place.of(str(tmp_path / "out")), tmp_path / "which.csv"
    table.write_text("path,voice\nsource/a.flac,anna.livesr-profile\n")
    profile = Profile(tiny)
    for number, label in enumerate(("angry", "sad") * 2):
        profile.add(label, speech[number * 48_000 : (number + 1) * 48_000])
    profile.save(tmp_path / "anna.livesr-profile")
    archive = left_over(table, out, tiny, profile_by="voice")
    before = keys(out, SUMMARY)
    profile.add("happy", speech[-48_000:])
    profile.save(tmp_path / "anna.livesr-profile")
    assert run(archive) == 0
    assert keys(out, SUMMARY) == before


def test_rows_that_are_done_carry_what_the_sources_say_now(
    cut: Path, recordings: Path, tmp_path: Path, tiny: Path
) -> None:
    """Also if a column has another type now, or is new."""
    out, table = Place.of(str(tmp_path / "out")), tmp_path / "which.csv"
    table.write_text("path,speaker\nsource/a.flac,7\n")
    archive = left_over(table, out, tiny)
    assert run(archive) == ExitStatus.PARTLY
    table.write_text(
        "path,speaker,town\nsource/a.flac,A7,Ulm\n" + f"{recordings / 'short.wav'},8,Bonn\n"
    )
    found, carried = find([str(table)])
    rows = build(found, carried, archive.scoring)
    added = rows.filter(pc.equal(rows["speaker"], "8"))
    scored = Scorer(out, archive.scoring, archive.scoring.model_sha, carried)(added)
    for folder in (SUMMARY, CHECKPOINT):
        (out / folder).write("b.parquet", packed(scored))
    for _ in range(2):
        assert run(archive) == ExitStatus.PARTLY
    read = pq.read_table(Path(out.address, SUMMARY))
    assert dict(zip(read["speaker"].to_pylist(), read["town"].to_pylist(), strict=True)) == {
        "A7": "Ulm",
        "8": "Bonn",
    }
    told = rows_of(out, rows)
    assert told is not None
    rows_told = told.select(["uri", "speaker", "town"]).to_pylist()
    assert {tuple(row.values()) for row in rows_told} == {
        (str(cut / "a.flac"), "A7", "Ulm"),
        (str(recordings / "short.wav"), "8", "Bonn"),
    }
    page = Path(out.address, "report.html").read_text()
    assert "<td>A7</td>" in page and "By town" in page


def test_rows_of_other_settings_keep_what_they_carry(cut: Path, tmp_path: Path, tiny: Path) -> None:
    out, table = Place.of(str(tmp_path / "out")), tmp_path / "which.csv"
    table.write_text("path,speaker\nsource/a.flac,7\n")
    archive = left_over(table, out, tiny)
    (first,) = keys(out, SUMMARY)
    whole = pq.read_table(Path(out.address, SUMMARY, "a.parquet"))
    other = whole.set_column(0, "key", pa.array(["other"]))
    both = pa.concat_tables([whole, other])
    for folder in (SUMMARY, CHECKPOINT):
        (out / folder).write("a.parquet", packed(both))
    table.write_text("path,speaker\nsource/a.flac,A7\n")
    names = []
    for _ in range(2):
        assert run(archive) == ExitStatus.PARTLY
        paths = sorted(Path(out.address, SUMMARY).iterdir())
        files = [pq.read_table(path) for path in paths]
        found = {row["key"]: row["speaker"] for file in files for row in file.to_pylist()}
        assert found == {first: "A7", "other": 7}
        assert sum(map(len, files)) == 2
        names.append([path.name for path in paths])
    assert names[0] == names[1]  # what is right is not written again


def test_errors_that_an_earlier_livesr_wrote_are_found(
    cut: Path, recordings: Path, tmp_path: Path, tiny: Path
) -> None:
    """Without size and mtime."""
    out = Place.of(str(tmp_path / "out"))
    archive = left_over(cut, out, tiny)
    whole = pq.read_table(Path(out.address, SUMMARY, "a.parquet"))
    (out / SUMMARY).write("a.parquet", packed(whole.drop_columns(["size", "mtime"])))
    assert run(archive) == ExitStatus.PARTLY
    (cut / "a.flac").write_bytes((recordings / "long.flac").read_bytes())
    assert run(archive) == ExitStatus.DONE
    assert not keys(out, SUMMARY)


def test_what_the_sources_say_is_written_once(cut: Path, tmp_path: Path, tiny: Path) -> None:
    """Numbers, dates and times come back from a file as they were; NaN too."""
    line = "path,a,b,c,d,e,f\nsource/a.flac,7,0.5,2001-05-01,2001-05-01 12:30:00,12:30:00,\n"
    (tmp_path / "which.csv").write_text(line)
    numbers = {"path": ["source/a.flac"], "g": [float("nan")]}
    pq.write_table(pa.table(numbers), tmp_path / "which.parquet")
    for ending in (".csv", ".parquet"):
        out = Place.of(str(tmp_path / f"out{ending}"))
        archive = left_over(tmp_path / f"which{ending}", out, tiny)
        before = Path(out.address, SUMMARY, "a.parquet").stat().st_mtime_ns
        for _ in range(2):
            assert run(archive) == ExitStatus.PARTLY
        assert Path(out.address, SUMMARY, "a.parquet").stat().st_mtime_ns == before


def test_the_state_of_a_file_that_is_no_longer_to_be_scored_is_removed(
    cut: Path, tmp_path: Path, tiny: Path
) -> None:
    out = Place.of(str(tmp_path / "out"))
    archive = left_over(cut, out, tiny)
    wanted = f"{keys(out, SUMMARY)[0]}.parquet"
    for name in (wanted, f"{'0' * 64}.parquet", "mine.txt"):
        (out / STATES).write(name, b"some seconds of a voice")
    run(archive)
    assert sorted((out / STATES).names()) == sorted([wanted, "mine.txt"])


@pytest.mark.parametrize("name", ["manifest.parquet", "report.html", "audformat/db.yaml"])
@pytest.mark.parametrize("used", [False, True])
def test_what_livesr_did_not_write_is_not_replaced(
    cut: Path, tmp_path: Path, tiny: Path, name: str, used: bool
) -> None:
    """Neither in a folder of somebody's nor beside livesr's own files."""
    out = Place.of(str(tmp_path / "out"))
    archive = replace(left_over(cut, out, tiny), audformat=True)
    if used:
        assert [run(archive) for _ in range(2)] == [ExitStatus.PARTLY] * 2
    else:
        shutil.rmtree(out.address)
    theirs = Path(out.address, name)
    theirs.parent.mkdir(parents=True, exist_ok=True)
    if name == MANIFEST:
        pq.write_table(pa.table({"key": ["x"], "uri": ["y"]}), theirs)
    else:
        theirs.write_text("mine")
    before = {path: path.read_bytes() for path in Path(out.address).rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match=f"{name} was not written by livesr archive"):
        run(archive)
    after = {path: path.read_bytes() for path in Path(out.address).rglob("*") if path.is_file()}
    assert after == before


def test_a_damaged_manifest_is_told(cut: Path, tmp_path: Path, tiny: Path) -> None:
    out = Place.of(str(tmp_path / "out"))
    archive = left_over(cut, out, tiny)
    run(archive)
    manifest = Path(out.address, MANIFEST)
    manifest.write_bytes(manifest.read_bytes()[:-9])
    with pytest.raises(OutputError, match=r"manifest\.parquet .* or is damaged"):
        run(archive)


def test_a_folder_that_cannot_be_locked_is_told(cut: Path, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "out" / ".lock").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        run(Archive([str(cut)], str(tmp_path / "out"), Scoring(str(tiny))))


def test_a_folder_that_ray_would_take_for_a_query_is_refused(cut: Path, tmp_path: Path) -> None:
    with pytest.raises(LivesrError, match="without a question mark"):
        run(Archive([str(cut)], str(tmp_path / "out?"), Scoring()))
    assert not (tmp_path / "out?").exists()


def test_a_run_that_scores_nothing_is_an_error(
    cut: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray has ended well without reading its rows."""
    monkeypatch.setattr("livesr.archive.run._score", lambda *_: None)
    with pytest.raises(LivesrError, match="Ray ended the run before 1 of 1 were scored"):
        run(Archive([str(cut)], str(tmp_path / "out"), Scoring(str(tiny))))
