"""Sound files, opened by libsndfile and given block by block."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import soundfile as sf

from livesr.arrays import Float32
from livesr.errors import AudioError
from livesr.stages.samples import MOST_CHANNELS, check_rate

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
            raise AudioError(f"{path} cannot be read: {reason(error)}; check the path.") from None
        if S_ISDIR(found.st_mode):
            raise AudioError(f"{path} is a directory; give a sound file.")
        try:
            self._file = _Sequential(name_for_libsndfile(self.path))
        except (sf.LibsndfileError, OSError, TypeError) as error:  # TypeError: a name like a.raw
            empty = S_ISREG(found.st_mode) and found.st_size == 0
            why = "is empty" if empty else f"is not a sound file that can be read ({reason(error)})"
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
                    f"{self.path} is damaged after {heard / self.rate:.2f} s ({reason(error)}); "
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


def name_for_libsndfile(path: str | Path) -> str | bytes:
    """A path as soundfile passes it on whole: names that are not UTF-8 only as bytes."""
    return str(path) if sys.platform == "win32" else os.fsencode(path)


def reason(error: Exception) -> str:
    """Why a library refused, in its own words."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".")
