"""`livesr.listen()`: a microphone's readings, as they fall due."""

from __future__ import annotations

import atexit
import math
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np

from livesr.errors import LivesrError
from livesr.event import Item
from livesr.files.recording import RATE
from livesr.microphone.devices import Device
from livesr.microphone.worker import PAUSED, Worker
from livesr.reading import Reading
from livesr.recognizer import Recognizer

_MOST_WAITING = 8192  # items that a caller may leave untaken: half an hour's


class Listener:
    """A microphone being heard: a context manager, an iterator and an async iterator of Reading.

    Three threads: PortAudio's callback copies into a ring, one worker does all the work, and the
    caller takes readings when it likes. Iterating starts it if `with` did not. `stop`, `pause`,
    `resume`, `reset` and `mark` may be called from any thread and return at once (`stop` when
    the last reading is there).

    Args:
        device: number of an input, or words of its name; None is the system's default.
        model: as for `Recognizer`.
        hop: as for `Recognizer`.
        record: a new .flac or .wav file for what is heard; a replay of it says the same.
        reconnect: wait for a microphone that goes; otherwise raise DeviceError.
        on_reading: called with each reading, in the worker's thread, instead of iterating.

    Attributes:
        missed: readings and events that nobody took in time and that were dropped.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        model: str | Path | None = None,
        hop: float = 0.25,
        record: str | Path | None = None,
        reconnect: bool = True,
        on_reading: Callable[[Reading], object] | None = None,
    ) -> None:
        recognizer = Recognizer(model, hop=hop)
        self._worker = Worker(device, recognizer, record, reconnect, self._give)
        self._on_reading = on_reading
        self.missed = 0
        self._items: deque[Item] = deque()
        self._arrived = threading.Condition()
        self._notify: Callable[[], object] | None = None
        self._thread: threading.Thread | None = None
        self._ended = False
        self._error: BaseException | None = None

    def start(self) -> Listener:
        """Open the microphone and listen.

        Raises:
            DeviceError: if it cannot be opened.
            LivesrError: if the recording cannot be made, or this was started before.
        """
        if self._thread:
            raise LivesrError("This listener was started before; make another with listen().")
        self._worker.open()
        self._thread = threading.Thread(target=self._run, name="livesr", daemon=True)
        self._thread.start()
        atexit.register(self.stop)  # so that a program that just ends leaves a whole recording
        return self

    def stop(self) -> None:
        """End: hear what has arrived, give the last readings, close the recording."""
        self._worker.stop()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()
            atexit.unregister(self.stop)

    def pause(self) -> None:
        """Hear nothing until `resume`; the clock goes on."""
        self._worker.command(self._worker.pause)

    def resume(self) -> None:
        """Hear again."""
        self._worker.command(self._worker.resume)

    def reset(self) -> None:
        """Forget the voice, as for another speaker; the clock goes on."""
        self._worker.command(self._worker.forget)

    def mark(self, text: str = "") -> None:
        """Note this moment, among the events and beside the recording."""
        self._worker.command(lambda: self._worker.hearing.note("mark", text))

    def items(self, timeout: float | None = None) -> list[Item] | None:
        """Readings and events since the last call, oldest first.

        Args:
            timeout: seconds to wait for the first; None waits for ever.

        Returns:
            None when the listener has ended and everything was given.

        Raises:
            DeviceError: if the microphone has gone and is not waited for; after the last item.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: self._items or self._ended, timeout)
            if self._items or not self._ended:
                taken = list(self._items)
                self._items.clear()
                return taken
        self._raise()
        return None

    @property
    def device(self) -> Device:
        """The microphone in use."""
        return self._worker.microphone.device

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._thread is not None and not self._ended

    @property
    def paused(self) -> bool:
        """Whether it hears nothing on purpose."""
        return self._worker.paused

    @property
    def trouble(self) -> str:
        """Why nothing useful is heard just now; empty when all is well."""
        return "" if self._ended else self._worker.trouble

    @property
    def dropped_seconds(self) -> float:
        """Of stream time that was lost, pauses not counted."""
        lost = self._worker.hearing.lost
        return (lost.total() - lost[PAUSED]) / RATE

    @property
    def seconds(self) -> float:
        """Stream time heard so far."""
        return self._worker.hearing.seconds

    @property
    def rate(self) -> int:
        """Of the microphone, Hz."""
        return self._worker.microphone.rate

    def latency(self, *percent: float) -> list[float]:
        """Percentiles of the seconds from a reading's last sound arriving to the reading."""
        newest = list(self._worker.latencies)
        return np.percentile(newest, percent).tolist() if newest else [math.nan] * len(percent)

    def level(self) -> tuple[float, float]:
        """Root mean square and peak of the newest 50 ms, dB re full scale, -120 or above."""
        newest = self._worker.microphone.ring.newest(self.rate // 20)
        if not newest.size or self.paused:
            return -120.0, -120.0
        newest = np.clip(np.nan_to_num(newest), -100, 100)  # a device may deliver anything
        power, peak = float(np.mean(np.square(newest))), float(np.abs(newest).max())
        return 10 * math.log10(max(power, 1e-12)), 20 * math.log10(max(peak, 1e-6))

    def __enter__(self) -> Listener:
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if kind is None and self._on_reading:
            self._raise()

    def __iter__(self) -> Iterator[Reading]:
        with self if self._thread is None else nullcontext():
            while (items := self.items()) is not None:
                yield from (item for item in items if isinstance(item, Reading))

    async def __aenter__(self) -> Listener:
        import asyncio  # noqa: PLC0415  (most programs do without, and it takes long to load)

        return await asyncio.to_thread(self.start)

    async def __aexit__(self, kind: object, *rest: object) -> None:
        import asyncio  # noqa: PLC0415

        await asyncio.to_thread(self.__exit__, kind, *rest)

    async def __aiter__(self) -> AsyncIterator[Reading]:
        import asyncio  # noqa: PLC0415

        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        self._notify = lambda: loop.call_soon_threadsafe(arrived.set)
        own = self._thread is None
        if own:
            await asyncio.to_thread(self.start)
        try:
            while True:
                arrived.clear()
                items = self.items(timeout=0)
                if items is None:
                    return
                for item in items:
                    if isinstance(item, Reading):
                        yield item
                if not items:
                    await arrived.wait()
        finally:
            self._notify = None
            if own:
                await asyncio.to_thread(self.stop)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:
            self._error = error
        with self._arrived:
            self._ended = True
        self._tell()

    def _give(self, items: list[Item]) -> None:
        if self._on_reading:
            for item in items:
                if isinstance(item, Reading):
                    self._on_reading(item)
            return
        with self._arrived:
            self._items.extend(items)
            while len(self._items) > _MOST_WAITING:
                self._items.popleft()
                self.missed += 1
        self._tell()

    def _tell(self) -> None:
        with self._arrived:
            self._arrived.notify_all()
        if notify := self._notify:
            with suppress(RuntimeError):  # the loop has closed
                notify()


def listen(
    device: int | str | None = None,
    *,
    model: str | Path | None = None,
    hop: float = 0.25,
    record: str | Path | None = None,
    reconnect: bool = True,
    on_reading: Callable[[Reading], object] | None = None,
) -> Listener:
    """Listen to a microphone; see `Listener` for what is given and what comes back.

    Raises:
        ModelError: if the model cannot be used.
        DeviceError: from `with` or the iterator, if the microphone cannot be opened or goes.
    """
    return Listener(
        device, model=model, hop=hop, record=record, reconnect=reconnect, on_reading=on_reading
    )
