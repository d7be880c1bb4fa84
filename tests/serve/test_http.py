"""Frames of sound go past websockets' parser, and no other frame does."""

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from livesr.serve.http import between_frames, whole_sound

SOUND = bytes(range(256)) * 3


def framed(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True, extensions=[])


@pytest.fixture
def connection() -> ServerProtocol:
    server = ServerProtocol(max_size=1 << 20)
    client = ClientProtocol(parse_uri("ws://localhost/"))
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    assert not between_frames(server)
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    return server


@pytest.mark.parametrize("size", [0, 1, 125, 126, 640, 65535])
def test_a_whole_frame_is_taken(size: int) -> None:
    data = (SOUND * 86)[:size]
    frame = framed(Opcode.BINARY, data)
    assert whole_sound(frame) == (data, b"")
    assert whole_sound(frame + frame[:3]) == (data, frame[:3])
    for cut in range(min(len(frame), 20)):
        assert whole_sound(frame[:cut]) is None


@pytest.mark.parametrize(
    "frame",
    [
        framed(Opcode.TEXT, b"{}"),
        framed(Opcode.PING, b""),
        framed(Opcode.CLOSE, b""),
        framed(Opcode.BINARY, SOUND, fin=False),
        framed(Opcode.CONT, SOUND),
        framed(Opcode.BINARY, bytes(65536)),
        Frame(Opcode.BINARY, SOUND).serialize(mask=False, extensions=[]),
        bytes([0xC2]) + framed(Opcode.BINARY, SOUND)[1:],  # a reserved bit
    ],
)
def test_other_frames_are_websockets_own(frame: bytes) -> None:
    assert whole_sound(frame) is None


def test_only_between_frames_and_messages(connection: ServerProtocol) -> None:
    assert between_frames(connection)
    frame = framed(Opcode.BINARY, SOUND)
    for at in range(1, len(frame)):
        connection.receive_data(frame[:at])
        assert not between_frames(connection), at
        connection.receive_data(frame[at:])
        assert between_frames(connection), at
    connection.receive_data(framed(Opcode.BINARY, SOUND, fin=False))
    assert not between_frames(connection)
    connection.receive_data(framed(Opcode.PING, b""))
    assert not between_frames(connection)
    connection.receive_data(framed(Opcode.CONT, SOUND))
    assert between_frames(connection)
    last = connection.events_received()[-1]
    assert isinstance(last, Frame)
    assert last.data == SOUND
    connection.receive_data(framed(Opcode.CLOSE, b"\x03\xe8"))
    assert not between_frames(connection)


def test_not_after_a_wrong_frame(connection: ServerProtocol) -> None:
    connection.receive_data(b"\xff\xff\xff\xff")
    assert not between_frames(connection)
