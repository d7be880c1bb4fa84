"""`livesr config`, what stands in the file, and --verbose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from livesr.app.config import VARIABLE, config_path
from tests.app.test_cli import livesr as process
from tests.helpers.commands import livesr
from tests.helpers.tiny import DATA
from tests.helpers.virtual import VirtualMicrophone

CLIP = str(DATA / "banglaser.flac")


class Config:
    """A user's config file, and livesr run with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return livesr(*arguments, **{VARIABLE: str(self.path)})

    def refused(self, *arguments: str) -> str:
        told = self(*arguments)
        assert told.returncode == 2
        assert told.stderr.startswith("livesr: ")
        assert told.stderr.count("\n") == 1
        return told.stderr


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "new" / "config.toml")


def readings(told: subprocess.CompletedProcess[str]) -> int:
    assert told.returncode == 0, told.stderr
    return len(told.stdout.splitlines())


def test_what_is_set_holds_and_the_command_line_wins(config: Config) -> None:
    replay = ("replay", CLIP, "--jsonl", "-")
    usual = readings(config(*replay))
    assert config("config", "hop", "0.5").returncode == 0
    half = readings(config(*replay))
    assert half == (usual + 1) // 2
    assert readings(config(*replay, "--hop", "0.25")) == usual
    config("config", "replay.hop", "0.25")  # of this command only
    assert readings(config(*replay)) == usual
    config("config", "replay.hop", "--unset")
    assert readings(config(*replay)) == half
    config("config", "hop", "--unset")
    assert readings(config(*replay)) == usual


def test_the_file_is_shown_and_keeps_its_comments(config: Config) -> None:
    shown = config("config").stdout
    assert str(config.path) in shown
    assert "there is none yet" in shown
    config.path.parent.mkdir()
    config.path.write_text('# mine\ndevice = "usb"  # the good one\n', encoding="utf-8")
    for key, value in (("device", "3"), ("listen.reconnect", "false"), ("model", "open")):
        assert config("config", key, value).returncode == 0
    text = config.path.read_text(encoding="utf-8")
    assert text.startswith("# mine\n")
    assert "# the good one" in text
    assert text.rstrip() in config("config").stdout
    assert config("config", "device").stdout == "3\n"
    assert config("config", "listen.reconnect").stdout == "false\n"
    config("config", "listen.reconnect", "--unset")
    assert "[listen]" not in config.path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hop = ", "is not TOML"),
        ('colour = "red"', "colour is an option of no command"),
        ('[replay]\ncolour = "red"', "livesr replay has no option colour"),
        ("[reply]\nhop = 1", "[reply] is not a command; there are replay, listen"),
        ('hop = "fast"', "hop = 'fast' cannot be"),
        ("hop = true", "hop = True is no value of --hop"),
        ("no-adapt = true", "write adapt = false"),
        ("[listen]\nno_adapt = true", "write adapt = false"),
        ("[listen]\nreconnect = 3", "listen.reconnect = 3 is neither true nor false"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(config: Config, text: str, told: str) -> None:
    config.path.parent.mkdir()
    config.path.write_text(text, encoding="utf-8")
    message = config.refused("models")
    assert told in message
    assert str(config.path) in message
    assert config("-V").returncode == 0
    assert config.path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "arguments",
    [
        ("colour", "red"),
        ("replay.colour", "red"),
        ("a.b.c", "1"),
        ("hop", "fast"),
        ("hop",),
        ("hop", "--unset"),
        ("--unset",),
        ("hop", "1", "--unset"),
    ],
)
def test_what_cannot_be_set(config: Config, arguments: tuple[str, ...]) -> None:
    config.refused("config", *arguments)
    assert not config.path.exists()


def test_an_error_names_the_options_that_came_from_the_file(config: Config) -> None:
    assert config("config", "hop", "99").returncode == 0
    told = config("replay", CLIP)
    assert told.returncode == 2
    assert "A hop of 99" in told.stderr
    assert f"From {config.path}: hop = 99" in told.stderr
    assert config("models").stderr == ""


def test_a_key_that_is_wrong_can_be_taken_out(config: Config) -> None:
    config.path.parent.mkdir()
    config.path.write_text("colour = 3\nhop = 0.5\n", encoding="utf-8")
    assert config("config", "colour", "--unset").returncode == 0
    assert config.path.read_text(encoding="utf-8") == "hop = 0.5\n"


def test_a_file_that_cannot_be_written(config: Config) -> None:
    config.path.parent.write_text("a file where a folder would be")
    assert "cannot be written" in config.refused("config", "hop", "0.5")


def test_where_the_file_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert config_path().parts[-2:] == ("livesr", "config.toml")


def test_a_value_is_no_table(config: Config) -> None:
    config.path.parent.mkdir()
    text = 'hop = 0.5\ndevice = "usb"\n'
    config.path.write_text(text, encoding="utf-8")
    for key in ("hop.replay", "device.us"):
        assert f"{key} is not set" in config.refused("config", key)
        config.refused("config", key, "--unset")
    assert config.path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link(config: Config, tmp_path: Path, exists: bool) -> None:
    real = tmp_path / "dotfiles" / "livesr.toml"
    config.path.parent.mkdir()
    config.path.symlink_to(real)
    if exists:
        real.parent.mkdir()
        real.write_text("# mine\n", encoding="utf-8")
    assert config("config", "hop", "0.5").returncode == 0
    assert config.path.is_symlink()
    assert "hop = 0.5" in real.read_text(encoding="utf-8")
    assert [path.name for path in real.parent.iterdir()] == [real.name]


def test_a_device_in_the_file(microphone: VirtualMicrophone, config: Config) -> None:
    config("config", "device", "vmic")
    told = config("listen", "--seconds", "1", "--jsonl", "-")
    assert readings(told) >= 4


def test_verbose_logs_to_standard_error(microphone: VirtualMicrophone) -> None:
    listen = ("listen", "--device", "vmic", "--seconds", "1", "--jsonl", "-")
    told = process("--verbose", *listen)
    assert told.returncode == 0
    assert "INFO livesr.microphone.stream: vmic opened: 44100 Hz, inputs 1 to 2" in told.stderr
    assert "livesr.microphone" not in told.stdout
    assert "livesr.microphone" not in process(*listen).stderr


NOWHERE = """
import os, pwd

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown  # as in a container that runs under any number
os.environ.pop("HOME")
os.environ.pop("XDG_CONFIG_HOME", None), os.environ.pop("XDG_DATA_HOME", None)
from livesr.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the user's folders are not found by HOME")
def test_a_user_without_a_home(tmp_path: Path) -> None:
    def run(*arguments: str, **named: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", NOWHERE, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, VARIABLE: "", "LIVESR_PROFILES": "", **named},
        )

    assert readings(run("replay", CLIP, "--jsonl", "-")) > 0  # it needs neither folder
    for command, variable in (
        (("config",), VARIABLE),
        (("profiles",), "LIVESR_PROFILES"),
        (("replay", CLIP, "--profile", "me"), "LIVESR_PROFILES"),
    ):
        told = run(*command)
        assert told.returncode == 2
        assert told.stderr == (
            f"livesr: This user has no home directory; set HOME, or {variable} to a path.\n"
        )
    assert run("profiles", LIVESR_PROFILES=str(tmp_path / "voices")).returncode == 0
    assert not list(tmp_path.iterdir())  # no folder called "~"


def test_a_device_or_a_pipe_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    pipe = Config(tmp_path / "pipe")
    os.mkfifo(pipe.path)
    for arguments in (("config",), ("config", "hop", "0.5"), ("models",)):
        assert "is not a file" in pipe.refused(*arguments)
    assert pipe.path.is_fifo()
    null = tmp_path / "null"
    null.symlink_to(os.devnull)
    assert Config(null)("models").returncode == 0
    assert "keeps nothing" in Config(null).refused("config", "hop", "0.5")
    assert null.is_char_device()


def test_an_option_stands_in_the_file_once_however_it_is_spelt(config: Config) -> None:
    config("config", "with_sound", "true")
    config("config", "with-sound", "false")
    assert config.path.read_text(encoding="utf-8") == "with_sound = false\n"
    config("config", "with-sound", "--unset")
    assert config.path.read_text(encoding="utf-8") == ""
    config.path.write_text("with_sound = true\nwith-sound = false  # why\n", encoding="utf-8")
    assert config("config", "with_sound").stdout == "false\n"
    config("config", "with_sound", "true")
    assert config.path.read_text(encoding="utf-8") == "with-sound = true  # why\n"


def test_nothing_beside_the_file_is_touched(config: Config, tmp_path: Path) -> None:
    config.path.parent.mkdir()
    mine = tmp_path / "mine"
    mine.write_text("precious")
    beside = config.path.with_name(f"{config.path.name}.new")
    beside.symlink_to(mine)
    assert config("config", "hop", "0.5").returncode == 0
    assert beside.is_symlink() and mine.read_text() == "precious"


@pytest.mark.skipif(os.name == "nt", reason="permissions are another matter there")
def test_the_file_keeps_its_permissions(config: Config) -> None:
    before = os.umask(0o027)
    try:
        config("config", "hop", "0.5")
        assert config.path.stat().st_mode & 0o777 == 0o640
        config.path.chmod(0o600)
        config("config", "hop", "1")
        assert config.path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_full_disk_leaves_the_file_as_it_was(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config("config", "hop", "0.5")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = config.refused("config", "hop", "1")
    assert "cannot be written (No space left on device) and is as it was" in message
    assert list(config.path.parent.iterdir()) == [config.path]
    assert config.path.read_text(encoding="utf-8") == "hop = 0.5\n"
