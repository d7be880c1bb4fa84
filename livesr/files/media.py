"""Containers that libsndfile cannot read, decoded by FFmpeg through PyAV (extra `media`)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from livesr.arrays import Array, Float32
from livesr.errors import AudioError

_TOLERANCE_SECONDS = 0.5  # by which a container's own length may be wrong
# FFmpeg is told what it reads, so that no file is taken for a playlist and leads it elsewhere.
_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"ftyp", "mov", "MP4, M4A or 3GP"),
    (0, b"\x1aE\xdf\xa3", "matroska", "WebM or Matroska"),
    (0, bytes.fromhex("3026b2758e66cf11"), "asf", "WMA"),
    (0, b"#!AMR", "amr", "AMR"),
    (0, b"OggS", "ogg", "Ogg"),
    (0, b"FLV", "flv", "FLV"),
    (0, b"caff", "caf", "CAF"),
    (0, b"fLaC", "flac", "FLAC"),
    (0, b"riff.\x91\xcf\x11", "w64", "W64"),
    (0, b"wvpk", "wv", "WavPack"),
    (0, b"MAC ", "ape", "Monkey's Audio"),
    (8, b"AVI ", "avi", "AVI"),
    (8, b"WAVE", "wav", "WAV"),
    (8, b"AIF", "aiff", "AIFF"),
)
_GUESSED = ("aac", "amr", "mpegts")  # whose length FFmpeg takes from the first bytes' rate
_SCALES = {"u1": 2.0**-7, "i2": 2.0**-15, "i4": 2.0**-31, "i8": 2.0**-63}


def media_format(head: bytes) -> tuple[str, str] | None:
    """FFmpeg's name of a container that PyAV may read, and ours, by its first bytes."""
    for place, magic, name, words in _FORMATS:
        if head[place:].startswith(magic):
            return name, words
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac", "AAC"
    if head[:1] == b"G" and head[188:189] == b"G":
        return "mpegts", "an MPEG transport stream"
    return None


def convert_command(path: Path | None) -> str:
    """What turns such a file into one that needs no extra."""
    return _ffmpeg(path, "")


def scale_command(path: Path | None, scale: float) -> str:
    """What turns samples that were written without being scaled into such as are."""
    return _ffmpeg(path, f"-af volume=1/{scale:.0f} ")


def _ffmpeg(path: Path | None, options: str) -> str:
    name = "FILE" if path is None else str(path)  # what came through a pipe has no name
    made = shlex.quote(f"{name}.wav")
    command = f"ffmpeg -i {shlex.quote(name)} {options}-ar 16000 -ac 1 {made}"
    return command if path else f"save it as FILE, then {command}"


class Media:
    """The first sound track of a media file, block by block.

    Args:
        file: open, binary, and able to seek.
        kind: FFmpeg's name of its container.
        name: for messages.

    Attributes:
        rate: samples a second.
        channels: of the track.
        frames: that the container promises; 0 where it does not say.
        damaged: packets that could not be decoded.

    Raises:
        ModuleNotFoundError: if PyAV is not installed.
        AudioError: if there is no sound in it that FFmpeg decodes.
    """

    def __init__(self, file: BinaryIO, kind: str, name: str) -> None:
        import av  # noqa: PLC0415  (an extra)

        self._errors = (av.error.FFmpegError, EOFError, ValueError)
        self.damaged = 0
        self._stream: Any = None
        try:
            self._container: Any = av.open(file, format=kind, metadata_errors="replace")
        except self._errors as error:
            raise AudioError(
                f"{name} is not a sound file that can be read ({_words(error)})."
            ) from None
        try:
            self._stream = self._container.streams.best("audio")
            if self._stream is None:
                raise AudioError(f"{name} holds no audio: there is no sound track in it.")
            context = self._stream.codec_context
            if context is None:
                raise AudioError(f"{name} holds sound in a coding that FFmpeg here does not know.")
            self._read = self._frames()
            self._waiting: Float32 | None = next(self._read, None)
            if self._waiting is None:
                raise AudioError(f"{name} holds no audio: it has a header and no samples.")
            self.rate, self.channels = int(self._stream.rate), self._waiting.shape[1]
        except self._errors as error:
            self.close()
            raise AudioError(f"{name} cannot be decoded by FFmpeg ({_words(error)}).") from None
        except AudioError:
            self.close()
            raise
        self.frames = 0 if kind in _GUESSED else self._promised()

    def _promised(self) -> int:
        length, unit = self._stream.duration, self._stream.time_base
        if length is None and len(self._container.streams) == 1:
            length, unit = self._container.duration, 1e-6
        seconds = float(length * unit) if length and unit else 0.0
        return max(0, int((seconds - _TOLERANCE_SECONDS) * self.rate))

    def read(self, count: int) -> Float32:
        """About so many frames or more, float32 [n, channels]; none at the end."""
        found: list[Float32] = []
        have = 0
        while have < count:
            block = self._waiting if self._waiting is not None else next(self._read, None)
            self._waiting = None
            if block is None:
                break
            if found and block.shape[1] != found[0].shape[1]:
                self._waiting = block
                break
            found.append(block)
            have += len(block)
        return np.concatenate(found) if found else np.zeros((0, self.channels), np.float32)

    def close(self) -> None:
        """Let go of the decoder; the file stays open."""
        self._container.close()

    def _frames(self) -> Iterator[Float32]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._errors:
                self.damaged += 1
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except self._errors:
                self.damaged += 1
                continue
            for frame in frames:
                if frame.samples and frame.sample_rate:
                    yield _samples(frame)


def _samples(frame: Any) -> Float32:
    """float32 [n, channels] of a decoded frame of any sample type."""
    array: Array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    planes = array.T if frame.format.is_planar else array.reshape(-1, channels)
    kind = planes.dtype.str[1:]
    if kind not in _SCALES:
        return np.ascontiguousarray(planes, np.float32)
    values = planes.astype(np.float32)
    if kind == "u1":
        values -= 128
    return np.ascontiguousarray(values * np.float32(_SCALES[kind]))


def _words(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")[:200]
