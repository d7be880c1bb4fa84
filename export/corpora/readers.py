"""Readers of corpora as they are published, chosen on a command line.

A spec is `PATH`, a folder with `clips.csv`, or `NAME=PATH`, a published corpus as unpacked:

    ravdess=PATH     Actor_01/03-01-05-01-01-01-01.wav      Livingstone and Russo 2018
    emodb=PATH       wav/03a01Fa.wav                        Burkhardt et al. 2005
    nemo=PATH        samples/EB0_anger_1.wav                Christop 2024
    banglaser=PATH   a folder per actor, named as RAVDESS   Das et al. 2022
    cremad=PATH      AudioWAV/1001_DFA_ANG_XX.wav           Cao et al. 2014
    iemocap=PATH     IEMOCAP_full_release                   Busso et al. 2008

IEMOCAP has options: `iemocap:improvised=PATH` leaves the scripted dialogs out, `excited` counts
that class as happy. The usual 10 folds (8 speakers to train, 1 to validate, 1 to test):

    python -m export.train --corpora iemocap:improvised=IEMOCAP_full_release \\
        --config export/configs/iemocap.json --folds iemocap --name iemocap

Only angry, happy, neutral and sad are kept. livesr's models were trained on all of these but
IEMOCAP, and the speakers held out there stay test speakers; IEMOCAP is split by
`export.corpora.clips.split_speakers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from export.corpora.clips import (
    Clip,
    CorpusError,
    check,
    check_speakers,
    in_split,
    leave_one_corpus_out,
    read_clips,
    read_rows,
    sex,
    split_speakers,
)
from livesr.model.metadata import LABELS

IEMOCAP_OPTIONS = frozenset({"excited", "improvised"})


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layout of a corpus whose file names say everything. Lists are separated by blanks."""

    files: str  # glob below the corpus's folder
    name: str  # regular expression of a file's stem, with the groups speaker, text and emotion
    labels: Mapping[str, str]
    others: str  # emotions that are known and left out
    licence: str
    dev: str  # with test, the split of the models that livesr ships
    test: str
    broken: str = ""  # stems of clips known to be unusable
    women: str = ""  # speakers; the others are men
    corpus: str = ""  # its name, where that is not the reader's
    speakers: str = ""  # what their names begin with, where that is not the corpus's


# The statement (fifth) is the text; intensity (fourth) and repetition (sixth) are ignored.
_RAVDESS_NAME = r"03-01-(?P<emotion>\d\d)-\d\d-(?P<text>\d\d)-\d\d-(?P<speaker>\d\d)"
_LAYOUTS = {
    "ravdess": _Layout(
        "Actor_*/03-01-*.wav",  # audio only, speech; songs (03-02) may lie beside it
        _RAVDESS_NAME,
        {"01": "neutral", "03": "happy", "04": "sad", "05": "angry"},
        "02 06 07 08",  # calm, fearful, disgust, surprised
        "CC-BY-NC-SA-4.0",
        dev="17 18 19 20",
        test="21 22 23 24",
        women="02 04 06 08 10 12 14 16 18 20 22 24",
    ),
    "banglaser": _Layout(
        "**/03-01-*.wav",
        _RAVDESS_NAME,  # but the emotions are numbered otherwise
        {"01": "happy", "02": "sad", "03": "angry", "05": "neutral"},
        "04",  # surprise
        "CC-BY-4.0",
        dev="25 26 27 28",
        test="29 30 31 32 33 34",
        women="02 04 06 08 10 12 14 16 18 20 22 24 26 28 30 32 34",
    ),
    "emodb": _Layout(
        "wav/*.wav",
        r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[A-Z])[a-z]?",
        {"W": "angry", "F": "happy", "N": "neutral", "T": "sad"},
        "A E L",  # Angst, Ekel, Langeweile
        "CC0-1.0",
        dev="13 14",
        test="15 16",
        women="08 09 13 14 16",
    ),
    "nemo": _Layout(
        "samples/*.wav",
        r"(?P<speaker>[A-Z]{2}\d)_(?P<emotion>[a-z]+)_(?P<text>\d+)",
        {"anger": "angry", "happiness": "happy", "neutral": "neutral", "sadness": "sad"},
        "fear surprised",
        "CC-BY-NC-SA-4.0",
        dev="TP0",
        test="WR0",
        women="EB0 IC0 KD0 MK0",
    ),
    "cremad": _Layout(
        "AudioWAV/*.wav",
        r"(?P<speaker>\d{4})_(?P<text>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?:HI|LO|MD|XX?)",
        {"ANG": "angry", "HAP": "happy", "NEU": "neutral", "SAD": "sad"},
        "DIS FEA",
        "ODbL-1.0 + DbCL-1.0",
        dev="1004 1016 1034 1043 1048 1060 1061 1071 1074 1083 1084 1087",
        test="1001 1005 1007 1020 1021 1028 1029 1030 1031 1033 1038 1039 1041 1053 1073 1079 1081 "
        "1085",
        corpus="crema_d",
        speakers="crema",
        broken="1064_TIE_SAD_XX 1076_MTI_NEU_XX 1076_MTI_SAD_XX",  # almost nothing in them
    ),
}


def read_corpora(specs: Iterable[str | Path]) -> list[Clip]:
    """The clips of all corpora that the specs name, in order.

    Raises:
        CorpusError: for what a reader refuses, an unknown name or option, a corpus given twice,
            or a speaker in two splits. No clip is opened; `export.corpora.clips.check` does that.
    """
    clips: list[Clip] = []
    given: dict[str, str] = {}
    for spec in map(str, specs):
        found = _read_spec(spec)
        for corpus in sorted({clip.corpus for clip in found}):
            if corpus in given:
                raise CorpusError(f"{corpus} is given twice, by {given[corpus]} and by {spec}.")
            given[corpus] = spec
        clips += found
    check_speakers(clips)
    return clips


def read_to_leave_out(specs: Iterable[str | Path]) -> list[Clip]:
    """Train and dev clips, each read to its end, of corpora that can be left out in turn.

    Raises:
        CorpusError: as `read_corpora`, `check` and `leave_one_corpus_out`.
    """
    clips = in_split(read_corpora(specs), "train", "dev")
    check(clips)
    leave_one_corpus_out(clips)
    return clips


def _read_spec(spec: str) -> list[Clip]:
    head, equals, folder = spec.partition("=")
    if not equals or "/" in head:  # a folder may have = in its name
        return read_clips(Path(spec))
    name, _, listed = head.partition(":")
    options = set(listed.split(",")) - {""}
    if name not in _LAYOUTS and name != "iemocap":
        known = ", ".join([*_LAYOUTS, "iemocap"])
        raise CorpusError(f"{spec}: no reader is called {name!r}; there are {known}.")
    strange = options - (IEMOCAP_OPTIONS if name == "iemocap" else set())
    if strange:
        raise CorpusError(f"{spec}: {name} has no option {', '.join(sorted(strange))}.")
    root = Path(folder).expanduser()  # a shell leaves the ~ of NAME=~/PATH as it is
    if name == "iemocap":
        return read_iemocap(root, **dict.fromkeys(options, True))
    return read_named(name, root)


def read_named(reader: str, root: Path) -> list[Clip]:
    """A published corpus whose file names say everything: any spec but IEMOCAP's.

    Raises:
        CorpusError: for a missing folder, one in which no clip was found, or a file whose name
            or emotion is unknown.
    """
    layout = _LAYOUTS[reader]
    corpus = layout.corpus or reader
    others, broken = layout.others.split(), layout.broken.split()
    held = dict.fromkeys(layout.dev.split(), "dev") | dict.fromkeys(layout.test.split(), "test")
    women, sexes = layout.women.split(), _cremad_sexes(root) if reader == "cremad" else {}
    clips = []
    for path in _files(root, layout.files):
        found = re.fullmatch(layout.name, path.stem)
        if not found:
            raise CorpusError(f"{path} is not named like the clips of {corpus}.")
        emotion, code = found["emotion"], found["speaker"]
        if emotion not in layout.labels and emotion not in others:
            raise CorpusError(f"{path}: {corpus} has no emotion {emotion!r}.")
        if emotion in others or path.stem in broken:
            continue
        speaker, label = f"{layout.speakers or corpus}_{code}", layout.labels[emotion]
        gender = "MF"[code in women] if women else sex(sexes.get(code))
        split, name = held.get(code, "train"), path.relative_to(root).as_posix()
        about = (found["text"], layout.licence, split, name, "", gender)
        clips.append(Clip(path, corpus, speaker, label, *about))
    if not clips:
        raise CorpusError(f"{root} holds no clip that is {', '.join(LABELS)}.")
    return clips


def _cremad_sexes(root: Path) -> dict[str, str]:
    """Actor -> sex, from CREMA-D's table beside AudioWAV; empty where the table is missing."""
    table = root / "VideoDemographics.csv"
    if not table.is_file():
        return {}
    return {row["ActorID"]: row["Sex"] for row in read_rows(table)}


_IEMOCAP_LICENCE = "LicenseRef-IEMOCAP"  # USC's release form: research only, not to be passed on
_IEMOCAP_LABELS = {"ang": "angry", "hap": "happy", "neu": "neutral", "sad": "sad"}
# Excited, frustrated, fearful, surprised, disgusted, other, and no two annotators agreed.
_IEMOCAP_OTHERS = frozenset({"exc", "fru", "fea", "sur", "dis", "oth", "xxx"})
_IEMOCAP_TURN = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+"
    r"(?P<turn>(?P<dialog>(?P<session>Ses\d\d)[FM]_(?P<scene>(?:impro|script)\w+))"
    r"_(?P<who>(?P<gender>[FM])\w+))"
    r"\s+(?P<emotion>\w+)\s"
)


def read_iemocap(root: Path, improvised: bool = False, excited: bool = False) -> list[Clip]:
    """IEMOCAP by its majority labels: `SessionN/dialog/EmoEvaluation`, `SessionN/sentences/wav`.

    A speaker is a session's woman or man, whoever wore the markers. The text is dialog and turn;
    a scripted one is named without its session, as the same script is played in all of them.

    Args:
        root: the folder `IEMOCAP_full_release`.
        improvised: leave out the scripted dialogs.
        excited: count excited as happy.

    Raises:
        CorpusError: for a missing folder, one in which no clip was found, a line that cannot be
            read, an unknown label, or a labelled turn without its wav.
    """
    labels = _IEMOCAP_LABELS | ({"exc": "happy"} if excited else {})
    clips, genders = [], {}
    for file in _files(root, "Session*/dialog/EmoEvaluation/*.txt"):
        wavs = file.parents[2] / "sentences" / "wav"
        for line in file.read_text(errors="replace").splitlines():
            if not line.startswith("["):  # the header, an annotator, nothing
                continue
            found = _IEMOCAP_TURN.match(line)
            if not found:
                raise CorpusError(f"{file}: this line is not a turn: {line!r}.")
            emotion, scene = found["emotion"], found["scene"]
            if emotion not in labels and emotion not in _IEMOCAP_OTHERS:
                raise CorpusError(f"{file}: turn {found['turn']} has the label {emotion!r}.")
            scripted = scene.startswith("script")
            if emotion not in labels or (improvised and scripted):
                continue
            path = wavs / found["dialog"] / f"{found['turn']}.wav"
            if not path.is_file():
                raise CorpusError(f"{path} is missing; {file} has a label for it.")
            speaker = f"iemocap_{found['session']}{found['gender']}"
            genders[speaker] = found["gender"]
            text = f"{scene if scripted else found['dialog']}/{found['who']}"
            name = path.relative_to(root).as_posix()
            who = (speaker, labels[emotion], text)
            about = (_IEMOCAP_LICENCE, "train", name, "", found["gender"])
            clips.append(Clip(path, "iemocap", *who, *about))
    if not clips:
        raise CorpusError(f"{root} holds no turn that is {', '.join(LABELS)}.")
    return _split(root, clips, genders)


def _files(root: Path, pattern: str) -> list[Path]:
    """The files that match the glob, sorted, without the `._` files that macOS leaves."""
    if not root.is_dir():
        raise CorpusError(f"{root} is not a folder.")
    found = sorted(path for path in root.glob(pattern) if not path.name.startswith("._"))
    if not found:
        raise CorpusError(f"{root} holds no {pattern}; give the folder that does.")
    return found


def _split(root: Path, clips: list[Clip], genders: Mapping[str, str]) -> list[Clip]:
    try:
        splits = split_speakers(genders)
    except CorpusError as error:
        raise CorpusError(f"{root}: {error}") from None
    return [replace(clip, split=splits[clip.speaker]) for clip in clips]
