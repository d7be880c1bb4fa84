"""Where profiles lie: by name in the user's data folder, or at a path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from livesr.app.outputs import Place
from livesr.app.user_folders import user_path
from livesr.errors import ProfileError
from livesr.profile import SUFFIX, Profile
from livesr.profile_file import add_to_file

VARIABLE = "LIVESR_PROFILES"


def folder() -> Path:
    """The folder of profiles, whether there is one or not: $LIVESR_PROFILES, or the system's.

    Raises:
        LivesrError: if there is no such place, for want of a home directory.
    """
    return user_path("data", VARIABLE, "profiles")


def is_path(name: str) -> bool:
    """Whether this is the path of a profile, and not its name."""
    return name.endswith(SUFFIX) or os.sep in name or bool(os.altsep and os.altsep in name)


def place(name: str) -> Path:
    """The file of a profile, by its name or its path.

    Raises:
        ProfileError: if it cannot be a name.
        LivesrError: if it is a name, and this user has no home directory.
    """
    if is_path(name):
        return Path(name)
    if not name or not name.isprintable() or len(name) > 100 or name.startswith("."):
        raise ProfileError(
            f"{name!r:.60} cannot be a profile's name; give a word, or a path ending in {SUFFIX}."
        )
    return folder() / f"{name}{SUFFIX}"


def known() -> list[Path]:
    """The profiles in the folder, by name."""
    return sorted(folder().glob(f"*{SUFFIX}"))


def load(name: str | None) -> tuple[Path | None, Profile | None]:
    """A profile by name or path, and its file; None where none is asked for.

    Raises:
        ProfileError: if it cannot be used.
    """
    if name is None:
        return None, None
    path = place(name)
    check_exists(name, path)
    return path, Profile.load(path)


def check_exists(name: str, path: Path) -> None:
    """Refuse a name that no profile has, and say which there are.

    Raises:
        ProfileError: if there is none.
    """
    if not is_path(name) and not path.exists():
        there = ", ".join(file.name.removesuffix(SUFFIX) for file in known()) or "none"
        raise ProfileError(
            f"There is no profile {name!r} in {path.parent}; there are: {there}. "
            f"`livesr enrol {name}` makes it."
        )


def settings_read(model: str | None, path: Path | None, profile: Profile | None) -> list[Place]:
    """What a command reads beside sound, and no output may take the place of.

    Args:
        model: as given.
        path: of the profile's file.
        profile: as it was read.
    """
    from livesr.model.load import models_directory  # noqa: PLC0415  (opens onnxruntime)

    read = [("the model", model), ("the profile", path)]
    if profile is not None and os.path.exists(profile.model):  # not a bundled one
        read.append(("the profile's model", profile.model))
    read += [("a model of livesr's own", file) for file in models_directory().glob("*.onnx")]
    return [Place(what, found) for what, found in read if found]


def keep_corrections(
    before: Profile | None,
    after: Profile | None,
    path: Path | None,
    recording: Path | None = None,
) -> None:
    """Add the corrections to the profile's file as it is now, and say so.

    Another program may have enrolled since the start; what it did is kept.

    Args:
        before: the profile at the start; None without one.
        after: the same with the corrections.
        path: of its file; None without one.
        recording: whose events hold the corrections too; None without one.

    Raises:
        ProfileError: if the file cannot be written, or cannot take all of them.
    """
    known = before.examples if before else ()
    taught = after.examples[len(known) :] if after else ()
    if not taught or after is None:
        return
    words = f"{_corrections(len(taught))} saved"
    if path is None:
        where = f"only with the recording {recording}" if recording else "nowhere"
        print(
            f"livesr: {words} {where}; use --profile NAME to keep corrections for next time "
            "(`livesr enrol NAME` makes a profile).",
            file=sys.stderr,
        )
        return
    try:
        count, why = add_to_file(path, after, len(known))
    except ProfileError as error:
        count, why = 0, str(error)
    if count:
        print(f"livesr: {_corrections(count)} saved in the profile {path}.", file=sys.stderr)
    if left := len(taught) - count:
        kept = f"; the recording {recording} has them" if recording else ""
        raise ProfileError(f"{_corrections(left)} not saved in the profile {path}{kept}: {why}")


def _corrections(count: int) -> str:
    return f"{count} correction{'s were' if count > 1 else ' was'}"
