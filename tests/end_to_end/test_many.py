"""Many files in one go: one table, every reading as the file's own replay has it, faults named."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from rich.console import Console

import livesr
from livesr.app.how import How
from livesr.app.inputs import find_inputs
from livesr.app.many import _Joined, replay_many
from livesr.app.progress import FileProgress, lengths
from livesr.app.ui.foreground import Foreground
from livesr.errors import LivesrError
from livesr.event import PAUSED, Event
from livesr.files.jsonl import readings_from_jsonl
from livesr.files.recording import events_path
from tests.helpers import commands
from tests.helpers.media import KINDS, convert, need_ffmpeg
from tests.helpers.tiny import DATA
from tests.helpers.waiting import until

ROOT = Path(__file__).parents[2]
CONVERSATION = DATA / "conversation.flac"
KINDS_OF_60 = list(KINDS)[:12]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 files of 12 kinds, in folders; three cannot be read, three only in part."""
    need_ffmpeg()
    made = tmp_path_factory.mktemp("sixty") / "calls"
    (made / "deep" / "er").mkdir(parents=True)
    for kind in KINDS_OF_60:
        part = ("-ss", "1.2", "-t", "1.2")
        whole = convert(DATA / "banglaser.flac", made / f"a.{kind}", *part).read_bytes()
        for number, place in enumerate((made, made / "deep", made / "deep", made / "deep" / "er")):
            (place / f"{number}.{kind}").write_bytes(whole)
    for name in ("0.wav", "deep/1.flac", "deep/er/3.mp3"):
        path = made / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    for name in ("0.m4a", "deep/1.caf", "deep/er/3.au"):
        (made / name).write_text("no sound at all")
    (made / ".hidden.wav").write_text("")
    (made / "0.wav.jsonl").write_text("")
    return made


@pytest.mark.slow
def test_sixty_files_of_twelve_kinds(folder: Path, tmp_path: Path, tiny: Path) -> None:
    inputs = find_inputs([str(folder)])
    assert len(inputs) == 60
    out, rows, table = tmp_path / "out", tmp_path / "all.csv", tmp_path / "table.parquet"
    status = replay_many(
        inputs,
        How(model=str(tiny)),
        jsonl=f"{out}/",
        csv_path=str(rows),
        summary=str(table),
        processes=2,
    )
    assert status == 3
    verdicts = pq.read_table(table).to_pylist()
    assert [row["file"] for row in verdicts] == [each.shown for each in inputs]
    silent = {row["file"] for row in verdicts if not row["seconds"]}
    assert {Path(name).name for name in silent} == {"0.m4a", "1.caf", "3.au"}
    partly = {Path(r["file"]).name for r in verdicts if r["failed"] and r["seconds"]}
    assert partly == {"0.wav", "1.flac", "3.mp3"}
    with rows.open(newline="") as file:
        ends: dict[str, list[float]] = {}
        for row in csv.DictReader(file):
            ends.setdefault(row["file"], []).append(float(row["end"]))
    for each in inputs:
        if each.shown in silent:
            assert each.shown not in ends
            continue
        written = list(readings_from_jsonl(out / f"{each.below}.jsonl"))
        found = [item.to_dict() for item in written if isinstance(item, livesr.Reading)]
        own = [reading.to_dict() for reading in _quietly(each.path, tiny)]
        assert found == own, each.shown
        assert ends[each.shown] == [reading["end"] for reading in own]


@pytest.mark.filterwarnings("ignore::livesr.AudioWarning")
def _quietly(path: str, tiny: Path) -> list[livesr.Reading]:
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", livesr.AudioWarning)
        return list(livesr.replay(path, model=tiny))


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return commands.livesr("replay", *map(str, arguments))


def test_a_call_s_sides_are_told_apart_in_every_output(
    tmp_path: Path, speech: np.ndarray, tiny: Path
) -> None:
    call = tmp_path / "call.wav"
    sf.write(call, np.stack((speech[:48_000], speech[48_000:96_000]), axis=1), 16000)
    names = ("c.jsonl", "c.csv", "c.html", "s.csv")
    jsonl, rows, page, table = (tmp_path / name for name in names)
    options = ("--jsonl", jsonl, "--csv", rows, "--report", page, "--summary", table)
    told = cli(call, "--channel", "each", "--model", tiny, *options)
    assert told.returncode == 0, told.stderr
    lines = [json.loads(line) for line in jsonl.read_text().splitlines()]
    for channel in (1, 2):
        alone = list(livesr.replay(call, model=tiny, channel=channel))
        expected = [reading.to_dict() | {"channel": channel} for reading in alone]
        assert [line for line in lines if line["channel"] == channel] == expected
        assert f"channel {channel}" in (tmp_path / f"c.{channel}.html").read_text()
    with table.open(newline="") as file:
        assert [row["channel"] for row in csv.DictReader(file)] == ["1", "2"]
    with rows.open(newline="") as file:
        assert {row["channel"] for row in csv.DictReader(file)} == {"1", "2"}
    readings, events = livesr.read_session(jsonl)
    assert len(readings) == len(lines)
    assert events == []


def test_a_page_for_each_file_in_a_folder(tmp_path: Path, speech: np.ndarray, tiny: Path) -> None:
    (tmp_path / "calls" / "deep").mkdir(parents=True)
    for name in ("a.wav", "deep/b.wav"):
        sf.write(tmp_path / "calls" / name, speech[:32_000], 16000)
    profile = livesr.Profile(tiny, name="me")
    profile.add("angry", speech[:48_000])
    profile.add("sad", speech[48_000:96_000])
    profile.save(tmp_path / "me.livesr-profile")
    known = tmp_path / "me.livesr-profile"
    command: list[str | Path] = [tmp_path / "calls", "--profile", known, "-j", "2"]
    told = cli(*command, "--report", f"{tmp_path}/pages/", "--csv", tmp_path / "all.csv")
    assert told.returncode == 0, told.stderr
    for name in ("a.wav.html", "deep/b.wav.html"):
        page = (tmp_path / "pages" / name).read_text()
        assert '"profiles":["me"]' in page
        assert f'"model":"{tiny}"' in page
    alone = list(livesr.replay(tmp_path / "calls" / "a.wav", profile=profile))
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].endswith("a.wav")]
    assert [float(row["smoothed_sad"]) for row in rows] == [r.smoothed["sad"] for r in alone]
    assert {row["profile"] for row in rows} == {"me"}
    again = cli(*command, "--report", f"{tmp_path}/pages/")
    assert again.returncode == 2
    assert "--force replaces it" in again.stderr


def test_files_with_labels_of_their_own_are_in_one_table(
    tmp_path: Path, speech: np.ndarray, tiny: Path
) -> None:
    known = livesr.Profile(tiny, name="me")
    for number, label in enumerate(("calm", "tense, very") * 2):
        known.add(label, speech[number * 48_000 : (number + 1) * 48_000])
    data = b64encode(known.to_bytes()).decode()
    for name in ("a.wav", "b.wav", "c.wav"):
        sf.write(tmp_path / name, speech[:32_000], 16000)
    event = {"event": "profile", "at": 0.0, "data": data}
    events_path(tmp_path / "b.wav").write_text(json.dumps(event) + "\n")
    names = ("all.csv", "s.csv", "s.parquet")
    rows, table, parquet = (tmp_path / name for name in names)
    command: list[str | Path] = [tmp_path, "--model", tiny, "--force"]
    told = cli(*command, "--csv", rows, "--summary", table)
    assert told.returncode == 0, told.stderr
    assert cli(*command, "--summary", parquet).returncode == 0
    with rows.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert None not in found[0]  # as many values as names
    words = [name for name in found[0] if name.startswith("smoothed_")]
    assert len(words) == 6 and found[0].keys() >= {"profile"}
    for name in ("a.wav", "b.wav", "c.wav"):
        alone = list(livesr.replay(tmp_path / name, model=tiny))
        mine = [row for row in found if row["file"].endswith(name)]
        assert len(mine) == len(alone)
        for row, reading in zip(mine, alone, strict=True):
            told_of = {word: row[word] for word in words if row[word]}
            assert told_of == {f"smoothed_{k}": str(v) for k, v in reading.smoothed.items()}
            assert row["profile"] == (reading.profile or "")
            assert float(row["end"]) == reading.end
    with table.open(newline="") as file:
        verdicts = list(csv.DictReader(file))
    assert [row["file"][-5:] for row in verdicts] == ["a.wav", "b.wav", "c.wav"]
    shares = [[bool(v) for k, v in row.items() if k.startswith("prob")] for row in verdicts]
    assert [sum(row) for row in shares] == [4, 2, 4]
    columns = pq.read_table(parquet).column_names
    assert columns == list(verdicts[0])
    assert columns[-1] == "failed" and "probabilities_tense, very" in columns


def test_rows_that_are_held_are_kept_where_it_ends_early(tmp_path: Path) -> None:
    parts = [tmp_path / "0.csv", tmp_path / "1.csv"]
    whole = tmp_path / "all.csv"
    with pytest.raises(KeyboardInterrupt), _Joined(str(whole), force=False, alike=False) as joined:
        for part, text in zip(parts, ("file,x,end\na,1,2\n", "file,y,end\nb,3,4\n"), strict=True):
            part.write_text(text)
            joined.append(str(part))
        assert not whole.exists()
        raise KeyboardInterrupt
    assert whole.read_text() == "file,x,y,end\na,1,,2\nb,,3,4\n"
    assert not parts[0].exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has one")
@pytest.mark.parametrize("heard", [True, False])
def test_a_full_disk_is_one_sentence(tmp_path: Path, tiny: Path, heard: bool) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    if heard:
        events_path(tmp_path / "a.flac").write_text("")
    told = cli(tmp_path, "--model", tiny, "--csv", "/dev/full")
    assert told.returncode == 3
    assert "a.flac" in told.stdout and "b.flac" in told.stdout  # which were processed
    assert "livesr: --csv cannot be written further: No space left" in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has one")
def test_an_output_that_fails_ends_no_other(tmp_path: Path, tiny: Path) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.flac.jsonl").symlink_to("/dev/full")
    table, summary = tmp_path / "all.csv", tmp_path / "s.csv"
    outputs = ("--jsonl", f"{out}/", "--csv", table, "--summary", summary, "--force")
    told = cli(tmp_path / "a.flac", tmp_path / "b.flac", "--model", tiny, *outputs)
    assert told.returncode == 3
    with table.open(newline="") as file:
        names = Counter(Path(row["file"]).name for row in csv.DictReader(file))
    assert names["a.flac"] == names["b.flac"] > 0
    with summary.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert "a.flac.jsonl cannot be written" in first["failed"] and not second["failed"]
    assert first["seconds"] == second["seconds"] != "0.0"


def test_names_that_are_no_text_and_no_markup(tmp_path: Path, tiny: Path) -> None:
    with suppress(OSError):  # a file system may take no such name
        name = os.fsdecode(b"b\xff\x1b[31m.flac")
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    shutil.copy(DATA / "banglaser.flac", tmp_path / "a.flac")
    told = cli(tmp_path, "--model", tiny, "--summary", tmp_path / "s.parquet")
    assert (told.returncode, told.stderr) == (0, "")
    assert "\x1b" not in told.stdout
    found = pq.read_table(tmp_path / "s.parquet").column("file").to_pylist()
    assert len(found) == len(list(tmp_path.glob("*.flac")))
    progress = FileProgress([1.0], Console(force_terminal=True, file=StringIO()))
    with progress:
        progress.show([0.5], "a[/x].flac")


def test_a_bar_that_ends_in_the_background_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = StringIO()
    with FileProgress([1.0], Console(force_terminal=True, file=drawn)) as progress:
        progress.show([0.5], "a.flac")
        monkeypatch.setattr(Foreground, "held", staticmethod(lambda _: False))
        before = drawn.getvalue()
    assert before
    assert drawn.getvalue() == before


def test_a_summarys_reader_may_go_away(tmp_path: Path, tiny: Path) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    command = [sys.executable, "-m", "livesr", "replay", str(tmp_path), "--model", str(tiny)]
    command += ["--summary", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 0
        assert b"cannot be written" not in process.stderr.read()


def test_a_csv_is_not_emptied_for_nothing(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")
    command = (tmp_path / "bad.wav", "--channel", "each", "--model", tiny)
    assert cli(*command, "--csv", kept, "--force").returncode == 2
    assert kept.read_text() == "mine"
    assert cli(*command, "--csv", tmp_path / "new.csv").returncode == 2
    assert not (tmp_path / "new.csv").exists()


def test_what_cannot_be_written_is_told_before_the_work(tmp_path: Path, tiny: Path) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    long = tmp_path / ("y" * 300 + ".csv")
    for option, path in (
        ("--summary", tmp_path / "nowhere" / "s.csv"),
        ("--summary", long),
        ("--csv", long),
        ("--jsonl", long),
    ):
        told = cli(tmp_path, "--model", tiny, option, path)
        assert (told.returncode, told.stderr.count("\n")) == (2, 1), told.stderr
        assert not told.stdout
    for option in ("--jsonl", "--report"):
        told = cli(tmp_path / "a.flac", "--model", tiny, option, long)
        assert (told.returncode, told.stderr.count("\n")) == (2, 1), told.stderr


def test_a_summary_that_fails_at_the_end_hides_no_verdict(tmp_path: Path, tiny: Path) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    if not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full")
    told = cli(tmp_path, "--model", tiny, "--summary", "/dev/full")
    assert told.returncode == 3
    assert "b.flac" in told.stdout and "No space left" in told.stderr


@pytest.mark.slow
def test_a_process_that_dies_costs_no_other_file(tmp_path: Path, tiny: Path) -> None:
    for name in "abcd":
        shutil.copy(DATA / "banglaser.flac", tmp_path / f"{name}.flac")
    program = (
        "import os, sys\n"
        "from livesr.app import many\n"
        "from livesr.app.console import PlainConsole\n"
        "from livesr.app.how import How\n"
        "from livesr.app.inputs import find_inputs\n"
        "from livesr.app.progress import FileProgress\n"
        "real = many.process\n"
        "def deadly(job, how, tell):\n"
        "    if job.input.path.endswith('b.flac'):\n"
        "        os._exit(9)\n"
        "    return real(job, how, tell)\n"
        "many.process = deadly\n"
        "if __name__ == '__main__':\n"
        "    folder, model = sys.argv[1:]\n"
        "    jobs = [many.Job(each, n, jsonl=f'{folder}/{n}.jsonl')\n"
        "            for n, each in enumerate(find_inputs([folder]))]\n"
        "    with FileProgress([1.0] * 4, PlainConsole(stderr=True), disable=True) as progress:\n"
        "        for job, found in many._all(jobs, How(model=model), 2, progress):\n"
        "            print(job.number, found.failed[-4:] or 'ok')\n"
    )
    (tmp_path / "deadly.py").write_text(program)
    command = [sys.executable, str(tmp_path / "deadly.py"), str(tmp_path), str(tiny)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert sorted(told.stdout.split("\n")[:-1]) == ["0 ok", "1 died", "2 ok", "3 ok"]


def test_pages_of_channels_replace_nothing_unasked(
    tmp_path: Path, speech: np.ndarray, tiny: Path
) -> None:
    sf.write(tmp_path / "call.wav", np.stack((speech[:16_000],) * 2, axis=1), 16000)
    (tmp_path / "call.2.html").write_text("mine")
    command: list[str | Path] = [tmp_path / "call.wav", "--channel", "each", "--model", tiny]
    told = cli(*command, "--report", tmp_path / "call.html")
    assert told.returncode == 2
    assert "call.2.html" in told.stderr
    assert (tmp_path / "call.2.html").read_text() == "mine"
    assert not (tmp_path / "call.1.html").exists()
    assert cli(*command, "--report", tmp_path / "call.html", "--force").returncode == 0
    assert (tmp_path / "call.2.html").read_text() != "mine"


def test_a_reader_that_goes_away_stops_no_other_output(tmp_path: Path, tiny: Path) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(DATA / "banglaser.flac", tmp_path / name)
    command = f"{sys.executable} -m livesr replay {tmp_path} --model {tiny} --csv - "
    whole = subprocess.run(
        ["bash", "-c", f"{command} --jsonl {tmp_path}/out/ | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.startswith("file,start,end")
    counts = [len((tmp_path / "out" / f"{n}.flac.jsonl").read_text().splitlines()) for n in "ab"]
    assert counts == [15, 15]


def test_progress_counts_sound_and_not_files(tmp_path: Path) -> None:
    sf.write(tmp_path / "long.wav", np.zeros(90 * 16000), 16000)
    sf.write(tmp_path / "short.wav", np.zeros(10 * 16000), 16000)
    (tmp_path / "bad.wav").write_bytes(b"no sound" * 1000)
    names = ("long.wav", "short.wav", "bad.wav", "none.wav")
    found = lengths([str(tmp_path / name) for name in names])
    assert found == [90.0, 10.0, pytest.approx(0.25, rel=0.01), 0.1]  # by its size, as the others
    assert lengths([str(tmp_path / "long.wav")], 20.0, 80.0) == [60.0]
    now = 0.0
    progress = FileProgress([90.0, 10.0], Console(quiet=True), clock=lambda: now)
    assert progress._bar.tasks[0].time_remaining is None
    for now in (1.0, 2.0, 3.0):  # of the long file, 30 s of sound a second
        progress.show([30.0 * now, 0.0], "long.wav")
    progress.finish(0)
    assert progress._bar.tasks[0].time_remaining == 1  # ten seconds of sound at that speed


def test_inputs_that_cannot_be_meant(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for given, words in (
        ("", "name is empty"),
        ("https://x/y.wav", "is an address"),
        (str(tmp_path / "empty"), "is a folder without sound files"),
        (str(tmp_path / "*.wav"), "No file matches"),
    ):
        with pytest.raises(LivesrError, match=words):
            find_inputs([given])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sf.write(tmp_path / name / "x.wav", np.zeros(1000), 16000)
    both = find_inputs([str(tmp_path / "a"), str(tmp_path / "*" / "x.wav")])
    assert [each.below.name for each in both] == ["x.wav", "x.wav"]  # each once
    with pytest.raises(LivesrError, match="would both be written"):
        replay_many(both, How(), jsonl=f"{tmp_path}/out/")
    several: Any = ({"jsonl": "-"}, {"report": "-"}, {"report": str(tmp_path / "all.html")})
    for outputs in several:
        with pytest.raises(LivesrError, match="there are 2 inputs; name a folder"):
            replay_many(both, How(), **outputs)
    assert not (tmp_path / "out").exists()
    for given in ("-", "/dev/stdin"):
        with pytest.raises(LivesrError, match="can be read by one process alone; leave -j out"):
            replay_many([*both, *find_inputs([given])], How(), processes=2)


def test_the_only_input_that_cannot_be_read_is_status_2(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    told = cli(tmp_path / "bad.wav", "--summary", tmp_path / "s.csv")
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1


def test_who_names_a_folder_does_not_wait_for_a_pipe_in_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    sf.write(tmp_path / "b.wav", np.zeros(1000), 16000)
    assert [each.below.name for each in find_inputs([str(tmp_path)])] == ["b.wav"]


def test_a_gap_before_the_first_reading_is_in_the_summary(tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros(32_000), 16000)
    gap = Event("gap", 0.0, seconds=10.0, text=PAUSED, silence=0.0)
    events_path(path).write_text(json.dumps(gap.to_dict()) + "\n")
    assert cli(path, "--model", tiny, "--summary", tmp_path / "s.csv").returncode == 0
    with (tmp_path / "s.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["lost"]) == 0.0  # as `judge` says: the user paused


LONG = "n" * 246  # with two endings, more than a file system takes


@pytest.mark.parametrize("option", ["--jsonl", "--report"])
def test_an_output_that_cannot_be_opened_stops_no_other(
    tmp_path: Path, tiny: Path, option: str
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b", LONG):
        shutil.copy(DATA / "banglaser.flac", tmp_path / "in" / f"{name}.flac")
    refused, table, summary = (tmp_path / name for name in ("refused", "all.csv", "s.csv"))
    outputs = (option, f"{refused}/", "--csv", table, "--summary", summary)
    told = cli(tmp_path / "in", "--model", tiny, *outputs)
    assert told.returncode == 3
    assert [path.name.partition(".")[0] for path in refused.iterdir()] == ["b"]
    with table.open(newline="") as file:
        names = Counter(row["file"] for row in csv.DictReader(file))
    assert sorted(names.values()) == [15, 15]
    with summary.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert not first["failed"] and "cannot be written: File name too long" in second["failed"]
    assert first["seconds"] == second["seconds"] != "0.0"


@pytest.mark.parametrize(("processes", "short"), [("1", "a.wav"), ("2", "b.wav")])
def test_a_run_that_is_ended_tells_what_is_finished(
    tmp_path: Path, tiny: Path, speech: np.ndarray, processes: str, short: str
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):  # all but one take minutes
        sound = speech[:32_000] if name == short else np.tile(speech, 60)
        sf.write(tmp_path / "in" / name, sound, 16000)
    out, summary = tmp_path / "out", tmp_path / "s.csv"
    command = [sys.executable, "-m", "livesr", "replay", str(tmp_path / "in"), "--model", str(tiny)]
    command += ["--hop", "0.02", "--jsonl", f"{out}/", "--report", f"{out}/", "-j", processes]
    with subprocess.Popen(
        [*command, "--summary", str(summary)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        last = out / ("b.wav.jsonl" if processes == "1" else "c.wav.jsonl")
        until(lambda: last.exists() and last.read_bytes().count(b"\n") > 2)
        process.terminate()
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert short.encode() in stdout and b"ended after 1 of 3 files" in stderr
    with summary.open(newline="") as file:
        assert [Path(row["file"]).name for row in csv.DictReader(file)] == [short]
    begun = ["a.wav", "b.wav"] + ["c.wav"] * (processes == "2")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{name}.{kind}" for name in begun for kind in ("jsonl", "html")
    )
    for name in begun:
        assert (out / f"{name}.jsonl").read_text().endswith("}\n")


def test_an_empty_path_is_no_output(tmp_path: Path, tiny: Path) -> None:
    for option in ("--jsonl", "--csv", "--report", "--events", "--summary"):
        for files in ([DATA / "banglaser.flac"], [DATA / "banglaser.flac", CONVERSATION]):
            told = cli(*files, "--model", tiny, option, "")
            assert told.returncode == 2
            assert told.stderr == (
                f"livesr: The path of {option} is empty; name a file, or leave it out.\n"
            )
