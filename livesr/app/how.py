"""How recordings are replayed by a command; a file of its own, as one recording needs no table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from livesr.files.replay import ReplaySettings
from livesr.profile import Profile


@dataclass(frozen=True, slots=True)
class How(ReplaySettings):
    """What is common to all files: how they are replayed, and written.

    Attributes:
        attention: whether JSON lines hold it.
        force: whether existing files are replaced.
        profile_path: the profile's file, which no output may take the place of.
    """

    model: str | None = None
    profile: Profile | None = None
    attention: bool = True
    force: bool = False
    profile_path: Path | None = None
