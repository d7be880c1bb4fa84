"""How commands end, and what is whole then: statuses, closed and vanished readers, full disks."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from livesr.app.exit_status import ExitStatus, of_signal
from tests.helpers.commands import livesr
from tests.helpers.tiny import DATA
from tests.helpers.waiting import until

CLIP = DATA / "conversation.flac"  # more lines than a pipe holds
SHORT, READINGS = DATA / "banglaser.flac", 15
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "livesr"]


def shell(script: str, clip: Path = SHORT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, str(clip)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


REPLAY = '"${@:1:3}" replay "$4"'  # COMMAND, and the clip


def test_the_table_of_the_docs_is_the_code_s() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\S.*?) \|", text.partition("## Exit statuses")[2], re.MULTILINE)
    statuses = [str(status.value) for status in ExitStatus]
    assert [status for status in told if status.isdigit()] == statuses
    assert "128 + n" in told and of_signal(signal.SIGTERM) == 143


@pytest.mark.parametrize("ending", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/null"])
def test_standard_output_closed(tmp_path: Path, ending: str) -> None:
    told = shell(f"{REPLAY} --jsonl {tmp_path}/j --csv {tmp_path}/c {ending}")
    assert told.returncode == 0
    assert "Traceback" not in told.stderr
    assert (tmp_path / "j").read_text().count("\n") == READINGS
    assert (tmp_path / "c").read_text().count("\n") == READINGS + 1


@pytest.mark.parametrize("command", ["replay", "models"])
def test_a_reader_that_went_away_is_no_failure(command: str) -> None:
    asked = REPLAY if command == "replay" else '"${@:1:3}" ' + command
    told = shell(f"{asked} | head -1; echo ${{PIPESTATUS[0]}}", CLIP)
    assert told.stdout.splitlines()[1] == "0"
    assert "Broken" not in told.stderr and "livesr:" not in told.stderr


@pytest.mark.slow
def test_a_reader_that_went_away_costs_no_file(tmp_path: Path) -> None:
    told = shell(f"{REPLAY} --csv {tmp_path}/c --jsonl - | head -1; echo ${{PIPESTATUS[0]}}", CLIP)
    assert told.stdout.splitlines()[1] == "0"
    assert (tmp_path / "c").read_text().count("\n") == 109 + 1  # at four a second


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_an_output_that_fails_costs_no_other(tmp_path: Path) -> None:
    told = shell(f"{REPLAY} --jsonl /dev/full --csv {tmp_path}/c")
    assert told.returncode == 3
    assert told.stderr == "livesr: /dev/full cannot be written further: No space left on device.\n"
    assert (tmp_path / "c").read_text().count("\n") == READINGS + 1
    assert shell(f"{REPLAY} --csv {tmp_path}/d > /dev/full").returncode == 3
    assert (tmp_path / "d").read_text().count("\n") == READINGS + 1
    assert shell(f"{REPLAY} --report /dev/full > /dev/null").returncode == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("command", ["models", "--help", "config", f"replay {SHORT} {CLIP} -j 2"])
def test_standard_output_that_is_full_is_one_sentence(command: str, tmp_path: Path) -> None:
    told = shell(f"cd {tmp_path}; {shlex.join(COMMAND)} {command} > /dev/full")
    assert told.returncode == 3
    assert told.stderr == "livesr: standard output cannot be written: No space left on device.\n"


@pytest.mark.slow
def test_half_heard_is_3_and_not_heard_is_2(tmp_path: Path) -> None:
    for at, status in ((20_000, 3), (0, 2)):
        samples = np.zeros(32_000, np.float32)
        samples[at] = np.nan
        sf.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
        told = subprocess.run(
            [*COMMAND, "replay", tmp_path / "nan.wav"], capture_output=True, text=True, check=False
        )
        assert told.returncode == status
        assert told.stderr.startswith("livesr: ") and told.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_signal_s_status_is_its_own(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    command = [*COMMAND, "replay", str(CLIP), "--pace", "--jsonl", str(out)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Ignored under nohup, say.
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        until_written(out)
        process.send_signal(number)
        assert process.wait(timeout=60) == of_signal(number)
    assert out.read_text().endswith("}\n")


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["nohup", *COMMAND, "replay", str(CLIP), "--pace", "--jsonl", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until_written(out)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.kill()


def until_written(path: Path) -> None:
    until(lambda: path.exists() and path.read_text().count("\n") >= 2)


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_is_no_terminal_whatever_the_environment_says(variable: str) -> None:
    plain = shell(REPLAY)
    told = shell(REPLAY, SHORT, **{variable: "1"})
    assert "\x1b" not in told.stdout
    assert told.stdout == plain.stdout
    assert plain.stdout.count(" dBFS\n") == READINGS


@pytest.mark.parametrize("name", ["", "https://example.org/a.wav", "gespr\udce4ch.flac"])
def test_names_that_are_no_files(name: str) -> None:
    told = subprocess.run(
        [*COMMAND, "replay", name], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert told.returncode == 2
    assert told.stderr.count(b"\n") == 1 and told.stderr.startswith(b"livesr: ")
    assert name.encode(errors="replace") in told.stderr  # as it was typed


@pytest.mark.slow
def test_a_name_in_another_encoding_is_heard(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"gespr\xe4ch.flac")
    with open(name, "wb") as file:
        file.write((DATA / "banglaser.flac").read_bytes())
    out = [b"--jsonl", name + b".jsonl", b"--report", name + b".html"]
    told = subprocess.run(
        [*COMMAND, "replay", name, *out], capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    assert told.returncode == 0, told.stderr
    with open(name + b".jsonl", "rb") as lines:
        assert lines.read().count(b"\n") > 5
    again = subprocess.run([*COMMAND, "replay", name + b".jsonl"], capture_output=True, check=False)
    assert again.stdout == told.stdout


def test_a_session_in_any_packing(tmp_path: Path) -> None:
    lines = livesr("replay", str(DATA / "banglaser.flac"), "--jsonl", "-").stdout
    (tmp_path / "a.jsonl").write_text(lines)
    plain = livesr("replay", str(tmp_path / "a.jsonl")).stdout
    assert plain.count(" dBFS\n") == lines.count("\n") > 5
    packings = {
        "a.json": lines.encode(),
        "utf-16.jsonl": lines.replace("\n", "\r\n").encode("utf-16"),
        "big.jsonl": b"\xfe\xff" + lines.encode("utf-16-be"),
        "a.jsonl.gz": gzip.compress(lines.encode()),
        "both.JSONL.GZ": gzip.compress(lines.encode("utf-16")),
        "cut.jsonl.gz": gzip.compress(lines.encode())[:-9],
        "cut.jsonl": (lines + lines[:70]).encode("utf-16")[:-1],
    }
    for name, data in packings.items():
        (tmp_path / name).write_bytes(data)
        told = livesr("replay", str(tmp_path / name))
        assert (told.stdout, told.returncode) == (plain, 0), (name, told.stderr)
    (tmp_path / "bad.jsonl.gz").write_bytes(b"\x1f\x8b" + b"no gzip at all, and long enough")
    told = livesr("replay", str(tmp_path / "bad.jsonl.gz"))
    assert told.returncode == 2 and told.stderr.count("\n") == 1


def test_options_of_sound_are_refused_for_a_session(tmp_path: Path) -> None:
    for option in (["--hop", "0.5"], ["--play"], ["--model", "acrnn-compact"]):
        told = livesr("replay", str(tmp_path / "a.jsonl"), *option)
        assert told.returncode == 2 and option[0] in told.stderr


@pytest.mark.slow
def test_a_decoder_s_own_notes_stay_off_the_terminal(tmp_path: Path) -> None:
    mp3 = tmp_path / "a.mp3"
    samples, rate = sf.read(CLIP, dtype="float32")
    sf.write(mp3, samples, rate, format="MP3")
    damaged = bytearray(mp3.read_bytes())
    for place in range(9000, len(damaged) - 100, 9000):
        damaged[place : place + 60] = bytes((7 * i + place) % 256 for i in range(60))
    mp3.write_bytes(damaged)
    told = subprocess.run([*COMMAND, "replay", mp3], capture_output=True, text=True, check=False)
    assert all(line.startswith("livesr: ") for line in told.stderr.splitlines())
