"""How much sound a FLAC stream holds, by its last frame (RFC 9639, section 9)."""

from __future__ import annotations

import struct

from livesr.files.content import Content

_LONGEST_FRAME = 1 << 18  # bytes that are searched
_BLOCKS = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}


def total_samples(content: Content, place: int) -> int:
    """How many samples the stream's header promises; 0 where it was never written."""
    high, low = struct.unpack(">BI", content.at(place + 21, 5))
    return int((high & 15) << 32 | low)


def with_total(content: Content, place: int, total: int) -> bytes:
    """The header up to its number of samples, with another one."""
    head = content.at(place, 26)
    return head[:21] + struct.pack(">BI", head[21] & 0xF0 | total >> 32, total & 0xFFFFFFFF)


def counted_samples(content: Content, place: int, end: int) -> int:
    """How many samples come before the end of its last frame; 0 where no frame ends there."""
    (usual,) = struct.unpack(">H", content.at(place + 10, 2))  # samples a frame
    start = max(place, end - _LONGEST_FRAME)
    data = content.at(start, end - start)
    at = len(data)
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        if last := _frame(data[at : at + 20]):
            number, block, variable = last
            if _checksum(data[at:], 0x8005, 16) == 0:
                return (number if variable else number * usual) + block
    return 0


def _frame(head: bytes) -> tuple[int, int, bool] | None:
    """Number, samples, and whether the number is of a sample, by a frame's header."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    coded, rate, ones = head[2] >> 4, head[2] & 15, 8 - (head[4] ^ 0xFF).bit_length()
    if ones in (1, 8) or len(head) < 4 + max(1, ones):
        return None
    number, at = head[4] & (0xFF >> (ones + 1)), 4 + max(1, ones)
    for byte in head[5:at]:
        number = number << 6 | byte & 0x3F
    if coded in (6, 7):
        size = coded - 5
        block, at = int.from_bytes(head[at : at + size], "big") + 1, at + size
    else:
        block = _BLOCKS.get(coded, 0)
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if not block or rate == 15 or len(head) <= at or _checksum(head[: at + 1], 0x07, 8):
        return None
    return number, block, head[1] & 1 == 1


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
