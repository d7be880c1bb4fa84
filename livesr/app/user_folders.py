"""Where the system keeps a user's files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from livesr.errors import LivesrError


def user_path(kind: Literal["config", "data"], variable: str, name: str) -> Path:
    """The place of a user's settings or data, whether it exists or not.

    Args:
        kind: of files.
        variable: of the environment; where it is set, it names the place.
        name: of the file or folder in livesr's own folder.

    Raises:
        LivesrError: if this user has no home directory, as in some containers and services.
    """
    if named := os.environ.get(variable):
        return Path(named)
    import platformdirs  # noqa: PLC0415

    ask = platformdirs.user_config_path if kind == "config" else platformdirs.user_data_path
    try:
        path = ask("livesr", appauthor=False)
    except RuntimeError:
        path = Path()
    if not path.is_absolute():  # older platformdirs leave the "~" in it
        raise LivesrError(f"This user has no home directory; set HOME, or {variable} to a path.")
    return path / name
