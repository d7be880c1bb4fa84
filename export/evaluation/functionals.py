"""eGeMAPSv02 functionals of clips (Eyben et al. 2016), by openSMILE (extra `baseline`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from export.corpora.clips import RATE, Clip
from export.evaluation.judging import spread_out
from livesr.arrays import Array

PITCH, LEVEL = 0, 10  # columns: mean of F0 in semitones, mean of loudness


@cache
def _extractor() -> Any:
    import opensmile  # noqa: PLC0415

    return opensmile.Smile(
        opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=1
    )


def _functionals(clip: Clip) -> Array:
    found: Array = _extractor().process_signal(clip.samples(), RATE).to_numpy()[0]
    return found


def functionals(clips: Sequence[Clip], folder: Path) -> Array:
    """float32 [clips, 88]; cached in `folder`.

    Raises:
        ImportError: without openSMILE.
    """
    key = hashlib.sha256(json.dumps([clip.identity for clip in clips]).encode()).hexdigest()[:16]
    file = folder / f"egemaps-{key}.npy"
    if not file.is_file():
        import opensmile  # noqa: F401, PLC0415 - refused here, not in another process

        folder.mkdir(parents=True, exist_ok=True)
        rows = spread_out(_functionals, clips, "eGeMAPS", None)
        np.save(file, np.nan_to_num(np.stack(rows)).astype(np.float32))
    return np.asarray(np.load(file))
