"""Sound in every container that ffmpeg writes, and what ffmpeg reads of a file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FFMPEG = shutil.which("ffmpeg")
# Ending -> how ffmpeg writes it.
KINDS: dict[str, list[str]] = {
    "wav": [],
    "flac": [],
    "mp3": ["-c:a", "libmp3lame"],
    "opus.ogg": ["-c:a", "libopus"],
    "vorbis.ogg": ["-c:a", "libvorbis"],
    "aiff": [],
    "au": [],
    "caf": [],
    "w64": [],
    "m4a": ["-c:a", "aac"],
    "aac": ["-c:a", "aac"],
    "webm": ["-c:a", "libopus"],
    "mkv": ["-c:a", "libvorbis"],
    "wma": ["-c:a", "wmav2"],
    "3gp": ["-c:a", "aac"],
    "mp4": ["-c:a", "aac"],
    "mp2": ["-c:a", "mp2"],
}


def need_ffmpeg() -> None:
    if FFMPEG is None and "CI" not in os.environ:
        pytest.skip("ffmpeg is not installed")


def convert(source: Path, target: Path, *options: str) -> Path:
    """`source` as ffmpeg writes it; the ending of `target` decides what, or options do."""
    kind = KINDS.get(target.name.partition(".")[2], [])
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source)]
    command += ["-map_metadata", "-1"]
    subprocess.run([*command, *kind, *options, str(target)], check=True)
    return target


def heard_by_ffmpeg(path: Path) -> float:
    """Seconds that ffmpeg decodes."""
    command = ["ffmpeg", "-nostdin", "-v", "quiet", "-i", str(path)]
    command += ["-map", "0:a:0"]
    command += ["-f", "s16le", "-ac", "1", "-ar", "16000", "-"]
    told = subprocess.run(command, capture_output=True, check=False)
    return len(told.stdout) / 32000
