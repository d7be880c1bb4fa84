"""`livesr.listen()`: a microphone's readings, as they fall due."""

from __future__ import annotations

import atexit
import functools
import inspect
import math
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from livesr.errors import LivesrError
from livesr.event import PAUSED, Item
from livesr.microphone.devices import Device, check_query
from livesr.microphone.stream import Microphone
from livesr.microphone.worker import Worker
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.settings import HOP_SECONDS, SAMPLE_RATE
from livesr.stages.samples import check_channel
from livesr.version import __version__

if TYPE_CHECKING:  # most programs do without asyncio, and it takes long to load
    import asyncio

_MOST_WAITING = 8192  # items that a caller may leave untaken: half an hour's
_QUIET = (-120.0, -120.0)


class Listener:
    """A live microphone: a context manager, an iterator and an async iterator of `Reading`.

    Three threads: PortAudio's callback copies into a ring, one worker does all the work, and the
    caller takes readings when it likes. Iterating starts it if `with` did not. `stop`, `pause`,
    `resume`, `reset` and `mark` may be called from any thread and return at once (`stop` when
    the last reading is there); they are carried out in order, each after the sound that had
    come by then.

    Several iterators, async ones too, share the readings: each reading goes to one of them, in
    turn. A timeout on `anext()` loses nothing; the next call goes on.

    Args:
        device: number of an input, or words of its name; None is the system's default.
        model: as for `Recognizer`.
        hop: as for `Recognizer`.
        profile: as for `Recognizer`.
        adapt: as for `Recognizer`.
        record: a new .flac or .wav file for the sound; its replay gives the same readings.
        reconnect: wait for a microphone that goes; otherwise raise DeviceError.
        on_reading: called with each reading, in the worker's thread, instead of iterating. An
            async function is awaited in the event loop of `async with`, one call after another.
        channel: the only input of the device to use, counted from 1; None averages the first
            two (or all, where it opens in no other way).

    Attributes:
        missed: readings and events that were not taken in time, and dropped.

    Raises:
        ModelError: if the model cannot be used.
        DeviceError: if `device` cannot name one.
        AudioError: if `channel` is not the number of one.
        LivesrError: if the hop is not one of those that `Recognizer` takes.

    Example:
        >>> import livesr
        >>> with livesr.listen("vmic", record="me.flac") as listener:
        ...     for reading in listener:
        ...         if reading.end >= 1.0:
        ...             listener.stop()
        >>> next(livesr.replay("me.flac")).end
        0.25
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        model: str | Path | None = None,
        hop: float = HOP_SECONDS,
        profile: Profile | str | Path | None = None,
        adapt: bool = True,
        record: str | Path | None = None,
        reconnect: bool = True,
        on_reading: Callable[[Reading], object] | None = None,
        channel: int | None = None,
    ) -> None:
        query, channel = check_query(device), check_channel(channel)
        recognizer = Recognizer(model, hop=hop, profile=profile, adapt=adapt)
        loaded = recognizer._model  # a profile may have brought its own
        about: dict[str, str | float | None] = {
            "livesr": __version__,
            "model": loaded.info.name,
            "model_sha256": loaded.identity,
            "hop": recognizer.hop,
            "channel": channel,
            "profile": recognizer.profile.name if recognizer.profile else None,
        }
        self._worker = Worker(query, recognizer, record, reconnect, self._give, channel, about)
        self._on_reading = on_reading
        self._async = _is_async(on_reading)
        self._paused = False
        self._calls: asyncio.Task[None] | None = None  # of an async on_reading
        self.missed = 0
        self._items: deque[Item] = deque()
        self._arrived = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._turns: list[object] = []  # of the tasks that wait for a reading, in order
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._process = os.getpid()

    def start(self) -> Listener:
        """Open the microphone and listen.

        Raises:
            DeviceError: if it cannot be opened.
            LivesrError: if the recording cannot be made, this was started before, or
                `on_reading` is async and there is no event loop to await it.
        """
        if self._async:
            raise LivesrError(
                "on_reading is an async function, which only an event loop can await; use "
                "'async with livesr.listen(...)', or give a plain function."
            )
        return self._start(again=False)

    def _start(self, *, again: bool) -> Listener:
        self._check_process()
        with self._starting:
            if self._thread and again:
                return self
            if self._thread:
                raise LivesrError("This listener was started before; make another with listen().")
            self._worker.open()
            self._thread = threading.Thread(target=self._run, name="livesr", daemon=True)
            self._thread.start()
        atexit.register(self.stop)  # so that a program that just ends leaves a whole recording
        return self

    def stop(self) -> None:
        """End: process what has arrived, give the last readings, close the recording.

        Before the start, and after the end, it does nothing.
        """
        thread = self._thread
        if thread is None or os.getpid() != self._process:
            return
        self._worker.stop()
        if thread is not threading.current_thread():
            thread.join()
            atexit.unregister(self.stop)

    def pause(self) -> None:
        """Leave the sound out until `resume`; the clock goes on."""
        self._paused = True
        self._worker.command(self._worker.pause)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self._worker.command(self._worker.resume)

    def reset(self) -> None:
        """Forget the voice, as for another speaker; the clock goes on."""
        self._worker.command(self._worker.forget)

    def mark(self, text: str = "") -> None:
        """Note this moment, among the events and beside the recording.

        Raises:
            LivesrError: if `text` is no str.
        """
        if not isinstance(text, str):
            raise LivesrError(f"A mark's text is {text!r:.60}; give a str.")
        self._worker.command(lambda: self._worker.capture.note("mark", text))

    def teach(self, label: str) -> None:
        """Correct: what was said in the last 3 s was this; see `Recognizer.teach`.

        It is an event, also beside the recording, and an example in `profile`. Waits until it
        is done.

        Raises:
            ProfileError: as `Recognizer.teach`.
            LivesrError: before the start and after the end.
        """
        self._correct(lambda: self._worker.capture.teach(label))

    def untaught(self) -> None:
        """Take the last correction back.

        Raises:
            ProfileError: if there is none.
            LivesrError: before the start and after the end.
        """
        self._correct(self._worker.capture.untaught)

    def _correct(self, correction: Callable[[], list[Item]]) -> None:
        """Have the worker do it; its error is raised here."""
        if not self.running:
            raise LivesrError("Not listening, so there is nothing to correct.")
        done: Future[None] = Future()

        def command() -> list[Item]:
            try:
                items = correction()
            except LivesrError as error:
                done.set_exception(error)
                return []
            done.set_result(None)
            return items

        if threading.current_thread() is self._thread:  # in on_reading
            self._give(command())
        else:
            self._worker.command(command)
            while not done.done() and self.running:
                with suppress(TimeoutError):
                    done.exception(0.1)
        if not done.done():
            raise LivesrError("The listening ended before it was corrected.")
        done.result()

    @property
    def profile(self) -> Profile | None:
        """What is known of the voice, corrections included; a copy, to save. None: nothing."""
        return self._worker.capture.profile

    @property
    def labels(self) -> tuple[str, ...]:
        """What is judged: the model's emotions, or a profile's own words."""
        return self._worker.capture.labels

    def items(self, timeout: float | None = None) -> list[Item] | None:
        """Readings and events since the last call, oldest first.

        Args:
            timeout: seconds to wait for the first; None waits for ever.

        Returns:
            None when the listener has ended and everything was given.

        Raises:
            DeviceError: if the microphone has gone and is not waited for; after the last item.
        """
        self._check_process()
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
        """The microphone in use.

        Raises:
            LivesrError: before the start, when no microphone has been opened.
        """
        return self._microphone.device

    @property
    def _microphone(self) -> Microphone:
        microphone = self._worker.microphone
        if microphone is None:
            raise LivesrError(
                "This listener has not been started, so it has no microphone yet; use 'with', "
                "start() or a loop over it."
            )
        return microphone

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._thread is not None and not self._ended

    @property
    def paused(self) -> bool:
        """Whether it was paused, by the newest call of `pause` or `resume`."""
        return self._paused

    @property
    def trouble(self) -> str:
        """Why nothing useful arrives now, in words; empty when all is well."""
        return "" if self._ended else self._worker.trouble

    @property
    def dropped_seconds(self) -> float:
        """Of stream time that was lost, pauses not counted."""
        lost = self._worker.capture.lost
        return (lost.total() - lost[PAUSED]) / SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Stream time so far."""
        return self._worker.capture.seconds

    @property
    def rate(self) -> int:
        """The microphone's sample rate, Hz.

        Raises:
            LivesrError: as `device`.
        """
        return self._microphone.rate

    def latency(self, *percent: float) -> list[float]:
        """Percentiles of the seconds from a reading's last sound arriving to the reading."""
        newest = list(self._worker.latencies)
        return np.percentile(newest, percent).tolist() if newest else [math.nan] * len(percent)

    def level(self) -> tuple[float, float]:
        """Root mean square and peak of the newest 50 ms, dB re full scale, -120 or above.

        Both are -120 before the start, while paused, and after the end.
        """
        microphone = self._worker.microphone
        if microphone is None or self.paused or not self.running:
            return _QUIET
        newest = microphone.ring.newest(microphone.rate // 20)
        if not newest.size:
            return _QUIET
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
        import asyncio  # noqa: PLC0415

        await asyncio.to_thread(self._start, again=False)
        if self._async:
            self._calls = asyncio.create_task(self._call_async())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        import asyncio  # noqa: PLC0415

        await asyncio.to_thread(self.stop)
        if self._calls:
            await self._calls
        if kind is None and self._on_reading:
            self._raise()

    def __aiter__(self) -> AsyncIterator[Reading]:
        return _AsyncReadings(self)

    async def _next(self) -> Reading:
        """The next reading, for one of the tasks that wait; they take turns."""
        import asyncio  # noqa: PLC0415

        self._check_process()
        loop, turn = asyncio.get_running_loop(), object()
        self._turns.append(turn)
        try:
            while True:
                with self._arrived:
                    if self._turns[0] is turn:
                        while self._items:
                            item = self._items.popleft()
                            if isinstance(item, Reading):
                                return item
                    if self._ended and not self._items:
                        break
                    waiter = loop.create_future()
                    self._waiters.append((loop, waiter))
                await waiter
        finally:  # also where a timeout ends the wait: then it is another's turn
            self._turns.remove(turn)
            self._tell()
        self._raise()
        raise StopAsyncIteration

    async def _call_async(self) -> None:
        """Await an async `on_reading` for each reading; its error ends the listening."""
        assert self._on_reading is not None
        try:
            async for reading in self:
                await self._on_reading(reading)  # type: ignore[misc]
        except Exception as error:
            self._worker.stop()
            self._error = self._error or error

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
        atexit.unregister(self.stop)  # or a listener that ended would be kept for good

    def _give(self, items: list[Item]) -> None:
        if self._on_reading and not self._async:
            for item in items:
                if isinstance(item, Reading):
                    _refuse_awaitable(self._on_reading(item))
            return
        with self._arrived:
            self._items.extend(items)
            while len(self._items) > _MOST_WAITING:
                self._items.popleft()
                self.missed += 1
        self._tell()

    def _tell(self) -> None:
        """Wake all who wait; who finds nothing for it waits again."""
        with self._arrived:
            self._arrived.notify_all()
            waiters, self._waiters = self._waiters, []
        for loop, waiter in waiters:
            with suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(_wake, waiter)

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise LivesrError(
                "This listener belongs to the process that made it, not to one forked from it; "
                "make another with listen(), in a process started with 'spawn'."
            )


class _AsyncReadings:
    """The readings that one `async for` takes of a listener.

    An object rather than an async generator: a timeout that cancels `anext()` would end that.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._started = False  # by this loop, so that it ends with it

    def __aiter__(self) -> _AsyncReadings:
        return self

    async def __anext__(self) -> Reading:
        listener = self._listener
        if listener._thread is None:
            import asyncio  # noqa: PLC0415

            if listener._async:
                listener.start()  # which says what is missing
            self._started = True
            await asyncio.to_thread(listener._start, again=True)
        return await listener._next()

    def __del__(self) -> None:
        if self._started:
            self._listener._worker.stop()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # a timeout may have cancelled it
        waiter.set_result(None)


def _is_async(function: Callable[..., object] | None) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(function, "__call__", None)  # noqa: B004  (of an object that can be called)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _refuse_awaitable(result: Any) -> None:
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise LivesrError(
            "on_reading returned an awaitable, which is not awaited here; give an async function "
            "itself and use 'async with livesr.listen(...)'."
        )


def listen(
    device: int | str | None = None,
    *,
    model: str | Path | None = None,
    hop: float = HOP_SECONDS,
    profile: Profile | str | Path | None = None,
    adapt: bool = True,
    record: str | Path | None = None,
    reconnect: bool = True,
    on_reading: Callable[[Reading], object] | None = None,
    channel: int | None = None,
) -> Listener:
    """Listen to a microphone; see `Listener` for what is given and what comes back.

    Raises:
        ModelError: if the model cannot be used.
        DeviceError: if `device` cannot name one; from `with` or the iterator, if the microphone
            cannot be opened or goes.
        AudioError: if `channel` is not the number of one.

    Example:
        >>> readings = iter(listen("vmic"))  # starts the microphone; `with` also stops it
        >>> next(readings).end
        0.25
        >>> readings.close()
    """
    return Listener(
        device,
        model=model,
        hop=hop,
        profile=profile,
        adapt=adapt,
        record=record,
        reconnect=reconnect,
        on_reading=on_reading,
        channel=channel,
    )
