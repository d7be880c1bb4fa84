"""What there is to score: each file once, the longest first, under a key that says what it is."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from fsspec import AbstractFileSystem

from livesr import AudioError, LivesrError, Profile
from livesr.app.inputs import SOUND_NAMES, find_inputs
from livesr.archive import manifest
from livesr.archive.places import Place
from livesr.archive.run import Archive, run
from livesr.archive.settings import Scoring
from livesr.archive.sound import open_sound


def uris(sources: list[str], **options: Place) -> list[str]:
    return sorted(file.uri for file in manifest.find(sources, **options)[0])


def test_a_folder_s_subfolders_are_searched(recordings: Path) -> None:
    names = ["below/medium.ogg", "below/two.wav", "long.flac", "short.wav"]
    assert uris([str(recordings)]) == sorted(str(recordings / name) for name in names)


def test_globs_lists_and_file_names_find_the_same_files(recordings: Path, tmp_path: Path) -> None:
    expected = [str(recordings / "long.flac"), str(recordings / "short.wav")]
    assert uris([str(recordings / "*.*")]) == expected
    assert uris(expected) == expected
    listed = tmp_path / "which.txt"
    relative = os.path.relpath(expected[0], tmp_path)
    listed.write_text(f"# two of them\n{relative}\n\n{expected[1]}\n")
    assert uris([str(listed)]) == expected
    assert uris([str(listed), *expected]) == expected


def test_files_in_the_output_folder_are_no_sources(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "in" / "out"
    out.mkdir(parents=True)
    for folder in (out.parent, out):
        (folder / "a.flac").write_bytes((recordings / "long.flac").read_bytes())
    assert uris([str(tmp_path / "in")], out=Place(str(out))) == [str(tmp_path / "in" / "a.flac")]
    (tmp_path / "link").symlink_to(out)
    for place in (out, tmp_path / "link"):
        for name, text in (("a.txt", "{}"), ("a.csv", "path\n{}")):
            (tmp_path / name).write_text(text.format(out / "a.flac"))
            with pytest.raises(LivesrError, match=rf"a\.flac, named by .*{name}, is in OUT"):
                uris([str(tmp_path / name)], out=Place(str(place)))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_carries_its_columns(recordings: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"which{ending}"
    table = pa.table(
        {
            "path": [str(recordings / "short.wav"), "gone.wav"],
            "speaker": ["s1", "s2"],
            "session": [3, 4],
        }
    )
    (pyarrow.csv.write_csv if ending == ".csv" else pq.write_table)(table, path)
    found, carried = manifest.find([str(path)])
    rows = manifest.build(found, carried, Scoring()).to_pylist()
    assert [(row["speaker"], row["session"]) for row in rows] == [("s2", 4), ("s1", 3)]
    assert rows[0]["uri"] == str(tmp_path / "gone.wav")
    assert rows[0]["size"] is None and rows[0]["duration"] is None


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"file": ["a.wav"]}, "no column 'path'"),
        ({"path": ["a.wav"], "status": [1]}, "a column 'status', which livesr writes itself"),
        ({"path": ["a.wav"], "uri": [1]}, "a column 'uri'"),
        ({"path": ["a.wav"], "share_angry": [1]}, "a column 'share_angry'"),
        ({"path": ["a.wav"], "channel": [[1]]}, "cannot be read"),
        ({"path": ["a.wav", " "]}, "row 2 has no path"),
        ({"path": ["a.wav", None]}, "row 2 has no path"),
        ({"path": ["a.wav", "a.wav"], "who": ["anna", "bert"]}, "again, with other values"),
        ({"path": ["a.wav", "b.wav"], "channel": [None, 0]}, "row 2 names channel 0"),
        ({"path": ["a.wav"], "channel": [-1]}, "row 1 names channel -1"),
        ({"path": ["a.wav"], "channel": [65]}, "row 1 names channel 65; .* from 1 to 64"),
        ({"path": ["a.wav"], "channel": [99999999999]}, "row 1 names channel 99999999999"),
        ({"path": [7]}, "row 1 has 7 for a path"),
        ({"path": [b"caf\xe9.wav"]}, "row 1 has a path that is not UTF-8"),
        ({"path": pa.array([], pa.string())}, "names no file; give it a row"),
        (
            {"path": ["a.wav"], "who": pa.array([["x"]], pa.list_(pa.string_view()))},
            r"column 'who' \(list.*cannot be copied",
        ),
        ({"path": ["a.wav"], "at": pa.array([2**60], pa.timestamp("us"))}, "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "which.parquet")
    with pytest.raises(LivesrError, match=told):
        manifest.build(*manifest.find([str(tmp_path / "which.parquet")]), Scoring())


def test_a_table_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "which.csv").write_bytes("path\ncafé.wav\n".encode("latin-1"))
    with pytest.raises(LivesrError, match="row 1 has a path that is not UTF-8"):
        manifest.find([str(tmp_path / "which.csv")])


def test_a_list_that_names_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "which.txt").write_text("# none yet\n")
    with pytest.raises(LivesrError, match=r"which\.txt names no file; write a path"):
        manifest.find([str(tmp_path / "which.txt")])


def test_paths_are_text(tmp_path: Path) -> None:
    """Numbers in a CSV table, and bytes in a Parquet table too."""
    (tmp_path / "which.csv").write_text("path\n001\n1e5\n")
    pq.write_table(pa.table({"path": [b"caf\xc3\xa9.wav"]}), tmp_path / "which.parquet")
    found = uris([str(tmp_path / "which.csv"), str(tmp_path / "which.parquet")])
    assert found == [str(tmp_path / name) for name in ("001", "1e5", "caf\xe9.wav")]


@pytest.mark.parametrize("value", [float("nan"), [float("nan")]])
def test_a_row_that_is_there_twice_is_one(tmp_path: Path, value: object) -> None:
    """Also with NaN, which is not equal to itself."""
    table = pa.table({"path": ["a.wav"] * 2, "age": [value] * 2})
    pq.write_table(table, tmp_path / "which.parquet")
    assert len(manifest.build(*manifest.find([str(tmp_path / "which.parquet")]), Scoring())) == 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [(pa.array(["x"], pa.string_view()), pa.string()), (pa.array([b"x"], pa.binary_view()), None)],
)
def test_a_column_of_views_is_copied(
    recordings: Path, tmp_path: Path, values: pa.Array, kind: pa.DataType | None
) -> None:
    """And a manifest that has one, as an earlier livesr wrote it, does not end every run."""
    table = pa.table({"path": [str(recordings / "short.wav")], "who": values})
    pq.write_table(table, tmp_path / "which.parquet")
    out = tmp_path / "out"
    archive = Archive([str(tmp_path / "which.parquet")], str(out), Scoring(), limit=0)
    assert run(archive) == 0
    written = pq.read_table(out / "manifest.parquet")
    assert written["who"].type == (kind or pa.binary())
    spoilt = written.set_column(written.column_names.index("who"), "who", values)
    pq.write_table(spoilt, out / "manifest.parquet")
    assert run(archive) == 0
    assert pq.read_table(out / "manifest.parquet").equals(written)


def test_a_table_says_more_than_a_folder_whichever_comes_first(
    recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "which.csv").write_text(f"path,who\n{recordings / 'short.wav'},anna\n")
    sources = [str(recordings), str(tmp_path / "which.csv")]
    for order in (sources, sources[::-1]):
        rows = manifest.build(*manifest.find(order), Scoring()).to_pylist()
        assert {Path(row["uri"]).name: row["who"] for row in rows} == {
            "long.flac": None,
            "medium.ogg": None,
            "short.wav": "anna",
            "two.wav": None,
        }


@pytest.mark.parametrize("channel", ["1", "each"])
@pytest.mark.parametrize("named", ["{0},1,anna", "{0},1,anna\n{0},,anna"])
def test_a_channel_that_is_named_twice_is_one_row(
    recordings: Path, tmp_path: Path, channel: str, named: str
) -> None:
    two = recordings / "below" / "two.wav"
    (tmp_path / "which.csv").write_text(f"path,channel,who\n{named.format(two)}\n")
    sources = [str(recordings), str(tmp_path / "which.csv")]
    for order in (sources, sources[::-1]):
        rows = manifest.build(*manifest.find(order), Scoring(), channel).to_pylist()
        assert len({row["key"] for row in rows}) == len(rows)
        (first,) = [row for row in rows if row["uri"] == str(two) and row["channel"] == 1]
        assert first["who"] == "anna"


def test_a_channel_that_is_named_twice_with_other_values_is_told(
    recordings: Path, tmp_path: Path
) -> None:
    two = recordings / "below" / "two.wav"
    (tmp_path / "which.csv").write_text(f"path,channel,who\n{two},1,anna\n{two},,bert\n")
    found, carried = manifest.find([str(tmp_path / "which.csv")])
    assert len(manifest.build(found, carried, Scoring())) == 2  # the first channel, and the mean
    with pytest.raises(LivesrError, match=r"two\.wav again, with other values"):
        manifest.build(found, carried, Scoring(), "each")


def test_a_profile_s_row_takes_the_place_of_a_folder_s(
    recordings: Path, tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    """Their keys differ, but it is the same sound."""
    profile = Profile(tiny)
    for number, label in enumerate(("angry", "sad") * 2):
        profile.add(label, speech[number * 48_000 : (number + 1) * 48_000])
    profile.save(tmp_path / "anna.livesr-profile")
    listed = f"path,channel,voice\n{recordings / 'short.wav'},1,anna.livesr-profile\n"
    (tmp_path / "which.csv").write_text(listed)
    found = manifest.find([str(recordings / "short.wav"), str(tmp_path / "which.csv")])
    rows = manifest.build(*found, Scoring(str(tiny)), "1", profile_by="voice")
    assert rows["profile"].to_pylist() == [str(tmp_path / "anna.livesr-profile")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["007", "8"], ["007", "8"]),
        (["7", "8"], [7, 8]),
        (["7", ""], [7, None]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["1E5", "2"], ["1E5", "2"]),
        (["0.50", "7"], [0.5, 7.0]),
        (["-1.5", "1e-05"], [-1.5, 1e-05]),
        (["2001-05-01", "1998-01-31"], [date(2001, 5, 1), date(1998, 1, 31)]),
        (["true", "false"], [True, False]),
    ],
)
def test_numbers_that_are_names_stay_text(
    tmp_path: Path, values: list[str], expected: list[object]
) -> None:
    lines = [f"{number}.wav,{value}" for number, value in enumerate(values)]
    (tmp_path / "which.csv").write_text("\n".join(["path,speaker", *lines, ""]))
    found, _ = manifest.find([str(tmp_path / "which.csv")])
    assert [file.carried["speaker"] for file in found] == expected


def test_a_profile_s_name_may_be_a_number(
    recordings: Path,
    tmp_path: Path,
    tiny: Path,
    speech: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIVESR_PROFILES", str(tmp_path))
    profile = Profile(tiny)
    for number, label in enumerate(("angry", "sad") * 2):
        profile.add(label, speech[number * 48_000 : (number + 1) * 48_000])
    profile.save(tmp_path / "007.livesr-profile")
    (tmp_path / "which.csv").write_text(f"path,speaker\n{recordings / 'short.wav'},007\n")
    found = manifest.find([str(tmp_path / "which.csv")])
    rows = manifest.build(*found, Scoring(str(tiny)), profile_by="speaker")
    assert rows["profile"].to_pylist() == [str(tmp_path / "007.livesr-profile")]


class Unreachable(AbstractFileSystem):  # type: ignore[misc]
    """A store whose library has an error of its own, as all have."""

    protocol = "unreachable"

    def __getattribute__(self, name: str) -> Any:
        if name in ("ls", "info", "cat_file", "makedirs", "rm_file", "put_file", "open"):
            raise RuntimeError("Unable to locate credentials")
        return super().__getattribute__(name)


def test_a_store_that_cannot_be_reached_is_told() -> None:
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    out = Place("unreachable://bucket/out")
    told = "cannot be reached: Unable to locate credentials. Check the address"
    for act in (
        lambda: manifest.find(["unreachable://bucket/in"]),
        lambda: out.read("a"),
        lambda: list(out.names()),
        lambda: out.write("a", b""),
        lambda: out.remove("a"),
        out.make,
    ):
        with pytest.raises(LivesrError, match=told):
            act()


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")
def test_a_pipe_in_a_folder_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (row,) = manifest.build(*manifest.find([str(tmp_path)]), Scoring()).to_pylist()
    assert row["duration"] is None
    with pytest.raises(AudioError, match="a pipe or a device"), open_sound(row["uri"]):
        pass


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "which.csv").write_text("path,who,who\na.wav,x,y\n")
    with pytest.raises(LivesrError, match="two columns 'who'"):
        manifest.find([str(tmp_path / "which.csv")])


def test_one_address_that_cannot_be_opened_is_one_row(recordings: Path, tmp_path: Path) -> None:
    listed = tmp_path / "which.txt"
    listed.write_text(f"{recordings / 'short.wav'}\nnonsense://x/y.wav\n")
    table = manifest.build(*manifest.find([str(listed)]), Scoring())
    assert set(table["uri"].to_pylist()) == {
        str(recordings / "short.wav"),
        "nonsense://x/y.wav",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_name_that_is_not_utf8_is_told(recordings: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    with open(name, "wb") as file:
        file.write((recordings / "short.wav").read_bytes())
    with pytest.raises(LivesrError, match="is not UTF-8"):
        list(manifest.find([str(tmp_path)])[0])


@pytest.mark.parametrize("source", ["out/manifest.parquet", "out", "out/in/*.wav"])
def test_results_take_no_sources_place(recordings: Path, tmp_path: Path, source: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    pq.write_table(pa.table({"path": [str(recordings / "short.wav")]}), out / "manifest.parquet")
    archive = Archive([str(tmp_path / source)], str(out), Scoring(), limit=0)
    with pytest.raises(LivesrError, match="is in OUT"):
        run(archive)
    assert pq.read_table(out / "manifest.parquet").column_names == ["path"]
    file = str(recordings / "short.wav")
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "linked.parquet").symlink_to(out / "manifest.parquet")
    for one, other in (
        (tmp_path / source, tmp_path / "link"),
        (tmp_path / "link" / "manifest.parquet", out),
        (tmp_path / "linked.parquet", out),
    ):
        with pytest.raises(LivesrError, match="is in OUT"):
            run(Archive([str(one)], str(other), Scoring(), limit=0))
    assert pq.read_table(out / "manifest.parquet").column_names == ["path"]
    with pytest.raises(LivesrError, match="a file; name a folder"):
        run(Archive([file], file, Scoring(), limit=0))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere", "does not exist"),
        ("*.flac", "No file matches"),
        ("empty", "No sound file was found"),
        ("nonsense://x", "cannot be opened"),
        ("bad.parquet", "cannot be read"),
    ],
)
def test_a_source_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LivesrError, match=told):
        manifest.find([source])


def test_the_manifest_has_a_row_for_each_channel_the_longest_first(recordings: Path) -> None:
    found, carried = manifest.find([str(recordings)])
    rows = manifest.build(found, carried, Scoring(), "each").to_pylist()
    assert [(Path(row["uri"]).name, row["channel"]) for row in rows] == [
        ("long.flac", 1),
        ("medium.ogg", 1),
        ("two.wav", 1),
        ("two.wav", 2),
        ("short.wav", 1),
    ]
    assert rows[0]["duration"] == 12.0
    assert len({row["key"] for row in rows}) == len(rows)
    assert {row["channel"] for row in manifest.build(found, carried, Scoring()).to_pylist()} == {0}
    for channel in ("left", "0", "65", "99999999999", "9" * 5000):
        with pytest.raises(LivesrError, match="a number from 1 to 64, or each"):
            manifest.build(found, carried, Scoring(), channel)


def test_the_key_changes_with_all_that_decides_the_readings(tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros(16000), 16000)

    def key(scoring: Scoring | None = None, channel: str | None = None) -> str:
        found, carried = manifest.find([str(path)])
        return str(manifest.build(found, carried, scoring or Scoring(), channel)["key"][0])

    first = key()
    assert key() == first
    others = {key(channel="1"), key(Scoring(hop=0.5)), key(Scoring(str(tiny)))}
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    others.add(key())
    sf.write(path, np.zeros(16001), 16000)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    others.add(key())
    assert len(others) == 5 and first not in others


def test_known_headers_are_not_read_again(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, carried = manifest.find([str(recordings)])
    first = manifest.build(found, carried, Scoring(), "each")
    monkeypatch.setattr(manifest, "probe", lambda uri: pytest.fail(f"{uri} is read again"))
    assert manifest.build(found, carried, Scoring(), "each", first).equals(first)


def test_archive_and_replay_look_for_the_same_endings(tmp_path: Path) -> None:
    names = [f"{number}{ending}" for number, ending in enumerate(sorted(SOUND_NAMES))]
    for name in (*names, "notes.md", ".hidden.wav", "wav"):
        (tmp_path / name).write_bytes(b"")
    found = sorted(str(tmp_path / name) for name in names)
    assert uris([str(tmp_path)]) == uris([str(tmp_path / "*")]) == found
    assert sorted(each.path for each in find_inputs([str(tmp_path)])) == found


@pytest.mark.parametrize("start", ["", "file://"])
def test_names_in_a_list_are_beside_it(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: str
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = recordings.parent / "beside.txt"
    listed.write_text(f"{recordings.name}/long.flac\n")
    assert uris([f"{start}{listed}"]) == [str(recordings / "long.flac")]
