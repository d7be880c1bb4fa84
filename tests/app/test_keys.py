"""Keys as a terminal sends them, and what it sends that is no key."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from livesr.app.ui.foreground import Foreground
from livesr.app.ui.keys import Keyboard

ANSWERS = "\x1b]11;rgb:1111/2222/3333\x1b\\\x1b[?62;22c"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal's other end; this end is standard input, and the process's own."""
    terminal, own = os.openpty()
    with open(own, closefd=False) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr(Foreground, "held", staticmethod(lambda _descriptor: True))
        yield terminal
    os.close(terminal)
    os.close(own)


def pressed(keyboard: Keyboard, terminal: int, *parts: str) -> list[str]:
    found = []
    for part in parts:
        os.write(terminal, part.encode())
        found += keyboard.pressed()
    return found


def test_keys_and_arrows(typing: int) -> None:
    keyboard = Keyboard(Foreground())
    keyboard.pressed()
    assert pressed(keyboard, typing, "q\x1b[C1", "\x1bOD", "\x1b[15~?") == [
        *"q",
        "right",
        *"1",
        "left",
        *"?",
    ]


@pytest.mark.parametrize("cut", range(1, len(ANSWERS)))
def test_a_late_answer_of_the_terminal_is_no_key(typing: int, cut: int) -> None:
    keyboard = Keyboard(Foreground())
    keyboard.pressed()
    assert pressed(keyboard, typing, ANSWERS[:cut], ANSWERS[cut:] + "m") == ["m"]


def test_an_escape_alone_does_not_hold_up_later_keys(typing: int) -> None:
    keyboard = Keyboard(Foreground())
    keyboard.pressed()
    assert pressed(keyboard, typing, "\x1b]") == []
    for _ in range(11):
        assert keyboard.pressed() == []
    assert pressed(keyboard, typing, "r") == ["r"]


def test_a_pipes_reader_has_the_keys(typing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(reader, closefd=True), open(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        keyboard = Keyboard(Foreground())
        assert pressed(keyboard, typing, "q") == []
