"""Open a file of an archive, local or remote, as a `SoundFile`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from livesr.archive.places import local_path, opened
from livesr.errors import AudioError
from livesr.files.soundfile import SoundFile


@contextmanager
def open_sound(uri: str) -> Iterator[SoundFile]:
    """Open a path or a URL; of a remote file, only the parts that are read are fetched.

    Raises:
        AudioError: as `SoundFile`, and for a pipe or a device, which could be waited for in vain.
    """
    if path := local_path(uri):
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            raise AudioError(f"{uri} is a pipe or a device; livesr archive scores files only.")
        with SoundFile(path) as sound:
            yield sound
        return
    try:
        files, path = opened(uri)
        file = files.open(path, "rb")
    except FileNotFoundError:
        raise AudioError(f"{uri} does not exist; check the address.") from None
    except OSError as error:
        raise AudioError(f"{uri} cannot be read: {error.strerror or error}.") from None
    with file, SoundFile(file) as sound:
        yield sound
