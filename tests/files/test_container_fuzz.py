"""Container faults against ffmpeg: all that it reads is read, or a word is said.

A long run is the same with more cases: LIVESR_FUZZ=10000 python -m pytest this file
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from livesr.errors import AudioError
from livesr.files.soundfile import SoundFile
from tests.helpers.media import KINDS, convert, heard_by_ffmpeg, need_ffmpeg
from tests.helpers.tiny import DATA

CASES = int(os.environ.get("LIVESR_FUZZ", "1000")) // 25
FAULTS = ("cut", "twice", "joined", "tail", "size", "cut twice")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    need_ffmpeg()
    folder = tmp_path_factory.mktemp("faults")
    found = {}
    for kind in KINDS:
        for channels in ("1", "2"):
            path = folder / f"{channels}.{kind}"
            convert(DATA / "banglaser.flac", path, "-t", "2", "-ac", channels)
            found[f"{channels}.{kind}"] = path.read_bytes()
    return found


def broken(files: dict[str, bytes], name: str, fault: str, rng: np.random.Generator) -> bytes:
    data = files[name]
    place = int(rng.integers(1, len(data)))
    if fault == "cut":
        return data[:place]
    if fault == "twice":
        return data * int(rng.integers(2, 4))
    if fault == "joined":  # with the same in another number of channels
        other = ("2" if name[0] == "1" else "1") + name[1:]
        return data + files[other]
    if fault == "tail":
        return data + rng.bytes(int(rng.integers(1, 5000)))
    if fault == "cut twice":
        return data[:place] + data
    at = int(rng.integers(4, min(80, len(data) - 4)))  # a size or the like within the header
    return data[:at] + rng.bytes(4) + data[at + 4 :]


@pytest.mark.parametrize("case", range(CASES))
def test_all_that_ffmpeg_reads_is_read_or_a_word_is_said(
    files: dict[str, bytes], tmp_path: Path, case: int
) -> None:
    rng = np.random.default_rng(case)
    name = sorted(files)[int(rng.integers(len(files)))]
    fault = FAULTS[int(rng.integers(len(FAULTS)))]
    path = tmp_path / name
    path.write_bytes(broken(files, name, fault, rng))
    try:
        with SoundFile(path) as sound:
            seconds = sum(len(block) for block in sound.blocks()) / sound.rate
            said = sound.findings
    except AudioError:
        return  # a word
    if not said:
        least = heard_by_ffmpeg(path)
        if fault == "joined":  # ffmpeg takes the second header, and its channels, for samples
            least = min(least, 2 * 2.0)
        # ffmpeg counts an mp3's padding (0.1 s) for each part but the first.
        assert seconds > least - (0.35 if fault == "twice" else 0.15), fault
