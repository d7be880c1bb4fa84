"""How a run ends: by a signal with its status, in the middle of nothing; and the process whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import ray

from livesr.archive import pipeline
from livesr.archive.places import Place
from livesr.archive.run import _stoppable
from livesr.archive.signals import noted

ENDING = [signal.SIGTERM, signal.SIGINT]
if sys.platform != "win32":
    ENDING.append(signal.SIGHUP)


class Ended(BaseException):
    """Raised by a signal's handler, as SystemExit is."""


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As `tidy_end` sets them; another test's Ray may run in this process."""
    monkeypatch.setattr(ray, "shutdown", lambda: None)

    def end(number: int, _frame: object) -> None:
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_waits_until_ray_has_started(number: signal.Signals) -> None:
    """Ray sets a handler of its own on the way, which would end the process at once."""
    handler, done = signal.getsignal(number), []

    def start() -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
        signal.raise_signal(number)
        done.append("started")

    with pytest.raises(Ended) as ended:
        pipeline._start(start)
    assert ended.value.args == (number,)
    assert done == ["started"]
    assert signal.getsignal(number) is handler


def test_a_signal_waits_until_ray_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def shutdown() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("shut down")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    with pytest.raises(Ended), pipeline.cluster(1, None):
        pass
    assert done == ["shut down"]


def test_a_signal_ends_a_start_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def start() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise RuntimeError(f"Ray {pipeline._LATE}")

    with pytest.raises(Ended):
        pipeline._start(start)
    assert "once more" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_signal_that_is_ignored_stays_so() -> None:
    """As `nohup` asks."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with noted(held=True) as arrived:
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert arrived == []


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("made", [Ended, SystemExit(1), RuntimeError("the worker is gone")])
def test_the_status_is_the_signal_s_whatever_ray_makes_of_it(
    number: signal.Signals,
    made: BaseException | type[Ended],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, _stoppable(Place.of(str(tmp_path)), {"a", "b"}):
        try:
            signal.raise_signal(number)
        except Ended:
            raise made from None
    assert ended.value.code == 128 + number
    assert "livesr: stopped; 2 of 2 are left" in capsys.readouterr().err


def test_a_second_signal_ends_a_ray_that_hangs() -> None:
    with pytest.raises(Ended), noted(held=True) as arrived:
        signal.raise_signal(signal.SIGTERM)
        assert len(arrived) == 1
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("went on")


@pytest.mark.parametrize(("wanted", "status"), [({"a"}, 128 + signal.SIGTERM), (set(), None)])
def test_a_signal_that_raised_nothing_ends_what_is_not_done(
    tmp_path: Path, wanted: set[str], status: int | None
) -> None:
    """An exception of a handler is lost in a `__del__`, say."""
    code = None
    try:
        with _stoppable(Place.of(str(tmp_path)), wanted), suppress(Ended):
            signal.raise_signal(signal.SIGTERM)
    except SystemExit as ended:
        code = ended.code
    assert code == status


def test_what_no_signal_ended_is_raised(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="gone"),
        _stoppable(Place.of(str(tmp_path)), set()),
    ):
        raise RuntimeError("gone")


@pytest.mark.parametrize(
    ("name", "given", "status", "taken_down"),
    [
        ("livesr", "--version", 0, False),
        ("livesr", "nonsense", 2, False),
        ("others.py", "--version", 0, True),
    ],
)
def test_the_command_ends_before_arrow_s_threads_can_abort_it(
    tmp_path: Path, name: str, given: str, status: int, taken_down: bool
) -> None:
    """They may free an object while the interpreter is taken down; exit hooks run all the same."""
    (tmp_path / name).write_text(
        "import atexit, os, sys, pyarrow\n"
        "from livesr.__main__ import main\n"
        "class Last:\n"
        "    def __del__(self, write=os.write):\n"
        "        write(1, b'taken down')\n"
        "last = Last()\n"
        "atexit.register(print, 'hook')\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, str(tmp_path / name), given]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == status, told.stderr
    assert "hook\n" in told.stdout
    assert ("taken down" in told.stdout) is taken_down
