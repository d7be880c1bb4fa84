"""A worker process: `python -m livesr.serve.worker CONTROL CONNECTIONS`, started by the parent.

Over one socket it gets its settings and the states of dropped connections; over the other,
accepted connections. It ends when the parent ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
import sys
import time
from typing import Any

import msgspec
import numpy as np
import uvicorn

from livesr.batch import push_all
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.recognizer import Recognizer
from livesr.serve import metrics
from livesr.serve.app import make_app
from livesr.serve.control import Link
from livesr.serve.http import CLOSED, HANDSHAKE, INTAKE, GuardedHttp, Intake, StreamProtocol
from livesr.serve.hub import Hub
from livesr.serve.logs import note, set_up
from livesr.serve.settings import ServeSettings
from livesr.settings import HOP_SECONDS, SAMPLE_RATE

SHARE = 0.8  # of a core's measured capacity that is given to voices
_MEASURED_VOICES, _MEASURED_HOPS = 8, 12
_DRAIN_SECONDS = 10
_SEND_BYTES = 1 << 18


def reading_cost(model: str | None) -> float:
    """Measure the processor time of a reading by `push_all`, in seconds.

    Of several voices in turn, each in a call of its own: the engine waits for no others, so most
    calls have one or two.
    """
    rng = np.random.default_rng(0)
    voices = [Recognizer(model, hop=HOP_SECONDS) for _ in range(_MEASURED_VOICES)]
    hop = round(HOP_SECONDS * SAMPLE_RATE)
    costs = []
    for _ in range(_MEASURED_HOPS):
        for voice in voices:
            sound = 0.1 * rng.standard_normal(hop).astype(np.float32)
            began = time.thread_time()
            push_all([voice], [sound])
            costs.append(time.thread_time() - began)
    return float(np.median(costs))


def capacity_of(model: str | None) -> int:
    """Number of voices, at four readings a second, that a worker accepts."""
    return max(1, int(SHARE * HOP_SECONDS / reading_cost(model)))


class Worker:
    """The worker of this process.

    Args:
        control: socket to the parent.
        connections: socket over which it passes accepted connections.
    """

    def __init__(self, control: socket.socket, connections: socket.socket) -> None:
        self._link = Link(control, self._told)
        self._connections = connections
        self._settings: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._drain = asyncio.Event()
        self._hub: Hub | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def _told(self, kind: str, fields: dict[str, Any]) -> Any:
        match kind:
            case "settings":
                self._settings.set_result(fields)
            case "drain":
                self._drain.set()
            case "release" if self._hub is not None:
                self._hub.release(fields["session"])
        return None

    def _lost(self, link: asyncio.Task[None]) -> None:
        if link.cancelled():  # this worker's own end
            return
        self._drain.set()
        if not self._settings.done():
            self._settings.set_exception(LivesrError("The parent ended before it sent settings."))
        # A parent that was killed has left them; what this process writes is open already.
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)

    async def run(self) -> None:
        """Serve until the parent asks to drain, or ends.

        Raises:
            LivesrError: if it cannot start.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._drain.set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which drains
        await self._link.connect()
        link = asyncio.create_task(self._link.run())
        link.add_done_callback(self._lost)
        fields = await self._settings
        settings = msgspec.convert(fields["settings"], ServeSettings)
        await asyncio.to_thread(load_model, settings.model)  # who is ready can serve
        capacity = int(fields["capacity"]) or await asyncio.to_thread(capacity_of, settings.model)
        hub = self._hub = Hub(settings, capacity, self._link)
        server = uvicorn.Server(_config(hub, settings))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[])
        # `capacity` of all workers together may be more than --max-voices: it is rounded up.
        hub.start(int(fields["share"]) if settings.max_voices else capacity)
        ticking = asyncio.create_task(server.main_loop())
        self._connections.setblocking(False)
        loop.add_reader(self._connections, self._accepted, server)
        self._link.tell("ready", capacity=capacity)
        await self._drain.wait()
        await hub.drain()
        loop.remove_reader(self._connections)
        server.should_exit = True
        await ticking
        await server.shutdown()
        hub.engine.stop()
        link.cancel()

    def _accepted(self, server: uvicorn.Server) -> None:
        if sys.platform == "win32":  # the command refuses to run there
            raise AssertionError
        while True:
            try:
                _, handles, _, _ = socket.recv_fds(self._connections, 1, 1)  # one with each byte
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                asyncio.get_running_loop().remove_reader(self._connections)
                return
            if not handles:  # the parent has ended
                asyncio.get_running_loop().remove_reader(self._connections)
                return
            for handle in handles:
                task = asyncio.create_task(self._serve(server, socket.socket(fileno=handle)))
                self._open.add(task)
                task.add_done_callback(self._open.discard)

    async def _serve(self, server: uvicorn.Server, connection: socket.socket) -> None:
        config, limits = server.config, self._hub.limits if self._hub else None
        assert limits is not None
        told = False

        def closed() -> None:
            nonlocal told
            if not told:
                told = True
                self._link.tell("gone")

        def protocol() -> asyncio.Protocol:
            return GuardedHttp(
                config=config,
                server_state=server.server_state,
                app_state={
                    CLOSED: closed,
                    HANDSHAKE: limits.handshake_seconds,
                    INTAKE: Intake(),
                },
            )

        connection.setblocking(False)
        # A small buffer, to notice a slow reader; the default would take megabytes for it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                connection,
                ssl=config.ssl,
                **({"ssl_handshake_timeout": limits.handshake_seconds} if config.ssl else {}),
            )
        except (OSError, ssl.SSLError, TimeoutError):
            connection.close()
            closed()


def _config(hub: Hub, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(hub),
        http=GuardedHttp,
        ws=StreamProtocol,
        ws_max_size=settings.limits.resume_bytes,
        ws_ping_interval=settings.limits.ping_seconds,
        # In mode "lossless" a pong may wait behind minutes of sound; `Session` finds dead clients.
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )


def main() -> None:
    """Entry point."""
    set_up()
    sys.setswitchinterval(0.001)  # by default the event loop waits 5 ms for the engine
    control, connections = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    status = 0
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_main(control, connections))
    except LivesrError as error:
        note("worker cannot start", error=str(error))
        status = 1
    finally:
        metrics.CAPACITY.set(0)
        sys.stderr.flush()
    os._exit(status)  # do not wait for the threads of onnxruntime


async def _main(control: socket.socket, connections: socket.socket) -> None:
    await Worker(control, connections).run()


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415  (not on Windows)
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
