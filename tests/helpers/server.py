"""A real server in processes of its own, and clients for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROTOCOLS = ("livesr.v1",)


class Server:
    """`livesr serve` on a free port of loopback."""

    def __init__(self, *options: str, log: Path | None = None, **environment: str) -> None:
        command = [sys.executable, "-m", "livesr", "serve", "--port", "0", *options]
        self._log = log.open("w") if log else subprocess.DEVNULL
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the server did not start: {self.process.wait()}")
        self.url = line.split()[1].rstrip("/")
        self.ws = self.url.replace("http", "ws", 1) + "/v1/stream"

    def connect(self, **options: Any) -> ClientConnection:
        options = {"subprotocols": PROTOCOLS, "max_size": None, "open_timeout": 30, **options}
        return connect(self.ws, **options)

    def workers(self) -> list[int]:
        """Process numbers of the workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in path.read_text().split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=40)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def serving(*options: str, log: Path | None = None, **environment: str) -> Iterator[Server]:
    server = Server(*options, log=log, **environment)
    try:
        yield server
    finally:
        server.stop()


def tell(socket: ClientConnection, kind: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def collected(socket: ClientConnection) -> list[dict[str, Any]]:
    """Every message until the server closes."""
    return [json.loads(message) for message in socket]


def until(socket: ClientConnection, kind: str, timeout: float = 30.0) -> list[dict[str, Any]]:
    """Messages up to the first of this type, which is the last of the list."""
    found = []
    deadline = time.monotonic() + timeout
    while True:
        message = json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
        found.append(message)
        if message["type"] == kind:
            return found


def readings(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of a session, as `Reading.to_dict` gives them."""
    own = ("type", "seq", "lag_ms")
    return [
        {key: value for key, value in message.items() if key not in own}
        for message in messages
        if message["type"] == "reading"
    ]
