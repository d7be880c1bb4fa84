"""An object store as source and as OUT: the same rows as from a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import livesr
from livesr.archive import manifest, report
from livesr.archive.outputs import (
    CHECKPOINT,
    MANIFEST,
    READINGS,
    SUMMARY,
    packed,
    read_summary,
    settle,
)
from livesr.archive.places import Place
from livesr.archive.scorer import Scorer
from livesr.archive.settings import Scoring
from tests.archive.processes import run_to_its_end
from tests.archive.test_scorer import assert_same


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place that is no folder: in memory, or a bucket of a server that talks as S3 does."""
    if request.param == "memory":
        store = fsspec.filesystem("memory")
        yield "memory://archive"
        store.rm("/archive", recursive=True)
        return
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # those of an earlier server
    try:
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir("archive")
        yield "s3://archive"
        store.rm("archive", recursive=True)  # moto's buckets outlive its server
    finally:
        running.stop()


def test_a_store_gives_the_rows_of_a_disk(bucket: str, recordings: Path, tiny: Path) -> None:
    store, root = fsspec.url_to_fs(f"{bucket}/in")
    for name in ("long.flac", "short.wav", "below/two.wav"):
        store.pipe_file(f"{root}/{name}", (recordings / name).read_bytes())
    scoring = Scoring(str(tiny))
    out = Place.of(f"{bucket}/out")
    found, carried = manifest.find([f"{bucket}/in"], out=out)
    rows = manifest.build(found, carried, scoring)
    assert [row["uri"].partition("archive/in/")[2] for row in rows.to_pylist()] == [
        "long.flac",
        "below/two.wav",
        "short.wav",
    ]
    assert all(row["size"] and row["mtime"] for row in rows.to_pylist())
    again = manifest.build(manifest.find([f"{bucket}/in/*/*.wav"])[0], carried, scoring)
    assert again["key"].to_pylist() == [rows["key"][1].as_py()]
    told = Scorer(out, scoring, scoring.model_sha, carried)(rows)
    assert set(told["status"].to_pylist()) == {"ok"}, told["message"].to_pylist()
    for row in told.to_pylist():
        data = (out / READINGS).read(f"{row['key']}.parquet")
        local = recordings / row["uri"].partition("/in/")[2]
        table = pq.read_table(pa.BufferReader(data))
        assert_same(table, list(livesr.replay(local, model=tiny)))
    for folder in (SUMMARY, CHECKPOINT):
        (out / folder).write("a.parquet", packed(told))
    done = settle(out, {rows["key"][2].as_py()})
    assert done == set(rows["key"].to_pylist()[:2])
    kept = read_summary(out, scoring.labels)
    assert kept is not None and len(kept) == 2
    report.write(out, kept, [], scoring.labels)
    page = out.read(report.PAGE)
    assert page is not None and b"2 scored" in page


def test_what_is_not_in_the_store_is_told(bucket: str, tiny: Path) -> None:
    with pytest.raises(livesr.LivesrError, match="does not exist"):
        manifest.find([f"{bucket}/nothing"])
    scoring = Scoring(str(tiny))
    rows = manifest.build([manifest.Found(f"{bucket}/gone.wav")], pa.schema([]), scoring)
    out = Place.of(f"{bucket}/out")
    (row,) = Scorer(out, scoring, scoring.model_sha, pa.schema([]))(rows).to_pylist()
    assert row["status"] == "error" and "does not exist" in row["message"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_the_whole_command_on_a_store(
    bucket: str, recordings: Path, tiny: Path, tmp_path: Path
) -> None:
    """Real Ray reads from and writes to the store; again, it does nothing."""
    store, root = fsspec.url_to_fs(f"{bucket}/in")
    for name in ("long.flac", "short.wav", "below/two.wav"):
        store.pipe_file(f"{root}/{name}", (recordings / name).read_bytes())
    log = tmp_path / "log"

    def command() -> dict[str, bytes]:
        options = ("--model", tiny, "--workers", 2, "--channel", "each")
        run_to_its_end(f"{bucket}/in", f"{bucket}/out", *options, log=log)
        out = fsspec.filesystem("s3", skip_instance_cache=True)
        return {
            name: out.cat_file(name)
            for name in out.find("archive/out")
            if not name.endswith((MANIFEST, report.PAGE))
        }

    first = command()
    rows = read_summary(Place.of(f"{bucket}/out"), Scoring(str(tiny)).labels)
    assert rows is not None and len(rows) == 4
    for row in rows.to_pylist():
        assert row["status"] == "ok", row["message"]
        table = pq.read_table(
            pa.BufferReader(first[f"archive/out/{READINGS}/{row['key']}.parquet"])
        )
        local = recordings / row["uri"].partition("/in/")[2]
        assert_same(table, list(livesr.replay(local, model=tiny, channel=row["channel"])))
    assert command() == first
    assert "4 of 4 scored" in log.read_text()
