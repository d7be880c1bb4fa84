"""The command line's frame: entry points, short options, completion, what is built on top."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from livesr.__main__ import _of_extra
from livesr.errors import LivesrError
from livesr.version import __version__
from tests.helpers import commands


def livesr(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "livesr", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    assert livesr(option).stdout == f"livesr {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("replay",), ("listen",), ("bench",)])
def test_short_help_is_the_long_one(arguments: tuple[str, ...]) -> None:
    told = commands.livesr(*arguments, "-h")
    assert told.returncode == 0 and "Usage" in told.stdout
    assert told.stdout == commands.livesr(*arguments, "--help").stdout


@pytest.mark.parametrize("name", sorted(commands.commands()))
def test_a_usage_marks_each_argument_once(name: str) -> None:
    told = commands.livesr(*filter(None, [name]), "--help", COLUMNS="200").stdout
    usage = next(line for line in told.splitlines() if "Usage" in line)
    assert not re.search(r"\[\[|\{\[|\.\.\.[\]}]*\.\.\.", usage)
    assert not re.search(r"[\[{][a-z]+[\]}]", usage), "an argument is in capitals"
    assert "default: (" not in told


def test_completion_knows_commands_and_options() -> None:
    def completed(words: str) -> str:
        number = str(len(words.split(" ")) - 1)
        asked = {"_LIVESR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
        code = "import sys; sys.argv = ['livesr']; from livesr.__main__ import main; main()"
        told = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **asked},
        )
        return told.stdout

    assert completed("livesr rep").split() == ["replay"]
    assert "--jsonl" in completed("livesr replay --js")


def fails_with(name: str) -> Callable[..., None]:
    def command() -> None:
        __import__(name)

    return command


def test_a_missing_extra_is_one_sentence() -> None:
    with pytest.raises(LivesrError, match=r"pip install 'livesr\[serve\]'"):
        _of_extra("serve", fails_with("a_package_that_is_not_there"))()
    with pytest.raises(ModuleNotFoundError):  # a fault of livesr's own is not the user's
        _of_extra("serve", fails_with("livesr.not_there"))()
