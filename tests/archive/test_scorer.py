"""A file is scored as `replay` scores it; a file that cannot be scored is a row with the error."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import soundfile as sf

import livesr
from livesr import ModelError, Profile, ProfileError, Recognizer
from livesr.archive import manifest, scorer
from livesr.archive.outputs import READINGS, REPORTS, STATES, micros
from livesr.archive.places import Place
from livesr.archive.scorer import Scorer
from livesr.archive.settings import Checkpoints, Scoring
from livesr.files.recording import events_path
from livesr.reading import Reading


@pytest.fixture
def scoring(tiny: Path) -> Scoring:
    return Scoring(str(tiny))


@pytest.fixture
def out(tmp_path: Path) -> Place:
    return Place.of(str(tmp_path / "out"))


def rows_of(sources: Sequence[Path], scoring: Scoring, channel: str | None = None) -> pa.Table:
    found, carried = manifest.find([str(source) for source in sources])
    return manifest.build(found, carried, scoring, channel)


def score(rows: pa.Table, out: Place, scoring: Scoring, **options: Any) -> list[dict[str, Any]]:
    carried = pa.schema(list(rows.schema)[len(manifest.SCHEMA) :])
    told: list[dict[str, Any]] = Scorer(out, scoring, scoring.model_sha, carried, **options)(
        rows
    ).to_pylist()
    return told


def readings(out: Place, key: str) -> pa.Table:
    return pq.read_table(Path(out.address, READINGS, f"{key}.parquet"), partitioning=None)


def assert_same(table: pa.Table, expected: Sequence[Reading]) -> None:
    """The rows are these readings, bit for bit."""
    rows = table.to_pylist()
    assert len(rows) == len(expected) > 0
    for row, reading in zip(rows, expected, strict=True):
        assert (row["start"], row["end"]) == (micros(reading.start), micros(reading.end))
        for name in ("status", "label", "reason", "speech", "level_dbfs", "gap"):
            assert row[name] == getattr(reading, name), name
        for label, value in reading.probabilities.items():
            assert row[f"p_{label}"] == value
            assert row[f"smoothed_{label}"] == reading.smoothed[label]


def test_rows_are_those_of_replay(recordings: Path, scoring: Scoring, out: Place) -> None:
    rows = rows_of([recordings], scoring)
    summaries = score(rows, out, scoring)
    assert [row["status"] for row in summaries] == ["ok"] * 4
    for row in summaries:
        expected = list(livesr.replay(row["uri"], model=scoring.model))
        table = readings(out, row["key"])
        assert_same(table, expected)
        assert row["readings"] == len(expected)
        assert row["heard"] == expected[-1].end
        assert set(table["uri"].to_pylist()) == {row["uri"]}
    about = table.schema.metadata
    assert about[b"livesr.model_sha256"].decode() == scoring.model_sha
    assert json.loads(about[b"livesr.labels"]) == ["angry", "happy", "neutral", "sad"]
    assert about[b"livesr.licence"] == b"MIT"


def test_seconds_of_a_summary_add_up(recordings: Path, out: Place) -> None:
    scoring = Scoring()
    (row,) = score(rows_of([recordings / "long.flac"], scoring), out, scoring)
    kinds = ("speech", "no_speech", "unsure", "warming_up", "lost")
    assert sum(row[kind] for kind in kinds) == pytest.approx(row["heard"]) == 12.0
    labels = ("angry", "happy", "neutral", "sad")
    course = {label: sum(row[f"course_{label}"]) for label in labels}
    assert sum(course.values()) == pytest.approx(row["speech"])
    for label in labels:
        assert course[label] / row["speech"] == pytest.approx(row[f"share_{label}"])
    assert row["turns"] == len(row["turning_points"]) > 0


def test_attention_is_kept_if_asked(recordings: Path, tiny: Path, out: Place) -> None:
    scoring = Scoring(str(tiny), attention=True)
    (row,) = score(rows_of([recordings / "short.wav"], scoring), out, scoring)
    expected = list(livesr.replay(row["uri"], model=tiny))
    table = readings(out, row["key"])
    assert table["attention"].to_pylist() == [reading.attention.tolist() for reading in expected]
    times = [reading.attention_times.tolist() for reading in expected]
    assert table["attention_times"].to_pylist() == times


def test_a_file_that_cannot_be_read_is_a_row_and_the_others_are_scored(
    recordings: Path, tmp_path: Path, scoring: Scoring, out: Place
) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "corrupt.flac").write_bytes(b"fLaC" + os.urandom(4000))
    whole = (recordings / "long.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2] + bytes(3000))
    (tmp_path / "gone.wav").write_bytes(b"RIFF")
    (tmp_path / "folder.wav").mkdir()
    listed = tmp_path / "all.txt"
    names = ("empty.wav", "corrupt.flac", "cut.flac", "gone.wav", "folder.wav", "never.wav")
    listed.write_text("\n".join([*names, str(recordings / "short.wav")]))
    rows = rows_of([listed], scoring)
    (tmp_path / "gone.wav").unlink()
    told = {Path(row["uri"]).name: row for row in score(rows, out, scoring)}
    assert told.pop("short.wav")["status"] == "ok"
    assert set(told) == set(names)
    for name, row in told.items():
        assert row["status"] == "error", name
        assert row["error"] == ("AudioWarning" if name == "cut.flac" else "AudioError"), name
        assert name in row["message"], name
    assert "is empty" in told["empty.wav"]["message"]
    assert "no longer there" in told["gone.wav"]["message"]
    assert "does not exist" in told["never.wav"]["message"]
    assert "is a directory" in told["folder.wav"]["message"]
    with pytest.warns(livesr.AudioWarning):
        so_far = list(livesr.replay(told["cut.flac"]["uri"], model=scoring.model))
    assert_same(readings(out, told["cut.flac"]["key"]), so_far)  # they stand


def test_a_file_that_changes_during_the_run_is_told(
    recordings: Path, tmp_path: Path, scoring: Scoring, out: Place
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes((recordings / "short.wav").read_bytes())
    rows = rows_of([path], scoring)
    os.utime(path, (1, 1))
    (out / READINGS).make()
    (out / READINGS).write(f"{rows['key'][0]}.parquet", b"of an earlier try")
    (row,) = score(rows, out, scoring)
    assert row["status"] == "error"
    assert "has changed" in row["message"]
    assert not list((out / READINGS).names())


def test_what_is_written_is_not_scored_again(
    recordings: Path, scoring: Scoring, out: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of([recordings / "short.wav"], scoring)
    first = score(rows, out, scoring)
    monkeypatch.setattr(Scorer, "_score", lambda *_: pytest.fail("it is scored again"))
    assert score(rows, out, scoring) == first


def test_a_file_of_readings_that_is_damaged_is_written_again(
    recordings: Path, scoring: Scoring, out: Place
) -> None:
    rows = rows_of([recordings / "short.wav"], scoring)
    (row,) = score(rows, out, scoring)
    path = Path(out.address, READINGS, f"{row['key']}.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    score(rows, out, scoring)
    assert_same(readings(out, row["key"]), list(livesr.replay(row["uri"], model=scoring.model)))


def test_a_page_for_each_file_if_asked(recordings: Path, scoring: Scoring, out: Place) -> None:
    (row,) = score(rows_of([recordings / "short.wav"], scoring), out, scoring, reports=True)
    page = Path(out.address, REPORTS, f"{row['key']}.html").read_text()
    assert "short.wav" in page and "tiny" in page


def test_another_model_under_the_same_name_is_refused(scoring: Scoring, out: Place) -> None:
    with pytest.raises(ModelError, match="install the same on every machine"):
        Scorer(out, scoring, "0" * 64, pa.schema([]))


def test_each_channel_is_a_stream_of_its_own(
    recordings: Path, scoring: Scoring, out: Place
) -> None:
    samples, rate = sf.read(recordings / "below" / "two.wav", dtype="float32")
    rows = rows_of([recordings / "below" / "two.wav"], scoring, "each")
    told = score(rows, out, scoring)
    assert [row["channel"] for row in told] == [1, 2]
    for row in told:
        alone = Recognizer(scoring.model)
        expected = alone.push(samples[:, row["channel"] - 1], rate) + alone.finish()
        table = readings(out, row["key"])
        assert_same(table, expected)
        assert set(table["channel"].to_pylist()) == {row["channel"]}
    (row,) = score(rows_of([recordings / "below" / "two.wav"], scoring, "3"), out, scoring)
    assert row["status"] == "error" and "Channel 3" in row["message"]


def test_gaps_and_resets_of_a_recording_are_applied(
    recordings: Path, tmp_path: Path, scoring: Scoring, out: Place
) -> None:
    path = tmp_path / "talk.flac"
    path.write_bytes((recordings / "long.flac").read_bytes())
    reset = {"event": "reset", "at": 4.0}
    events_path(path).write_text(json.dumps(reset) + "\n")
    (row,) = score(rows_of([path], scoring), out, scoring)
    expected = list(livesr.replay(path, model=scoring.model))
    assert_same(readings(out, row["key"]), expected)
    plain = list(livesr.replay(recordings / "long.flac", model=scoring.model))
    assert expected != plain


def test_events_that_come_go_or_change_are_another_key(
    recordings: Path, tmp_path: Path, scoring: Scoring, out: Place
) -> None:
    path = tmp_path / "talk.flac"
    path.write_bytes((recordings / "long.flac").read_bytes())
    beside = events_path(path)
    keys = []
    for reset in (None, 4.0, 10.0):
        if reset:
            beside.write_text(json.dumps({"event": "reset", "at": reset}) + "\n")
        (row,) = score(rows_of([path], scoring), out, scoring)
        expected = list(livesr.replay(path, model=scoring.model))
        assert_same(readings(out, row["key"]), expected)
        keys.append(row["key"])
    beside.unlink()
    assert rows_of([path], scoring)["key"].to_pylist() == keys[:1]
    assert len(set(keys)) == 3


def test_events_that_change_during_the_run_are_told(
    recordings: Path, tmp_path: Path, scoring: Scoring, out: Place
) -> None:
    path = tmp_path / "talk.flac"
    path.write_bytes((recordings / "long.flac").read_bytes())
    rows = rows_of([path], scoring)
    events_path(path).write_text('{"event": "reset", "at": 4.0}\n')
    (row,) = score(rows, out, scoring)
    assert row["error"] == "AudioError"
    assert f"{events_path(path)} has changed since the run began" in row["message"]


def test_a_name_with_no_room_for_that_of_events_is_scored(
    recordings: Path, tmp_path: Path, scoring: Scoring, out: Place
) -> None:
    path = tmp_path / f"{'a' * 250}.wav"
    path.write_bytes((recordings / "short.wav").read_bytes())
    (row,) = score(rows_of([path], scoring), out, scoring)
    assert row["status"] == "ok", row["message"]


class Killed(BaseException):
    pass


EVENTS = (  # of a recording, before and after the place where its scoring is killed
    {"event": "session", "at": 0.0, "about": {"model": "other", "model_sha256": "0"}},
    {"event": "gap", "at": 2.0, "seconds": 1.5, "silence": 1.5},
    {"event": "reset", "at": 6.5},
    {"event": "reset", "at": 9.0},
)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "events"])
def test_a_long_file_is_resumed_from_its_saved_state(
    recordings: Path,
    tmp_path: Path,
    scoring: Scoring,
    out: Place,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    monkeypatch.setattr(scorer, "_PROGRESS_SECONDS", 0.0)
    often = Checkpoints(longer_than=5.0, every=2.0)
    path = tmp_path / f"long.{ending.replace('events', 'flac')}"
    samples, rate = sf.read(recordings / "long.flac", dtype="float32")
    sf.write(path, samples, rate)
    if ending == "events":
        events_path(path).write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    rows = rows_of([path], scoring)

    def strike(_key: str, seconds: float) -> None:
        if seconds >= 7.3:
            raise Killed

    with pytest.raises(Killed):
        score(rows, out, scoring, checkpoints=often, on_progress=strike)
    assert len(list(Path(out.address, STATES).iterdir())) == 1
    scored: list[float] = []
    (row,) = score(
        rows,
        out,
        scoring,
        checkpoints=often,
        on_progress=lambda _key, seconds: scored.append(seconds),
    )
    assert scored[0] > 5.0, "it began again"
    expected = list(livesr.replay(path, model=scoring.model))
    assert_same(readings(out, row["key"]), expected)
    (whole,) = score(rows, Place.of(str(tmp_path / "other")), scoring)
    changing = ("seconds", "scored")
    assert {key: row[key] for key in row if key not in changing} == {
        key: whole[key] for key in whole if key not in changing
    }
    assert not list(Path(out.address, STATES).iterdir()), "it holds voice"


def test_a_damaged_state_is_ignored(recordings: Path, scoring: Scoring, out: Place) -> None:
    rows = rows_of([recordings / "short.wav"], scoring)
    (out / STATES).make()
    (out / STATES).write(f"{rows['key'][0]}.parquet", b"PAR1 no state PAR1")
    (row,) = score(rows, out, scoring, checkpoints=Checkpoints(longer_than=1.0))
    assert_same(readings(out, row["key"]), list(livesr.replay(row["uri"], model=scoring.model)))


@pytest.fixture
def voices(tmp_path: Path, tiny: Path, speech: np.ndarray) -> Path:
    """A folder with a profile of the model's labels, and one with labels of its own."""
    folder = tmp_path / "voices"
    folder.mkdir()
    for name, labels in (("anna", ("angry", "sad")), ("ben", ("calm", "tense"))):
        profile = Profile(tiny)
        for number in range(4):
            sound = speech[number * 48_000 : (number + 1) * 48_000]
            profile.add(labels[number % 2], sound)
        profile.save(folder / f"{name}.livesr-profile")
    return folder


def table_of(recordings: Path, voices: Path, profiles: Sequence[str]) -> Path:
    names = ("long.flac", "short.wav", "below/medium.ogg")
    paths = [str(recordings / name) for name in names]
    path = voices.parent / "which.csv"
    pyarrow.csv.write_csv(pa.table({"path": paths, "profile_file": list(profiles)}), path)
    return path


def test_each_row_is_scored_with_its_own_profile(
    recordings: Path,
    voices: Path,
    scoring: Scoring,
    out: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A path relative to the table, a name of `livesr enrol`, and none."""
    monkeypatch.setenv("LIVESR_PROFILES", str(voices))
    table = table_of(recordings, voices, ["voices/anna.livesr-profile", "ben", ""])
    found, carried = manifest.find([str(table)])
    rows = manifest.build(found, carried, scoring, profile_by="profile_file")
    summaries = {Path(row["uri"]).name: row for row in score(rows, out, scoring)}
    for name, voice in (("long.flac", "anna"), ("short.wav", "ben"), ("medium.ogg", None)):
        row = summaries[name]
        path = voices / f"{voice}.livesr-profile" if voice else None
        assert (row["status"], row["profile"]) == ("ok", path and str(path)), row["message"]
        expected = list(livesr.replay(row["uri"], model=scoring.model, profile=path))
        plain = list(livesr.replay(row["uri"], model=scoring.model))
        assert (expected != plain) == (voice is not None)
        assert_same(readings(out, row["key"]), expected)
    columns = readings(out, summaries["short.wav"]["key"]).column_names
    assert {"p_calm", "p_tense", "smoothed_calm", "smoothed_tense"} <= set(columns)
    without = manifest.build(found, carried, scoring)["key"].to_pylist()
    same = set(rows["key"].to_pylist()) & set(without)
    assert same == {summaries["medium.ogg"]["key"]}, "the profile is part of the key"


def test_a_profile_that_changes_during_the_run_is_an_error(
    recordings: Path, voices: Path, tiny: Path, speech: np.ndarray, scoring: Scoring, out: Place
) -> None:
    anna = voices / "anna.livesr-profile"
    table = table_of(recordings, voices, [str(anna)] * 3)
    found, carried = manifest.find([str(table)])
    rows = manifest.build(found, carried, scoring, profile_by="profile_file")
    profile = Profile.load(anna)
    profile.add("happy", speech[-48_000:])
    profile.save(anna)
    for row in score(rows, out, scoring):
        assert row["error"] == "ProfileError" and "has changed" in row["message"]
    again = manifest.build(found, carried, scoring, profile_by="profile_file")
    assert not set(again["key"].to_pylist()) & set(rows["key"].to_pylist())
    assert {row["status"] for row in score(again, out, scoring)} == {"ok"}


def test_a_profile_that_cannot_be_used_ends_the_run(
    recordings: Path, voices: Path, scoring: Scoring
) -> None:
    table = table_of(recordings, voices, ["voices/carl.livesr-profile", "", ""])
    found, carried = manifest.find([str(table)])
    with pytest.raises(ProfileError, match=r"no file .*carl\.livesr-profile"):
        manifest.build(found, carried, scoring, profile_by="profile_file")
    with pytest.raises(livesr.LivesrError, match=r"no column 'voice'.*profile_file"):
        manifest.build(found, carried, scoring, profile_by="voice")


def test_the_columns_of_readings_and_their_types(
    recordings: Path, scoring: Scoring, out: Place
) -> None:
    (row,) = score(rows_of([recordings / "short.wav"], scoring), out, scoring)
    text, number = pa.dictionary(pa.int32(), pa.string()), pa.float64()
    labels = ("angry", "happy", "neutral", "sad")
    expected = [
        *(("key", text), ("uri", text), ("channel", pa.int32())),
        *(("start", pa.int64()), ("end", pa.int64())),
        *(("status", text), ("label", text), ("reason", text)),
        *((f"p_{label}", number) for label in labels),
        *((f"smoothed_{label}", number) for label in labels),
        *(("speech", number), ("level_dbfs", number), ("gap", number)),
    ]
    schema = readings(out, row["key"]).schema
    assert [(field.name, field.type) for field in schema] == expected
    about = {key.decode() for key in schema.metadata}
    names = ("model", "model_sha256", "version", "labels", "licence")
    assert {f"livesr.{name}" for name in names} <= about
