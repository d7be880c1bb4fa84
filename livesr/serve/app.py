"""The web application of a worker: the stream, the replay of a file, health, metrics, pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import cache
from importlib.resources import files

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from livesr.errors import LivesrError
from livesr.serve import metrics
from livesr.serve.access import chosen, has_token, origin_allowed
from livesr.serve.http import ABORT
from livesr.serve.hub import Hub
from livesr.serve.replay import Options, TooLarge, body_of, opened
from livesr.serve.schemas import asyncapi, json_schema
from livesr.serve.session import Session
from livesr.version import __version__

_RETRY_SECONDS = 5
_SLOW_SECONDS = 15.0
_PAGES = {
    "/": ("index.html", "text/html"),
    "/overlay": ("overlay.html", "text/html"),
    "/pages/page.js": ("page.js", "text/javascript"),
    "/pages/overlay.js": ("overlay.js", "text/javascript"),
    "/pages/microphone.js": ("microphone.js", "text/javascript"),
    "/pages/worklet.js": ("worklet.js", "text/javascript"),
    "/pages/style.css": ("style.css", "text/css"),
    "/client.js": ("client.js", "text/javascript"),
}
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}
_WHY = {
    "full": "the server is at its capacity",
    "lag": "the server is too slow at the moment",
    "draining": "the server is about to restart",
    "address": "too many voices from your address",
}


def make_app(hub: Hub) -> Starlette:
    """The web application for a hub."""
    app = Starlette(
        routes=[
            WebSocketRoute("/v1/stream", _stream),
            Route("/healthz", _health),
            Route("/readyz", _ready),
            Route("/metrics", _metrics),
            Route("/v1/replay", _replay, methods=["POST"]),
            Route("/v1/schema.json", _schema),
            Route("/v1/asyncapi.json", _asyncapi),
            *(Route(path, _page) for path in _PAGES),
        ]
    )
    app.state.hub = hub
    return app


def _hub(connection: HTTPConnection) -> Hub:
    hub: Hub = connection.app.state.hub
    return hub


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _refused(status: int, why: str, retry: bool = False) -> Response:
    headers = {"Retry-After": str(_RETRY_SECONDS)} if retry else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": why}, status, headers)


def _unauthorized(connection: HTTPConnection, *, voice: bool) -> Response | None:
    """The response to a request without access; None if it has access.

    Args:
        connection: of the request.
        voice: whether it asks for a voice; only those count as refused.
    """
    settings = _hub(connection).settings
    if not origin_allowed(connection.headers, settings.host, settings.origins):
        if voice:
            metrics.REFUSED.labels("origin").inc()
        return _refused(403, "This origin may not connect; the server's --origin allows more.")
    if not has_token(connection.headers, settings.tokens):
        if voice:
            metrics.REFUSED.labels("token").inc()
        return _refused(401, "A token is needed: Authorization: Bearer TOKEN.")
    return None


async def _stream(websocket: WebSocket) -> None:
    hub, address = _hub(websocket), _address(websocket)
    refusal = _unauthorized(websocket, voice=True)
    try:
        subprotocol = chosen(websocket.headers)
    except LivesrError as error:
        subprotocol, refusal = None, refusal or _refused(400, str(error))
    if refusal is None and (reason := await hub.admit(address)):
        refusal = _refused(503, f"No new voice is accepted: {_WHY[reason]}.", retry=True)
    if refusal is not None:
        await websocket.send_denial_response(refusal)
        return
    session = Session(hub, websocket, address)
    try:
        await websocket.accept(subprotocol)
        await session.run()
    finally:
        hub.leave(address, session.weight, session.cause)


class _Lines(StreamingResponse):
    """JSON lines; a client that reads too slowly is disconnected.

    Args:
        lines: of the answer.
        abort: ends the connection.
        over: is called at the end, even if no line was asked for.
    """

    def __init__(
        self,
        lines: AsyncGenerator[str, None],
        abort: Callable[[], None],
        over: Callable[[], None],
    ) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._lines, self._abort, self._over = lines, abort, over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def bounded(message: Message) -> None:
            try:
                async with asyncio.timeout(_SLOW_SECONDS):
                    await send(message)
            except TimeoutError:
                self._abort()
                raise ClientDisconnect from None

        try:
            await super().__call__(scope, receive, bounded)
        except* ClientDisconnect:
            pass
        finally:
            # Not in a `finally` of the lines: those of a generator that never began are not run.
            try:
                await self._lines.aclose()
            finally:
                self._over()


async def _replay(request: Request) -> Response:
    hub, address = _hub(request), _address(request)
    if refusal := _unauthorized(request, voice=True):
        return refusal
    try:
        options = msgspec.convert(dict(request.query_params), Options, strict=False)
    except msgspec.ValidationError as error:
        return _refused(400, str(error))
    if reason := await hub.admit(address):  # before the file takes memory
        return _refused(503, f"No new voice is accepted: {_WHY[reason]}.", retry=True)
    refused: Response | None = None
    cause = "failed"
    try:
        async with asyncio.timeout(hub.limits.sending_seconds):
            body = await body_of(request, hub.limits.replay_bytes, hub.limits.handshake_seconds)
        replay = await asyncio.to_thread(opened, hub, body, options)
    except ClientDisconnect:
        refused, cause = _refused(400, "The file was not sent whole; send it again."), "dropped"
    except TooLarge as error:
        refused = _refused(413, str(error))
    except TimeoutError:
        refused = _refused(408, "The file was sent too slowly.")
    except LivesrError as error:
        refused = _refused(400, str(error))
    except BaseException:
        hub.leave(address, 1.0, "dropped")
        raise
    if refused is None and not (weight := hub.grow(options.hop)):
        replay.close()
        refused = _refused(503, "There is no capacity for so short a hop; try a longer one.", True)
    if refused:
        hub.leave(address, 1.0, cause)
        return refused

    def over() -> None:
        replay.close()
        hub.leave(address, weight, replay.cause)

    return _Lines(replay.lines(), request.scope["state"][ABORT], over)


async def _schema(_request: Request) -> Response:
    return JSONResponse(json_schema())


async def _asyncapi(_request: Request) -> Response:
    return JSONResponse(asyncapi())


async def _page(request: Request) -> Response:
    name, kind = _PAGES[request.url.path]
    return Response(_file(name), media_type=kind, headers=_PAGE_HEADERS)


@cache
def _file(name: str) -> bytes:
    return (files("livesr.serve") / "pages" / name).read_bytes()


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


async def _ready(request: Request) -> Response:
    if _hub(request).draining:
        return _refused(503, "The server is about to restart.", retry=True)
    return JSONResponse({"status": "ready"})


async def _metrics(request: Request) -> Response:
    if refusal := _unauthorized(request, voice=False):
        return refusal
    text = await asyncio.to_thread(metrics.exposition)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
