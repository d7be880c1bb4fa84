"""A sound file through a Recognizer, as fast as the machine goes or in real time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from livesr.errors import AudioError
from livesr.event import Event, Item
from livesr.files.recording import RATE, read_events
from livesr.files.soundfile import SoundFile
from livesr.reading import Reading
from livesr.recognizer import Recognizer


def replay(
    path: str | Path,
    *,
    model: str | Path | None = None,
    hop: float = 0.25,
    pace: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Reading]:
    """Readings of a recording: bit for bit what a live stream of its samples would give.

    Args:
        path: a sound file; any rate from 8 to 192 kHz, any channels (averaged).
        model: as for `Recognizer`.
        hop: as for `Recognizer`.
        pace: give each reading when a microphone would have, not as soon as it is known.
        clock: seconds, for `pace`.
        sleep: waits so many seconds, for `pace`.

    Raises:
        AudioError: if the file cannot be heard; at once if it cannot be opened, later (from the
            iterator) where it is damaged or holds samples that are not finite.
        ModelError: if the model cannot be used.
    """
    items = play(path, model=model, hop=hop, pace=pace, clock=clock, sleep=sleep)
    return (item for item in items if isinstance(item, Reading))


def play(
    path: str | Path,
    *,
    model: str | Path | None = None,
    hop: float = 0.25,
    pace: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """Readings as `replay` gives them, and where `listen` recorded the file, its events too."""
    recognizer = Recognizer(model, hop=hop)
    file = SoundFile(path)
    events = read_events(path) if file.rate == RATE else []
    items = _items(file, recognizer, deque(events))
    return _paced(file, items, clock, sleep) if pace else _closing(file, items)


def _closing(file: SoundFile, items: Iterator[Item]) -> Iterator[Item]:
    with file:
        yield from items


def _paced(
    file: SoundFile,
    items: Iterator[Item],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Item]:
    began = clock()
    for item in _closing(file, items):
        if isinstance(item, Reading):
            sleep(max(0.0, began + item.end - clock()))
        yield item


def _items(file: SoundFile, recognizer: Recognizer, events: deque[Event]) -> Iterator[Item]:
    heard = silence = 0  # frames of the file; those to come that stand for a gap
    for block in file.blocks():
        rest = block
        while True:
            while events and round(events[0].at * RATE) <= recognizer.position:
                event = events.popleft()
                lost = round(event.seconds * RATE)
                silence += _silence(event, lost, recognizer)
                yield from _follow(event, lost, recognizer)
            if not len(rest):
                break
            if silence:
                now = rest[:silence]
                silence -= len(now)
            else:
                until = round(events[0].at * RATE) - recognizer.position if events else len(rest)
                now = rest[:until]
                try:
                    yield from recognizer.push(now, file.rate)
                except AudioError as error:
                    place = f"{file.path}, after {heard / file.rate:.2f} s"
                    raise AudioError(f"{place}: {error}") from None
            heard += len(now)
            rest = rest[len(now) :]
    yield from recognizer.finish()


def _silence(event: Event, lost: int, recognizer: Recognizer) -> int:
    """How many frames of the recording stand for what was lost."""
    if event.silence is None:  # livesr 0.1 wrote what its Recognizer took for silence
        return recognizer.silence_of(lost)
    return round(event.silence * RATE)


def _follow(event: Event, lost: int, recognizer: Recognizer) -> Iterator[Item]:
    yield event
    if event.kind == "reset":
        recognizer.reset(start=event.at)
    if lost:
        yield from recognizer.skip(lost)
