"""Where the system keeps a user's files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from livesr.errors import LivesrError


def user_folder(kind: Literal["config", "data"], variable: str) -> Path:
    """livesr's folder for the user's settings or data, whether it exists or not.

    Args:
        kind: of files.
        variable: of the environment; it can name a place instead, and the error says so.

    Raises:
        LivesrError: if this user has no home directory, as in some containers and services.
    """
    import platformdirs  # noqa: PLC0415

    ask = platformdirs.user_config_path if kind == "config" else platformdirs.user_data_path
    try:
        path = ask("livesr", appauthor=False)
    except RuntimeError:
        path = Path()
    if not path.is_absolute():  # older platformdirs leave the "~" in it
        raise LivesrError(f"This user has no home directory; set HOME, or {variable} to a path.")
    return path
