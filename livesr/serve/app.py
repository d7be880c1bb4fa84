"""The web application of a worker: the stream, the replay of a file, health, metrics, pages."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from livesr.errors import LivesrError
from livesr.serve import metrics
from livesr.serve.access import chosen, has_token, origin_allowed
from livesr.serve.hub import Hub
from livesr.serve.session import Session
from livesr.version import __version__

_RETRY_SECONDS = 5
_WHY = {
    "full": "all voices that this machine can hear are taken",
    "lag": "the machine is too slow just now",
    "draining": "the server is going to restart",
    "address": "too many voices from your address",
}


def make_app(hub: Hub) -> Starlette:
    """The application that answers with this hub."""
    app = Starlette(
        routes=[
            WebSocketRoute("/v1/stream", _stream),
            Route("/healthz", _health),
            Route("/readyz", _ready),
            Route("/metrics", _metrics),
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


def _stranger(connection: HTTPConnection) -> Response | None:
    """The answer to whoever may not come in."""
    settings = _hub(connection).settings
    if not origin_allowed(connection.headers, settings.host, settings.origins):
        metrics.REFUSED.labels("origin").inc()
        return _refused(403, "This origin may not connect; the server's --origin allows more.")
    if not has_token(connection.headers, settings.tokens):
        metrics.REFUSED.labels("token").inc()
        return _refused(401, "A token is needed: Authorization: Bearer TOKEN.")
    return None


async def _stream(websocket: WebSocket) -> None:
    hub, address = _hub(websocket), _address(websocket)
    refusal = _stranger(websocket)
    try:
        subprotocol = chosen(websocket.headers)
    except LivesrError as error:
        subprotocol, refusal = None, refusal or _refused(400, str(error))
    if refusal is None and (reason := await hub.admit(address)):
        refusal = _refused(503, f"No voice can be taken: {_WHY[reason]}.", retry=True)
    if refusal is not None:
        await websocket.send_denial_response(refusal)
        return
    session = Session(hub, websocket, address)
    try:
        await websocket.accept(subprotocol)
        await session.run()
    finally:
        hub.leave(address, session.weight, session.cause)


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


async def _ready(request: Request) -> Response:
    if _hub(request).draining:
        return _refused(503, "The server is going to restart.", retry=True)
    return JSONResponse({"status": "ready"})


async def _metrics(request: Request) -> Response:
    if refusal := _stranger(request):
        return refusal
    text = await asyncio.to_thread(metrics.exposition)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
