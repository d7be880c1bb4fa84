"""What a FLAC stream's last frame says of its rate and length (RFC 9639, section 9)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from livesr.files.content import Content

_LONGEST_FRAME = 1 << 18  # bytes that are searched
_BLOCKS = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}
_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


class Told(NamedTuple):
    """What is said of a stream: its rate in Hz, and its samples; 0 where it is not said."""

    rate: int
    samples: int


def by_header(content: Content, place: int) -> Told:
    """What the stream's header says."""
    rate, parted, low = struct.unpack(">HHI", content.at(place + 18, 8))
    return Told(rate << 4 | parted >> 12, (parted & 15) << 32 | low)


def with_told(content: Content, place: int, told: Told) -> bytes:
    """The header up to its number of samples, saying something else."""
    head = content.at(place, 26)
    parted = (told.rate & 15) << 12 | (head[20] << 8 | head[21]) & 0xFF0 | told.samples >> 32
    return head[:18] + struct.pack(">HHI", told.rate >> 4, parted, told.samples & 0xFFFFFFFF)


def by_last_frame(content: Content, place: int, end: int) -> Told:
    """What the frame says that ends there; nothing where none does."""
    (usual,) = struct.unpack(">H", content.at(place + 10, 2))  # samples a frame
    start = max(place, end - _LONGEST_FRAME)
    data = content.at(start, end - start)
    at = len(data)
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        last = _frame(data[at : at + 20])
        if last and _checksum(data[at:], 0x8005, 16) == 0:
            before = last.number if last.counts_samples else last.number * usual
            return Told(last.rate, before + last.samples)
    return Told(0, 0)


class _Frame(NamedTuple):
    number: int
    counts_samples: bool  # rather than frames
    samples: int
    rate: int  # Hz; 0: the header's


def _frame(head: bytes) -> _Frame | None:
    """A frame's header, if it is one."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    block, rate, ones = head[2] >> 4, head[2] & 15, 8 - (head[4] ^ 0xFF).bit_length()
    if ones in (1, 8) or rate == 15:
        return None
    number, at = head[4] & (0xFF >> (ones + 1)), 4 + max(1, ones)
    for byte in head[5:at]:
        number = number << 6 | byte & 0x3F
    samples, hertz = _BLOCKS.get(block, 0), _RATES[rate] if rate < len(_RATES) else 0
    if block in (6, 7):
        size = block - 5
        samples, at = int.from_bytes(head[at : at + size], "big") + 1, at + size
    if rate >= len(_RATES):  # in kHz, in Hz, in tens of Hz
        size, unit = ((1, 1000), (2, 1), (2, 10))[rate - len(_RATES)]
        hertz, at = int.from_bytes(head[at : at + size], "big") * unit, at + size
    if not samples or len(head) <= at or _checksum(head[: at + 1], 0x07, 8):
        return None
    return _Frame(number, head[1] & 1 == 1, samples, hertz)


def _checksum(data: bytes, polynomial: int, bits: int) -> int:
    """The CRC of data; 0 if data ends with that of what is before it."""
    top, mask, found = 1 << (bits - 1), (1 << bits) - 1, 0
    table = []
    for value in range(256):
        rest = value << (bits - 8)
        for _ in range(8):
            rest = (rest << 1 ^ polynomial if rest & top else rest << 1) & mask
        table.append(rest)
    for byte in data:
        found = (found << 8 ^ table[(found >> (bits - 8)) ^ byte]) & mask
    return found
