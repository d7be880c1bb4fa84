"""Emotional speech for training and testing, as lists of `Clip`.

`read_clips` reads a corpus that you prepared: a folder with `clips.csv`. `export.corpora.readers`
reads corpora as they are published. A fold is a list of clips with the splits assigned anew; folds
are a dict from the name of what is tested to that list.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from livesr.arrays import Float32
from livesr.errors import AudioError
from livesr.files.soundfile import SoundFile
from livesr.model.metadata import LABELS

RATE = 16000
SPLITS = ("train", "dev", "test")
UNLABELLED = -2  # the label of speech whose emotion is not known
_COLUMNS = ("path", "corpus", "speaker", "emotion", "text_id", "licence")
_LETTERS = {  # of a vote
    "A": "angry",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "D": "disgust",
    "F": "fear",
}
_HELD_OUT = 0.15  # share of the speakers that dev has, and test
_LEAST_SECONDS = 0.1  # of a clip: less holds hardly a frame, or none


class CorpusError(Exception):
    """A corpus that cannot be used as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance: file, speaker, text, emotion ("" if not known), licence and split.

    `heard_as` is what listeners perceived in its sound alone, where they were asked: one letter, or
    several that had as many votes (A anger, H happy, N neutral, S sad, D disgust, F fear).
    `gender` of the speaker is F, M or "" (not known), `age` in years or None.
    """

    path: Path
    corpus: str
    speaker: str
    emotion: str
    text: str
    licence: str
    split: str
    name: str = ""  # of the file below its corpus's folder, with / between
    heard_as: str = ""
    gender: str = ""
    age: float | None = None
    labels: tuple[str, ...] = LABELS  # of the run that the clip is used in (`labelled`)

    def target(self, votes: float = 0.0) -> Float32:
        """What a network shall say of the clip, float32 [labels], sums to 1.

        Args:
            votes: share that the listeners' votes have, beside the label. A vote for an emotion
                that is no label is left out; with no other vote, the label has the whole.

        Example:
            >>> clip = Clip(Path("a.opus"), "c", "s", "sad", "", "", "train", heard_as="NS")
            >>> clip.target(0.5).tolist()
            [0.0, 0.0, 0.25, 0.75]
        """
        own = np.zeros(len(self.labels), np.float32)
        own[self.label] = 1
        heard = [_LETTERS[letter] for letter in self.heard_as]
        votes_for = [self.labels.index(emotion) for emotion in heard if emotion in self.labels]
        if not votes_for:
            return own
        shares = np.bincount(votes_for, minlength=len(self.labels)) / len(votes_for)
        return ((1 - votes) * own + votes * shares).astype(np.float32)

    @property
    def label(self) -> int:
        """Index into `labels`, or UNLABELLED."""
        return self.labels.index(self.emotion) if self.emotion else UNLABELLED

    @property
    def key(self) -> str:
        """A name of the clip that does not depend on where its corpus is stored."""
        return f"{self.corpus}/{self.name or self.path.as_posix()}"

    @property
    def identity(self) -> str:
        """The key, and a hash of the file: what was computed of other sound does not have it.

        Raises:
            CorpusError: if the file cannot be read.
        """
        try:
            about = self.path.stat()
            return f"{self.key} {_content(self.path, about.st_mtime_ns, about.st_size)}"
        except OSError as error:
            raise CorpusError(f"{self.path} cannot be read: {error.strerror}.") from None

    def samples(self) -> Float32:
        """The whole clip, float32 [n] at 16 kHz, mono; from any rate, channels averaged.

        Raises:
            CorpusError: for a file that cannot be decoded or has no samples.
        """
        try:
            samples, rate = sf.read(self.path, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, OSError) as error:
            raise CorpusError(f"{self.path} cannot be decoded: {error}") from None
        if not len(samples):
            raise CorpusError(f"{self.path} holds no samples.")
        mono: Float32 = samples.mean(axis=1)
        return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def labelled(clips: Sequence[Clip], labels: tuple[str, ...]) -> list[Clip]:
    """The clips as a run with these labels uses them.

    Args:
        clips: of the corpora of the run.
        labels: of the run. A corpus may lack one of `livesr.model.metadata.LABELS`; other labels
            are there for these corpora, so that none of them has one is a mistake.

    Raises:
        CorpusError: for an emotion that is no label, or a label that no clip has.

    Example:
        >>> clip = Clip(Path("a.wav"), "c", "s", "fear", "", "", "train")
        >>> [clip.label for clip in labelled([clip], ("fear",))]
        [0]
    """
    for clip in clips:
        if clip.emotion and clip.emotion not in labels:
            raise CorpusError(
                f"{clip.path}: emotion {clip.emotion!r} is none of the labels {', '.join(labels)}."
            )
    there = {clip.emotion for clip in clips}
    lacking = [label for label in labels if label not in there]
    if clips and lacking and labels != LABELS:
        raise CorpusError(f"No clip of {named(clips)} is {', '.join(lacking)}, which is a label.")
    return [replace(clip, labels=labels) for clip in clips]


def named(clips: Iterable[Clip]) -> str:
    """The names of the corpora of these clips, in one string."""
    return ", ".join(sorted({clip.corpus for clip in clips}))


def check(clips: Iterable[Clip]) -> None:
    """Check that every clip can be read, is long enough and whole; some milliseconds each.

    Raises:
        CorpusError: if one cannot, or is not; the message is of the first.
    """
    with ThreadPoolExecutor() as pool:
        faults = [fault for fault in pool.map(_fault, clips) if fault]
    if faults:
        others = len(faults) - 1
        more = f" {others} more cannot be used either." if others else ""
        raise CorpusError(faults[0] + more)


def _fault(clip: Clip) -> str:
    """What is wrong with a clip's file; "" if nothing is."""
    try:
        about = sf.info(clip.path)
    except (sf.LibsndfileError, OSError) as error:
        return f"{clip.path} cannot be decoded: {error}"
    if not about.frames:
        return f"{clip.path} holds no samples."
    if about.frames < _LEAST_SECONDS * about.samplerate:
        return (
            f"{clip.path} lasts {about.duration:.3f} s, and a clip takes {_LEAST_SECONDS} s or "
            "more; leave it out."
        )
    try:
        with SoundFile(clip.path) as file:
            for _ in file.blocks():
                pass
            findings = file.findings
    except AudioError as error:
        return f"{clip.path} cannot be decoded: {error}"
    return f"{clip.path}: {findings[0].text}; leave it out." if findings else ""


def check_once(clips: Iterable[Clip]) -> None:
    """Check that no clip and no file is listed twice.

    Raises:
        CorpusError: for the first that is.
    """
    seen: set[str | Path] = set()
    for clip in clips:
        own: set[str | Path] = {clip.key, clip.path}
        if not seen.isdisjoint(own):
            raise CorpusError(f"{clip.path} is listed twice; remove one of its rows.")
        seen |= own


def fingerprint(*parts: Sequence[Clip]) -> str:
    """A short hash: which clips these are, in order, of which sound, split and emotion.

    Raises:
        CorpusError: if one cannot be read.
    """
    facts = [[(clip.identity, clip.split, clip.emotion) for clip in part] for part in parts]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@cache
def _content(path: Path, changed: int, size: int) -> str:
    """A short hash of a file that was changed then, and has so many bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def in_split(clips: Iterable[Clip], *splits: str) -> list[Clip]:
    """The clips of these splits.

    Raises:
        CorpusError: if there are none.
    """
    found = [clip for clip in clips if clip.split in splits]
    if not found:
        named_splits = " or ".join(splits)
        raise CorpusError(
            f"No clip is of the {named_splits} split; see the column split of clips.csv."
        )
    return found


def by_speaker(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """The clips of each speaker."""
    found: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        found[clip.speaker].append(clip)
    return found


def first_speakers(clips: Sequence[Clip], most: int) -> list[Clip]:
    """The clips of so many speakers of each corpus, by name."""
    names: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        names[clip.corpus].add(clip.speaker)
    kept = {speaker for of in names.values() for speaker in sorted(of)[:most]}
    return [clip for clip in clips if clip.speaker in kept]


def check_speakers(clips: Iterable[Clip]) -> None:
    """Check that no speaker is in two splits; one name is one person in all corpora.

    Raises:
        CorpusError: for the first such speaker.
    """
    first: dict[str, Clip] = {}
    for clip in clips:
        other = first.setdefault(clip.speaker, clip)
        if other.split != clip.split:
            raise CorpusError(
                f"speaker {clip.speaker} is in two splits: "
                f"{other.path} in {other.split}, {clip.path} in {clip.split}."
            )


def split_speakers(genders: Mapping[str, str]) -> dict[str, str]:
    """Assign the speakers of a corpus without splits to train, dev and test.

    Speakers are sorted by name, with genders alternating in proportion. The last 15 % (at least
    one) are test, the 15 % before them dev, the others train. The same speakers always get the
    same splits.

    Args:
        genders: speaker -> gender, in any words; the same for all where it is not known.

    Raises:
        CorpusError: for fewer than three speakers.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for speaker in sorted(genders):
        groups[genders[speaker]].append(speaker)
    turn = {s: (i + 0.5) / len(group) for group in groups.values() for i, s in enumerate(group)}
    order = sorted(genders, key=lambda speaker: (turn[speaker], speaker))
    held = max(1, round(_HELD_OUT * len(order)))
    if len(order) < 3:
        raise CorpusError(f"three splits need three speakers; here are only {', '.join(order)}.")
    train = len(order) - 2 * held
    return dict(zip(order, ["train"] * train + ["dev"] * held + ["test"] * held, strict=True))


def read_clips(
    root: Path, table_name: str = "clips.csv", emotions: Collection[str] | None = LABELS
) -> list[Clip]:
    """Every clip that a table in `root` lists, `clips.csv` unless another is named.

    The columns are path (below `root`), corpus, speaker, emotion, text_id, licence and split.
    Without a split column, each corpus is split by `split_speakers`, from the column gender if
    there is one. `ages.csv` beside it, with the columns speaker and age, gives ages in years.

    Args:
        root: the folder.
        table_name: of the table in it.
        emotions: that a clip may be of; None for any. Only those of a clip's `labels` have a
            `label`.

    Raises:
        CorpusError: for a missing folder or file, an emotion that is not one of `emotions`, an
            unknown split, a clip listed twice, a speaker in two splits, or an age that is no
            number.
    """
    table = root / table_name
    if not table.is_file():
        raise CorpusError(f"{table} is missing; give the folder that holds {table_name}.")
    rows = read_rows(table)
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise CorpusError(f"{table} needs the columns {', '.join(_COLUMNS)}, and clips.")
    if "split" not in rows[0]:
        _add_splits(table, rows)
    clips, ages = [], _ages(root / "ages.csv")
    for number, row in enumerate(rows, start=2):
        where = f"{table}, line {number}"
        if emotions is not None and row["emotion"] not in emotions:
            raise CorpusError(f"{where}: emotion {row['emotion']!r} is not one of {emotions}.")
        if row["split"] not in SPLITS:
            raise CorpusError(f"{where}: split {row['split']!r} is not one of {SPLITS}.")
        path = root / row["path"]
        if not path.is_file():
            raise CorpusError(f"{where}: {path} is missing.")
        name = Path(row["path"]).as_posix()
        corpus, speaker, emotion, text, licence = (row[column] for column in _COLUMNS[1:])
        letters = (row.get("heard_as") or "").replace(":", "")  # between votes that tied
        if strange := "".join(sorted(set(letters) - set(_LETTERS))):
            raise CorpusError(
                f"{where}: heard_as {letters!r} is no vote; known letters are "
                f"{''.join(_LETTERS)}, not {strange}."
            )
        about = (licence, row["split"], name, letters, sex(row.get("gender")), ages.get(speaker))
        clips.append(Clip(path, corpus, speaker, emotion, text, *about))
    check_once(clips)
    check_speakers(clips)
    return clips


def sex(gender: str | None) -> str:
    """F, M or "", whatever words a corpus has for them.

    Example:
        >>> sex("Female"), sex("m"), sex(""), sex(None)
        ('F', 'M', '', '')
    """
    first = (gender or "").strip()[:1].upper()
    return {"F": "F", "W": "F", "M": "M"}.get(first, "")


def of_corpora(clips: Sequence[Clip], names: Sequence[str] | None) -> list[Clip]:
    """The clips of these corpora; of all for None.

    Raises:
        CorpusError: for a name that no corpus has.
    """
    if unknown := sorted(set(names or ()) - {clip.corpus for clip in clips}):
        raise CorpusError(f"No corpus is {unknown[0]}; there are {named(clips)}.")
    return [clip for clip in clips if names is None or clip.corpus in names]


def read_rows(table: Path) -> list[dict[str, str]]:
    """Of a CSV in UTF-8, with or without the mark that Excel puts first.

    Raises:
        CorpusError: if it is none.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table} cannot be read ({error}); save it as CSV in UTF-8.") from None


def _ages(table: Path) -> dict[str, float]:
    """Speaker -> age in years; empty without the table."""
    if not table.is_file():
        return {}
    rows = read_rows(table)
    if not rows or not {"speaker", "age"} <= set(rows[0]):
        raise CorpusError(f"{table} needs the columns speaker and age.")
    ages: dict[str, float] = {}
    for number, row in enumerate(rows, start=2):
        try:
            age = float(row["age"])
        except (TypeError, ValueError):
            age = np.nan
        if not 0 < age < 130:
            raise CorpusError(f"{table}, line {number}: {row['age']!r} is no age in years.")
        if ages.setdefault(row["speaker"], age) != age:
            raise CorpusError(
                f"{table}, line {number}: speaker {row['speaker']} has another age above; keep one."
            )
    return ages


def read_unlabelled(root: Path) -> list[Clip]:
    """Every clip that `root/unlabelled.csv` lists: speech whose emotion is not known.

    The columns are path (below `root`), corpus, speaker and licence. All of them are train.

    Raises:
        CorpusError: for a missing folder or file, or a clip listed twice.
    """
    table = root / "unlabelled.csv"
    if not table.is_file():
        raise CorpusError(f"{table} is missing; give the folder that holds unlabelled.csv.")
    rows = read_rows(table)
    needed = ("path", "corpus", "speaker", "licence")
    if not rows or not set(needed) <= set(rows[0]):
        raise CorpusError(f"{table} needs the columns {', '.join(needed)}, and clips.")
    clips = []
    for number, row in enumerate(rows, start=2):
        path, name = root / row["path"], Path(row["path"]).as_posix()
        if not path.is_file():
            raise CorpusError(f"{table}, line {number}: {path} is missing.")
        clips.append(
            Clip(path, row["corpus"], row["speaker"], "", "", row["licence"], "train", name)
        )
    check_once(clips)
    return clips


def _add_splits(table: Path, rows: Sequence[dict[str, str]]) -> None:
    genders: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        genders[row["corpus"]][row["speaker"]] = row.get("gender") or ""
    try:
        splits = {corpus: split_speakers(of) for corpus, of in genders.items()}
    except CorpusError as error:
        raise CorpusError(f"{table} has no split column, and {error}") from None
    for row in rows:
        row["split"] = splits[row["corpus"]][row["speaker"]]


Folds = dict[str, list[Clip]]


def _dealt(clips: Iterable[Clip], dev: str, test: str) -> list[Clip]:
    """The clips, with one speaker in dev, one in test and all others in train."""
    splits = {dev: "dev", test: "test"}
    return [replace(clip, split=splits.get(clip.speaker, "train")) for clip in clips]


def iemocap_folds(clips: Sequence[Clip]) -> Folds:
    """The usual 10 folds: four sessions train, the two speakers of the fifth are dev and test.

    Each speaker is tested once and used for validation once (Chen et al. 2018).

    Raises:
        CorpusError: unless the clips are IEMOCAP's, with both speakers of all five sessions.
    """
    speakers = {clip.speaker for clip in clips}
    expected = {f"iemocap_Ses{n:02}{gender}" for n in range(1, 6) for gender in "FM"}
    if speakers != expected:
        odd = ", ".join(sorted(speakers ^ expected))
        raise CorpusError(f"the folds of IEMOCAP take its ten speakers; missing or extra: {odd}.")
    partner = {"F": "M", "M": "F"}
    return {s: _dealt(clips, s[:-1] + partner[s[-1]], s) for s in sorted(speakers)}


def leave_one_speaker_out(clips: Sequence[Clip]) -> Folds:
    """A fold for each speaker: tested on that speaker, validated on the next by name.

    Raises:
        CorpusError: for fewer than three speakers.
    """
    speakers = sorted({clip.speaker for clip in clips})
    _at_least(3, "speakers", speakers)
    following = [*speakers[1:], *speakers[:1]]
    return {test: _dealt(clips, dev, test) for test, dev in zip(speakers, following, strict=True)}


def leave_one_corpus_out(clips: Sequence[Clip]) -> Folds:
    """A fold for each corpus: tested on all of it, trained on train and dev of the others.

    Raises:
        CorpusError: for fewer than two corpora, or a speaker who is in two.
    """
    corpora = sorted({clip.corpus for clip in clips})
    _at_least(2, "corpora", corpora)
    folds = {
        out: [
            replace(clip, split="test") if clip.corpus == out else clip
            for clip in clips
            if clip.corpus == out or clip.split != "test"
        ]
        for out in corpora
    }
    for fold in folds.values():
        check_speakers(fold)  # one person may be in two corpora
    return folds


def _at_least(count: int, what: str, found: Collection[str]) -> None:
    if len(found) < count:
        raise CorpusError(f"leaving one out takes {count} {what}; here are {', '.join(found)}.")
