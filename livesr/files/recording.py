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

import numpy as np
import soundfile as sf

from livesr.arrays import Float32
from livesr.errors import AudioError, LivesrError
from livesr.event import Event, UnknownKindError
from livesr.files.soundfile import name_for_libsndfile, reason
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
    path = Path(path)
    if not path.name:
        raise LivesrError(f"{str(path)!r} names no file; give a recording a name.")
    return path.with_name(path.name + ".events.jsonl")


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
        self.path = Path(path)
        kind = _FORMATS.get(self.path.suffix.lower())
        if kind is None:
            raise LivesrError(f"A recording is flac or wav; {path} is neither by its name.")
        try:
            for file in (self.path, events_path(path)):
                if file.exists():
                    raise LivesrError(f"{file} exists; remove it, or record under another name.")
            # Ours to make: an existing file must not be taken, nor followed if it is a link.
            with self.path.open("xb"):
                pass
            self._file = sf.SoundFile(
                name_for_libsndfile(self.path), "w", SAMPLE_RATE, 1, "PCM_24", format=kind
            )
            self._whole = self.path.stat().st_size  # bytes of whole frames
        except (sf.LibsndfileError, OSError, ValueError) as error:
            raise LivesrError(f"{path} cannot be recorded to: {reason(error)}.") from None

    def write(self, samples: Float32) -> None:
        """float32 [n] on the grid of `to_grid`.

        Raises:
            LivesrError: if the system takes no more; what was written so far is whole.
        """
        # As integers: libsndfile scales floats by 2**23 - 1 on their way out, 2**23 back in.
        whole = (samples * np.float32(_STEPS)).astype(np.int32) << 8
        try:
            self._file.write(whole)
        except (sf.LibsndfileError, OSError, AssertionError) as error:
            # (soundfile asserts that all was taken.) A frame cut in two would be damage.
            self.close()
            with suppress(OSError):
                os.truncate(self.path, self._whole)
            raise LivesrError(
                f"{self.path} cannot be recorded to any further ({reason(error) or 'cut short'}): "
                "is the disk full? What was recorded can be replayed."
            ) from None
        self._whole = self.path.stat().st_size

    def event(self, event: Event) -> None:
        """Note what happened at this point of the stream."""
        try:
            with events_path(self.path).open("a", encoding="utf-8") as file:
                data = {"data": event.data} if event.data else {}
                file.write(json.dumps(event.to_dict() | data) + "\n")
        except OSError as error:
            raise LivesrError(
                f"{events_path(self.path)} cannot be written: {reason(error)}."
            ) from None

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
