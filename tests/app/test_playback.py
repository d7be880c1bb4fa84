"""Keys in a replay, and a clock that stops and jumps: what is shown, and what outputs get."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livesr.app.exit_status import ExitStatus
from livesr.app.outputs import Outputs
from livesr.app.playback import Playback, RealTime
from livesr.app.terminal import OutputRun
from livesr.app.ui.foreground import Foreground
from livesr.app.ui.keys import Keyboard
from livesr.app.ui.view import View
from livesr.errors import AudioError
from livesr.event import Event, Item
from livesr.files.jsonl import readings_from_jsonl
from livesr.reading import Reading
from tests.app.test_ui import reading

READINGS = [reading(0.25 * k) for k in range(1, 81)]  # 20 s
ITEMS: list[Item] = [*READINGS[:40], Event("mark", 10.1), *READINGS[40:]]
ALL = [item.to_dict() for item in ITEMS]


class Hands(Keyboard):
    """Types keys when the shown time is reached, in place of a keyboard."""

    def __init__(self, view: View, *strokes: tuple[float, str]) -> None:
        super().__init__(Foreground())
        self._view, self._strokes = view, list(strokes)
        self.seen: list[float] = []

    def pressed(self) -> list[str]:
        end = self._view.readings[-1].end if self._view.readings else 0.0
        self.seen.append(end)
        keys = []
        while self._strokes and self._strokes[0][0] in (end, -1.0):
            keys.append(self._strokes.pop(0)[1])
        return keys


class Run:
    """A playback with a clock of its own; what it showed and wrote."""

    def __init__(
        self, folder: Path, *strokes: tuple[float, str], paced: bool = True, start: float = 0.0
    ) -> None:
        self.view = View("a.flac", "tiny")
        self.waited = self._now = 0.0
        self.out = folder / "out.jsonl"
        output_run = OutputRun(self.view, Outputs(jsonl=str(self.out), force=True))
        self.hands = Hands(self.view, *strokes)
        output_run.keyboard = self.hands
        clock = RealTime(lambda: self._now) if paced else None
        items = iter(item for item in ITEMS if not isinstance(item, Reading) or item.end > start)
        playback = Playback(items, output_run, self.view, clock, self._sleep, start)
        self.status = playback.run()

    def _sleep(self, seconds: float) -> None:
        self._now += max(seconds, 1e-3)  # as no system sleeps for nothing

    @property
    def took(self) -> float:
        return self._now

    def written(self) -> list[Any]:
        return [item.to_dict() for item in readings_from_jsonl(self.out)]


def test_in_step_with_its_clock(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.status is ExitStatus.DONE
    assert run.took == pytest.approx(20.0, abs=0.1)
    assert run.written() == ALL
    assert sorted(set(run.hands.seen)) == [0.0, *(item.end for item in READINGS[:-1])]


def test_without_a_clock_as_fast_as_it_goes(tmp_path: Path) -> None:
    run = Run(tmp_path, paced=False)
    assert run.took == 0.0
    assert run.written() == ALL


def test_space_pauses_and_goes_on(tmp_path: Path) -> None:
    waits = [(-1.0, "") for _ in range(100)]
    run = Run(tmp_path, (5.0, " "), *waits[:1], (5.0, " "))
    assert run.written() == ALL
    assert run.view.notice == ""


@pytest.mark.parametrize("paced", [True, False])
def test_left_shows_again_and_writes_nothing_twice(tmp_path: Path, paced: bool) -> None:
    strokes = [(12.0, "left"), (7.0, " ")] if not paced else [(12.0, "left")]
    run = Run(tmp_path, *strokes, paced=paced)
    seen = run.hands.seen
    assert seen[seen.index(12.0) + 1] == 7.0
    assert seen.count(9.0) >= 2
    assert run.written() == ALL
    if paced:
        assert run.took == pytest.approx(25.0, abs=0.1)
    assert len(run.view.events) == 1


def test_right_jumps_and_writes_what_lies_between(tmp_path: Path) -> None:
    run = Run(tmp_path, (2.0, "right"), (7.0, "right"))
    assert run.written() == ALL
    assert run.took == pytest.approx(10.0, abs=0.2)
    assert 5.0 not in run.hands.seen


def test_left_at_the_beginning_and_right_at_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path, (1.0, "left"), (19.0, "right"))
    assert run.written() == ALL
    assert run.took == pytest.approx(20.0, abs=0.2)


def test_left_goes_no_further_back_than_the_start(tmp_path: Path) -> None:
    run = Run(tmp_path, (9.0, "left"), start=8.0)
    assert run.took == pytest.approx(13.0, abs=0.2)  # 12 s from 8 to 20, and 8 to 9 once more


def test_a_dot_is_one_reading_on(tmp_path: Path) -> None:
    run = Run(tmp_path, (3.0, "."), (3.25, "."), (3.5, "."), (3.75, "q"))
    assert run.status is ExitStatus.DONE
    assert run.view.readings[-1].end == 3.75
    assert run.written() == ALL[:15]


def test_q_ends_and_what_was_heard_is_whole(tmp_path: Path) -> None:
    run = Run(tmp_path, (3.0, "q"))
    assert run.written() == ALL[:12]


def test_a_question_mark_opens_and_closes_the_legend(tmp_path: Path) -> None:
    assert Run(tmp_path, (3.0, "?"), (4.0, "q")).view.legend
    assert not Run(tmp_path, (3.0, "?"), (3.25, "?"), (4.0, "q")).view.legend


def test_an_error_after_a_reading_is_status_3_and_before_one_is_raised(tmp_path: Path) -> None:
    def broken(count: int) -> Iterator[Item]:
        yield from READINGS[:count]
        raise AudioError("broken")

    view = View("a", "b")
    output_run = OutputRun(view, Outputs(csv=str(tmp_path / "a.csv")))
    assert Playback(broken(3), output_run, view).run() is ExitStatus.PARTLY
    with pytest.raises(AudioError):
        Playback(broken(0), OutputRun(view, Outputs(csv=str(tmp_path / "b.csv"))), view).run()
    assert not (tmp_path / "b.csv").exists()


def test_going_back_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livesr.app.playback._KEPT", 8)
    run = Run(tmp_path, (12.0, "left"))
    seen = run.hands.seen
    assert seen[seen.index(12.0) + 1] >= 10.0
    assert dataclasses.asdict(run.view.readings[-1])["end"] == 20.0
    assert run.written() == ALL
