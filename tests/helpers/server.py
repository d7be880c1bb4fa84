"""A real server in processes of its own, and clients for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PROTOCOLS = ("livesr.v1",)


_SERVE = """
import json, sys, msgspec
from livesr.serve.logs import set_up
from livesr.serve.parent import serve
from livesr.serve.settings import ServeSettings
set_up()
sys.exit(serve(msgspec.convert(json.loads(sys.argv[1]), ServeSettings)))
"""


class Server:
    """`livesr serve` on a free port of loopback."""

    def __init__(
        self,
        *options: str,
        log: Path | None = None,
        settings: dict[str, Any] | None = None,
        **environment: str,
    ) -> None:
        command = [sys.executable, "-m", "livesr", "serve", "--port", "0", *options]
        if settings is not None:  # bounds that the command has no option for
            command = [sys.executable, "-c", _SERVE, json.dumps({"port": 0, **settings})]
        self.log = log
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
        return ExitStack().enter_context(connect(self.ws, **options))

    def workers(self) -> list[int]:
        """Process numbers of the workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in path.read_text().split()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log about this."""
        assert self.log is not None
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def wait_logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        for _ in range(1200):
            if len(found := self.logged(event)) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{event!r} never came")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=40)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def serving(*options: str, **how: Any) -> Iterator[Server]:
    server = Server(*options, **how)
    try:
        yield server
    finally:
        server.stop()


def tell(socket: ClientConnection, kind: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def collected(socket: ClientConnection) -> list[dict[str, Any]]:
    """Every message until the server closes, whatever its code."""
    found = []
    with suppress(ConnectionClosed):
        while True:
            found.append(json.loads(socket.recv(timeout=60)))
    return found


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
