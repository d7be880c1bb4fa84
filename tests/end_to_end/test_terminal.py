"""The real command in a real terminal, under tmux."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.terminal import Terminal
from tests.helpers.tiny import DATA

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None and "CI" not in os.environ, reason="tmux is not installed"
)
CLIP = DATA / "conversation.flac"


@pytest.fixture(params=[(60, 20), (200, 60)])
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, *request.param)
    yield terminal
    terminal.close()


def test_the_view_rolls_and_ctrl_c_gives_the_terminal_back(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} -m livesr replay {CLIP} --pace", "Enter")
    screen = terminal.until(lambda text: "conversation.flac" in text and "● happy" in text)
    assert all(name in screen for name in ("angry", "happy", "neutral", "sad"))
    terminal.until(lambda text: text != screen)
    terminal.type("C-c")
    # The alternate screen is left, the summary stands, and what is typed is seen again.
    terminal.until(lambda text: "s of sound" in text)
    terminal.type("echo status $? back-$((40+2))", "Enter")
    shown = terminal.until(lambda text: "back-42" in text)
    assert "status 130" in shown


def test_without_pace_the_last_picture_and_the_summary_stay(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} -m livesr replay {CLIP}; echo status-$?", "Enter")
    screen = terminal.until(lambda text: "status-0" in text)
    assert "Turning points" in screen
    assert "no speech" in " ".join(screen.split())  # a sentence may be broken there


def test_a_terminated_replay_leaves_whole_files(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "livesr", "replay", str(CLIP), "--pace", "--jsonl", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not out.exists() or out.read_text().count("\n") < 2:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=60) == 143
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert out.read_text().endswith("}\n")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, 100, 30)
    yield terminal
    terminal.close()


REPLAY = f"{sys.executable} -m livesr replay {CLIP} --pace"


def test_ctrl_z_gives_the_terminal_back_and_fg_repaints(small: Terminal) -> None:
    small.type(REPLAY, "Enter")
    small.until(lambda text: "happy" in text)
    assert small.modes() == ("1", "0")
    small.type("C-z")
    small.until(lambda text: "Stopped" in text)
    assert small.modes() == ("0", "1")
    # What is typed is seen, and in the background nothing is drawn.
    small.type("bg", "Enter", "echo here-$((40+2))", "Enter")
    small.until(lambda text: "here-42" in text and "bg" in text)
    time.sleep(1)
    assert "dBFS" not in small.screen()
    assert small.modes() == ("0", "1")
    small.type("fg", "Enter")
    small.until(lambda text: "happy" in text and "dBFS" in text)
    assert small.modes() == ("1", "0")
    small.type("C-c")
    small.until(lambda text: "s of sound" in text)
    assert small.modes() == ("0", "1")


def test_started_in_the_background_it_draws_nothing(small: Terminal, tmp_path: Path) -> None:
    out = tmp_path / "out"
    small.type(f"{REPLAY} --csv {out} &", "Enter")
    small.until(lambda _: out.exists() and out.read_text().count("\n") > 3)
    assert small.modes() == ("0", "1")
    assert "dBFS" not in small.screen()
    small.type("fg", "Enter")
    small.until(lambda text: "dBFS" in text)
    small.type("C-c")
    small.until(lambda text: "s of sound" in text)


def test_a_dumb_terminal_gets_plain_lines_as_they_come(small: Terminal) -> None:
    small.type(f"TERM=dumb {REPLAY}", "Enter")
    small.until(lambda text: text.count("dBFS") > 2)
    assert small.modes() == ("0", "1")
    small.type("C-c")


def test_ctrl_z_in_a_run_of_many_files_shows_the_cursor(small: Terminal, tmp_path: Path) -> None:
    for name in "abcdefgh":
        shutil.copy(CLIP, tmp_path / f"{name}.flac")
    small.type(f"{sys.executable} -m livesr replay {tmp_path} --hop 0.02", "Enter")
    small.until(lambda text: "0/8 files" in text)
    assert small.modes() == ("0", "0")
    small.type("C-z")
    small.until(lambda text: "Stopped" in text)
    assert small.modes() == ("0", "1")
    small.type("bg", "Enter", "clear", "Enter", "echo here-$((40+2))", "Enter")
    small.until(lambda text: "here-42" in text)
    time.sleep(1)
    assert "files" not in small.screen()
    assert small.modes() == ("0", "1")
    small.type("fg", "Enter")
    small.until(lambda text: "/8 files" in text)
    assert small.modes() == ("0", "0")
    small.type("C-c")
    small.type("echo status $?", "Enter")
    small.until(lambda text: "status 130" in text)
    assert small.modes() == ("0", "1")
