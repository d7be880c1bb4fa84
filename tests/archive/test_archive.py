"""Runs on real Ray: the same rows as replay whatever the workers, once each, and resumed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import livesr
from livesr import LivesrError, Profile
from livesr.app.exit_status import ExitStatus
from livesr.archive.outputs import READINGS, SUMMARY
from livesr.archive.places import OutputError, Place
from livesr.archive.run import Archive, _locked, run
from livesr.archive.settings import Scoring
from tests.archive.processes import below, kill, until
from tests.archive.test_scorer import assert_same
from tests.helpers.commands import commands
from tests.helpers.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("ray_here")


def summary(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / SUMMARY)


def contents(out: Path) -> dict[str, bytes]:
    """Of every file but the manifest."""
    found = {str(path.relative_to(out)): path for path in out.rglob("*.parquet")}
    return {name: path.read_bytes() for name, path in found.items() if "manifest" not in name}


def assert_replayed(out: Path, model: str | None) -> None:
    """Every scored row has the readings of `replay`, once."""
    rows = summary(out)
    assert rows["key"].is_unique
    scored = rows[rows["status"] == "ok"]
    assert sorted(path.stem for path in (out / READINGS).iterdir()) == sorted(scored["key"])
    for row in scored.itertuples():
        table = pq.read_table(out / READINGS / f"{row.key}.parquet", partitioning=None)
        assert_same(table, list(livesr.replay(row.uri, model=model)))


@pytest.fixture
def source(recordings: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recordings, tmp_path / "source"))


def archive(source: Path, out: Path, tiny: Path, **options: Any) -> Archive:
    options = {"workers": 2, "scoring": Scoring(str(tiny)), **options}
    return Archive([str(source)], str(out), **options)


@pytest.mark.slow
def test_the_rows_are_those_of_replay_and_running_again_does_nothing(
    source: Path, tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(archive(source, out, tiny)) == ExitStatus.DONE
    assert "4 of 4 scored, 25 s of sound" in capsys.readouterr().out
    assert_replayed(out, str(tiny))

    before = contents(out)
    assert run(archive(source, out, tiny)) == ExitStatus.DONE
    assert contents(out) == before

    shutil.copy(source / "short.wav", source / "added.wav")
    (source / "broken.wav").write_bytes(b"RIFF")
    assert run(archive(source, out, tiny, workers=1)) == ExitStatus.PARTLY
    told = capsys.readouterr()
    assert "6 of 6 scored" in told.out
    assert "broken.wav is not a sound file" in told.err
    assert_replayed(out, str(tiny))
    after = contents(out)
    assert {name: after[name] for name in before} == before
    assert sum(name.startswith(READINGS) for name in after) == 5

    assert run(archive(source, out, tiny)) == ExitStatus.PARTLY
    assert contents(out) == after

    shutil.copy(source / "short.wav", source / "broken.wav")
    assert run(archive(source, out, tiny)) == ExitStatus.DONE
    assert_replayed(out, str(tiny))
    assert set(summary(out)["status"]) == {"ok"}

    other = archive(source, out, tiny, scoring=Scoring(str(tiny), hop=0.5))
    assert run(other) == ExitStatus.DONE
    scored = summary(out)
    assert scored.groupby("hop").size().to_dict() == {0.25: 6, 0.5: 6}
    readers_agree(out)


def rows(query: str) -> list[Any]:
    found = duckdb.sql(query)
    assert found is not None
    return list(found.fetchall())


def readers_agree(out: Path) -> None:
    """DuckDB, pandas and polars read both as one dataset."""
    files = f"{out / READINGS}/*.parquet"
    query = f"SELECT count(*), sum(p_sad), count(label) FROM '{files}'"
    ((count, sad, labelled),) = rows(query)
    frame = pd.read_parquet(out / READINGS)
    lazy = polars.scan_parquet(files).collect()
    assert count == len(frame) == len(lazy) == summary(out)["readings"].sum()
    assert sad == pytest.approx(frame["p_sad"].sum()) == pytest.approx(lazy["p_sad"].sum())
    assert labelled == frame["label"].count() == lazy["label"].count()
    joined = rows(
        f"SELECT s.uri, count(*) FROM '{files}' r JOIN '{out / SUMMARY}/*.parquet' s USING (key) "
        "GROUP BY ALL"
    )
    assert sum(number for _, number in joined) == count


@pytest.mark.slow
def test_retry_failed_scores_errors_again_and_limit_ends_early(
    source: Path, tmp_path: Path, tiny: Path
) -> None:
    out = tmp_path / "out"
    unreadable = source / "short.wav"
    whole, stat = unreadable.read_bytes(), unreadable.stat()
    unreadable.write_bytes(bytes(len(whole)))
    os.utime(unreadable, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (
        run(archive(source, out, tiny, limit=1)) == ExitStatus.PARTLY
    )  # the longest first, and it may be
    assert len(summary(out)) == 1
    assert run(archive(source, out, tiny)) == ExitStatus.PARTLY
    assert (summary(out)["status"] == "error").sum() == 1
    # What is not scored again keeps its row.
    assert run(archive(source, out, tiny, retry_failed=True, limit=0)) == ExitStatus.PARTLY
    assert (summary(out)["status"] == "error").sum() == 1
    unreadable.write_bytes(whole)
    os.utime(unreadable, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run(archive(source, out, tiny)) == ExitStatus.PARTLY
    assert run(archive(source, out, tiny, retry_failed=True)) == ExitStatus.DONE
    assert_replayed(out, str(tiny))


@pytest.mark.slow
def test_a_plan_without_a_checkpoint_is_refused(
    source: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.data._internal.planner.planner import Planner

    monkeypatch.setattr(Planner, "_check_supports_checkpointing", lambda *_: False)
    with pytest.raises(LivesrError, match="Ray does not keep a checkpoint"):
        run(archive(source, tmp_path / "out", tiny))


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(source: Path, tmp_path: Path, tiny: Path) -> None:
    """By hand: the run goes on by itself, and no row is lost or there twice."""
    out = tmp_path / "out"
    killed = threading.Event()

    def strike() -> None:
        if until(lambda: any((out / READINGS).glob("*.parquet")), 120):
            scorers = [pid for pid, line in below(os.getpid()).items() if "MapWorker" in line]
            for pid in scorers[:1]:
                kill(pid)
                killed.set()

    for number in range(6):
        shutil.copy(source / "long.flac", source / f"more-{number}.flac")
    striker = threading.Thread(target=strike)
    striker.start()
    assert run(archive(source, out, tiny)) == ExitStatus.DONE
    striker.join()
    assert killed.is_set()
    assert len(summary(out)) == 10
    assert_replayed(out, str(tiny))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.slow
def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(
    source: Path, tmp_path: Path, tiny: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(out)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(OutputError, match="the disk is full"):
            run(archive(source, out, tiny))
        assert not [path for path in out.rglob("*.part")]
        subprocess.run(["mount", "-o", "remount,size=8m", str(out)], check=True)
        assert run(archive(source, out, tiny)) == ExitStatus.DONE
        assert_replayed(out, str(tiny))
    finally:
        subprocess.run(["umount", str(out)], check=True)


@pytest.mark.slow
def test_two_runs_do_not_write_into_one_folder(source: Path, tmp_path: Path, tiny: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with _locked(Place.of(str(out))), pytest.raises(LivesrError, match="Another livesr archive"):
        run(archive(source, out, tiny))


@pytest.mark.slow
def test_a_changed_model_scores_anew_beside_the_old(
    source: Path, tmp_path: Path, tiny: Path
) -> None:
    out, model = tmp_path / "out", tmp_path / "model.onnx"
    shutil.copy(tiny, model)
    assert run(archive(source, out, model)) == ExitStatus.DONE
    before, old = contents(out), Scoring(str(model)).model_sha
    save_tiny(model, seed=1)
    new = Scoring(str(model)).model_sha
    assert run(archive(source, out, model)) == ExitStatus.DONE
    after = contents(out)
    assert {name: after[name] for name in before} == before
    rows = summary(out)
    assert rows["key"].is_unique
    assert rows.groupby("model_sha256").size().to_dict() == {old: 4, new: 4}
    for row in rows.itertuples():
        table = pq.read_table(out / READINGS / f"{row.key}.parquet", partitioning=None)
        used = tiny if row.model_sha256 == old else model
        assert_same(table, list(livesr.replay(row.uri, model=used)))


@pytest.mark.slow
def test_the_command_with_its_options(
    source: Path, tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    profile = Profile(tiny)
    for number, label in enumerate(("angry", "sad") * 2):
        profile.add(label, speech[number * 48_000 : (number + 1) * 48_000])
    profile.save(tmp_path / "anna.livesr-profile")
    table, out = tmp_path / "which.csv", tmp_path / "out"
    lines = ("path,speaker,voice", "source/long.flac,anna,anna.livesr-profile")
    table.write_text("\n".join([*lines, "source/below/two.wav,ben,", ""]))
    options = ["--model", tiny, "--workers", 2, "--channel", "each", "--profile-by", "voice"]
    options += ["--attention", "--reports", "--audformat", "--resume"]
    found = CliRunner().invoke(commands()["archive"], [str(one) for one in (table, out, *options)])
    assert found.exit_code == ExitStatus.DONE, found.output
    rows = {(row.speaker, row.channel): row for row in summary(out).itertuples()}
    assert set(rows) == {("anna", 1), ("ben", 1), ("ben", 2)}
    for (speaker, channel), row in rows.items():
        known = profile if speaker == "anna" else None
        expected = livesr.replay(row.uri, model=tiny, channel=channel, profile=known)
        readings = pq.read_table(out / READINGS / f"{row.key}.parquet", partitioning=None)
        assert_same(readings, list(expected))
        assert "attention" in readings.column_names
        assert (out / "reports" / f"{row.key}.html").is_file()
    assert (out / "audformat" / "db.yaml").is_file()
    assert "By speaker" in (out / "report.html").read_text()
