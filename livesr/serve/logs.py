"""Structured logs: a JSON object a line, on standard error; no sound, no reading, no token."""

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


class _Strangers(logging.Filter):
    """Leaves out what any stranger could fill the log with."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Invalid UTF-8")


logger = logging.getLogger("livesr.serve")


def set_up() -> None:
    """Have livesr's and uvicorn's logs go to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    for name, level in (("livesr.serve", logging.INFO), ("uvicorn", logging.ERROR)):
        chosen = logging.getLogger(name)
        chosen.handlers, chosen.propagate = [handler], False
        chosen.setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_Strangers())


def note(event: str, **facts: object) -> None:
    """A line about what happened.

    Example:
        >>> note("stream closed", session="3f2a", seconds=12.5)
    """
    logger.info(event, extra={"facts": facts})
