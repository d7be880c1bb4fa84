"""The profiles of a server: files in its directory, and those that clients send."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from livesr.errors import LivesrError, ProfileError
from livesr.model.load import load_model
from livesr.profile import SUFFIX, Profile
from livesr.profile_file import add_to_file
from livesr.serve.protocol import ProtocolError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")  # cannot leave the directory


class Profiles:
    """Opens and saves profiles.

    Args:
        directory: of profiles that `livesr enrol` or a session saved; empty for none.
        model: of the server.
    """

    def __init__(self, directory: str, model: str | None) -> None:
        self._directory, self._model = directory, model

    def path(self, name: str) -> Path | None:
        """Path of the profile of this name; None if it is not a valid name."""
        if not self._directory or not _NAME.fullmatch(name):
            return None
        return Path(self._directory) / (name + SUFFIX)

    def open(self, profile: str) -> Profile:
        """A profile by its name, or from base64; a new one for an unused name.

        Raises:
            ProtocolError: if it cannot be used.
        """
        try:
            if (path := self.path(profile)) is not None:
                if path.exists():
                    return Profile.load(path)
                return Profile(load_model(self._model).source, name=profile)
            data = base64.b64decode(profile, validate=True)
            found = Profile.from_bytes(data, "The profile of this session")
        except ValueError:
            names = "is not the name of a profile here, and" if self._directory else "is"
            raise ProtocolError(
                "bad_configuration",
                f"The profile {names} not base64. A name is 1 to 64 letters, digits, _, - and .; "
                "it needs a server with --profile-dir.",
                fatal=True,
            ) from None
        except LivesrError as error:
            raise ProtocolError("bad_configuration", str(error), fatal=True) from None
        return found

    def save(self, name: str, data: str, known: int | None) -> int:
        """Add what a session taught to the profile of this name; see `add_to_file`.

        Args:
            name: of the profile.
            data: the session's profile, base64.
            known: how many of its first examples the file has had already; None after a session
                was resumed, which does not know.

        Returns:
            `known` for the next save.

        Raises:
            ProfileError: if not all of it could be kept.
        """
        path = self.path(name)
        if path is None:
            raise ProfileError(f"{name!r:.80} is not a valid name of a profile.")
        profile = Profile.from_bytes(base64.b64decode(data))
        _, why = add_to_file(path, profile, known)
        if why:
            raise ProfileError(f"The profile {name} does not have this correction: {why}")
        return len(profile.examples)
