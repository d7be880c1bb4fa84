"""A recording on the screen: in step with a clock, and moved through by keys."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from livesr.app.exit_status import ExitStatus
from livesr.app.terminal import FRAME_SECONDS, OutputRun
from livesr.app.ui.view import View
from livesr.errors import LivesrError
from livesr.event import Item
from livesr.reading import Reading

KEYS = "q quit  space pause  ←→ 5 s  . step  ? help"
_JUMP_SECONDS = 5.0
_KEPT = 4000  # items that one can go back over: a quarter of an hour at four readings a second


class Clock(Protocol):
    """What a playback keeps in step with; it stands until it is told to go."""

    def go(self, at: float) -> None:
        """Run from so many seconds of the recording on."""

    def stop(self) -> None:
        """Stand still."""

    def now(self) -> float:
        """Seconds of the recording."""

    def close(self) -> None:
        """It is needed no more."""


class RealTime:
    """A clock that runs as a microphone's stream would.

    Args:
        ticks: seconds from any beginning on.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks, self._at = ticks, 0.0
        self._since: float | None = None  # it stands

    def go(self, at: float) -> None:
        self._at, self._since = at, self._ticks()

    def stop(self) -> None:
        self._at, self._since = self.now(), None

    def now(self) -> float:
        return self._at + (0.0 if self._since is None else self._ticks() - self._since)

    def close(self) -> None:
        """Nothing is held."""


class Playback:
    """The items of a recording, each taken once, when its time has come.

    Going back shows again what was taken; no output gets it twice.

    Args:
        items: in order of time.
        run: takes them.
        view: the run's.
        clock: None to go as fast as the machine does.
        sleep: waits so many seconds.
        start: seconds of the recording at which it begins.
    """

    def __init__(
        self,
        items: Iterable[Item],
        run: OutputRun,
        view: View,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        start: float = 0.0,
    ) -> None:
        self._items, self._output_run, self._view = iter(items), run, view
        self._clock, self._sleep = clock, sleep
        self._kept: deque[Item] = deque(maxlen=_KEPT)
        self._behind = 0  # how many of the kept are yet to be shown again
        self._next: Item | None = None
        self._start = start
        self._place = start  # seconds that are shown
        self._paused = self._quit = False

    def run(self) -> ExitStatus:
        """Until the end, or a key, or until no output is left.

        Raises:
            LivesrError: if there was no reading; what fails after a reading is status 3.
        """
        run = self._output_run
        with run:
            try:
                self._go()
                turn = run.turns
                while not self._quit and not run.unread:
                    for key in run.keyboard.pressed():
                        self._obey(key)
                    if turn != run.turns:  # stopped by Ctrl-Z meanwhile
                        turn = run.turns
                        self._go()
                    if not self._paused and not self._advance():
                        break
                    run.paint()
                    self._wait()
            except LivesrError as error:
                if not run.began:
                    raise
                run.fail(error)
            finally:
                if self._clock:
                    self._clock.close()
        return run.status

    def _advance(self) -> bool:
        """Show what is due; False at the end."""
        if self._clock is None:
            return self._show_next()
        self._place = max(self._place, self._clock.now())
        return self._show_until(self._place)

    def _show_until(self, place: float) -> bool:
        while self._due() <= place:
            if not self._show_next():
                return False
        return True

    def _due(self) -> float:
        """The time of the next item; of the end, minus infinity."""
        item = self._kept[-self._behind] if self._behind else self._ahead()
        if item is None:
            return float("-inf")
        return _time(item)

    def _ahead(self) -> Item | None:
        """The next item that was not taken yet."""
        if self._next is None:
            self._next = next(self._items, None)
        return self._next

    def _show_next(self) -> bool:
        if self._behind:
            item: Item | None = self._kept[-self._behind]
            self._behind -= 1
            if item is not None:
                self._view.take(item)
        elif (item := self._ahead()) is not None:
            self._next = None
            self._kept.append(item)
            self._output_run.take(item)
        if isinstance(item, Reading):
            self._place = max(self._place, item.end)
        return item is not None

    def _wait(self) -> None:
        if self._paused:
            self._sleep(FRAME_SECONDS)
        elif self._clock:
            self._sleep(min(FRAME_SECONDS, max(0.0, self._due() - self._clock.now())))

    def _obey(self, key: str) -> None:
        if self._output_run.obey(key):
            return
        if key in ("q", "Q"):
            self._quit = True
        elif key == " ":
            self._pause(not self._paused)
        elif key == ".":
            self._pause(True)
            while self._due() > float("-inf"):
                before = self._place
                self._show_next()
                if self._place > before:
                    break
        elif key == "right":
            self._jump(self._place + _JUMP_SECONDS)
        elif key == "left":
            self._jump(self._place - _JUMP_SECONDS)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        self._view.notice = "paused; space goes on" if paused else ""
        if paused and self._clock:
            self._clock.stop()
        elif not paused:
            self._go()

    def _go(self) -> None:
        if self._clock and not self._paused:
            self._clock.go(self._place)

    def _jump(self, place: float) -> None:
        if self._clock is None:
            self._pause(True)
        if place < self._place:
            full = len(self._kept) == _KEPT  # before its oldest, nothing can be shown any more
            self._place = max(place, _time(self._kept[0]) if full else self._start)
            shown = [item for item in self._kept if _time(item) <= self._place]
            self._behind = len(self._kept) - len(shown)
            self._view.clear()
            for item in shown:
                self._view.take(item)
        else:
            self._show_until(place)
            self._place = place if self._due() > float("-inf") else self._place
        self._view.now = self._place
        self._go()


def _time(item: Item) -> float:
    return item.end if isinstance(item, Reading) else item.at
