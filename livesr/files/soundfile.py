"""Sound files and pipes, given block by block, with a word about what was not in order."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
import soundfile as sf

from livesr.arrays import Float32
from livesr.errors import AudioError
from livesr.files.content import Content, Incoming, Piece, Pieces, spooled
from livesr.files.media import Media, convert_command, media_format
from livesr.files.parts import HEADERS, Finding, follows_on, layout, pipe_wave
from livesr.settings import MOST_CHANNELS, SAMPLE_RATE
from livesr.stages.resample import Resampler
from livesr.stages.samples import check_rate, in_number, in_words

STDIN = "-"
_BLOCK_SECONDS = 0.5
_PIPE_SECONDS = 0.05  # of a pipe, whose sound may be of this moment
_ENDING = ("FLAC", "OGG", "MP3", "MPEG", "ALAC")  # formats and codings that end with their data
_DENSEST = 16  # samples a byte, of all others
_UNKNOWN_FRAMES = 2**44  # or more: the length is unknown
_FEW = 256  # frames
_TOLERANCE = 3 * 1152  # frames, by which a length may be wrong: three of mp3's own
_BARE = "it has no header"
# What libsndfile says of an open file whose format it does not know.
_MISTAKEN = "File does not exist or is not a regular file"
_PIPED = (b".snd", b"fLaC")  # beside WAVE, what libsndfile reads from a pipe as it comes
_WIDTHS = {"s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT", "f64": "DOUBLE"}
_RAW = {f"{name}{order}": kind for name, kind in _WIDTHS.items() for order in ("le", "be")}
_RAW |= {"s8": "PCM_S8", "u8": "PCM_U8", "alaw": "ALAW", "mulaw": "ULAW"}


@dataclass(frozen=True, slots=True)
class RawFormat:
    """What samples without a header are.

    Attributes:
        rate: samples a second, 8000 to 192000.
        channels: interleaved, 1 to 64.
        format: as ffmpeg names it: s16le, s24le, s32le, f32le, f64le, their `be`, s8, u8, alaw,
            mulaw.

    Raises:
        AudioError: if one of them is not possible.

    Example:
        >>> RawFormat(8000, format="mulaw")
        RawFormat(rate=8000, channels=1, format='mulaw')
    """

    rate: int = SAMPLE_RATE
    channels: int = 1
    format: str = "s16le"

    def __post_init__(self) -> None:
        check_rate(self.rate)
        whole = isinstance(self.channels, (int, np.integer)) and not isinstance(self.channels, bool)
        if not whole or not 1 <= self.channels <= MOST_CHANNELS:
            raise AudioError(
                f"{in_words(self.channels)} channels cannot be; give 1 to {MOST_CHANNELS}."
            )
        if not isinstance(self.format, str) or self.format not in _RAW:
            raise AudioError(
                f"{self.format!s:.40} is no format of samples; one of {', '.join(_RAW)}."
            )


class _Decoder(Protocol):
    rate: int
    channels: int
    frames: int  # promised; 0 or `_UNKNOWN_FRAMES` where that is not known

    def read(self, count: int) -> Float32: ...
    def close(self) -> None: ...


class _Sequential(sf.SoundFile):  # type: ignore[misc]  # soundfile is untyped
    """soundfile seeks to where it already is after every read; inside an mp3 that breaks sound."""

    def seekable(self) -> bool:
        return False


class _Sndfile:
    """A part that libsndfile decodes.

    Raises:
        sf.LibsndfileError, OSError, TypeError: if it does not.
    """

    def __init__(self, source: Path | Pieces | Incoming, raw: RawFormat | None = None) -> None:
        self._source = source
        how = {}
        if raw:
            how = {
                "format": "RAW",
                "subtype": _RAW[raw.format],
                "samplerate": raw.rate,
                "channels": raw.channels,
                "endian": "BIG" if raw.format.endswith("be") else "LITTLE",
            }
        file = name_for_libsndfile(source) if isinstance(source, Path) else source
        self._file = _Sequential(file, **how)
        self._raise()
        if not raw and (self._file.format, self._file.subtype) == ("RAW", "ULAW"):
            # libsndfile takes any file that is named .au for samples.
            self._file.close()
            raise TypeError(_BARE)
        if isinstance(source, Incoming):
            source.begun()
        self.rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        self.frames = int(self._file.frames)
        self.kinds = self._file.format, self._file.subtype
        self._failed: AudioError | None = None

    def read(self, count: int) -> Float32:
        if self.kinds[0] != "FLAC":
            return self._read(count)
        # What was read together with what is damaged is not given: little at a time, then.
        found, have = [], 0
        while have < count and self._failed is None:
            try:
                found.append(self._read(min(_FEW, count - have)))
            except AudioError as error:
                self._failed = error
                break
            have += len(found[-1])
            if not len(found[-1]):
                break
        if self._failed and not have:
            raise self._failed
        return np.concatenate(found) if have else np.zeros((0, self.channels), np.float32)

    def _read(self, count: int) -> Float32:
        try:
            block: Float32 = self._file.read(count, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, OSError) as error:
            self._raise()
            if isinstance(self._source, Incoming) and self._source.ended:
                return np.zeros((0, self.channels), np.float32)  # a decoder's word for the end
            raise AudioError(reason(error)) from None
        self._raise()
        return block

    def close(self) -> None:
        self._file.close()

    def _raise(self) -> None:
        error = None if isinstance(self._source, Path) else self._source.error
        if isinstance(error, OSError):
            raise AudioError(reason(error)) from None
        if error:
            raise error


class SoundFile:
    """An open sound file or pipe, given block by block, every part of it.

    Args:
        source: a path; "-" for standard input; or a file open in binary (a `BytesIO` too), read
            from its beginning where it can seek, and not closed. A pipe of WAV, AU, FLAC or raw
            samples is read as it comes, any other when its end has come.
        raw: what it holds, if it has no header.

    Attributes:
        name: of it, for messages.
        path: of it; None of what has none.
        rate: samples a second; of the first part, to which others are brought.
        channels: of the blocks.
        findings: what is to be said of the file; whole when `blocks` has ended.

    Raises:
        AudioError: if there is no such file, or no audio in it.

    Example:
        >>> with SoundFile("conversation.flac") as sound:
        ...     sum(len(block) for block in sound.blocks())
        433776
    """

    def __init__(self, source: str | Path | BinaryIO, *, raw: RawFormat | None = None) -> None:
        self.findings: list[Finding] = []
        self._stack = ExitStack()
        self._decoder: _Decoder | None = None
        if raw is not None and not isinstance(raw, RawFormat):
            raise AudioError(f"raw is {raw!r:.60}; give a RawFormat, such as RawFormat(8000).")
        self._raw = raw
        self._direct: Path | None = None  # what libsndfile may open itself
        self._parts: list[list[Piece]] = []
        self._incoming: Incoming | None = None
        try:
            self._open(source)
            first = self._first()
        except BaseException:
            self._stack.close()
            raise
        self._decoder = first
        self.rate, self.channels = first.rate, first.channels

    # ---- opening ----

    def _open(self, source: str | Path | BinaryIO) -> None:
        if not isinstance(source, (str, os.PathLike)):
            name = getattr(source, "name", None)
            self.path: Path | None = Path(name) if isinstance(name, str) else None
            self.name = str(self.path or "the file")
            return self._take(_binary(source))
        self.name, self.path = str(source), None
        if self.name == STDIN:
            self.name = "standard input"
            return self._take(sys.stdin.buffer)
        if not self.name:  # which `Path` takes for the folder one is in
            raise AudioError("The file's name is empty; name a recording.")
        self.path = path = Path(source)
        try:
            found = path.stat()
            if S_ISDIR(found.st_mode):
                raise AudioError(f"{source} is a directory; give a sound file.")
            file = self._stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            raise AudioError(f"{source} does not exist; check the path.") from None
        except (OSError, ValueError) as error:
            raise AudioError(f"{source} cannot be read: {reason(error)}; check the path.") from None
        if S_ISREG(found.st_mode):
            self._direct = path
        return self._take(file)

    def _take(self, file: BinaryIO) -> None:
        try:
            seekable = file.seekable() and file.seek(0) == 0
        except (OSError, ValueError, AttributeError):
            seekable = False
        try:
            if not seekable:
                incoming = Incoming(file)
                self._check_bare(incoming.peek(4))
                if self._raw or incoming.peek(4) in _PIPED or self._piped_wave(incoming):
                    self._incoming = incoming
                    return
                file = self._stack.enter_context(spooled(incoming))
            self._content = Content(file)
            self._check_bare(self._content.at(0, 4))
            found = layout(self._content) if not self._raw else None
        except OSError as error:
            raise AudioError(f"{self.name} cannot be read: {reason(error)}.") from None
        except (TypeError, ValueError) as error:
            raise AudioError(
                f"{self.name} cannot be read ({error}); open a file in binary mode."
            ) from None
        if self._content.size == 0:
            raise AudioError(f"{self.name} is empty; give wav, flac, ogg or mp3.")
        if found:
            self._parts, self.findings = found.parts, found.findings
        if self._parts or self._raw:
            self._direct = None
        self._parts = self._parts or [[range(0, self._content.size)]]

    def _check_bare(self, head: bytes) -> None:
        if self._raw and head.startswith(HEADERS):
            raise AudioError(
                f"{self.name} has a header, which says what it holds; leave out --rate, --channels "
                "and --format (raw=)."
            )

    def _piped_wave(self, incoming: Incoming) -> bool:
        """Whether it is a WAVE stream; then it has a header that is right."""
        found = pipe_wave(incoming.peek)
        if found:
            header, length, follows = found
            incoming.put(header, length, follows)
        return found is not None

    def _first(self) -> _Decoder:
        if self._incoming:
            try:
                decoder: _Decoder = _Sndfile(self._incoming, self._raw)
            except (sf.LibsndfileError, OSError, TypeError) as error:
                raise self._unreadable(reason(error)) from None
            self._check(decoder, math.inf)
            return decoder
        failed: AudioError | None = None
        while self._parts:
            try:
                decoder = self._decoded(self._parts.pop(0))
                if failed:  # of several parts
                    self.findings.append(Finding("a part of it cannot be read", True))
                return decoder
            except AudioError as error:
                failed = failed or error
        assert failed
        raise failed

    def _decoded(self, pieces: list[Piece]) -> _Decoder:
        whole = Pieces(self._content, pieces)
        head = Pieces(self._content, pieces).read(256) or b""
        try:
            decoder: _Decoder = _Sndfile(self._direct or whole, self._raw)
        except TypeError:  # a name like a.raw
            decoder = self._media(whole, head, _BARE)
        except (sf.LibsndfileError, OSError) as error:
            decoder = self._media(whole, head, reason(error))
        try:
            self._check(decoder, whole.size)
        except AudioError:
            decoder.close()
            raise
        return decoder

    def _media(self, pieces: Pieces, head: bytes, why: str) -> _Decoder:
        kind = None if self._raw else media_format(head)
        if kind is None:
            raise self._unreadable(why)
        pieces.seek(0)
        try:
            return Media(cast(BinaryIO, io.BufferedReader(pieces)), kind[0], self.name)
        except ModuleNotFoundError:
            raise AudioError(
                f"{self.name} is {kind[1]}, which needs pip install 'livesr[media]'; "
                f"or convert it: {convert_command(self.path)}"
            ) from None
        except AudioError as error:
            if not self.findings:
                raise
            told = str(error).rstrip(".")
            raise AudioError(f"{told}: {self.findings[0].text}.") from None

    def _unreadable(self, why: str) -> AudioError:
        if why.startswith(_MISTAKEN):
            why = "its format is not recognised"
        if why == _BARE:
            return AudioError(
                f"{self.name} has no header; say what it holds, such as --rate 8000 --format mulaw "
                "(raw=RawFormat(8000, format='mulaw'))."
            )
        why = "; ".join([why, *(finding.text for finding in self.findings[:1])])
        return AudioError(
            f"{self.name} is not a sound file that can be read ({why}); give wav, flac, ogg or mp3."
        )

    def _without_audio(self) -> AudioError:
        why = "it has a header and no samples"
        if self._raw:
            why = f"it is shorter than one sample of {in_number(self._raw.channels)}"
        if self.findings:
            why = self.findings[0].text
        return AudioError(f"{self.name} holds no audio: {why}.")

    def _check(self, decoder: _Decoder, size: float) -> None:
        """Before a block is read, whose size goes by what the header says."""
        if isinstance(decoder, _Sndfile):
            if decoder.frames == 0:
                raise self._without_audio()
            # libsndfile makes silence, for hours, of what a header promises and a file lacks.
            if (
                not any(kind.startswith(_ENDING) for kind in decoder.kinds)
                and decoder.frames * decoder.channels > _DENSEST * size
            ):
                raise AudioError(
                    f"{self.name} is damaged: its header promises {decoder.frames} samples, "
                    f"more than its {size} bytes can hold."
                )
        try:
            check_rate(decoder.rate)
        except AudioError as error:
            raise AudioError(f"{self.name}: {error}") from None
        if decoder.channels > MOST_CHANNELS:
            raise AudioError(
                f"{self.name} has {decoder.channels} channels; livesr reads up to {MOST_CHANNELS}."
            )

    # ---- reading ----

    @property
    def seconds(self) -> float:
        """Length, as the headers have it; infinite where none was written, or of several parts."""
        frames = self._decoder.frames if self._decoder else 0
        known = 0 < frames < _UNKNOWN_FRAMES and not self._parts and not self._incoming
        return frames / self.rate if known else math.inf

    def blocks(self) -> Iterator[Float32]:
        """float32 [n, channels], in order: all that can be read. It can be read once.

        What is damaged, cut or joined is told in `findings`.

        Raises:
            AudioError: if nothing at all can be read, or a pipe fails.
        """
        done = 0
        while self._decoder:
            for block in self._part(self._decoder, done):
                done += len(block)
                yield block
            self._decoder.close()
            self._decoder = self._next(done)
        if self._incoming:
            self._look_after(self._incoming)
        if not done:
            raise self._without_audio()

    def _part(self, decoder: _Decoder, before: int) -> Iterator[Float32]:
        fit = _Fit(decoder, self.rate, self.channels)
        seconds = _PIPE_SECONDS if self._incoming else _BLOCK_SECONDS
        size, done = max(1, int(decoder.rate * seconds)), 0
        complete = True
        while True:
            try:
                block = decoder.read(size)
            except AudioError as error:
                at = before / self.rate + done / decoder.rate
                self._find(f"it is damaged after {at:.2f} s ({error})")
                complete = False
                break
            if not len(block):
                break
            done += len(block)
            yield fit.push(block)
        if len(rest := fit.finish()):
            yield rest
        if isinstance(decoder, Media) and decoder.damaged:
            self._find(f"{decoder.damaged} packets of it are damaged")
        promised = decoder.frames
        if complete and done + _TOLERANCE < promised < _UNKNOWN_FRAMES:
            self._find(
                f"it was cut: its header promises {promised / decoder.rate:.2f} s, "
                f"{done / decoder.rate:.2f} s are there"
            )

    def _find(self, text: str) -> None:
        """One word about a loss is enough: others tell the same of the same place."""
        if not any(finding.lost for finding in self.findings):
            self.findings.append(Finding(text, True))

    def _next(self, done: int) -> _Decoder | None:
        while self._parts:
            try:
                return self._decoded(self._parts.pop(0))
            except AudioError as error:
                self.findings.append(
                    Finding(
                        f"a part of it, from {done / self.rate:.2f} s on, is lost: {error}", True
                    )
                )
        return None

    def _look_after(self, incoming: Incoming) -> None:
        """Whether a pipe held more, or less, than its header says."""
        if incoming.missing > 0:
            self._find(f"it ended early: its header promises {incoming.missing} bytes more")
        elif follows_on(incoming.rest):
            self._find("more came after the sound, and was not read")

    def __enter__(self) -> SoundFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._decoder:
            self._decoder.close()
            self._decoder = None
        self._stack.close()

    def __del__(self) -> None:
        """Of a replay, say, that nobody has asked for a reading."""
        if "_stack" in vars(self):  # else it was refused before it held anything
            self.__exit__()


class _Fit:
    """Brings the blocks of a part to the rate and the channels of the first."""

    def __init__(self, decoder: _Decoder, rate: int, channels: int) -> None:
        self._channels = channels
        other = decoder.rate != rate
        self._resamplers = [Resampler(decoder.rate, rate) for _ in range(channels)] if other else []

    def push(self, block: Float32) -> Float32:
        if block.shape[1] != self._channels:
            mean = block.mean(axis=1, keepdims=True, dtype=np.float32)
            block = np.repeat(mean, self._channels, axis=1)
        return self._stacked(
            [r.push(block[:, n].copy()) for n, r in enumerate(self._resamplers)], block
        )

    def finish(self) -> Float32:
        none = np.zeros((0, self._channels), np.float32)
        return self._stacked([resampler.finish() for resampler in self._resamplers], none)

    def _stacked(self, columns: list[Float32], block: Float32) -> Float32:
        return np.stack(columns, axis=1) if columns else block


def _binary(source: Any) -> BinaryIO:
    source = getattr(source, "buffer", source) if isinstance(source, io.TextIOBase) else source
    if isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
        raise AudioError(
            f"{type(source).__name__} is no sound file; give a path, or a file opened with 'rb'."
        )
    return cast(BinaryIO, source)


def name_for_libsndfile(path: str | Path) -> str | bytes:
    """A path as soundfile passes it on whole: names that are not UTF-8 only as bytes."""
    return str(path) if sys.platform == "win32" else os.fsencode(path)


def reason(error: Exception) -> str:
    """The message of a library that refused."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".")
