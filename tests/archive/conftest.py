"""A small archive of real files, and one Ray for all tests that need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.archive.processes import FILES


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory, speech: np.ndarray) -> Path:
    """Four files of 2 to 12 s, mono and stereo, of three formats, one in a folder below."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "below").mkdir()
    sf.write(folder / "long.flac", speech[: 12 * 16000], 16000)
    sf.write(folder / "short.wav", speech[12 * 16000 : 14 * 16000], 16000)
    pair = np.stack([speech[: 5 * 44100], speech[-5 * 44100 :]], axis=1)
    sf.write(folder / "below" / "two.wav", pair, 44100)
    sf.write(folder / "below" / "medium.ogg", speech[14 * 16000 : 20 * 16000], 16000)
    (folder / "notes.md").write_text("not sound")
    return folder


@pytest.fixture
def many(tmp_path: Path, speech: np.ndarray) -> Path:
    """A folder of so many files that a run of them can be killed on its way."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(FILES):
        clip = np.roll(speech, -number * 16000)[: (8 + number % 5) * 16000]
        sf.write(folder / f"{number:02}.wav", clip, 16000)
    return folder


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """Ray on this machine, started once."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from livesr.archive.pipeline import cluster

    with cluster(2, None):
        yield
