"""The parent process. It accepts connections, passes each to the worker with the lowest load that
has room, and keeps the states of dropped connections for a minute.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from livesr.app.exit_status import ExitStatus
from livesr.errors import LivesrError
from livesr.serve.access import is_loopback
from livesr.serve.control import Link
from livesr.serve.logs import note
from livesr.serve.settings import ServeSettings

_BACKLOG = 1024
_MOST_CONNECTIONS = 4096  # open at the same time, for each worker
_EARLY_SECONDS = 2.0  # a worker that dies sooner, or before it is ready, has failed to start
_MOST_EARLY = 3
_DRAIN_SECONDS = 20.0
_RELEASE_SECONDS = 3.0


class _Child:
    """A worker as the parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process, passing: socket.socket) -> None:
        self.process, self.passing = process, passing
        self.link: Link
        self.ready = False
        self.capacity = 1
        self.connections = 0
        self.extra = 0.0  # of voices with a short hop, beyond 1 for each
        self.voices: Counter[str] = Counter()  # by address
        self.sessions: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether it would refuse one more voice."""
        return self.voices.total() + self.extra + 1 > self.capacity

    @property
    def load(self) -> float:
        """Used share of its capacity, if every connection is a voice."""
        return (self.connections + self.extra) / self.capacity


class Parent:
    """`livesr serve` as a whole.

    Args:
        settings: of the server.
        opened: called with host and port when the first worker is ready.
    """

    def __init__(self, settings: ServeSettings, opened: Callable[[str, int], None]) -> None:
        self._settings, self._opened = settings, opened
        self._children: set[_Child] = set()
        self._kept: OrderedDict[str, tuple[bytes, asyncio.TimerHandle]] = OrderedDict()
        self._released: dict[str, asyncio.Future[bytes]] = {}
        self._stop = asyncio.Event()
        self._early = 0
        self._told_open = False
        self._accepting = False
        self._failed = False

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT, drain, and return the exit status."""
        loop = asyncio.get_running_loop()
        self._listener = _listen(self._settings.host, self._settings.port)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        _raise_handle_limit()
        metrics = tempfile.mkdtemp(prefix="livesr-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        try:
            watches = [
                asyncio.create_task(self._keep_alive(place))
                for place in range(self._settings.workers)
            ]
            for watch in watches:  # one that fails would leave its place empty
                watch.add_done_callback(lambda _: self._stop.set())
            await self._stop.wait()
            self._pause()
            self._listener.close()
            note("stopping", workers=len(self._children))
            for child in self._children:
                child.link.tell("drain")
            over, late = await asyncio.wait(watches, timeout=_DRAIN_SECONDS)
            for child in list(self._children):
                with suppress(ProcessLookupError):
                    child.process.kill()
            if late:
                await asyncio.wait(late, timeout=_RELEASE_SECONDS)
            for watch in over:
                watch.result()
        finally:
            shutil.rmtree(metrics, ignore_errors=True)
        return ExitStatus.UNSERVED if self._failed else ExitStatus.DONE

    # Workers

    async def _keep_alive(self, place: int) -> None:
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            try:
                child = await self._work(place)
            except OSError as error:  # the system has no room for it now, or the program is gone
                early = True
                note("worker cannot start", error=str(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _EARLY_SECONDS)
            else:
                early = not child.ready or loop.time() - began < _EARLY_SECONDS
                if not self._stop.is_set():
                    note("worker died", status=child.process.returncode)
                    _count_restart()
            if self._stop.is_set():
                return
            self._early = self._early + 1 if early else 0
            if self._early >= _MOST_EARLY:
                note("workers do not start; giving up")
                self._failed = True
                self._stop.set()

    async def _work(self, place: int) -> _Child:
        """Start a worker in one of the places for them, and wait until it ends."""
        if sys.platform == "win32":  # the command refuses to run there
            raise AssertionError
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        passing, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, receiving:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "livesr.serve.worker",
                    str(theirs.fileno()),
                    str(receiving.fileno()),
                    pass_fds=(theirs.fileno(), receiving.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except OSError:
                control.close()
                passing.close()
                raise
        passing.setblocking(False)
        child = _Child(process, passing)

        async def told(kind: str, fields: dict[str, Any]) -> Any:
            return await self._told(child, kind, fields)

        child.link = Link(control, told)
        await child.link.connect()
        talk = asyncio.create_task(child.link.run())
        self._children.add(child)
        most, workers = self._settings.max_voices, self._settings.workers
        child.link.tell(
            "settings",
            settings=msgspec.to_builtins(self._settings),
            capacity=-(-most // workers),
            share=most // workers + (place < most % workers),
        )
        if self._stop.is_set():
            child.link.tell("drain")
        await process.wait()
        self._children.discard(child)
        talk.cancel()
        passing.close()
        for session in child.sessions:
            self._answer(session, b"")
        _forget_gauges(process.pid)
        return child

    async def _told(self, child: _Child, kind: str, fields: dict[str, Any]) -> Any:
        match kind:
            case "ready":
                child.ready, child.capacity = True, fields["capacity"]
                note("worker ready", capacity=fields["capacity"], worker=child.process.pid)
                self._resume()
                if not self._told_open:
                    self._told_open = True
                    self._opened(*self._listener.getsockname()[:2])
            case "gone":
                child.connections -= 1
                self._resume()
            case "admit":
                return self._admit(child, fields["address"])
            case "leave":
                child.voices -= Counter([fields["address"]])  # without those at 0
                child.extra -= fields["extra"]
            case "grow":
                child.extra += fields["extra"]
            case "opened":
                child.sessions.add(fields["session"])
            case "closed":
                child.sessions.discard(fields["session"])
                self._answer(fields["session"], fields["state"])
            case "take":
                return await self._take(fields["session"])
        return None

    def _admit(self, child: _Child, address: str) -> str:
        settings = self._settings
        if self._stop.is_set():
            return "draining"
        total = sum(one.voices.total() for one in self._children)
        if settings.max_voices and total >= settings.max_voices:
            return "full"
        if settings.per_address and not is_loopback(address):
            theirs = sum(one.voices[address] for one in self._children)
            if theirs >= settings.per_address:
                return "address"
        child.voices[address] += 1
        return ""

    # Dropped connections

    def _answer(self, session: str, state: bytes) -> None:
        """A session has ended, or its connection dropped and left a state."""
        if (waiting := self._released.pop(session, None)) is not None:
            waiting.set_result(state)
        elif state:
            limits = self._settings.limits
            loop = asyncio.get_running_loop()
            timer = loop.call_later(limits.kept_seconds, self._kept.pop, session, None)
            self._kept[session] = state, timer
            while sum(len(kept) for kept, _ in self._kept.values()) > limits.kept_bytes:
                _, (_, oldest) = self._kept.popitem(last=False)
                oldest.cancel()

    async def _take(self, session: str) -> bytes:
        """The state of a dropped session, once; if it is still connected, cut it off first."""
        if (kept := self._kept.pop(session, None)) is not None:
            kept[1].cancel()
            return kept[0]
        owner = next((one for one in self._children if session in one.sessions), None)
        if owner is None or session in self._released:
            return b""
        future = self._released[session] = asyncio.get_running_loop().create_future()
        owner.link.tell("release", session=session)
        try:
            return await asyncio.wait_for(future, _RELEASE_SECONDS)
        except TimeoutError:
            self._released.pop(session, None)
            return b""

    # Connections

    def _resume(self) -> None:
        if not self._accepting and not self._stop.is_set() and self._roomiest() is not None:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._listener)

    def _roomiest(self) -> _Child | None:
        ready = [
            child
            for child in self._children
            if child.ready and child.connections < _MOST_CONNECTIONS
        ]
        # Connections without a voice are load too, so a worker that is full may have the least.
        return min(ready, key=lambda child: (child.full, child.load), default=None)

    def _accept(self) -> None:
        for _ in range(64):
            child = self._roomiest()
            if child is None:  # the listen queue of the system holds them until there is room
                self._pause()
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause()
                    asyncio.get_running_loop().call_later(0.5, self._resume)
                return
            with connection:
                try:
                    if sys.platform == "win32":  # the command refuses to run there
                        raise AssertionError
                    socket.send_fds(child.passing, [b"c"], [connection.fileno()])
                except OSError:  # the worker has just died; the client tries again
                    continue
            child.connections += 1


def _listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        LivesrError: if the address cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise LivesrError(
            f"{host} port {port} cannot be listened on: {why}. Another program may use it; "
            "choose another with --port."
        ) from None
    listener.setblocking(False)
    return listener


def _raise_handle_limit() -> None:
    if sys.platform == "win32":  # the command refuses to run there
        raise AssertionError
    import resource  # noqa: PLC0415  (not on Windows)

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# prometheus_client reads its directory when it is imported, so import it after `run` has made it.


def _count_restart() -> None:
    from livesr.serve.metrics import RESTARTS  # noqa: PLC0415

    RESTARTS.inc()


def _forget_gauges(process: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(process)  # type: ignore[no-untyped-call]


def serve(settings: ServeSettings) -> int:
    """Serve until SIGTERM, and return the exit status. Prints the address when it is ready."""

    def opened(host: str, port: int) -> None:
        scheme = "https" if settings.tls_cert else "http"
        shown = f"[{host}]" if ":" in host else host
        with suppress(OSError):  # nobody reads it; the server serves all the same
            print(f"livesr: {scheme}://{shown}:{port}/", flush=True)

    async def run() -> int:
        return await Parent(settings, opened).run()

    return asyncio.run(run())
