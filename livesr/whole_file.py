"""A small file that is written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_IMODE


def write_whole(path: str | Path, data: bytes, *, private: bool = False) -> None:
    """Write a file, or replace it, in one step; a link stays one.

    Args:
        path: of the file; its folder must exist.
        data: what it holds then.
        private: whether only its owner may read it. Else an existing file keeps its permissions,
            and a new one has those that the user's umask leaves.

    Raises:
        OSError: if it cannot be written; what was there before is as it was.
        ValueError: if what is there is no file, or the path can be none.
    """
    real = os.path.realpath(path)
    if os.path.exists(real) and not os.path.isfile(real):  # a device would be replaced
        raise ValueError("it is not a file")
    part = os.path.join(os.path.dirname(real), f".livesr-{secrets.token_hex(8)}.part")
    opener = partial(os.open, mode=0o600 if private else 0o666)
    try:
        with open(part, "xb", opener=opener) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not private:
            with suppress(FileNotFoundError):
                os.chmod(part, S_IMODE(os.stat(real).st_mode))
        os.replace(part, real)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
