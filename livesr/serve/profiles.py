"""The profiles of a server: files in its directory, and those that clients send."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from livesr.errors import LivesrError, ProfileError
from livesr.model.load import load_model
from livesr.profile import SUFFIX, Example, Profile
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
        """Add what a session taught to the profile of this name, as its file is now.

        Another session, or `livesr enrol`, may have changed the file since this session opened it.
        What they did is kept. Without a file, the whole profile is saved.

        Args:
            name: of the profile.
            data: the session's profile, base64.
            known: how many of its first examples the file has had already; None if that is not
                known, after a session was resumed: then those that are not in the file are added.

        Returns:
            `known` for the next save.

        Raises:
            ProfileError: if it cannot be written; an existing file is then unchanged.
        """
        path = self.path(name)
        if path is None:
            raise ProfileError(f"{name!r:.80} is not a valid name of a profile.")
        ours = Profile.from_bytes(base64.b64decode(data))
        with _alone(path.parent):
            kept = ours
            if path.exists():
                kept = Profile.load(path)
                if kept.identity != ours.identity:
                    raise ProfileError(
                        f"The profile {name} was made anew meanwhile, with another model; this "
                        "correction is not in it. Begin a new session."
                    )
                new = _new(ours, kept.examples) if known is None else ours.examples[known:]
                for example in new:
                    kept.append(example)
            kept.save(path)
        return len(ours.examples)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One save at a time, of all workers: none comes between another's reading and writing."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415

    try:
        number = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise ProfileError(f"{directory} cannot be opened ({error.strerror}).") from None
    try:
        with suppress(OSError):  # a file system without locks: as well as it goes
            fcntl.flock(number, fcntl.LOCK_EX)  # of a directory, so that no file is left
        yield
    finally:
        os.close(number)


def _new(profile: Profile, known: Sequence[Example]) -> Sequence[Example]:
    """The examples of a profile that are not among these, as often as they are more."""
    left, new = Counter(map(_content, known)), []
    for example in profile.examples:
        content = _content(example)
        if left[content]:
            left[content] -= 1
        else:
            new.append(example)
    return new


def _content(example: Example) -> tuple[object, ...]:
    """What makes two examples the same: arrays have no equality of their own."""
    vectors = example.context.tobytes(), example.logs.tobytes()
    return example.label, *vectors, example.seconds, example.source, example.pitch
