"""Messages between the parent and a worker: length and msgpack over a socket pair."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")
Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]


class LinkLost(ConnectionError):
    """The process at the other end has ended."""


class Link:
    """One end of the connection. `handle(kind, fields)` answers the messages of the other end.

    Args:
        sock: connected, of type SOCK_STREAM.
        handle: called for each message, each in a task of its own, in order of arrival.
    """

    def __init__(self, sock: socket.socket, handle: Handler) -> None:
        self._sock, self._handle = sock, handle
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Open the socket; call it before `run`, `tell` and `ask`."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._sock, limit=1 << 26)

    async def run(self) -> None:
        """Handle messages until the other end closes."""
        assert self._writer is not None, "connect first"
        reader = self._reader
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                self._take(msgspec.msgpack.decode(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writer.close()
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(LinkLost())

    def _take(self, message: list[Any]) -> None:
        kind, number, fields = message
        if kind == "":
            future = self._asked.pop(number, None)
            if future and not future.done():
                future.set_result(fields)
            return
        task = asyncio.create_task(self._answer(kind, number, fields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, kind: str, number: int, fields: dict[str, Any]) -> None:
        value = await self._handle(kind, fields)
        if number:
            self._write("", number, value)

    def tell(self, kind: str, **fields: Any) -> None:
        """Send a message that needs no answer."""
        self._write(kind, 0, fields)

    async def ask(self, kind: str, **fields: Any) -> Any:
        """Send a message and wait for its answer.

        Raises:
            LinkLost: if the other end closes before it answers.
        """
        self._next += 1
        future = self._asked[self._next] = asyncio.get_running_loop().create_future()
        self._write(kind, self._next, fields)
        return await future

    def _write(self, kind: str, number: int, fields: Any) -> None:
        if self._writer is None or self._writer.is_closing():
            if number and number in self._asked:
                self._asked.pop(number).set_exception(LinkLost())
            return
        data = msgspec.msgpack.encode((kind, number, fields))
        self._writer.write(_LENGTH.pack(len(data)) + data)
