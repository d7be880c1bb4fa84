"""A sound file through a Recognizer, as fast as the machine goes or in real time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import soundfile as sf

from livesr.audio import MOST_CHANNELS, check_rate
from livesr.errors import AudioError
from livesr.event import Event, Item
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.recording import RATE, read_events
from livesr.stage import Float32

_BLOCK_SECONDS = 0.5
_ENDING = ("FLAC", "OGG", "MP3", "MPEG", "ALAC")  # formats and codings that end with their data
_DENSEST = 16  # samples a byte, of all others
_UNKNOWN_FRAMES = 2**62  # or more: a recording that could not be ended


class _Sequential(sf.SoundFile):  # type: ignore[misc]  # soundfile is untyped
    """soundfile seeks to where it already is after every read; inside an mp3 that breaks sound."""

    def seekable(self) -> bool:
        return False


class SoundFile:
    """An open sound file, whatever libsndfile reads, given block by block.

    Raises:
        AudioError: if there is no such file, or no audio in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise AudioError(f"{path} does not exist; check the path.") from None
        except (OSError, ValueError) as error:
            raise AudioError(f"{path} cannot be read: {_reason(error)}; check the path.") from None
        if S_ISDIR(found.st_mode):
            raise AudioError(f"{path} is a directory; give a sound file.")
        try:
            self._file = _Sequential(self.path)
        except (sf.LibsndfileError, OSError, TypeError) as error:  # TypeError: a name like a.raw
            empty = S_ISREG(found.st_mode) and found.st_size == 0
            why = (
                "is empty" if empty else f"is not a sound file that can be read ({_reason(error)})"
            )
            raise AudioError(f"{path} {why}; give wav, flac, ogg or mp3.") from None
        try:
            self._check(found.st_size)
        except AudioError:
            self._file.close()
            raise

    def _check(self, size: int) -> None:
        """Before a block is read, whose size goes by what the header says."""
        if self._file.frames == 0:
            raise AudioError(f"{self.path} holds no audio: it has a header and no samples.")
        kinds = self._file.format, self._file.subtype
        # libsndfile makes silence, for hours, of what a header promises and a file lacks.
        if (
            not any(kind.startswith(_ENDING) for kind in kinds)
            and self._file.frames * self._file.channels > _DENSEST * size
        ):
            raise AudioError(
                f"{self.path} is damaged: its header promises {self._file.frames} samples, "
                f"more than its {size} bytes can hold."
            )
        try:
            check_rate(self._file.samplerate)
        except AudioError as error:
            raise AudioError(f"{self.path}: {error}") from None
        if self._file.channels > MOST_CHANNELS:
            raise AudioError(
                f"{self.path} has {self._file.channels} channels; livesr hears {MOST_CHANNELS}."
            )

    @property
    def rate(self) -> int:
        """Samples a second."""
        return int(self._file.samplerate)

    @property
    def seconds(self) -> float:
        """Length, as the file's header has it; infinite where that was never written."""
        frames = self._file.frames
        return float(frames / self._file.samplerate) if frames < _UNKNOWN_FRAMES else math.inf

    def blocks(self) -> Iterator[Float32]:
        """float32 [n, channels], in order.

        Raises:
            AudioError: where the file is damaged; what came before has been given.
        """
        size, heard = max(1, int(self.rate * _BLOCK_SECONDS)), 0
        while True:
            try:
                block = self._file.read(size, dtype="float32", always_2d=True)
            except (sf.LibsndfileError, OSError) as error:
                raise AudioError(
                    f"{self.path} is damaged after {heard / self.rate:.2f} s ({_reason(error)}); "
                    "the readings so far stand."
                ) from None
            if not len(block):
                return
            heard += len(block)
            yield block

    def __enter__(self) -> SoundFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


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
                silence += recognizer.silence_of(lost)
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


def _follow(event: Event, lost: int, recognizer: Recognizer) -> Iterator[Item]:
    yield event
    if event.kind == "reset":
        recognizer.reset(start=event.at)
    if lost:
        yield from recognizer.skip(lost)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".")
