"""What several programs teach one profile's file, without loss: each adds to it as it is now."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from livesr.errors import ProfileError
from livesr.profile import Example, Profile


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One program at a time reads a profile's file and writes it again: the others wait.

    Args:
        path: of the file, whether there is one or not; its folder must exist.

    Raises:
        ProfileError: if the folder cannot be opened.
    """
    if sys.platform == "win32":  # no locks of this kind
        yield
        return
    import fcntl  # noqa: PLC0415

    folder = os.path.dirname(os.path.realpath(path))
    try:
        number = os.open(folder, os.O_RDONLY)  # the folder's lock leaves no file behind
    except OSError as error:
        raise ProfileError(f"{folder} cannot be opened ({error.strerror}).") from None
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def add_to_file(path: Path, profile: Profile, known: int | None) -> tuple[int, str]:
    """Add what a profile has learnt to its file, which others may have changed meanwhile.

    What they did is kept. Without a file, the whole profile is saved.

    Args:
        path: of the file.
        profile: as it was read from there, and what it has learnt since.
        known: how many of its first examples the file has had already; None if nobody knows: then
            those that are not in the file are added.

    Returns:
        how many examples were added, and why the others could not be; empty if all were.

    Raises:
        ProfileError: if the file cannot be read or written; it is then as it was.

    Example:
        >>> me = Profile(name="me")
        >>> add_to_file(Path("me.livesr-profile"), me, 0)
        (0, '')
    """
    with alone(path):
        if not os.path.exists(path):  # nor what a link leads to
            profile.save(path)
            return len(profile.examples[known or 0 :]), ""
        now = Profile.load(path)
        new = _not_in(now, profile) if known is None else profile.examples[known:]
        for number, example in enumerate(new):
            try:
                if now.identity != profile.identity:
                    raise ProfileError("It was made anew meanwhile, with another model.")
                now.append(example)
                now._touch()  # of the corrections themselves no clock is read
            except ProfileError as error:
                if number:
                    now.save(path)
                return number, str(error)
        if new:
            now.save(path)
    return len(new), ""


def _not_in(file: Profile, profile: Profile) -> Sequence[Example]:
    """The examples of a profile that its file lacks; of equal ones, as many as it has more."""
    left, new = Counter(map(_content, file.examples)), []
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
