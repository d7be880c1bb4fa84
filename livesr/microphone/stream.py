"""An input device, opened."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from livesr.arrays import Float32
from livesr.errors import DeviceError
from livesr.microphone.devices import Device, in_time, portaudio, words
from livesr.microphone.ring import Ring
from livesr.microphone.watch import CallbackWatch
from livesr.stages.samples import RATES

_RING_SECONDS = 10
_LATENCY_SECONDS = 0.08  # asked of PortAudio: less drops sound when Python is busy, and costs more
_SLOTS = 1024  # callbacks remembered
_CLOSE_SECONDS = 3.0  # for a device to close; one that answers takes a tenth of a second
_JUMP_SECONDS = 0.1  # by which capture times must run ahead of the samples to be a loss
_CONFIRMED = 3  # callbacks in a row that must say so
_SETTLED = 20  # callbacks before any may


_log = logging.getLogger(__name__)


class Microphone:
    """An open device; its callback copies, counts and returns.

    Args:
        device: opened at its default rate, with two inputs or as many as it takes.
        wake: called by the callback when there is enough; it must not wait and must not raise.
        channel: the only input to use, counted from 1; None uses those that are opened.

    Attributes:
        wake_at: frames that are enough.
        channels: inputs that were opened.
        fault: what went wrong inside the callback, if anything did.
        captured_from: when the first frame was sound, monotonic seconds; None before it came.

    Raises:
        DeviceError: if PortAudio cannot open it, or it has no such channel.
    """

    def __init__(
        self, device: Device, wake: Callable[[], object], channel: int | None = None
    ) -> None:
        if channel is not None and channel > device.channels:
            raise DeviceError(
                f"{device.name} has no input {channel}; they are counted from 1 to "
                f"{device.channels}."
            )
        self.device, self.channel, self._wake = device, channel, wake
        self._ends = np.zeros(_SLOTS, np.int64)  # of each callback's block, frames
        self._arrived = np.zeros(_SLOTS)  # when it came, monotonic seconds
        self._captured = np.zeros(_SLOTS)  # when its first frame was sound, monotonic seconds
        self.captured_from: float | None = None
        self._count = 0  # callbacks so far
        self.wake_at = 0
        self._woken_at = -1  # the value of `wake_at` that was answered last
        self.fault: Exception | None = None
        self._closed = False
        self._seen = 0  # callbacks checked for losses
        self._suspect: list[float] = []
        self._suspect_at = 0
        self._drift = 0.0  # capture time of frame 0, as the newest blocks have it
        self._stream = self._open()
        self.rate: int = round(self._stream.samplerate)
        self.channels: int = self._stream.channels
        self.ring = Ring(_RING_SECONDS * self.rate, self.channels if channel is None else 1)
        try:
            self._stream.start()
        except portaudio().PortAudioError as error:
            self.close()
            raise DeviceError(f"{device.name} cannot be started: {words(error)}.") from None
        self._started, self._watch = time.monotonic(), CallbackWatch()
        _log.info("%s opened: %d Hz, %s", device.name, self.rate, self.inputs)

    @property
    def inputs(self) -> str:
        """Which of the device's inputs are used, in words."""
        if self.channel is not None:
            return f"input {self.channel}"
        return "input 1" if self.channels == 1 else f"inputs 1 to {self.channels}"

    @property
    def hears_all(self) -> bool:
        """Whether all of the device's inputs are used."""
        return self.device.channels <= (self.channels if self.channel is None else 1)

    def _open(self) -> Any:
        sd = portaudio()
        last: Exception | None = None
        for rate, channels in self._ways():
            try:
                return sd.InputStream(
                    samplerate=rate,
                    device=self.device.index,
                    channels=channels,
                    dtype="float32",
                    latency=_LATENCY_SECONDS,
                    callback=self._callback,
                )
            except (sd.PortAudioError, ValueError) as error:
                _log.debug(
                    "%s does not open: %d Hz, %d inputs: %s",
                    self.device.name,
                    rate,
                    channels,
                    words(error),
                )
                last = error
        raise DeviceError(
            f"{self.device.name} cannot be opened: {words(last)}. Another program may hold it, or "
            "this one may not be permitted to use it; 'livesr devices' lists the others."
        )

    def _ways(self) -> Iterator[tuple[int, int]]:
        """Rates and channels to try: the device's default rate first, no more than stereo first."""
        own, channels = self.device.rate, self.device.channels
        rates = dict.fromkeys(r for r in (own, 48000, 44100, 16000) if RATES[0] <= r <= RATES[1])
        if self.channel is None:
            counts = dict.fromkeys((min(2, channels), channels, 1))
        else:
            counts = dict.fromkeys((self.channel, channels))
        for rate in rates:
            for count in counts:
                yield rate, count

    def _callback(self, block: Float32, frames: int, times: Any, _status: Any) -> None:
        # sounddevice ends a stream whose callback raises, without a word to the program.
        try:
            self._take(block, frames, times)
        except Exception as error:
            self.fault = error

    def _take(self, block: Float32, frames: int, times: Any) -> None:
        now = time.monotonic()
        slot = self._count % _SLOTS
        self._ends[slot] = self.ring.written + frames
        self._arrived[slot] = now
        captured = times.inputBufferAdcTime
        self._captured[slot] = now - (times.currentTime - captured if captured else 0.0)
        if self.captured_from is None:
            self.captured_from = float(self._captured[slot])
        self.ring.push(block if self.channel is None else block[:, self.channel - 1, None])
        self._count += 1
        due = self.wake_at
        if self.ring.written >= due != self._woken_at:
            self._woken_at = due
            self._wake()

    def arrival(self, frame: int) -> float | None:
        """When the block that holds this frame came, monotonic seconds; None if forgotten."""
        count = self._count
        slots = np.arange(max(0, count - _SLOTS + 1), count) % _SLOTS
        ends = self._ends[slots]
        index = int(np.searchsorted(ends, frame, side="right"))
        if index == len(ends) or (index == 0 and count >= _SLOTS):
            return None
        return float(self._arrived[slots[index]])

    def losses(self) -> list[tuple[int, int]]:
        """Losses that PortAudio had before it called back: at which frame, how many frames.

        What a device drops shows as a jump of the time at which its sound was captured against
        the count of what it delivered. Each is reported once.
        """
        found = []
        for count in range(max(self._seen, self._count - _SLOTS + 1), self._count):
            slot = count % _SLOTS
            begin = int(self._ends[(count - 1) % _SLOTS]) if count else 0
            drift = float(self._captured[slot]) - begin / self.rate
            if count < _SETTLED:  # a device's first times are guesses
                self._drift = drift
            if drift < self._drift + _JUMP_SECONDS:
                # The two clocks differ a little; follow them.
                self._drift += 0.02 * (drift - self._drift)
                self._suspect.clear()
                continue
            self._suspect.append(drift)
            if len(self._suspect) == 1:
                self._suspect_at = begin
            if len(self._suspect) == _CONFIRMED:
                lost = min(self._suspect) - self._drift
                found.append((self._suspect_at, round(lost * self.rate)))
                self._drift += lost
                self._suspect.clear()
        self._seen = self._count
        return found

    @property
    def checked(self) -> int:
        """Frames that have come and hold no loss that is not reported yet."""
        if self._suspect:
            return self._suspect_at
        return int(self._ends[(self._seen - 1) % _SLOTS]) if self._seen else 0

    @property
    def captured_until(self) -> float:
        """When the newest frame was sound, monotonic seconds."""
        if not self._count:
            return self._started
        newest, before = (self._count - 1) % _SLOTS, (self._count - 2) % _SLOTS
        begin = int(self._ends[before]) if self._count > 1 else 0
        return float(self._captured[newest] + (self._ends[newest] - begin) / self.rate)

    def gone(self) -> bool:
        """Whether nothing will come any more; to be asked again and again."""
        if self.fault is not None:
            return True
        try:
            if not self._stream.active:
                return True
        except portaudio().PortAudioError:  # something else has ended PortAudio
            return True
        last = float(self._arrived[(self._count - 1) % _SLOTS]) if self._count else self._started
        return self._watch.dead(last)

    def close(self) -> None:
        """Give the device back; never fails, and waits no longer than some seconds."""
        if self._closed:
            return
        self._closed = True
        with suppress(DeviceError):  # the sound system hangs: that is logged
            in_time(self._close, _CLOSE_SECONDS, lambda _: None)

    def _close(self) -> None:
        with suppress(portaudio().PortAudioError):
            self._stream.abort(ignore_errors=True)
            self._stream.close(ignore_errors=True)
