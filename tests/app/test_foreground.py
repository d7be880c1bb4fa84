"""A stop by Ctrl-Z and a picture that is just being drawn."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from livesr.app.ui.foreground import Foreground

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no job control")


def stopping(monkeypatch: pytest.MonkeyPatch, foreground: Foreground) -> list[str]:
    """What happens, in order; the process itself is not stopped."""
    happened: list[str] = []
    monkeypatch.setattr(os, "kill", lambda *_: happened.append("stopped"))
    foreground.before_stop.append(lambda: happened.append("left"))
    return happened


def test_a_stop_waits_until_the_picture_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    with Foreground() as foreground:
        happened = stopping(monkeypatch, foreground)
        with foreground.undisturbed():
            signal.raise_signal(signal.SIGTSTP)
            happened.append("drawn")
        assert happened == ["drawn", "left", "stopped"]
        assert foreground.turns == 1
        with foreground.undisturbed():
            happened.append("drawn again")
    assert happened[3:] == ["drawn again"]


def test_between_two_pictures_it_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Foreground() as foreground:
        happened = stopping(monkeypatch, foreground)
        signal.raise_signal(signal.SIGTSTP)
        assert happened == ["left", "stopped"]


def test_a_picture_that_fails_lets_the_stop_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with Foreground() as foreground:
        happened = stopping(monkeypatch, foreground)
        with pytest.raises(OSError, match="closed"), foreground.undisturbed():
            signal.raise_signal(signal.SIGTSTP)
            raise OSError("closed")
        assert happened == ["left", "stopped"]
