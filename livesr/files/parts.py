"""The parts of a sound file, where they end, and what its headers say wrongly.

Files are joined (two mp3 one after the other, an Ogg stream after another), cut (a full disk, a
broken download) and left without a length (a recorder that was killed). A library that reads
only the first header reads the first part, or nothing. Here the containers are walked
from one length to the next, and each part is given to its library with a header that is right.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from livesr.files.content import Content, Piece
from livesr.files.flac import Told, by_header, by_last_frame, with_told

_WRAP = 1 << 32  # a size of 32 bits
_ENDLESS = 0x7FFF0000  # and more: what writers to a pipe put where they cannot know
_LONGEST_HEADER = 1 << 24  # bytes before the sound of a pipe
_LONGEST_STREAM = 1 << 56
_MOST_CHUNKS = 100_000
_CHUNK_NAME = re.compile(rb"[ -~]{3}[ -~\0]")
_LEFT_OVER = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")  # what taggers put at an end
_RIFF = (b"RIFF", b"RIFX", b"RF64", b"BW64")
# What files of sound begin with, as against bare samples.
HEADERS = (*_RIFF, b"OggS", b"fLaC", b"ID3", b"FORM", b"caff", b".snd", b"\x1aE\xdf\xa3")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_W64_HEADER = 104  # bytes without any sound
_LINEAR = (1, 3, 6, 7)  # WAVE formats that RF64 may hold: PCM, float, A-law, mu-law
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said about a file.

    Attributes:
        text: in words, to stand after the file's name.
        lost: whether a part of it could not be read.
    """

    text: str
    lost: bool


@dataclass(slots=True)
class Layout:
    """The parts of a file, each as pieces of it, and what is wrong with it.

    Attributes:
        parts: what one decoder reads each; none if the file can be taken as it is.
        findings: what to say when it has been read.
    """

    parts: list[list[Piece]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def layout(content: Content) -> Layout:
    """Walk a file; one of an unknown kind is one part, taken as it is."""
    found, place = Layout(), _after_tag(content, 0)
    while place < content.size:
        walk = _kind(content, place)
        if walk is None:
            break
        try:
            end = walk(content, place, found)
        except struct.error:  # cut within a header: what came before it stands
            break
        if end <= place:
            break
        place = _after_tag(content, _after_old_tag(content, end))
    if not found.parts:
        return found
    rest = content.size - place
    if rest > 0 and not content.at(place, 16).startswith(_LEFT_OVER) and not content.zeros(place):
        found.findings.append(
            Finding(f"{rest} bytes follow its sound that are no sound livesr can tell", True)
        )
    if found.parts == [[range(0, content.size)]]:
        found.parts.clear()
    return found


_Walk = Callable[[Content, int, Layout], int]


def _kind(content: Content, place: int) -> _Walk | None:
    head = content.at(place, 16)
    if head[:4] in _RIFF and head[8:12] == b"WAVE":
        return _wave
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    if head[4:8] == b"ftyp":
        return _mp4
    for magic, walk in (
        (b"OggS", _ogg),
        (b"fLaC", _flac),
        (b"caff", _caf),
        (b".snd", _au),
        (_W64, _w64),
        (_ASF, _asf),
    ):
        if head.startswith(magic):
            return walk
    return _mpeg if _mpeg_frame(content, place) and _mpeg_run(content, place) else None


def _after_tag(content: Content, place: int) -> int:
    """Where an ID3v2 tag ends that begins here, and the zeros that taggers leave after it."""
    while (head := content.at(place, 10))[:3] == b"ID3" and len(head) == 10:
        size = 0
        for byte in head[6:]:
            size = size << 7 | (byte & 0x7F)
        place += 10 + size + (10 if head[5] & 0x10 else 0)
        while (block := content.at(place, 4096)) and not block.strip(b"\0"):
            place += len(block)
        place += len(block) - len(block.lstrip(b"\0"))
    return place


def _after_old_tag(content: Content, place: int) -> int:
    """Where an ID3v1 tag ends that begins here: files that were joined have one between them."""
    return min(place + 128, content.size) if content.at(place, 3) == b"TAG" else place


def _was_cut(promised: int, there: int) -> Finding:
    return Finding(
        f"it was cut: its header promises {promised} bytes of sound, {there} are there", True
    )


# ---- RIFF WAVE and AIFF: chunks of a name, a size and so many bytes ----


def _chunks(content: Content, place: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and size of each chunk from here on, while they look like chunks."""
    for _ in range(_MOST_CHUNKS):
        head = content.at(place, 8)
        if len(head) < 8 or not _CHUNK_NAME.fullmatch(head[:4]):
            return
        (size,) = struct.unpack(order + "I", head[4:])
        yield head[:4], place + 8, size
        place += 8 + size + size % 2


def _trailing(content: Content, place: int, order: str) -> tuple[int, bool]:
    """Where the chunks end that follow the sound, and whether they are all that does."""
    end = place
    for name, start, size in _chunks(content, place, order):
        if name in (*_RIFF, b"FORM"):
            return end, False
        if start + size > content.size:
            known = name in (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"_PMX", b"afsp", b"PAD ")
            return (content.size, True) if known else (end, False)
        end = min(content.size, start + size + size % 2)
    return end, end >= content.size


def _wave(content: Content, place: int, found: Layout) -> int:
    head = content.at(place, 12)
    order = ">" if head[:4] == b"RIFX" else "<"
    form, big, kept = b"", 0, []
    for name, start, size in _chunks(content, place + 12, order):
        if name == b"data":
            break
        if name == b"ds64" and size >= 24:
            (big,) = struct.unpack("<Q", content.at(start + 8, 8))
        elif name in (b"fmt ", b"fact"):
            kept.append(content.at(start - 8, 8 + size + size % 2))
            form = content.at(start, size) if name == b"fmt " else form
    else:
        return place  # no sound: libsndfile says so
    if len(form) < 16:
        return place
    promised = big if big and size == _WRAP - 1 else size
    stop, end = _sound_end(content, start, promised, order, found)
    if stop == start and promised == 0 and end >= content.size:
        return place
    if place == 0 and end >= content.size and stop == start + promised:
        found.parts.append([range(0, content.size)])
        return content.size
    found.parts.append([_wave_header(form, kept, stop - start, order), range(start, stop)])
    return end


def pipe_wave(peek: Callable[[int], bytes]) -> tuple[bytes, int, int | None] | None:
    """Of a WAVE stream in a pipe: a header that is right, and where the sound begins.

    Args:
        peek: gives so many bytes of its beginning.

    Returns:
        The header, the number of bytes in whose place it stands, and how many bytes of sound
        follow, None where the stream does not know; or None if it is no WAVE stream.
    """
    head = peek(12)
    if head[:4] not in _RIFF or head[8:12] != b"WAVE":
        return None
    order, at = ">" if head[:4] == b"RIFX" else "<", 12
    form, big, kept = b"", 0, []
    while True:
        head = peek(at + 8)[at:]
        if len(head) < 8 or not _CHUNK_NAME.fullmatch(head[:4]):
            return None
        (size,) = struct.unpack(order + "I", head[4:])
        if head[:4] == b"data":
            break
        end = at + 8 + size + size % 2
        if end > _LONGEST_HEADER:
            return None
        chunk = peek(end)[at:]
        if head[:4] == b"ds64" and len(chunk) >= 32:
            (big,) = struct.unpack_from("<Q", chunk, 16)
        elif head[:4] in (b"fmt ", b"fact"):
            kept.append(chunk)
            form = chunk[8 : 8 + size] if head[:4] == b"fmt " else form
        at = end
    if len(form) < 16 or _coding(form) not in _LINEAR:
        return None  # a coding in blocks: libsndfile makes silence where they end early
    promised = big if big and size == _WRAP - 1 else size
    known = promised if 0 < promised < _ENDLESS or _WRAP < promised < 1 << 62 else None
    header = _wave_header(form, kept, _LONGEST_STREAM if known is None else known, order)
    return header, at + 8, known


def follows_on(rest: Callable[[int], bytes]) -> bool:
    """Whether more sound follows in a pipe, after the chunks that may stand behind sound.

    Args:
        rest: gives the next bytes of it.
    """
    while head := rest(8):
        if head[:4] in (*_RIFF, b"fLaC", b".snd") or not _CHUNK_NAME.fullmatch(head[:4]):
            return bool(head.strip(b"\0"))
        (size,) = struct.unpack("<I", head[4:].ljust(4, b"\0"))
        size += size % 2
        while size > 0 and (block := rest(min(size, 1 << 16))):
            size -= len(block)
    return False


def _sound_end(
    content: Content, start: int, promised: int, order: str, found: Layout, least: int = 0
) -> tuple[int, int]:
    """Where the sound ends that begins here, and where the container does.

    Args:
        content: of the file.
        start: of the sound.
        promised: bytes of it, as the header has it.
        order: of a number's bytes.
        found: takes what is wrong.
        least: bytes that even a header without sound promises.
    """
    there = content.size - start
    if promised >= there:
        if promised > there and (promised < _ENDLESS or _WRAP < promised < 1 << 62):
            found.findings.append(_was_cut(promised, there))
        return content.size, content.size
    after = start + promised
    if promised % 2 and not _CHUNK_NAME.fullmatch(content.at(after, 4)):
        after += 1
    end, alone = _trailing(content, after, order)
    if alone or (promised > least and _kind(content, end)):
        return start + promised, end
    if promised <= least:
        found.findings.append(
            Finding("its header was never finished; it is read to the end of the file", False)
        )
        return content.size, content.size
    wraps = (there - promised) // _WRAP
    if wraps:
        found.findings.append(
            Finding("it is longer than its header can say; it is read to its end", False)
        )
        longer = start + promised + wraps * _WRAP
        end, alone = _trailing(content, longer + longer % 2, order)
        return (longer, end) if alone else (content.size, content.size)
    return start + promised, end


def _wave_header(form: bytes, kept: list[bytes], size: int, order: str) -> bytes:
    """A header that says how much follows."""
    name = b"RIFX" if order == ">" else b"RIFF"
    chunks = b"".join(kept)
    total = 4 + len(chunks) + 8 + size
    if total < _WRAP - 1:
        return (
            name
            + struct.pack(order + "I", total)
            + b"WAVE"
            + chunks
            + b"data"
            + struct.pack(order + "I", size)
        )
    (align,) = struct.unpack_from("<H", form, 12)
    if order == ">" or _coding(form) not in _LINEAR:
        return name + b"\xff" * 4 + b"WAVE" + chunks + b"data" + b"\xff" * 4
    sizes = struct.pack("<QQQI", total + 36, size, size // max(1, align), 0)
    return (b"RF64" + b"\xff" * 4 + b"WAVE" + b"ds64" + struct.pack("<I", len(sizes)) + sizes) + (
        chunks + b"data" + b"\xff" * 4
    )


def _coding(form: bytes) -> int:
    code = int.from_bytes(form[:2], "little")
    extended = code == _EXTENSIBLE and len(form) >= 26
    return int.from_bytes(form[24:26], "little") if extended else code


def _aiff(content: Content, place: int, found: Layout) -> int:
    kept, common = [], b""
    for name, start, size in _chunks(content, place + 12, ">"):
        if name == b"SSND":
            break
        if name in (b"COMM", b"FVER"):
            kept.append(content.at(start - 8, 8 + size + size % 2))
            common = content.at(start, size) if name == b"COMM" else common
    else:
        return place
    if len(common) < 18:  # it may follow the sound
        return place
    channels, frames, bits = struct.unpack_from(">HIH", common)
    frame = max(1, channels * ((bits + 7) // 8))
    kind = common[18:22] if content.at(place + 8, 4) == b"AIFC" else b"NONE"
    linear = kind in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"raw ")
    stop, end = _sound_end(content, start, size, ">", found, least=8)
    if place == 0 and end >= content.size and stop == start + size:
        found.parts.append([range(0, content.size)])
        return content.size
    if stop - start != size and linear:
        frames = max(0, stop - start - 8) // frame
    chunks = b"".join(
        chunk[:10] + struct.pack(">I", frames) + chunk[14:] if chunk[:4] == b"COMM" else chunk
        for chunk in kept
    )
    header = content.at(place + 8, 4) + chunks + b"SSND" + struct.pack(">I", stop - start)
    total = len(header) + stop - start
    found.parts.append([b"FORM" + struct.pack(">I", total) + header, range(start, stop)])
    return end


# ---- containers that say how long they are ----


def _sized(content: Content, place: int, end: int, found: Layout) -> int:
    """A part whose header says that it ends there."""
    if end > content.size:
        found.findings.append(_was_cut(end - place, content.size - place))
    end = min(end, content.size)
    found.parts.append([range(place, end)])
    return end


def _au(content: Content, place: int, found: Layout) -> int:
    offset, size = struct.unpack(">II", content.at(place + 4, 8).ljust(8, b"\0"))
    if size >= _ENDLESS or not size:
        return _sized(content, place, content.size, found)
    return _sized(content, place, place + offset + size, found)


def _w64(content: Content, place: int, found: Layout) -> int:
    head = content.at(place + 16, 8).ljust(8, b"\0")
    (size,) = struct.unpack("<q", head)
    there = content.size - place
    if not _W64_HEADER < size < 1 << 62:
        size = there  # of a pipe, or never finished
    return _sized(content, place, place + size, found)


def _caf(content: Content, place: int, found: Layout) -> int:
    start, at = place, place + 8
    for _ in range(_MOST_CHUNKS):
        head = content.at(at, 12)
        if len(head) < 12 or head[:4] == b"caff" or not _CHUNK_NAME.fullmatch(head[:4]):
            break
        (size,) = struct.unpack(">q", head[4:])
        if head[:4] == b"data":
            there = content.size - at - 12
            if size < 0 or size > there:  # libsndfile refuses more than there is
                if size > there:
                    found.findings.append(_was_cut(size, there))
                header = content.at(start, at - start) + b"data" + struct.pack(">q", there)
                found.parts.append([header, range(at + 12, content.size)])
                return content.size
        if size < 0:
            break
        at += 12 + size
    return _sized(content, place, at, found)


def _mp4(content: Content, place: int, found: Layout) -> int:
    at, index = place, False
    for _ in range(_MOST_CHUNKS):
        head = content.at(at, 16)
        if len(head) < 8 or (at > place and head[4:8] == b"ftyp"):
            break
        index = index or head[4:8] == b"moov"
        size = int.from_bytes(head[:4], "big")
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        if size == 0:
            at = content.size
        elif size < 8 or not _CHUNK_NAME.fullmatch(head[4:8]):
            break
        else:
            at += size
    if not index:
        found.findings.append(Finding("its index is missing: it was cut, or never finished", True))
    return _sized(content, place, at, found)


def _asf(content: Content, place: int, found: Layout) -> int:
    following = content.find(_ASF, place + 16)
    end = content.size if following < 0 else following
    found.parts.append([range(place, end)])
    return end


def _flac(content: Content, place: int, found: Layout) -> int:
    end = place + 8
    while (end := content.find(b"fLaC", end)) >= 0:
        if _FLAC.fullmatch(content.at(end, 8)):
            break
        end += 4
    end = content.size if end < 0 else end
    if end < content.size:  # a tag of the next part is none of this one's frames
        tag = content.find(b"ID3", max(place, end - (1 << 20)), end)
        end = tag if tag >= 0 and _after_tag(content, tag) == end else end
    elif content.at(max(place, end - 128), 3) == b"TAG":
        end -= 128
    pieces: list[Piece] = [range(place, end)]
    if len(content.at(place, 42)) == 42:
        told, there = by_header(content, place), by_last_frame(content, place, end)
        # libsndfile stops after as many samples as it is told; a recorder may not know yet.
        short = 0 < told.samples < there.samples
        if short or there.rate not in (0, told.rate):
            right = Told(there.rate or told.rate, max(there.samples, told.samples))
            head = with_told(content, place, right)
            pieces = [head, range(place + len(head), end)]
    found.parts.append(pieces)
    return end


# ---- Ogg: pages; a stream that follows another begins with a page that says so ----

_PAGE = 27  # bytes of a page's header, before its table of sizes
_FIRST, _LAST = 2, 4


def _ogg(content: Content, place: int, found: Layout) -> int:
    streams: dict[bytes, list[Piece]] = {}  # the pages of each, by serial number
    ended: dict[bytes, bool] = {}
    begins, damaged, cut, at = True, 0, False, place
    while at < content.size:
        end = _page_end(content, at)
        if end is None:
            following = content.find(b"OggS", at + 1)
            if following < 0:
                cut = content.at(at, 4) == b"OggS"[: content.size - at]
                at = content.size if cut else at
                break
            damaged, at = damaged + following - at, following
            continue
        head = content.at(at, _PAGE)
        first, serial = bool(head[5] & _FIRST), head[14:18]
        if first and not begins:
            break  # the next stream of a chain
        begins = begins and first
        ended[serial] = bool(head[5] & _LAST)
        _append(streams.setdefault(serial, []), at, end)
        at = end
    if not streams:
        return place
    chosen = next((serial for serial in streams if _is_sound(content, streams[serial])), None)
    if damaged:
        found.findings.append(Finding(f"{damaged} bytes within it are damaged", True))
    if cut:
        found.findings.append(Finding("it was cut in the midst of a page", True))
    elif not all(ended.values()):
        found.findings.append(
            Finding("its end is not marked: it was cut, or never finished", False)
        )
    found.parts.append(streams[chosen] if chosen else [range(place, at)])
    return at


def _is_sound(content: Content, pages: list[Piece]) -> bool:
    first = pages[0]
    assert isinstance(first, range)
    head = content.at(first.start, _PAGE + 256 + 8)
    packet = head[_PAGE + head[26] :]
    return packet.startswith((b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   "))


def _append(pieces: list[Piece], start: int, stop: int) -> None:
    """One more piece, joined to the one before where it goes on from it."""
    if pieces and isinstance(last := pieces[-1], range) and last.stop == start:
        pieces[-1] = range(last.start, stop)
    else:
        pieces.append(range(start, stop))


def _page_end(content: Content, place: int) -> int | None:
    """Where a page ends that begins here; None if it is none, or cut."""
    head = content.at(place, _PAGE)
    if len(head) < _PAGE or head[:5] != b"OggS\0":
        return None
    table = content.at(place + _PAGE, head[26])
    end = place + _PAGE + len(table) + sum(table)
    return end if len(table) == head[26] and end <= content.size else None


# ---- MPEG audio: frames, each with a header of four bytes ----

_KBITS = {  # by version 1 or not, and layer; index 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LOST_FRAME = 200  # bytes of damage that are worth a word
_RUN = 3  # frames in a row that are no accident


_LAYER_3 = 3  # mp3


@dataclass(frozen=True, slots=True)
class _Frame:
    size: int
    kind: tuple[int, int, int, bool]  # version, layer, rate, mono: of all frames of a part


def _mpeg_frame(content: Content, place: int) -> _Frame | None:
    head = content.at(place, 4)
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    first, hertz, padding = version == 3, _RATES[version][rate], head[2] >> 1 & 1
    kbits = _KBITS[first, layer][bits - 1]
    if layer == 1:
        size = (12000 * kbits // hertz + padding) * 4
    else:
        size = (144000 if first or layer == 2 else 72000) * kbits // hertz + padding
    return _Frame(size, (version, layer, hertz, head[3] >> 6 == 3))


def _mpeg_run(content: Content, place: int) -> bool:
    """Whether frames of one kind follow each other here, to the end if that comes first."""
    first = _mpeg_frame(content, place)
    for _ in range(_RUN):
        if place == content.size:
            break
        frame = _mpeg_frame(content, place)
        if frame is None or first is None or frame.kind != first.kind:
            return False
        place += frame.size
        if place > content.size:
            break
    return True


def _mpeg_about(content: Content, place: int, frame: _Frame) -> int | None:
    """Of a frame that holds no sound but says how much follows: how many bytes; 0 if not said.

    As libmpg123, which takes it for sound if anything but a checksum comes before that.
    """
    version, _, _, mono = frame.kind
    side = _side_bytes(version, mono)
    head = content.at(place + 4 + side, 16)
    if head[:4] in (b"Xing", b"Info") and not any(content.at(place + 6, side - 2)):
        flags = int.from_bytes(head[4:8], "big")
        at = 12 if flags & 1 else 8
        return int.from_bytes(head[at : at + 4], "big") if flags & 2 else 0
    head = content.at(place + 36, 14)
    return int.from_bytes(head[10:14], "big") if head[:4] == b"VBRI" else None


def _mpeg(content: Content, place: int, found: Layout) -> int:
    frame = _mpeg_frame(content, place)
    assert frame is not None
    kind, said = frame.kind, _mpeg_about(content, place, frame)
    pieces: list[Piece] = []
    at, damaged, end, frames = place, 0, place, 0
    while at < content.size:
        frame = _mpeg_frame(content, at)
        if frame is None or frame.kind != kind:
            if _kind_of_next(content, at, kind):
                break
            following = _mpeg_again(content, at, kind)
            if following < 0:
                break
            damaged, at = damaged + following - at, following
            continue
        if at > place and _mpeg_about(content, at, frame) is not None:
            break
        end, frames = at + frame.size, frames + 1
        _append(pieces, at, min(end, content.size))
        at = min(end, content.size)
    if damaged > _LOST_FRAME:
        found.findings.append(Finding(f"{damaged} bytes within it are damaged", True))
    there = sum(len(piece) for piece in pieces)
    if said and there + _LOST_FRAME < said < _ENDLESS:
        found.findings.append(_was_cut(said, there))
    elif end > content.size:
        found.findings.append(Finding("it was cut in the midst of a frame", True))
    if said is None and kind[1] == _LAYER_3:
        pieces.insert(0, _mpeg_length(content.at(place, 4), frames, there))
    else:
        pieces = _mpeg_told(content, place, pieces, said, there, frames - 1)
    found.parts.append(pieces)
    return at


def _mpeg_length(header: bytes, frames: int, there: int) -> bytes:
    """A frame without sound that says how much follows, for a part that has none.

    Without it libmpg123 estimates the length by the first frame's bit rate, and stops there.

    Args:
        header: of the part's first frame.
        frames: that follow.
        there: bytes of them.
    """
    head = bytes([header[0], header[1] | 1, 0x90 | header[2] & 0x0C, header[3]])
    version, mono = header[1] >> 3 & 3, header[3] >> 6 == 3
    kbits, hertz = _KBITS[version == 3, _LAYER_3][8], _RATES[version][header[2] >> 2 & 3]
    size = (144000 if version == 3 else 72000) * kbits // hertz
    told = b"Xing" + struct.pack(">III", 3, frames, size + there)
    return (head + bytes(_side_bytes(version, mono)) + told).ljust(size, b"\0")


def _side_bytes(version: int, mono: bool) -> int:
    """How many bytes lie between a frame's header and what it holds."""
    if version == 3:
        return 17 if mono else 32
    return 9 if mono else 17


def _mpeg_told(
    content: Content, place: int, pieces: list[Piece], said: int | None, there: int, frames: int
) -> list[Piece]:
    """The pieces, with the numbers of bytes and frames put right.

    libmpg123 prints a note where the bytes differ, and stops after as many frames as it is told.
    """
    if not said or said == there or not isinstance(first := pieces[0], range):
        return pieces
    head = content.at(place, 64)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0:
        return pieces
    counted = head[at + 7] & 1
    at += 12 if counted else 8
    put = content.at(place, at) + struct.pack(">I", there)
    if counted:
        put = put[:-8] + struct.pack(">II", frames, there)
    return [put, range(first.start + len(put), first.stop), *pieces[1:]]


def _kind_of_next(content: Content, place: int, kind: tuple[int, int, int, bool]) -> bool:
    """Whether another part, or the end of all, begins here."""
    head = content.at(place, 16)
    if head.startswith(_LEFT_OVER) or (len(head) >= 4 and _after_tag(content, place) > place):
        return True
    frame = _mpeg_frame(content, place)
    if frame is not None:
        return frame.kind != kind and _mpeg_run(content, place)
    return _kind(content, place) is not None


def _mpeg_again(content: Content, place: int, kind: tuple[int, int, int, bool]) -> int:
    """The next place at which frames of this kind, or another part, begin; -1 if none does."""
    while (place := content.find(b"\xff", place + 1)) >= 0:
        frame = _mpeg_frame(content, place)
        if frame and frame.kind == kind and _mpeg_run(content, place):
            return place
    return -1
