"""The command line as click sees it, the commands of extras included."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.main

from livesr.__main__ import add_extras
from livesr.app.cli import app


@cache
def commands() -> dict[str, Any]:
    """Name -> command of `livesr`, and "" -> `livesr` itself."""
    add_extras()
    root: Any = typer.main.get_command(app)
    return {"": root, **root.commands}
