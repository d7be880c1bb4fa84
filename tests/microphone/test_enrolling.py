"""A voice is enrolled, listened to and corrected, as a person at a terminal does it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from livesr import Profile
from tests.helpers.terminal import Terminal
from tests.helpers.tiny import DATA
from tests.helpers.virtual import VirtualMicrophone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
RATE = 16000
SPOKEN = ("neutral", "angry", "sad", "happy")  # by each of the two speakers, in this order
ASKED = ("angry", "happy", "neutral", "sad")  # the model's order


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sentence of each emotion, of one speaker held out from training."""
    sound = sf.read(DATA / "conversation.flac", dtype="float32")[0]
    quiet = np.convolve(sound != 0, np.ones(8000), "same") < 1  # half a second of zeros
    edges = np.flatnonzero(np.diff(quiet.astype(int)))
    starts, ends = edges[::2], edges[1::2]
    folder = tmp_path_factory.mktemp("sentences")
    for label, start, end in zip(SPOKEN, starts, ends, strict=False):
        sf.write(folder / f"{label}.wav", 0.5 * sound[start:end], RATE)
    return {label: folder / f"{label}.wav" for label in SPOKEN}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, 100, 30)
    yield terminal
    terminal.close()


def livesr(*words: str | Path) -> str:
    return shlex.join([sys.executable, "-m", "livesr", *map(str, words)])


def say(
    terminal: Terminal, microphone: VirtualMicrophone, asked: str, clip: Path, answer: str
) -> None:
    """Wait for the question, press Return, speak, and answer."""
    terminal.until(lambda text: asked in _last(text))
    terminal.type("Enter")
    terminal.until(lambda text: "speak  " in text)
    with microphone.play(clip) as player:
        player.wait()
    terminal.until(lambda text: _last(text).endswith("s skips:"))
    terminal.type(answer, "Enter") if answer else terminal.type("Enter")


def _last(text: str) -> str:
    return text.rstrip().splitlines()[-1] if text.strip() else ""


def _correct(terminal: Terminal, key: str, label: str) -> None:
    """Press a key until its correction is taken; in a pause it is refused, which is said."""
    done, refused = f"corrected: {label}", "a correction needs"
    for _ in range(20):
        terminal.type(key)
        if done in terminal.until(lambda text: done in text or refused in text):
            return
        terminal.until(lambda text: refused not in text)
    raise AssertionError(terminal.screen())


def test_enrol_listen_correct_twice_and_replay(
    microphone: VirtualMicrophone,
    sentences: dict[str, Path],
    tmp_path: Path,
    terminal: Terminal,
    clip_wav: Path,
) -> None:
    voices = tmp_path / "voices"
    terminal.type(f"export LIVESR_PROFILES={shlex.quote(str(voices))}", "Enter")
    enrol = livesr("enrol", "me", "--device", "vmic", "--seconds", "3.5")
    terminal.type(f"clear; {enrol}", "Enter")
    terminal.until(lambda text: "Level check: press Return" in text)
    assert "2 sentences for each of angry, happy, neutral, sad" in terminal.screen()
    terminal.type("Enter")
    with microphone.play(sentences["angry"]):
        terminal.until(lambda text: "The level is good" in text)
    for label in ASKED:
        if label == "happy":
            say(terminal, microphone, f"{label}, 1 of 2", sentences["sad"], "r")  # a mistake
        say(terminal, microphone, f"{label}, 1 of 2", sentences[label], "")
        say(
            terminal,
            microphone,
            f"{label}, 2 of 2",
            sentences[label],
            "s" if label == "sad" else "",
        )
    terminal.until(lambda text: "livesr listen --profile me" in text)
    profile = Profile.load(voices / "me.livesr-profile")
    assert profile.counts == {"angry": 2, "happy": 2, "neutral": 2, "sad": 1}
    assert [path.name for path in voices.iterdir()] == ["me.livesr-profile"]

    record, live, again = (tmp_path / name for name in ("me.flac", "live.jsonl", "again.jsonl"))
    listen = ["listen", "--device", "vmic", "--profile", "me"]
    command = livesr(*listen, "--record", record, "--jsonl", live)
    terminal.type(f"clear; {command}", "Enter")
    terminal.until(lambda text: "1 ▲ angry" in text and "profile me" in text)
    with microphone.play(clip_wav) as player:
        for key, label in (("4", "sad"), ("2", "happy")):
            time.sleep(4)
            _correct(terminal, key, label)
        time.sleep(3)
        player.terminate()
    terminal.type("q")
    terminal.until(lambda text: "2 corrections were saved in the profile" in " ".join(text.split()))
    after = Profile.load(voices / "me.livesr-profile")
    assert after.counts == {"angry": 2, "happy": 3, "neutral": 2, "sad": 2}

    # The recording begins with the profile as it was, and repeats the corrections.
    replay = livesr("replay", record, "--jsonl", again)
    terminal.type(f"clear; {replay}; echo status $?", "Enter")
    terminal.until(lambda text: "status 0" in text and "status $" not in text)
    written = live.read_text()
    assert again.read_text() == written
    lines = [json.loads(line) for line in written.splitlines()]
    kinds = [line["event"] for line in lines if "event" in line]
    assert kinds == ["session", "profile", "teach", "teach"]
    assert {line["profile"] for line in lines if "end" in line} == {"me"}
    assert lines[-1]["end"] > 10


def test_ctrl_c_keeps_what_is_enrolled(
    microphone: VirtualMicrophone, sentences: dict[str, Path], tmp_path: Path, terminal: Terminal
) -> None:
    path = tmp_path / "new" / "me.livesr-profile"
    enrol = livesr("enrol", path, "--device", "vmic", "--labels", "calm,tense", "--seconds", "3")
    terminal.type(f"clear; {enrol}", "Enter")
    terminal.until(lambda text: "Level check" in text)
    terminal.type("C-c")
    terminal.until(lambda text: "nothing is enrolled" in text)
    assert not path.exists()
    terminal.type(f"clear; {enrol}; echo status $?", "Enter")
    terminal.until(lambda text: "Level check" in text)
    terminal.type("Enter")
    say(terminal, microphone, "calm, 1 of 2", sentences["neutral"], "")
    terminal.until(lambda text: "calm, 2 of 2" in text)
    terminal.type("Enter")
    terminal.until(lambda text: "speak  " in _last(text))
    terminal.type("C-c")  # in the midst of a sentence
    screen = terminal.until(lambda text: "status " in text)
    assert "What was enrolled so far is kept" in " ".join(screen.split())
    assert "One label alone changes nothing yet" in " ".join(screen.split())
    assert "Traceback" not in screen
    assert Profile.load(path).counts == {"calm": 1}


def test_a_full_disk_leaves_the_profile_as_it_was(tiny: Path, tmp_path: Path) -> None:
    """A real limit on the size of files: one sentence, and the old file whole."""
    path = tmp_path / "me.livesr-profile"
    profile = Profile(tiny, name="me")
    profile.add("happy", sf.read(DATA / "banglaser.flac", dtype="float32")[0])
    profile.save(path)
    before = path.read_bytes()
    enrol = livesr("enrol", path, "--label", "sad", DATA / "banglaser.flac")
    limited = f"ulimit -f 0; trap '' XFSZ; exec {enrol}"
    told = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False)
    assert told.returncode == 2, told
    assert told.stderr.count("\n") == 1
    assert "cannot be written (File too large); the profile there" in told.stderr
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["me.livesr-profile"]
