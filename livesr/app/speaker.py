"""A recording's sound on the system's output: the clock of a replay that is listened to."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import soxr

from livesr.app.gaps import Gaps
from livesr.arrays import Float32
from livesr.errors import DeviceError, LivesrError
from livesr.files.soundfile import SoundFile
from livesr.microphone.devices import portaudio, words
from livesr.microphone.watch import CallbackWatch

_BLOCKS = 8  # of half a second, decoded ahead
_MOST_CHANNELS = 2


class Speaker:
    """Plays a sound file; `now` is the stream time of what sounds at this moment.

    Args:
        opened: gives the file anew, to be read from its start.
        gaps: what the file leaves out of its stream.
        channel: the only one to play, counted from 1; None plays both of two, or the mean of more.

    Raises:
        DeviceError: if there is no output, or it cannot be opened.
        LivesrError: as `opened`.
    """

    def __init__(
        self,
        opened: Callable[[], SoundFile],
        gaps: Gaps | None = None,
        channel: int | None = None,
    ) -> None:
        self._opened, self._gaps, self._channel = opened, gaps or Gaps(), channel
        sd = portaudio()
        with opened() as sound:
            self._rate = sound.rate
            every = sound.channels if channel is None else 1
        self._channels = every if every <= _MOST_CHANNELS else 1
        self._called = 0.0  # when PortAudio last asked for sound, monotonic seconds
        self._watch = CallbackWatch()
        self._blocks: queue.Queue[Float32 | None] = queue.Queue(_BLOCKS)
        self._feeder: threading.Thread | None = None
        self._ended = threading.Event()
        self._rest: Float32 = np.zeros((0, self._channels), np.float32)
        self._at, self._frames, self._running, self._over = 0.0, 0, False, False
        try:
            own = round(sd.query_devices(kind="output")["default_samplerate"])
        except (sd.PortAudioError, ValueError) as error:
            raise DeviceError(f"There is no sound output ({error}).") from None
        for rate in dict.fromkeys((self._rate, own)):
            try:
                self._stream = sd.OutputStream(
                    samplerate=rate,
                    channels=self._channels,
                    dtype="float32",
                    callback=self._play,
                )
                self._out_rate: int = rate
                break
            except sd.PortAudioError as error:
                why = error
        else:
            raise DeviceError(f"The sound output cannot be opened ({why}).")

    def go(self, at: float) -> None:
        """Play from so many seconds of the stream on.

        Raises:
            DeviceError: if the output has gone; `now` likewise.
        """
        self.stop()
        at = self._gaps.to_sound(at)
        self._at, self._frames, self._over = at, 0, False
        self._rest = self._rest[:0]
        self._blocks, self._ended = queue.Queue(_BLOCKS), threading.Event()
        self._feeder = threading.Thread(
            target=self._feed, args=(at, self._blocks, self._ended), daemon=True
        )
        self._feeder.start()
        self._running, self._called = True, time.monotonic()
        try:
            self._stream.start()
        except portaudio().PortAudioError as error:
            raise DeviceError(f"The sound output cannot be started: {words(error)}.") from None

    def stop(self) -> None:
        self._at, self._frames = self._place(), 0
        self._running = False
        self._ended.set()
        with suppress(queue.Empty):  # a feeder that waits for room
            self._blocks.get_nowait()
        if self._feeder:
            self._feeder.join()
            self._feeder = None
        with suppress(portaudio().PortAudioError):
            if not self._stream.stopped:
                self._stream.abort()

    def now(self) -> float:
        if self._watch.dead(self._called) and self._running:
            raise DeviceError("The sound output has gone; replay again, or without --play.")
        return self._gaps.to_stream(self._place())

    def _place(self) -> float:
        """Seconds of the file."""
        if not self._running:
            return self._at
        # What the system still holds has not sounded yet.
        held = float(self._stream.latency)
        return self._at + max(0.0, self._frames / self._out_rate - held)

    def close(self) -> None:
        self.stop()
        self._stream.close()

    def _feed(self, at: float, blocks: queue.Queue[Float32 | None], ended: threading.Event) -> None:
        """In a thread of its own: the sound from there on, at the output's rate."""
        skipped = round(at * self._rate)
        resampler = (
            soxr.ResampleStream(self._rate, self._out_rate, self._channels, dtype="float32")
            if self._out_rate != self._rate
            else None
        )
        with suppress(LivesrError), self._opened() as sound:
            for block in sound.blocks():
                if ended.is_set():
                    return
                now = block[skipped:]
                skipped = max(0, skipped - len(block))
                if not len(now):
                    continue
                if self._channel is not None:
                    now = now[:, self._channel - 1, None]
                elif now.shape[1] != self._channels:
                    now = now.mean(axis=1, keepdims=True)
                if resampler:
                    now = resampler.resample_chunk(now).reshape(-1, self._channels)
                blocks.put(now)
        blocks.put(None)

    def _play(self, out: Any, count: int, _time: Any, _status: Any) -> None:
        """PortAudio's callback."""
        filled, self._called = 0, time.monotonic()
        while filled < count:
            if not len(self._rest):
                try:
                    block = None if self._over else self._blocks.get_nowait()
                except queue.Empty:
                    break  # late: silence that does not count
                if block is None:  # the end: silence that counts, until the readings are through
                    self._over = True
                    out[filled:] = 0
                    self._frames += count - filled
                    filled = count
                    break
                self._rest = block
            now = self._rest[: count - filled]
            out[filled : filled + len(now)] = now
            self._rest = self._rest[len(now) :]
            filled += len(now)
            self._frames += len(now)
        out[filled:] = 0
