"""The one thread of a worker that hears: `push_all` over whichever voices have a hop due.

It never waits to fill a batch. In a round every voice gets at most one hop, so a client that
sends faster than real time takes what the others leave.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from livesr.arrays import Array
from livesr.batch import push_all
from livesr.errors import LivesrError
from livesr.serve.protocol import ErrorMessage
from livesr.serve.voice import Told, Voice

logger = logging.getLogger("livesr.serve")
Deliver = Callable[[list[tuple[Voice, list[Told]]]], None]


class Observer(Protocol):
    """Told by the engine what it did, in its thread."""

    def heard(self, voices: int, seconds: float, inference: float, readings: int) -> None:
        """A call of `push_all` for so many voices with so many seconds of sound together."""


class Engine:
    """Hears all voices of this process, in a thread of its own.

    Args:
        deliver: takes what a round made, in the engine's thread.
        observer: counts.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        deliver: Deliver,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deliver, self._observer, self._clock = deliver, observer, clock
        self._ready: dict[Voice, None] = {}
        self._calls: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that runs, and wait for it."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def poke(self, voice: Voice) -> None:
        """This voice has something due; from any thread."""
        with self._wake:
            self._ready[voice] = None
            self._wake.notify()

    def call(self, function: Callable[[], None]) -> None:
        """Have the engine's thread call this before its next round; from any thread."""
        with self._wake:
            self._calls.append(function)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._ready or self._calls or self._stopping):
                    self._wake.wait()
                if self._stopping:
                    return
                ready, self._ready = list(self._ready), {}
                calls, self._calls = self._calls, []
            for call in calls:
                try:
                    call()
                except Exception:
                    logger.exception("a call in the engine failed")
            if ready:
                self.round(ready)

    def round(self, voices: list[Voice]) -> None:
        """A hop, or the commands that are next, of each of these voices."""
        told: dict[Voice, list[Told]] = {voice: [] for voice in voices}
        drawn: dict[int, list[tuple[Voice, Array, float]]] = defaultdict(list)
        now = self._clock()
        for voice in voices:
            try:
                told[voice] += voice.obey()
                if voice.ended:
                    continue
                told[voice] += voice.lose_stale(now)
                if (chunk := voice.draw()) is not None:
                    samples, arrived, bad = chunk
                    if bad:
                        told[voice].append(Told(_bad_samples(bad)))
                    drawn[voice.update.sample_rate].append((voice, samples, arrived))
            except Exception as error:
                told[voice].append(self._broken(voice, error))
        for rate, group in drawn.items():
            self._hear(rate, group, told)
        made = [(voice, messages) for voice, messages in told.items()]
        self._deliver(made)
        for voice in voices:
            if voice.due:
                self.poke(voice)

    def _hear(
        self, rate: int, group: list[tuple[Voice, Array, float]], told: dict[Voice, list[Told]]
    ) -> None:
        began = time.perf_counter()
        try:
            found = push_all(
                [voice.recognizer for voice, _, _ in group],
                [samples for _, samples, _ in group],
                rate,
            )
        except Exception as error:
            for voice, _, _ in group:
                told[voice].append(self._broken(voice, error))
            return
        took = time.perf_counter() - began
        seconds = sum(len(samples) for _, samples, _ in group) / rate
        self._observer.heard(len(group), seconds, took, sum(map(len, found)))
        for (voice, samples, arrived), readings in zip(group, found, strict=True):
            told[voice] += voice.heard(samples, readings, arrived)

    def _broken(self, voice: Voice, error: Exception) -> Told:
        """Something that should not be: this voice ends, the others go on."""
        voice.ended = True
        if not isinstance(error, LivesrError):
            logger.error("a voice failed", exc_info=error)
        text = f"The server failed ({error!s:.200}); begin a new session."
        return Told(ErrorMessage(code="internal", message=text, fatal=True))


def _bad_samples(count: int) -> ErrorMessage:
    text = (
        f"{count} samples were not finite, or beyond 100 times full scale; they were heard as "
        "silence. Send f32le in [-1, 1]."
    )
    return ErrorMessage(code="bad_samples", message=text)
