"""The one thread of a listener: from the microphone's ring to readings and events."""

from __future__ import annotations

import logging
import math
import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from livesr.arrays import Float32
from livesr.errors import DeviceError
from livesr.event import PAUSED, Item
from livesr.files.recording import Recording
from livesr.microphone.capture import Capture
from livesr.microphone.devices import (
    ANSWER_SECONDS,
    LOCK,
    Device,
    abandon,
    find,
    in_background,
    in_time,
    refresh,
)
from livesr.microphone.stream import Microphone
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.settings import SAMPLE_RATE
from livesr.stages.samples import Mixdown

_MOST_BEHIND_SECONDS = 2.0  # of waiting sound; if more waits, the oldest hops are dropped
_BEHIND_AGAIN_SECONDS = 1.0  # down to this
_SILENT_SECONDS = 2.0  # of nothing but zeros, before an event says so
_UNUSED_INPUT_PEAK = 1e-4  # -80 dBFS: an input that nothing is plugged into stays below it
_POLL_SECONDS = 0.5
_ATTEMPT_POLL_SECONDS = 0.05
_RETRY_SECONDS = (0.25, 4.0)  # first and longest wait for a microphone that has gone
_PERMIT = {
    "darwin": "System Settings, Privacy & Security, Microphone",
    "win32": "Settings, Privacy & security, Microphone",
}
TOO_SLOW, GONE = "the machine was too slow", "the microphone had gone"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Command:
    """What another thread wants done, and the sound that had come when it said so."""

    do: Callable[[], list[Item]]
    microphone: Microphone | None
    frame: int


class Worker:
    """A microphone, the capture of its sound, and the commands of other threads.

    Commands are carried out in order, each after the sound that had come when it was given;
    the end is a command like any other, so none given before it is lost.

    Args:
        query: of the device, as for `find`.
        recognizer: a fresh one.
        record: where to record, or None.
        reconnect: wait for a device that goes, rather than raise.
        give: takes what came of it, in this thread.
        channel: the only input to use, counted from 1; None averages those that are opened.
        about: what the session's event says beside when it was started.

    Attributes:
        latencies: seconds from the arrival of a reading's last sound to the reading.
        microphone: the device in use; None before the first.
    """

    def __init__(
        self,
        query: int | str | None,
        recognizer: Recognizer,
        record: str | Path | None,
        reconnect: bool,
        give: Callable[[list[Item]], None],
        channel: int | None = None,
        about: Mapping[str, str | float | None] | None = None,
    ) -> None:
        self._about = dict(about or {})
        self._query, self._recognizer, self._record = query, recognizer, record
        self._reconnect, self._give, self._channel = reconnect, give, channel
        self.latencies: deque[float] = deque(maxlen=4096)
        self.microphone: Microphone | None = None
        self.capture = Capture(recognizer)
        self.paused = False
        self._skipped = 0  # frames since then
        self._waiting = ""  # for a device that has gone: in words
        self._silent = 0  # samples without sound, at 16 kHz
        self._mixdown = Mixdown(SAMPLE_RATE)
        self._cancelled = ""  # what is to be said of channels that cancel each other out
        self._device_lost = 0  # frames that the open device never delivered
        # Wake-ups of PortAudio's callback (None) and commands. Its `put` neither waits nor
        # raises, and the one queue keeps their order.
        self._queue: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._stopped = False  # in its turn
        self._ending = False  # the end was asked for: wait for no device

    def open(self) -> None:
        """Take the microphone, and the recording's file.

        Raises:
            DeviceError: if the microphone cannot be opened.
            LivesrError: if the recording cannot be made.
        """
        microphone = in_time(self._first, ANSWER_SECONDS, Microphone.close)
        try:
            recording = Recording(self._record) if self._record is not None else None
        except BaseException:
            microphone.close()
            raise
        self.capture = Capture(self._recognizer, recording)
        self.capture.begin(microphone.rate)
        self.microphone, self._mixdown = microphone, Mixdown(microphone.rate)
        self._about["started"] = datetime.now().astimezone().isoformat(timespec="milliseconds")
        self._give(self.capture.note_session(self._about) + self.capture.begin_profile())

    def _first(self) -> Microphone:
        with LOCK:
            return Microphone(find(self._query), self._wake, self._channel)

    def stop(self) -> None:
        """Have `run` return, from any thread."""
        self.command(self._stop)
        self._ending = True

    def command(self, command: Callable[[], list[Item]]) -> None:
        """Have `run` do this, from any thread."""
        microphone = self.microphone
        self._queue.put(_Command(command, microphone, microphone.ring.written if microphone else 0))

    def _wake(self) -> None:
        self._queue.put(None)

    @property
    def trouble(self) -> str:
        """Why nothing useful arrives now, in words; empty when all is well."""
        if self._waiting:
            return self._waiting
        microphone = self.microphone
        silent = microphone and self._silent > _SILENT_SECONDS * SAMPLE_RATE
        return silence(microphone) if microphone and silent else self._cancelled

    def run(self) -> None:
        """Process sound until `stop`.

        Raises:
            DeviceError: if the microphone goes and is not waited for.
        """
        microphone = self.microphone
        assert microphone is not None  # `open` came before
        try:
            while not self._stopped:
                self._obey(microphone, _POLL_SECONDS)
                if self._stopped:
                    break
                self._hear(microphone)
                if microphone.gone():
                    microphone = self._reopen(microphone)
            self._emit(self._count_pause())
        finally:
            microphone.close()
            self._emit(self.capture.finish())

    def _obey(self, microphone: Microphone, seconds: float) -> None:
        """Wait so long for a wake-up or a command, then carry out all there are."""
        until = time.monotonic() + seconds
        while not self._stopped:
            try:
                command = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            until = 0.0
            if command is None:
                continue
            # It is about what had been said before it. (A device that is back counts anew.)
            if command.microphone is microphone:
                self._hear(microphone, command.frame)
            self._emit(command.do())

    def _stop(self) -> list[Item]:
        self._stopped = True
        return []

    def pause(self) -> list[Item]:
        """A command: let the sound pass from now on."""
        self.paused = True
        return []

    def resume(self) -> list[Item]:
        """A command: go on; what passed is a gap."""
        self.paused = False
        return self._count_pause()

    def _count_pause(self) -> list[Item]:
        skipped, self._skipped = self._skipped, 0
        return self.capture.lose(skipped, PAUSED) if skipped else []

    def forget(self) -> list[Item]:
        """A command: another speaker from now on."""
        return self.capture.reset()

    def _hear(self, microphone: Microphone, end: int | None = None) -> None:
        """All sound that has arrived, or that before frame `end`.

        What a suspected loss holds up waits.
        """
        for at, lost in microphone.losses():
            self._hear_until(microphone, at)
            self._device_lost += lost
            if self.paused:
                self._skipped += lost
            else:
                self._emit(self.capture.lose(lost, f"{microphone.device.name} dropped it"))
        checked = microphone.checked
        self._hear_until(microphone, checked if end is None else min(end, checked))
        ring = microphone.ring
        # Not before the next reading may be due: waking at every callback costs more than it.
        due = self.capture.frame_of(self._recognizer.due / SAMPLE_RATE) + self.capture.held_back
        due = ring.read + microphone.rate // 10 if self.paused else due - self._device_lost
        microphone.wake_at = max(due, ring.written + 1)

    def _hear_until(self, microphone: Microphone, end: int) -> None:
        ring, rate = microphone.ring, microphone.rate
        if self.paused:
            self._skipped += max(0, end - ring.read)
            ring.read = max(end, ring.read)
            return
        hop = round(self._recognizer.hop * rate)
        behind = end - ring.read
        # A worker is not late before a whole hop has come, however long that is; and only sound
        # that has come can be dropped.
        if behind > max(_MOST_BEHIND_SECONDS * rate, 2 * hop):
            kept = max(_BEHIND_AGAIN_SECONDS * rate, hop)
            dropped = math.ceil((behind - kept) / hop) * hop
            ring.read += dropped
            _log.warning("%.2f s dropped: %s", dropped / rate, TOO_SLOW)
            self._emit(self.capture.lose(dropped, TOO_SLOW))
        while ring.read < end:
            gone, block = ring.pull(min(hop, end - ring.read))
            if gone:
                self._emit(self.capture.lose(gone, TOO_SLOW))
            self._emit(self.capture.push(block))
            self._watch_silence(microphone, block)

    def _watch_silence(self, microphone: Microphone, block: Float32) -> None:
        before = self._silent
        # An unused input still delivers faint noise.
        faint = np.float32(0 if microphone.hears_all else _UNUSED_INPUT_PEAK)
        sounds = bool(len(block)) and not bool((np.abs(block) <= faint).all())
        self._silent = 0 if sounds else before + len(block) * SAMPLE_RATE // microphone.rate
        if before <= _SILENT_SECONDS * SAMPLE_RATE < self._silent:
            self._emit(self.capture.note("silence", silence(microphone)))
        if self._mixdown.loses(block):
            self._cancelled = Mixdown.words(microphone.channels)
            self._emit(self.capture.note("silence", self._cancelled))

    def _reopen(self, old: Microphone) -> Microphone:
        """The microphone has gone: say so, and wait until it, or what stands in for it, is back.

        Returns:
            The new one; the old one where the end came first.

        Raises:
            DeviceError: if it is not to be waited for.
        """
        until = old.captured_until
        self._emit(self._count_pause())
        gone = f"{old.device.name} has gone"
        _log.warning("%s%s", gone, f": {old.fault!r}" if old.fault else "")
        self._emit(self.capture.note("device", gone))
        old.close()
        if not self._reconnect:
            raise DeviceError(f"{gone}; plug it in and listen again.")
        wait, longest = _RETRY_SECONDS
        self._waiting = f"{gone}; waiting for it"
        while True:
            self._obey(old, wait)
            if self._stopped:
                return old
            attempt = in_background(lambda: self._opened(old.device))
            while not attempt.done():  # commands are carried out meanwhile, however long it takes
                self._obey(old, _ATTEMPT_POLL_SECONDS)
                if self._stopped:
                    abandon(attempt, _discard)
                    return old
            if new := attempt.result():
                break
            wait = min(2 * wait, longest)
        self._waiting, self._cancelled = "", ""
        self._silent = self._device_lost = 0
        self.microphone, self._mixdown = new, Mixdown(new.rate)
        assert new.captured_from is not None  # `_opened` saw to it
        self._emit(self.capture.pause(max(0.0, new.captured_from - until), GONE))
        self._emit(self.capture.begin(new.rate))
        self._emit(self.capture.note("device", f"{new.device.name} is back"))
        return new

    def _opened(self, before: Device) -> Microphone | None:
        """The microphone opened again, or None where it does not deliver."""
        for look in (False, True):
            try:
                with LOCK:
                    # First as PortAudio knows it: looking anew ends every stream of the process.
                    if look and not refresh():
                        return None
                    try:
                        device = find(before.name, look=False)
                    except DeviceError:
                        device = find(self._query, look=False)
                    microphone = Microphone(device, self._wake, self._channel)
            except DeviceError as error:
                _log.debug("%s", error)
                continue
            while microphone.captured_from is None and not (microphone.gone() or self._ending):
                time.sleep(0.01)
            if microphone.captured_from is not None:
                return microphone
            microphone.close()
        return None

    def _emit(self, items: list[Item]) -> None:
        if not items:
            return
        now, microphone = time.monotonic(), self.microphone
        for item in items:
            if isinstance(item, Reading) and microphone:
                frame = self.capture.frame_of(item.end) - self._device_lost
                arrived = microphone.arrival(frame - 1)
                if arrived is not None and item.gap == 0:
                    self.latencies.append(now - arrived)
        self._give(items)


def _discard(microphone: Microphone | None) -> None:
    if microphone:
        microphone.close()


def silence(microphone: Microphone) -> str:
    """What it means that no sound arrives, the likeliest first, and where permission is given."""
    where = _PERMIT.get(sys.platform)
    permit = f"not permitted ({where})" if where else "not permitted"
    if microphone.hears_all:
        return f"only digital silence: the microphone may be muted or {permit}"
    return (
        f"{microphone.inputs} of {microphone.device.channels} are silent: the voice may be on "
        f"another input (--channel N, or channel=N), or the microphone may be muted or {permit}"
    )
