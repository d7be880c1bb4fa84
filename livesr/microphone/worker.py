"""What the listener's one thread does: from the microphone's ring to readings and events."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from livesr.arrays import Float32
from livesr.errors import DeviceError, LivesrError
from livesr.event import Item
from livesr.files.recording import RATE, Recording
from livesr.microphone.capture import Capture
from livesr.microphone.devices import Device, find, refresh
from livesr.microphone.stream import Microphone
from livesr.reading import Reading
from livesr.recognizer import Recognizer

_MOST_BEHIND_SECONDS = 2.0  # of sound not yet heard; more, and the oldest hops are dropped
_BEHIND_AGAIN_SECONDS = 1.0  # down to this
_MUTED_SECONDS = 2.0  # of nothing but zeros
_POLL_SECONDS = 0.5
_RETRY_SECONDS = (0.25, 4.0)  # first and longest wait for a microphone that has gone
_PERMIT = {
    "darwin": "System Settings, Privacy & Security, Microphone",
    "win32": "Settings, Privacy & security, Microphone",
}
TOO_SLOW, GONE, PAUSED = "the machine was too slow", "the microphone had gone", "paused"


class Worker:
    """A microphone, what is heard of it, and the commands of other threads.

    Args:
        query: of the device, as for `find`.
        recognizer: a fresh one.
        record: where to record, or None.
        reconnect: wait for a device that goes, rather than raise.
        give: takes what came of it, in this thread.

    Attributes:
        latencies: seconds from the arrival of a reading's last sound to the reading.
    """

    def __init__(
        self,
        query: int | str | None,
        recognizer: Recognizer,
        record: str | Path | None,
        reconnect: bool,
        give: Callable[[list[Item]], None],
    ) -> None:
        self._query, self._recognizer, self._record = query, recognizer, record
        self._reconnect, self._give = reconnect, give
        self.latencies: deque[float] = deque(maxlen=4096)
        self.paused = False
        self._skipped = 0  # frames since then
        self._waiting = False  # for a device that has gone
        self._zeros = 0  # samples of nothing else, at 16 kHz
        self._device_lost = 0  # frames that the open device never delivered
        self._commands: SimpleQueue[Callable[[], list[Item]]] = SimpleQueue()
        self._wake = threading.Lock()
        self._stopping = False

    def open(self) -> None:
        """Take the microphone, and the recording's file."""
        self.microphone = Microphone(find(self._query), self._wake)
        try:
            recording = Recording(self._record) if self._record else None
        except LivesrError:
            self.microphone.close()
            raise
        self.hearing = Capture(self._recognizer, recording)
        self.hearing.begin(self.microphone.rate)

    def stop(self) -> None:
        """Have `run` return, from any thread."""
        self._stopping = True
        self._poke()

    def command(self, command: Callable[[], list[Item]]) -> None:
        """Have `run` do this, from any thread."""
        self._commands.put(command)
        self._poke()

    def _poke(self) -> None:
        with suppress(RuntimeError):  # it is awake
            self._wake.release()

    @property
    def trouble(self) -> str:
        """Why nothing useful is heard just now; empty when all is well."""
        if self._waiting:
            return f"{self.microphone.device.name} has gone; waiting for it"
        return muted() if self._zeros > _MUTED_SECONDS * RATE else ""

    def run(self) -> None:
        """Hear until `stop`.

        Raises:
            DeviceError: if the microphone goes and is not waited for.
        """
        try:
            while not self._stopping:
                self._wake.acquire(timeout=_POLL_SECONDS)
                self._obey()
                self._hear()
                if self.microphone.gone and not self._stopping:
                    self._reopen()
            self._hear()
        finally:
            self.microphone.close()
            self._emit(self.hearing.finish())

    def _obey(self) -> None:
        while not self._commands.empty():
            command = self._commands.get()
            self._hear()  # it is about what was said before it
            self._emit(command())

    def pause(self) -> list[Item]:
        """A command: hear nothing from now on."""
        self.paused = True
        return []

    def resume(self) -> list[Item]:
        """A command: hear again; what went by is a gap."""
        self.paused = False
        skipped, self._skipped = self._skipped, 0
        return self.hearing.lose(skipped, PAUSED) if skipped else []

    def forget(self) -> list[Item]:
        """A command: the voice is another's from now on."""
        return self.hearing.reset()

    def _hear(self) -> None:
        """Everything that has arrived, but for what a suspected loss holds up."""
        mic = self.microphone
        for at, lost in mic.losses():
            self._hear_until(at)
            self._device_lost += lost
            if self.paused:
                self._skipped += lost
            else:
                self._emit(self.hearing.lose(lost, f"{mic.device.name} dropped it"))
        self._hear_until(mic.checked)
        # Not before the next reading may be due: waking at every callback costs more than it.
        due = self.hearing.frame_of(self._recognizer.due / RATE) + self.hearing.held_back
        mic.wake_at = mic.ring.read + mic.rate // 10 if self.paused else due - self._device_lost

    def _hear_until(self, end: int) -> None:
        ring, rate = self.microphone.ring, self.microphone.rate
        if self.paused:
            self._skipped += max(0, end - ring.read)
            ring.read = max(end, ring.read)
            return
        hop = round(self._recognizer.hop * rate)
        behind = end - ring.read
        if behind > _MOST_BEHIND_SECONDS * rate:
            dropped = math.ceil((behind - _BEHIND_AGAIN_SECONDS * rate) / hop) * hop
            ring.read += dropped
            self._emit(self.hearing.lose(dropped, TOO_SLOW))
        while ring.read < end:
            gone, block = ring.pull(min(hop, end - ring.read))
            if gone:
                self._emit(self.hearing.lose(gone, TOO_SLOW))
            self._emit(self.hearing.hear(block))
            self._watch_silence(block)

    def _watch_silence(self, block: Float32) -> None:
        before = self._zeros
        self._zeros = 0 if block.any() else before + len(block) * RATE // self.microphone.rate
        if before <= _MUTED_SECONDS * RATE < self._zeros:
            self._emit(self.hearing.note("silence", muted()))

    def _reopen(self) -> None:
        """The microphone has gone: say so, and wait until it, or what stands in for it, is back."""
        old = self.microphone
        until = old.captured_until
        if self._skipped:
            self._emit(self.hearing.lose(self._skipped, PAUSED))
            self._skipped = 0
        self._emit(self.hearing.note("device", f"{old.device.name} has gone"))
        old.close()
        if not self._reconnect:
            raise DeviceError(f"{old.device.name} has gone; plug it in and listen again.")
        wait, longest = _RETRY_SECONDS
        self._waiting = True
        while not self._stopping:
            self._wake.acquire(timeout=wait)
            self._obey()
            began = self._opened(old.device) if not self._stopping else None
            if began is not None:
                break
            wait = min(2 * wait, longest)
        else:
            return
        self._waiting = False
        self._emit(self.hearing.pause(max(0.0, began - until), GONE))
        self._emit(self.hearing.begin(self.microphone.rate))
        self._device_lost = 0
        self._emit(self.hearing.note("device", f"{self.microphone.device.name} is back"))

    def _opened(self, before: Device) -> float | None:
        """Open it again; when its first sound was captured, or None if it does not deliver."""
        try:
            refresh()
            try:
                device = find(before.name)
            except DeviceError:
                device = find(self._query)
            mic = Microphone(device, self._wake)
        except DeviceError:
            return None
        while mic.captured_from is None and not mic.gone and not self._stopping:
            time.sleep(0.01)
        if mic.captured_from is None:
            mic.close()
            return None
        self.microphone = mic
        return mic.captured_from

    def _emit(self, items: list[Item]) -> None:
        if not items:
            return
        now = time.monotonic()
        for item in items:
            if isinstance(item, Reading):
                frame = self.hearing.frame_of(item.end) - self._device_lost
                arrived = self.microphone.arrival(frame - 1)
                if arrived is not None and item.gap == 0:
                    self.latencies.append(now - arrived)
        self._give(items)


def muted() -> str:
    """What nothing but zeros means, and where permission is given."""
    where = _PERMIT.get(sys.platform)
    permit = f"not permitted ({where})" if where else "not permitted"
    return f"only digital silence: the microphone may be muted or {permit}"
