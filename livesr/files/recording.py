"""The recording of a live stream, whose replay gives the same readings bit for bit.

The sound is 16 kHz mono in 24 bits: `listen` rounds to that grid before it recognises, recorded
or not, so that nothing is lost on the way to the file. What sound cannot say (gaps, resets,
marks, a profile and corrections), and how it was listened to, goes beside it: for `talk.flac` in
`talk.flac.events.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from errno import ENAMETOOLONG
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile as sf

from livesr.arrays import Float32
from livesr.errors import AudioError, LivesrError
from livesr.event import Event, UnknownKindError
from livesr.files.soundfile import SoundFile, name_for_libsndfile, reason
from livesr.settings import SAMPLE_RATE

CUT_EVENT = "the last line of its events was cut, and is left out"
_FORMATS = {".flac": "FLAC", ".wav": "WAV"}
_LONGEST_SILENCE_SECONDS = 4
_STEPS = 2**23
_LOUDEST = (_STEPS - 1) / _STEPS


def to_grid(samples: Float32) -> Float32:
    """float32 [n], each value as a 24-bit sample has it, in [-1, 1)."""
    kept = np.clip(samples, np.float32(-1), np.float32(_LOUDEST))
    # Adding zero makes -0.0 the 0.0 that a file gives back.
    grid = np.round(kept * np.float32(_STEPS)) / np.float32(_STEPS) + np.float32(0)
    return grid.astype(np.float32)


def events_path(path: str | Path) -> Path:
    """Where the events of a recording lie.

    Raises:
        LivesrError: if the path has no name at its end.
    """
    named = Path(path)
    if not named.name:
        raise LivesrError(f"{str(path)!r} names no file; give a recording a name.")
    return named.with_name(named.name + ".events.jsonl")


def silence_for(lost: int) -> int:
    """How many samples of silence stand in a recording for so many lost ones, at 16 kHz.

    The same whatever the hop and the model, so that a recording can be replayed with others.
    """
    return min(lost, _LONGEST_SILENCE_SECONDS * SAMPLE_RATE)


class Recording:
    """A sound file that grows with the stream.

    Raises:
        LivesrError: if it cannot be made, or exists: a recording is not overwritten.
    """

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise LivesrError(f"A recording is named by a path; {path!r:.60} is none.")
        self.path, self._beside = Path(path), events_path(path)
        kind = _FORMATS.get(self.path.suffix.lower())
        if kind is None:
            raise LivesrError(f"A recording is flac or wav; {path} is neither by its name.")
        try:
            for file in (self.path, self._beside):
                if file.exists():
                    raise LivesrError(f"{file} exists; remove it, or record under another name.")
            # Ours to make: an existing file must not be taken, nor followed if it is a link.
            with self.path.open("xb"):
                pass
            try:
                self._file = sf.SoundFile(
                    name_for_libsndfile(self.path), "w", SAMPLE_RATE, 1, "PCM_24", format=kind
                )
            except (sf.LibsndfileError, OSError):
                self.path.unlink()
                raise
            # Bytes of whole frames, and without any; a FLAC's header is written with the first.
            self._whole = self._empty = self.path.stat().st_size
        except (sf.LibsndfileError, OSError, ValueError) as error:
            raise LivesrError(f"{path} cannot be recorded to: {reason(error)}.") from None

    def write(self, samples: Float32) -> None:
        """float32 [n] on the grid of `to_grid`.

        Raises:
            LivesrError: if the system takes no more; what was written so far is whole. Where
                that is nothing, no file is left.
        """
        # As integers: libsndfile scales floats by 2**23 - 1 on their way out, 2**23 back in.
        whole = (samples * np.float32(_STEPS)).astype(np.int32) << 8
        try:
            self._file.write(whole)
        except (sf.LibsndfileError, OSError, AssertionError) as error:
            # (soundfile asserts that all was taken.)
            self._refuse(self.path, reason(error) or "cut short")
        self._whole = self.path.stat().st_size

    def event(self, event: Event) -> None:
        """Note what happened at this point of the stream.

        Raises:
            LivesrError: as `write`.
        """
        try:
            with self._beside.open("a", encoding="utf-8") as file:
                data = {"data": event.data} if event.data else {}
                file.write(json.dumps(event.to_dict() | data) + "\n")
        except OSError as error:
            self._refuse(self._beside, reason(error))

    def _refuse(self, file: Path, why: str) -> NoReturn:
        """Say that it ends here, and what there is; files without sound are removed."""
        self.close()
        with suppress(sf.LibsndfileError, OSError):
            os.truncate(self.path, self._whole)  # a frame cut in two would be damage
            if self._file.format == "WAV":  # closing it writes its sizes again
                sf.SoundFile(name_for_libsndfile(self.path), "r+").close()
        kept = self._holds_sound()
        if not kept:
            for made in (self.path, self._beside):
                with suppress(OSError):
                    made.unlink()
        raise LivesrError(
            f"{file} cannot be recorded to any further ({why}): is the disk full? "
            + ("What was recorded can be replayed." if kept else "Nothing was recorded.")
        ) from None

    def _holds_sound(self) -> bool:
        try:
            if self.path.stat().st_size == self._empty:
                return False
            sound = SoundFile(self.path)
        except (OSError, AudioError):
            return True  # who knows
        with sound, suppress(AudioError):
            return any(map(len, sound.blocks()))
        return False

    def close(self) -> None:
        """Make the file whole."""
        with suppress(sf.LibsndfileError, OSError):
            self._file.close()


def read_events(path: str | Path) -> list[Event]:
    """The events beside a recording, in order; none where there is no such file.

    A last line that was cut is left out, and told of in a note; events of a kind that is not
    known are left out.

    Raises:
        AudioError: if the file is not what `Recording` writes.
    """
    file = events_path(path)
    try:
        return list(_parsed(file)) if file.is_file() else []
    except OSError as error:
        if error.errno == ENAMETOOLONG:  # then `Recording` could not have made it either
            return []
        why = error.strerror
    except ValueError as error:
        why = f"{error!s:.200}"
    raise AudioError(
        f"{file} is not the events of a recording ({why}); move it away to replay the sound."
    )


def _parsed(file: Path) -> Iterator[Event]:
    before = 0.0
    data = file.read_bytes()
    for number, line in enumerate(data.splitlines(), 1):
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise TypeError("it is no JSON object")
            event = Event.from_dict(values)
            if event.at < before:
                raise ValueError("times run backwards")
        except UnknownKindError:
            continue
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            if not data.endswith(line) or not line.startswith(b'{"'):
                raise ValueError(f"line {number}: {error}") from None
            yield Event("note", before, text=CUT_EVENT)
            return
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
        before = event.at
        yield event
