"""Emotional speech to train and test on, behind one small interface."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf
import soxr

from livesr.metadata import LABELS
from livesr.stage import Float32

RATE = 16000
SPLITS = ("train", "dev", "test")
_COLUMNS = ("path", "corpus", "speaker", "emotion", "text_id", "licence", "split")


class CorpusError(Exception):
    """A corpus that cannot be used as it lies there."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance: who said what, how, and under which licence."""

    path: Path
    corpus: str
    speaker: str
    emotion: str
    text: str
    licence: str
    split: str

    @property
    def label(self) -> int:
        """Index into `livesr.metadata.LABELS`."""
        return LABELS.index(self.emotion)

    def samples(self) -> Float32:
        """The whole clip, float32 [n] at 16 kHz, mono."""
        try:
            samples, rate = sf.read(self.path, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, OSError) as error:
            raise CorpusError(f"{self.path} cannot be decoded: {error}") from None
        mono: Float32 = samples.mean(axis=1)
        return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def read_clips(root: Path) -> list[Clip]:
    """Every clip that `root/clips.csv` lists.

    Raises:
        CorpusError: for a missing folder or file, an emotion that is not one of the labels, an
            unknown split, or a speaker in two splits.
    """
    table = root / "clips.csv"
    if not table.is_file():
        raise CorpusError(f"{table} is missing; give the folder that holds clips.csv.")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise CorpusError(f"{table} needs the columns {', '.join(_COLUMNS)}.")
    splits: dict[str, set[str]] = defaultdict(set)
    clips = []
    for number, row in enumerate(rows, start=2):
        where = f"{table}, line {number}"
        if row["emotion"] not in LABELS:
            raise CorpusError(f"{where}: emotion {row['emotion']!r} is not one of {LABELS}.")
        if row["split"] not in SPLITS:
            raise CorpusError(f"{where}: split {row['split']!r} is not one of {SPLITS}.")
        splits[row["speaker"]].add(row["split"])
        if len(splits[row["speaker"]]) > 1:
            raise CorpusError(f"{where}: speaker {row['speaker']} is in two splits.")
        path = root / row["path"]
        if not path.is_file():
            raise CorpusError(f"{where}: {path} is missing.")
        clips.append(Clip(path, *(row[column] for column in _COLUMNS[1:])))
    return clips
