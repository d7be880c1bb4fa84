"""The inference thread of a worker: `push_all` over the voices that have a hop due.

It never waits to fill a batch. A round takes the voices whose hops have waited longest, a few at a
time: more of them would not share a call of the network, and would only wait for each other's
readings. In a round every voice gets at most one hop, so that a client that sends faster than real
time does not delay the others. A `skip` makes several readings at once; its voice then rests for as
many rounds, while others have something to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from livesr.arrays import Array
from livesr.batch import push_all
from livesr.errors import LivesrError
from livesr.serve.protocol import ErrorMessage
from livesr.serve.voice import Outgoing, Voice
from livesr.stages.model_stream import TOGETHER

logger = logging.getLogger("livesr.serve")
_Drawn = tuple[Voice, Array, float]  # samples, and when they arrived
Deliver = Callable[[list[tuple[Voice, list[Outgoing]]]], None]


class Observer(Protocol):
    """Is called by the engine, in its thread."""

    def inferred(self, voices: int, seconds: float, inference: float, readings: int) -> None:
        """After a call of `push_all`: its voices, their seconds of sound, its duration."""


class Engine:
    """Runs inference for all voices of this process, in a thread of its own.

    Args:
        deliver: gets the messages of a round, in the engine's thread.
        observer: counts.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        deliver: Deliver,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deliver, self._observer, self._clock = deliver, observer, clock
        self._ready: dict[Voice, None] = {}  # in the order in which their hops became due
        self._rounds = 0  # so far
        self._calls: list[Callable[[], None]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current round, and wait for it."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def poke(self, voice: Voice) -> None:
        """This voice has something to do; may be called from any thread."""
        with self._wake:
            self._ready[voice] = None
            self._wake.notify()

    def call(self, function: Callable[[], None]) -> None:
        """Call this in the engine's thread before its next round; may be called from any thread."""
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
                ready = self._next()
                for voice in ready:
                    del self._ready[voice]
                calls, self._calls = self._calls, []
            for call in calls:
                try:
                    call()
                except Exception:
                    logger.exception("a call in the engine failed")
            if ready:
                self.round(ready)

    def _next(self) -> list[Voice]:
        """The voices of the next round; one alone if all of them are to rest."""
        rested = (voice for voice in self._ready if voice.rests_until <= self._rounds)
        return list(islice(rested, TOGETHER)) or list(islice(self._ready, 1))

    def round(self, voices: list[Voice]) -> None:
        """Process the next hop, or the next commands, of each of these voices."""
        told: dict[Voice, list[Outgoing]] = {voice: [] for voice in voices}
        drawn: dict[tuple[int, Voice | None], list[_Drawn]] = defaultdict(list)
        now = self._clock()
        for voice in voices:
            try:
                before = voice.readings
                told[voice] += voice.run_commands()
                if skipped := voice.readings - before:  # by the client's own `skip`
                    voice.rests_until = self._rounds + skipped
                if voice.ended:
                    continue
                told[voice] += voice.lose_stale(now)
                if (chunk := voice.draw()) is not None:
                    samples, arrived, bad = chunk
                    if bad:
                        told[voice].append(Outgoing(_bad_samples(bad)))
                    group = voice.update.sample_rate, voice if voice.apart else None
                    drawn[group].append((voice, samples, arrived))
            except Exception as error:
                told[voice].append(self._broken(voice, error))
        for (rate, _), voices_drawn in drawn.items():
            self._infer(rate, voices_drawn, told)
        self._rounds += 1
        made = [(voice, messages) for voice, messages in told.items()]
        self._deliver(made)
        for voice in voices:
            if voice.due:
                self.poke(voice)

    def _infer(self, rate: int, group: list[_Drawn], told: dict[Voice, list[Outgoing]]) -> None:
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
        self._observer.inferred(len(group), seconds, took, sum(map(len, found)))
        for (voice, samples, arrived), readings in zip(group, found, strict=True):
            told[voice] += voice.pushed(samples, readings, arrived)

    def _broken(self, voice: Voice, error: Exception) -> Outgoing:
        """An unexpected error: this voice ends, the others continue."""
        voice.ended = True
        if not isinstance(error, LivesrError):
            logger.error("a voice failed", exc_info=error)
        text = f"The server failed ({error!s:.200}); begin a new session."
        return Outgoing(ErrorMessage(code="internal", message=text, fatal=True))


def _bad_samples(count: int) -> ErrorMessage:
    text = (
        f"{count} samples were not finite, or beyond 100 times full scale; they count as silence. "
        "Send f32le in [-1, 1]."
    )
    return ErrorMessage(code="bad_samples", message=text)
