"""Small corpora cut from the bundled speech, in the layout of the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

from livesr.model.metadata import LABELS


class Cut(NamedTuple):
    """A clip to be; the digit at the speaker's end says the sex: even F, odd M."""

    start: int  # sample
    corpus: str
    speaker: str
    emotion: str
    split: str


def save_two_corpora(folder: Path, speech: np.ndarray) -> Path:
    """A clip of each label in each of the corpora a and b, 8 speakers, all of `train`."""
    cuts = (
        Cut(n * 30_000, "ab"[n % 2], f"{'ab'[n % 2]}{n}", LABELS[n // 2], "train") for n in range(8)
    )
    return save_corpus(folder, speech, cuts, 24_000)


def save_corpus(
    folder: Path,
    speech: np.ndarray,
    cuts: Iterable[Cut],
    length: int,
    suffix: str = "flac",
    table: str = "clips.csv",
) -> Path:
    """Write clips of `length` samples at 16 kHz and their table; the folder is made if need be."""
    folder.mkdir(exist_ok=True)
    rows = ["path,corpus,speaker,gender,emotion,text_id,seconds,language,licence,split"]
    for number, (start, corpus, speaker, emotion, split) in enumerate(cuts):
        name, sex = f"{number}.{suffix}", "FM"[int(speaker[-1]) % 2]
        codec = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
        sf.write(folder / name, speech[start : start + length], 16000, **codec)
        seconds = length / 16000
        rows.append(f"{name},{corpus},{speaker},{sex},{emotion},t,{seconds},de,CC0-1.0,{split}")
    (folder / table).write_text("\n".join(rows))
    return folder
