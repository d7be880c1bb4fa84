"""uvicorn's protocols with more limits: time and size of a request's head; abort."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

_LONGEST_HEAD = 1 << 16
CLOSED, HANDSHAKE, ABORT, INTAKE = (
    *("livesr.closed", "livesr.handshake"),
    *("livesr.abort", "livesr.intake"),
)


class Intake:
    """Where a connection's binary messages go directly, past the application's queue.

    Attributes:
        take: takes a message; returns False if it must go through the queue. None for none yet.
        answered: set once the client has answered the server's close: it has got all messages.
    """

    def __init__(self) -> None:
        self.take: Callable[[bytes], bool] | None = None
        self.answered = asyncio.Event()


class GuardedHttp(HttpToolsProtocol):
    """A connection whose request must be complete within the handshake time.

    That time begins with the connection, and again with the answer to the request before.
    """

    _deadline: asyncio.TimerHandle | None = None
    _head = 0  # bytes of the head so far
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # For the application: a client that never reads cannot be closed, only aborted.
        self.app_state[ABORT] = transport.abort
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        self.app_state[CLOSED]()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > _LONGEST_HEAD:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._in_head = 0, True
        self._arm()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # uvicorn's own timeout ends with the next byte, which may be of a body that nobody reads.
        # So the rest of a body may still come for that long: who is cut off while sending may not
        # see the answer.
        if self.cycle.response_complete and not self.transport.is_closing():
            self._arm()

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.app_state[HANDSHAKE], self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class StreamProtocol(WebSocketsSansIOProtocol):
    """A websocket that reports when it is closed, and passes sound on directly.

    By the queue, uvicorn stops and starts the reading of the connection for every message, and
    wakes a task. With messages of 20 ms that costs a third of what inference costs.
    """

    def send_receive_event_to_app(self) -> None:
        take = self.app_state[INTAKE].take
        if (
            take is not None
            and self.curr_msg_data_type == "bytes"
            and self.queue.empty()
            and not self.close_sent
        ):
            data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
            if take(bytes(data)):
                self.frames = []
                return
        super().send_receive_event_to_app()

    def handle_close(self, event: Frame) -> None:
        if self.close_sent:
            self.app_state[INTAKE].answered.set()
        super().handle_close(event)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.app_state[CLOSED]()
