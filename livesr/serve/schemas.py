"""JSON Schema and AsyncAPI documents of the protocol, generated from the message classes."""

from __future__ import annotations

from functools import cache
from inspect import getdoc
from typing import Any, get_args

import msgspec

from livesr.serve.protocol import SUBPROTOCOL, ClientMessage, ServerMessage
from livesr.version import __version__

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _classes(union: Any) -> tuple[type[msgspec.Struct], ...]:
    return get_args(union)


def _tag(cls: type[msgspec.Struct]) -> str:
    return str(cls.__struct_config__.tag)


@cache
def _components() -> dict[str, Any]:
    classes = (*_classes(ClientMessage), *_classes(ServerMessage))
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    for cls in classes:
        components[cls.__name__]["description"] = getdoc(cls) or ""
    return components


def json_schema() -> dict[str, Any]:
    """JSON Schema of every text message: `$defs/ClientMessage` and `$defs/ServerMessage`."""
    definitions = dict(_components())
    for name, union in (("ClientMessage", ClientMessage), ("ServerMessage", ServerMessage)):
        definitions[name] = {
            "oneOf": [{"$ref": f"#/$defs/{cls.__name__}"} for cls in _classes(union)]
        }
    return {
        "$schema": _DIALECT,
        "$id": "/v1/schema.json",
        "title": f"{SUBPROTOCOL}: text messages of /v1/stream",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": definitions,
    }


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0 document of `/v1/stream`, from the server's point of view."""
    messages: dict[str, Any] = {
        _tag(cls): {
            "name": _tag(cls),
            "title": cls.__name__,
            "summary": (getdoc(cls) or "").splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{cls.__name__}"},
        }
        for union in (ClientMessage, ServerMessage)
        for cls in _classes(union)
        if _tag(cls) != "mark"
    }
    for union, name in ((ClientMessage, "mark"), (ServerMessage, "marked")):
        cls = next(one for one in _classes(union) if _tag(one) == "mark")
        messages[name] = {
            "name": "mark",
            "title": cls.__name__,
            "summary": (getdoc(cls) or "").splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{cls.__name__}"},
        }
    messages["sound"] = {
        "name": "sound",
        "title": "Sound",
        "summary": "Binary: samples in the session's encoding, channels interleaved, cut anywhere.",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }

    def listed(union: Any, mark: str) -> list[dict[str, str]]:
        keys = [mark if _tag(cls) == "mark" else _tag(cls) for cls in _classes(union)]
        return [{"$ref": f"#/channels/stream/messages/{key}"} for key in keys]

    sound = {"$ref": "#/channels/stream/messages/sound"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "livesr serve",
            "version": __version__,
            "description": "Speech emotion recognition of live voices over a websocket.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"this": {"host": "localhost:8765", "protocol": "ws"}},
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "description": f"Subprotocol {SUBPROTOCOL}. One session a connection.",
                "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
            }
        },
        "operations": {
            "take": {
                "action": "receive",
                "channel": {"$ref": "#/channels/stream"},
                "messages": [*listed(ClientMessage, "mark"), sound],
            },
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "messages": listed(ServerMessage, "marked"),
            },
        },
        "components": {"messages": messages, "schemas": _moved(_components())},
    }


def _moved(value: Any) -> Any:
    """Rewrite references to the place of schemas in AsyncAPI."""
    if isinstance(value, dict):
        return {key: _moved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner) for inner in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value
