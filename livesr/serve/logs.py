"""Structured logs: JSON lines on standard error, without sound, readings or tokens."""

from __future__ import annotations

import json
import logging
import sys
import time


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            values["trace"] = self.formatException(record.exc_info)
        return json.dumps(values, ensure_ascii=False, default=str)


class _ClientNoise(logging.Filter):
    """Removes messages with which any client could flood the log."""

    _STARTS = (
        "Invalid UTF-8",
        "ASGI callable returned without completing handshake",  # a websocket that was refused
    )

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self._STARTS)


logger = logging.getLogger("livesr.serve")


def set_up() -> None:
    """Send livesr's and uvicorn's logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    for name, level in (("livesr.serve", logging.INFO), ("uvicorn", logging.ERROR)):
        chosen = logging.getLogger(name)
        chosen.handlers, chosen.propagate = [handler], False
        chosen.setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_ClientNoise())


def note(event: str, **facts: object) -> None:
    """Log an event.

    Example:
        >>> note("stream closed", session="3f2a", seconds=12.5)
    """
    logger.info(event, extra={"facts": facts})
