"""What PyInstaller needs to put livesr into a program; it finds this by an entry point."""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Where the hook lies; PyInstaller's entry point "hook-dirs"."""
    return [str(Path(__file__).parent)]
