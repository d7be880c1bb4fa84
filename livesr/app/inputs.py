"""Which files are meant: paths, folders and patterns on a command line."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from livesr.errors import LivesrError
from livesr.files.soundfile import STDIN

SOUND_NAMES = {
    *(".wav", ".wave", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".m4a", ".m4b", ".aac", ".mp4"),
    *(".m4v", ".mov", ".webm", ".mkv", ".mka", ".wma", ".asf", ".amr", ".3gp", ".3g2", ".avi"),
    *(".flv", ".wv", ".ape", ".sph", ".nist", ".voc", ".sds"),
}


@dataclass(frozen=True, slots=True)
class Input:
    """A sound file to process.

    Attributes:
        path: where it is; "-" is standard input.
        shown: how outputs name it: as given, or a folder's as FOLDER/NAME.
        below: its path below the folder that was given, or its name.
    """

    path: str
    shown: str
    below: PurePath


def find_inputs(given: Iterable[str]) -> list[Input]:
    """The files that were given, in order; each once.

    Folders are searched by name, with those inside them, for files with a sound file's ending;
    hidden files and folders are left out. A pattern that is no file's name is matched here.

    Raises:
        LivesrError: for an address, an empty name, a folder without sound, or a pattern without
            a match.
    """
    found = {each.path: each for name in given for each in _found(name)}
    return list(found.values())


def _found(name: str) -> Iterator[Input]:
    if not name:
        raise LivesrError("The file's name is empty; name a recording.")
    if "://" in name:
        raise LivesrError(f"{name} is an address; livesr reads files: fetch it first.")
    if name != STDIN and "\0" not in name and not os.path.lexists(name) and glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise LivesrError(f"No file matches {name}; check the pattern.")
        for match in matches:
            yield from _found(match)
    elif name != STDIN and "\0" not in name and os.path.isdir(name):
        inside = list(_in_folder(name))
        if not inside:
            raise LivesrError(
                f"{name} is a folder without sound files, which are found by their endings "
                "(.wav, .mp3 ...); name the file itself."
            )
        yield from inside
    else:
        yield Input(name, name, PurePath(Path(name).name or name))


def _in_folder(folder: str) -> Iterator[Input]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            whole = os.path.join(place, name)
            if name.startswith(".") or Path(name).suffix.lower() not in SOUND_NAMES:
                continue
            # Who names a folder does not mean to wait for a pipe in it.
            if os.path.isfile(whole) or not os.path.exists(whole):
                below = PurePath(os.path.relpath(whole, folder))
                path = os.path.join(folder, below)
                yield Input(path, PurePath(path).as_posix(), below)
