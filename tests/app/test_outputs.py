"""No output takes the place of an input or of another output, however a path is spelt."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livesr import Profile
from livesr.app.outputs import Outputs, Place, check_outputs, is_stdout
from livesr.app.profiles import settings_read
from livesr.errors import LivesrError
from livesr.files.recording import events_path
from livesr.model.load import models_directory
from tests.helpers import commands
from tests.helpers.tiny import DATA

CASES = int(os.environ.get("LIVESR_FUZZ", "200"))
CLIP = DATA / "banglaser.flac"


def process(
    folder: Path, *arguments: str, stdout: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`livesr` in a process of its own, whose standard output is a pipe or this file."""
    with (stdout or Path(os.devnull)).open("ab") as taken:
        return subprocess.run(
            [sys.executable, "-m", "livesr", *arguments],
            check=False,
            cwd=folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=taken if stdout else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def livesr(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In this process, which is quicker."""
    with contextlib.chdir(folder):
        return commands.livesr(*arguments)


def refusal(folder: Path, *arguments: str) -> str:
    """The sentence that `livesr` ends with, before it has written anything."""
    told = livesr(folder, *arguments)
    assert told.returncode == 2 and told.stdout == ""
    assert told.stderr.startswith("livesr: ") and told.stderr.count("\n") == 1
    return told.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(CLIP, tmp_path / "a.flac")
    return tmp_path


@pytest.mark.parametrize("option", ["--jsonl", "--csv", "--report"])
@pytest.mark.parametrize("name", ["a.flac", "./a.flac", "link", "hard", "sub/../a.flac"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_input_is_kept(folder: Path, option: str, name: str, force: list[str]) -> None:
    (folder / "link").symlink_to("a.flac")
    os.link(folder / "a.flac", folder / "hard")
    (folder / "sub").mkdir()
    told = refusal(folder, "replay", "a.flac", option, name, *force)
    assert "would destroy a.flac" in told and option in told
    assert (folder / "a.flac").read_bytes() == CLIP.read_bytes()


def test_the_input_is_kept_by_the_program(folder: Path) -> None:
    told = process(folder, "replay", "a.flac", "--jsonl", "a.flac", "--force")
    assert told.returncode == 2
    assert told.stderr.startswith("livesr: ") and told.stderr.count("\n") == 1
    assert (folder / "a.flac").read_bytes() == CLIP.read_bytes()


def test_the_events_of_a_recording_are_kept(folder: Path) -> None:
    events = events_path(folder / "a.flac")
    for before in (None, '{"event": "mark", "at": 1.0}\n'):  # to be made, and there already
        if before:
            events.write_text(before)
        assert "events" in refusal(folder, "replay", "a.flac", "--csv", events.name, "--force")
        assert (events.read_text() if events.exists() else None) == before


def test_a_session_is_not_replayed_onto_itself(folder: Path) -> None:
    assert livesr(folder, "replay", "a.flac", "--jsonl", "a.jsonl").returncode == 0
    before = (folder / "a.jsonl").read_bytes()
    told = livesr(folder, "replay", "a.jsonl", "--jsonl", "a.jsonl", "--force")
    assert told.returncode == 2
    assert (folder / "a.jsonl").read_bytes() == before


@pytest.mark.parametrize(("first", "second"), [*combinations(("--jsonl", "--csv", "--report"), 2)])
@pytest.mark.parametrize("name", ["o", "/dev/stdout", "-"])
def test_two_outputs_are_two_files(folder: Path, first: str, second: str, name: str) -> None:
    other = "-" if name == "/dev/stdout" else name
    told = refusal(folder, "replay", "a.flac", first, name, second, other)
    assert first in told and second in told
    assert sorted(path.name for path in folder.iterdir()) == ["a.flac"]


def test_an_existing_file_is_replaced_only_by_force(folder: Path) -> None:
    for option in ("--jsonl", "--csv", "--report"):
        (folder / "o").write_text("before")
        assert "--force" in refusal(folder, "replay", "a.flac", option, "o")
        assert (folder / "o").read_text() == "before"
    assert livesr(folder, "replay", "a.flac", "--csv", "o", "--force").returncode == 0
    assert (folder / "o").read_text().startswith("start,end,")


@pytest.mark.parametrize("part", [("--channel", "1"), ("--start", "1"), ("--end", "2")])
def test_a_report_with_sound_is_of_a_whole_file(folder: Path, part: tuple[str, str]) -> None:
    page = ("--report", "o.html", "--with-sound")
    assert "leave out --channel" in refusal(folder, "replay", "a.flac", *page, *part)
    assert [path.name for path in folder.iterdir()] == ["a.flac"]


def test_a_little_sound_is_not_told_as_none(folder: Path) -> None:
    told = livesr(folder, "replay", "a.flac", "--report", "o.html", "--with-sound")
    size = re.search(r"The report will hold (\d+) kB of sound\.", told.stderr)
    assert size and int(size[1]) > 0
    assert int(size[1]) * 1e3 < (folder / "o.html").stat().st_size


def test_a_file_is_not_emptied_for_a_run_that_never_begins(folder: Path) -> None:
    for options in (["--start", "9999"], ["--csv", "nowhere/o.csv"]):
        (folder / "o").write_text("before")
        assert livesr(folder, "replay", "a.flac", "--jsonl", "o", "--force", *options).returncode
        assert (folder / "o").read_text() == "before"
    (folder / "o").write_text("before" * 100_000)
    assert livesr(folder, "replay", "a.flac", "--csv", "o", "--force").returncode == 0
    assert livesr(folder, "replay", "a.flac", "--csv", "new").returncode == 0
    assert (folder / "o").read_text() == (folder / "new").read_text()
    quiet = ["--events", "o", "--jsonl", "readings", "--force"]  # a clip has no events
    assert livesr(folder, "replay", "a.flac", *quiet).returncode == 0
    assert (folder / "o").read_text() == ""


def test_devices_and_pipes_take_output_as_before(folder: Path) -> None:
    null = ["--jsonl", os.devnull, "--csv", os.devnull, "--report", os.devnull]
    assert livesr(folder, "replay", "a.flac", *null).returncode == 0
    os.mkfifo(folder / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=folder, stdout=subprocess.PIPE) as cat:
        assert livesr(folder, "replay", "a.flac", "--csv", "pipe").returncode == 0
        assert cat.stdout is not None and cat.stdout.read().startswith(b"start,end,")


@pytest.mark.parametrize(
    "option",
    ["--jsonl", *(pytest.param(name, marks=pytest.mark.slow) for name in ("--csv", "--report"))],
)
def test_standard_output_by_any_name_takes_one_output_alone(folder: Path, option: str) -> None:
    dash = livesr(folder, "replay", "a.flac", option, "-").stdout
    assert (
        dash.startswith(("{", "start,", "<!doctype")) and " dBFS\n" not in dash
    )  # no plain lines between
    assert process(folder, "replay", "a.flac", option, "/dev/stdout").stdout == dash
    assert sorted(path.name for path in folder.iterdir()) == ["a.flac"]
    # Where the shell sends it, by that file's own name: what was there stays in front.
    (folder / "log").write_text("before\n")
    told = process(folder, "replay", "a.flac", option, "log", stdout=folder / "log")
    assert told.returncode == 0
    assert (folder / "log").read_text() == "before\n" + dash


def test_standard_output_appended_to_the_input_is_refused(folder: Path) -> None:
    told = process(folder, "replay", "a.flac", stdout=folder / "a.flac")
    assert told.returncode == 2 and "Standard output goes to a.flac" in told.stderr
    assert (folder / "a.flac").read_bytes() == CLIP.read_bytes()


def test_what_is_read_from_standard_input_is_kept(folder: Path) -> None:
    with (folder / "a.flac").open("rb") as sound:
        kept = os.dup(0)
        os.dup2(sound.fileno(), 0)
        try:
            with pytest.raises(LivesrError, match="would destroy"):
                check_outputs([Place("standard input", "-")], [Place("--jsonl", folder / "a.flac")])
        finally:
            os.dup2(kept, 0)
            os.close(kept)


def test_a_model_is_kept(folder: Path, tiny: Path) -> None:
    model = shutil.copy(tiny, folder / "m.onnx")
    told = livesr(folder, "replay", "a.flac", "--model", "m.onnx", "--csv", "m.onnx", "--force")
    assert told.returncode == 2
    assert Path(model).read_bytes() == tiny.read_bytes()


@pytest.mark.parametrize("more", [[], ["--summary", "s.csv"]])
def test_a_profile_is_kept(folder: Path, tiny: Path, more: list[str]) -> None:
    known = folder / "me.livesr-profile"
    Profile(tiny).save(known)
    before = known.read_bytes()
    given = ("replay", "a.flac", "--profile", known.name, "--jsonl", known.name, "--force")
    told = refusal(folder, *given, *more)
    assert "would destroy" in told and "the profile" in told
    assert known.read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--hop", "0", "hop"), ("--rate", "0", "rate"), ("--format", "", "format")],
)
def test_nought_is_not_the_default(
    folder: Path, tiny: Path, option: str, value: str, words: str
) -> None:
    told = refusal(folder, "replay", "a.flac", "--model", str(tiny), option, value)
    assert words in told


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_pages_of_channels_do_not_go_to_standard_output(folder: Path, name: str) -> None:
    told = refusal(folder, "replay", "a.flac", "--channel", "each", "--report", name)
    assert "one standard output cannot hold several" in told
    assert [path.name for path in folder.iterdir()] == ["a.flac"]


def test_only_pages_of_channels_stand_in_their_way(folder: Path, tiny: Path) -> None:
    (folder / "talk.old.html").write_text("kept")
    given = ("replay", "a.flac", "--model", str(tiny), "--channel", "each", "--report", "talk.html")
    assert livesr(folder, *given).returncode == 0
    assert "talk.1.html (--report) exists" in refusal(folder, *given)
    assert (folder / "talk.old.html").read_text() == "kept"


def test_a_session_among_files_is_named_and_the_others_are_replayed(
    folder: Path, tiny: Path
) -> None:
    (folder / "s.jsonl").write_text("")
    told = livesr(folder, "replay", "a.flac", "s.jsonl", "--model", str(tiny), "--summary", "s.csv")
    assert told.returncode == 3
    assert "s.jsonl holds readings, not sound: replay it alone" in told.stderr
    assert (folder / "s.csv").read_text().count("\n") == 3


def test_a_run_that_hears_nothing_leaves_no_file_in_the_way(folder: Path) -> None:
    (folder / "b.flac").write_bytes(CLIP.read_bytes()[:100])
    told = livesr(folder, "replay", "b.flac", "--jsonl", "o", "--csv", "nowhere/o")
    assert told.returncode == 2
    assert sorted(path.name for path in folder.iterdir()) == ["a.flac", "b.flac"]


def test_a_recording_is_never_replaced(folder: Path) -> None:
    recording = [Place("--record", folder / "a.flac", replaceable=False)]
    with pytest.raises(LivesrError, match="exists; remove it"):
        Outputs(force=True).checked([], recording)
    new = [Place("--record", folder / "n.flac", replaceable=False)]
    with pytest.raises(LivesrError, match="are one file"):
        Outputs(csv=str(folder / "n.flac"), force=True).checked([], new)


def test_case_counts_as_the_file_system_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Place("--jsonl", folder / "New.x"), Place("--csv", folder / "new.X")]
    folds, exists = (folder / "A.FLAC").exists(), os.path.lexists
    for folding in (folds, True):
        if folding:
            with pytest.raises(LivesrError, match="are one file"):
                check_outputs([], places)
        else:
            check_outputs([], places)
        # The rest of a file system that folds: the probe's name is found in any case.
        monkeypatch.setattr(
            os.path,
            "lexists",
            lambda path: (
                exists(path)
                or any(
                    name.lower() == Path(path).name.lower()
                    for name in os.listdir(Path(path).parent)
                )
            ),
        )
    assert [path.name for path in folder.iterdir()] == ["a.flac"]


# ---- any two paths ----

SPELLINGS = [
    "a", "b", "A", "./a", "sub/../a", "sub/c", "sub/../sub/c", "there/c", "link-a", "hard-a",
    "link-b", "dangling", "sub", "-", "/dev/stdout", "/dev/stdin", "/dev/null", "nowhere/a",
    "pipe", "link-link-a", "a/", "a\0", "loop", "x" * 300, "ä", "a\u0308",
]  # fmt: skip


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with links of every kind."""
    root = tmp_path_factory.mktemp("maze")
    (root / "sub").mkdir()
    (root / "a").write_text("a")
    (root / "there").symlink_to("sub")
    (root / "link-a").symlink_to(root / "a")
    (root / "link-link-a").symlink_to("link-a")
    (root / "link-b").symlink_to("b")
    (root / "dangling").symlink_to("sub/c")
    (root / "loop").symlink_to("loop")
    os.link(root / "a", root / "hard-a")
    os.mkfifo(root / "pipe")
    before = Path.cwd()
    os.chdir(root)
    yield root
    os.chdir(before)


def written(path: str) -> bool:
    """Whether writing there can be tried: no pipe, which would wait for its reader."""
    return path not in ("pipe", "-", "/dev/stdout", "/dev/stdin", "/dev/null")


def one_file_in_truth(first: str, second: str) -> bool | None:
    """Whether both open the same file: tried, then undone; None if one cannot be written."""
    made = []
    try:
        for path in (first, second):
            new = not os.path.exists(path)
            with open(path, "ab"):
                pass
            if new:
                made.append(os.path.realpath(path))
        return os.path.samefile(first, second)
    except (OSError, ValueError):
        return None
    finally:
        for path in made:
            os.unlink(path)


@settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    first=st.sampled_from(SPELLINGS),
    second=st.sampled_from(SPELLINGS),
    absolute=st.tuples(st.booleans(), st.booleans()),
    reads=st.booleans(),
    force=st.booleans(),
)
def test_any_two_paths(
    maze: Path, first: str, second: str, absolute: tuple[bool, bool], reads: bool, force: bool
) -> None:
    paths = [
        str(maze / path) if whole and written(path) else path
        for path, whole in zip((first, second), absolute, strict=True)
    ]
    inputs = [Place("the file to replay", paths[0])] if reads else []
    options = ["--jsonl", "--csv"]
    places = [Place(what, path) for what, path in zip(options, paths, strict=True)]
    try:
        check_outputs(inputs, places[1:] if reads else places, force=force)
        refused = ""
    except LivesrError as error:
        refused = str(error)
        assert "\n" not in refused
    if all(written(path) for path in (first, second)):
        same = one_file_in_truth(*paths)
        if same is not None:
            assert bool("are one file" in refused or "would destroy" in refused) == same or (
                "exists" in refused and not force
            )
            outs = paths[1:] if reads else paths
            exists = any(os.path.isfile(path) for path in outs)
            assert bool(refused) == (same or (exists and not force))
    elif not reads and is_stdout(paths[0]) and is_stdout(paths[1]):
        assert "standard output" in refused
    assert (maze / "a").read_text() == "a"


def test_no_model_of_livesrs_own_is_an_output() -> None:
    for file in models_directory().glob("*.onnx"):  # by any name: an alias, or none, chooses it
        with pytest.raises(LivesrError, match="model of livesr's own"):
            check_outputs(
                settings_read("compact", None, None), [Place("--jsonl", file)], force=True
            )


def test_a_command_that_is_empty_is_refused(folder: Path) -> None:
    assert "--exec is empty" in refusal(folder, "replay", CLIP.as_posix(), "--exec", " ")
