"""Readers of corpora: small trees in each true layout, what they refuse, folds. No torch."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from export.corpora.clips import (
    UNLABELLED,
    Clip,
    CorpusError,
    Folds,
    check,
    check_speakers,
    fingerprint,
    iemocap_folds,
    in_split,
    leave_one_corpus_out,
    leave_one_speaker_out,
    of_corpora,
    read_clips,
    read_unlabelled,
    split_speakers,
)
from export.corpora.readers import read_corpora, read_iemocap, read_named
from tests.helpers.corpora import Cut, save_corpus

SHARED = Path(__file__).resolve().parents[3] / "shared" / "speech"


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-8", ""), ("utf-8-sig", ""), ("latin-1", "save it as CSV in UTF-8")]
)
def test_the_encoding_of_a_table(tmp_path: Path, encoding: str, told: str) -> None:
    wav(tmp_path / "é.wav")
    text = "path,corpus,speaker,emotion,text_id,licence,split\né.wav,a,s,happy,t,CC0-1.0,train\n"
    (tmp_path / "clips.csv").write_text(text, encoding=encoding)
    if told:
        with pytest.raises(CorpusError, match=told):
            read_clips(tmp_path)
    else:
        assert [clip.name for clip in read_clips(tmp_path)] == ["é.wav"]


def test_the_clips_of_some_corpora(tmp_path: Path) -> None:
    clips = [Clip(tmp_path, name, "s", "sad", "t", "CC0-1.0", "train") for name in "aba"]
    assert of_corpora(clips, None) == clips
    assert of_corpora(clips, ["b"]) == clips[1:2]
    with pytest.raises(CorpusError, match="No corpus is c; there are a, b"):
        of_corpora(clips, ["b", "c"])


def wav(path: Path, rate: int = 16000, seconds: float = 0.1, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(rate * seconds)) / rate
    tone = np.sin(2 * np.pi * 440 * time) / 2
    left_only = np.stack([tone, *[0 * tone] * (channels - 1)], axis=1)
    sf.write(path, left_only, rate, subtype="PCM_16")
    return path


def junk(path: Path) -> None:
    """What macOS leaves beside a file on a disk that is not its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x00\x05\x16\x07\n[Mac OS X]\n")


def ravdess(root: Path) -> Path:
    for actor in (1, 2, 17, 24):
        for code in ("01-01-01-01", "02-02-01-01", "03-01-02-01", "04-02-02-02", "05-02-01-02"):
            wav(root / f"Actor_{actor:02}" / f"03-01-{code}-{actor:02}.wav", 48000)
        for code in ("06", "07", "08"):
            wav(root / f"Actor_{actor:02}" / f"03-01-{code}-01-01-01-{actor:02}.wav", 48000)
        wav(root / f"Actor_{actor:02}" / f"03-02-05-01-01-01-{actor:02}.wav", 48000)  # a song
    junk(root / "Actor_01" / "._03-01-05-02-01-02-01.wav")
    return root


def emodb(root: Path) -> Path:
    for speaker in ("03", "08", "13", "16"):
        for rest in ("a01Fa", "a02Wc", "b10Nb", "b03Td", "a05Ab", "a07Ea", "b01Lb", "b02W"):
            wav(root / "wav" / f"{speaker}{rest}.wav")
    junk(root / "wav" / "._03a01Fa.wav")
    return root


def nemo(root: Path) -> Path:
    for speaker in ("EB0", "TP0", "WR0"):
        for emotion in ("anger", "fear", "happiness", "neutral", "sadness", "surprised"):
            wav(root / "samples" / f"{speaker}_{emotion}_17.wav", 24000)
    (root / "data.tsv").write_text("file_id\temotion\n")
    return root


def banglaser(root: Path) -> Path:
    for actor in (1, 2, 26, 33):
        for code in ("01-01-01-01", "02-01-02-03", "03-02-03-02", "04-02-01-01", "05-01-01-01"):
            wav(root / f"Actor {actor:02}" / f"03-01-{code}-{actor:02}.wav", 44100, channels=2)
    return root


def cremad(root: Path) -> Path:
    rows = ["ActorID,Age,Sex,Race,Ethnicity"]
    for number in range(1001, 1021):
        rows.append(f"{number},51,{'Male' if number <= 1012 else 'Female'},Caucasian,Not Hispanic")
        for rest in ("DFA_ANG_XX", "IEO_HAP_HI", "IEO_SAD_LO", "IOM_NEU_XX", "IEO_DIS_MD"):
            wav(root / "AudioWAV" / f"{number}_{rest}.wav")
    wav(root / "AudioWAV" / "1001_TSI_FEA_XX.wav")
    wav(root / "AudioWAV" / "1004_ITH_SAD_X.wav")  # one of the published names is cut short
    wav(root / "AudioWAV" / "1076_MTI_SAD_XX.wav", seconds=0)  # and this one has no sound
    (root / "VideoDemographics.csv").write_text("\n".join(rows) + "\n")
    return root


LABELS = ("neu", "hap", "sad", "ang", "exc", "fru", "xxx", "oth", "sur", "fea", "dis")


def iemocap(root: Path) -> Path:
    """Every session and speaker; the wavs as many as the labels, the junk as published."""
    for session in range(1, 6):
        folder = root / f"Session{session}"
        scenes = (f"Ses{session:02}F_impro01", f"Ses{session:02}M_script01_1b")
        for dialog in scenes:
            lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
            for number, label in enumerate(LABELS):
                turn = f"{dialog}_{'FM'[number % 2]}{number:03}"
                lines += [
                    f"[{number}.2901 - {number}.9357]\t{turn}\t{label}\t[2.5000, 2.5000, 2.5000]",
                    "C-E2:\tNeutral;\t()",
                    "C-F1:\tAnger; Other;\t(mildly [sic] angry)",
                    "A-E3:\tval 3; act 2; dom  2;\t()",
                    "",
                ]
                wav(folder / "sentences" / "wav" / dialog / f"{turn}.wav", seconds=0.1)
            table = folder / "dialog" / "EmoEvaluation" / f"{dialog}.txt"
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_bytes("\r\n".join(lines).encode() + b"\n\xd5\n")  # not all of it is UTF-8
            junk(table.with_name(f"._{table.name}"))
            junk(folder / "sentences" / "wav" / dialog / f"._{dialog}_F000.wav")
        (table.parent / "Categorical").mkdir()
        (table.parent / "Categorical" / f"{dialog}_e2_cat.txt").write_text("no turns in here\n")
    return root


PUBLISHED = {
    "ravdess": ravdess,
    "emodb": emodb,
    "nemo": nemo,
    "banglaser": banglaser,
    "cremad": cremad,
}


def facts(clips: list[Clip], speaker: str) -> list[tuple[str, str]]:
    return [(clip.emotion, clip.text) for clip in clips if clip.speaker == speaker]


def splits(clips: list[Clip]) -> dict[str, str]:
    return {clip.speaker: clip.split for clip in clips}


def test_ravdess(tmp_path: Path) -> None:
    clips = read_corpora([f"ravdess={ravdess(tmp_path)}"])
    assert facts(clips, "ravdess_17") == [
        ("neutral", "01"),
        ("happy", "02"),
        ("sad", "02"),
        ("angry", "01"),
    ]
    assert splits(clips) == {
        "ravdess_01": "train",
        "ravdess_02": "train",
        "ravdess_17": "dev",
        "ravdess_24": "test",
    }
    assert {clip.licence for clip in clips} == {"CC-BY-NC-SA-4.0"}
    assert clips[0].key == "ravdess/Actor_01/03-01-01-01-01-01-01.wav"
    samples = clips[0].samples()
    assert (samples.dtype, len(samples)) == (np.float32, 1600)  # from 48 kHz


def test_emodb(tmp_path: Path) -> None:
    clips = read_corpora([f"emodb={emodb(tmp_path)}"])
    assert facts(clips, "emodb_08") == [
        ("happy", "a01"),
        ("angry", "a02"),
        ("angry", "b02"),
        ("sad", "b03"),
        ("neutral", "b10"),
    ]
    assert Counter(splits(clips).values()) == {"train": 2, "dev": 1, "test": 1}
    assert {clip.licence for clip in clips} == {"CC0-1.0"}


def test_nemo(tmp_path: Path) -> None:
    clips = read_corpora([f"nemo={nemo(tmp_path)}"])
    emotions = ("angry", "happy", "neutral", "sad")
    assert facts(clips, "nemo_EB0") == [(emotion, "17") for emotion in emotions]
    assert splits(clips) == {"nemo_EB0": "train", "nemo_TP0": "dev", "nemo_WR0": "test"}
    assert len(clips[0].samples()) == 1600  # from 24 kHz


def test_banglaser(tmp_path: Path) -> None:
    clips = read_corpora([f"banglaser={banglaser(tmp_path)}"])
    assert facts(clips, "banglaser_26") == [
        ("happy", "01"),
        ("sad", "02"),
        ("angry", "03"),
        ("neutral", "01"),
    ]
    assert {clip.licence for clip in clips} == {"CC-BY-4.0"}
    samples = clips[0].samples()
    assert (samples.shape, samples.dtype) == ((1600,), np.float32)
    assert np.abs(samples).max() == pytest.approx(0.25, abs=0.02)  # 0.5 left, nothing right


def test_cremad(tmp_path: Path) -> None:
    clips = read_corpora([f"cremad={cremad(tmp_path)}"])
    four = [("angry", "DFA"), ("happy", "IEO"), ("sad", "IEO"), ("neutral", "IOM")]
    assert facts(clips, "crema_1001") == four
    assert facts(clips, "crema_1004") == [*four, ("sad", "ITH")]
    assert facts(clips, "crema_1076") == []
    assert {clip.corpus for clip in clips} == {"crema_d"}
    held = defaultdict(list)
    for speaker, split in splits(clips).items():
        held[split].append(speaker)
    assert held["dev"] == ["crema_1004", "crema_1016"]
    assert held["test"] == ["crema_1001", "crema_1005", "crema_1007", "crema_1020"]
    assert {clip.gender for clip in clips if clip.speaker > "crema_1012"} == {"F"}
    (tmp_path / "VideoDemographics.csv").unlink()
    assert {clip.gender for clip in read_named("cremad", tmp_path)} == {""}


def test_iemocap(tmp_path: Path) -> None:
    root = iemocap(tmp_path)
    clips = read_corpora([f"iemocap={root}"])
    assert len(clips) == 5 * 2 * 4
    assert {clip.speaker for clip in clips} == {
        f"iemocap_Ses{n:02}{gender}" for n in range(1, 6) for gender in "FM"
    }
    assert facts(clips, "iemocap_Ses03M") == [  # the turn's speaker, not the dialog's
        ("happy", "Ses03F_impro01/M001"),
        ("angry", "Ses03F_impro01/M003"),
        ("happy", "script01_1b/M001"),
        ("angry", "script01_1b/M003"),
    ]
    assert all(clip.path.stem.startswith(clip.speaker[8:13]) for clip in clips)
    assert clips[0].key == ("iemocap/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    check(clips)
    improvised = read_corpora([f"iemocap:improvised={root}"])
    assert improvised == [clip for clip in clips if "_impro" in clip.path.name]
    both = read_corpora([f"iemocap:improvised,excited={root}"])
    assert Counter(clip.emotion for clip in both) == {
        "angry": 5,
        "happy": 10,
        "neutral": 5,
        "sad": 5,
    }
    assert both == read_iemocap(root, improvised=True, excited=True)
    by_split = defaultdict(set)
    for speaker, split in splits(clips).items():
        by_split[split].add(speaker[8:])
    assert by_split["dev"] == {"Ses04F", "Ses04M"}
    assert by_split["test"] == {"Ses05F", "Ses05M"}


def test_iemocap_that_cannot_be_used(tmp_path: Path) -> None:
    root = iemocap(tmp_path)
    table = root / "Session2" / "dialog" / "EmoEvaluation" / "Ses02F_impro01.txt"
    good = table.read_bytes()
    for old, new, message in (
        (b"\tneu\t", b"\tbor\t", r"Ses02F_impro01\.txt: turn Ses02F_impro01_F000 .* 'bor'"),
        (
            b"Ses02F_impro01_M003",
            b"Ses02F_impro01_X003",
            "this line is not a turn",
        ),
        (b"_M003", b"_M103", r"Ses02F_impro01_M103\.wav is missing"),
    ):
        table.write_bytes(good.replace(old, new))
        with pytest.raises(CorpusError, match=message):
            read_iemocap(root)
    table.write_bytes(good)
    few = [clip for clip in read_iemocap(root) if clip.speaker != "iemocap_Ses05M"]
    with pytest.raises(CorpusError, match=r"missing or extra: iemocap_Ses05M\."):
        iemocap_folds(few)
    with pytest.raises(CorpusError, match="holds no Session"):
        read_iemocap(root / "Session1")


def properties(folds: Folds, clips: list[Clip]) -> None:
    """What holds of all folds by speaker: every clip once in each, every speaker tested once."""
    assert set(folds) == {clip.speaker for clip in clips}
    for speaker, fold in folds.items():
        check_speakers(fold)
        assert [clip.key for clip in fold] == [clip.key for clip in clips]
        assert {clip.speaker for clip in fold if clip.split == "test"} == {speaker}
        assert len({clip.speaker for clip in fold if clip.split == "dev"}) == 1


def test_the_folds_of_iemocap(tmp_path: Path) -> None:
    clips = read_iemocap(iemocap(tmp_path))
    folds = iemocap_folds(clips)
    properties(folds, clips)
    validated = []
    for speaker, fold in folds.items():
        by = {split: {c.speaker for c in fold if c.split == split} for split in ("train", "dev")}
        assert len(by["train"]) == 8
        (dev,) = by["dev"]
        validated.append(dev)
        assert dev[:-1] == speaker[:-1]  # of one session, which is not in train
        assert all(speaker[:-1] not in other for other in by["train"])
    assert sorted(validated) == sorted(folds)


def test_leaving_one_out(tmp_path: Path) -> None:
    german, polish = emodb(tmp_path / "e"), nemo(tmp_path / "n")
    clips = read_corpora([f"emodb={german}", f"nemo={polish}"])
    only = [clip for clip in clips if clip.corpus == "emodb"]
    folds = leave_one_speaker_out(only)
    properties(folds, only)
    assert {c.speaker for c in folds["emodb_13"] if c.split == "dev"} == {"emodb_16"}
    assert {c.speaker for c in folds["emodb_16"] if c.split == "dev"} == {"emodb_03"}
    across = leave_one_corpus_out(clips)
    assert set(across) == {"emodb", "nemo"}
    fold = across["nemo"]
    assert [c.corpus for c in fold if c.split == "test"] == ["nemo"] * 12
    others = [c for c in fold if c.split != "test"]
    assert others == [c for c in only if c.split != "test"]
    twins = [*only, replace(clips[-1], speaker="emodb_03")]
    with pytest.raises(CorpusError, match="speaker emodb_03 is in two splits"):
        leave_one_corpus_out(twins)
    with pytest.raises(CorpusError, match="takes 2 corpora; here are emodb"):
        leave_one_corpus_out(only)
    with pytest.raises(CorpusError, match="takes 3 speakers; here are emodb_03, emodb_08"):
        leave_one_speaker_out([clip for clip in only if clip.speaker < "emodb_09"])


@pytest.mark.parametrize("corpus", PUBLISHED)
def test_published_corpora_that_cannot_be_used(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere is not a folder"):
        read_named(corpus, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"empty holds no .*wav; give the folder that does"):
        read_named(corpus, tmp_path / "empty")
    root, name = PUBLISHED[corpus](tmp_path / corpus), {"cremad": "crema_d"}.get(corpus, corpus)
    good = read_named(corpus, root)[0].path
    renamed = {
        "ravdess": ("03-01-01", "03-01-09"),
        "banglaser": ("03-01-01", "03-01-06"),
        "emodb": ("Fa", "Xa"),
        "nemo": ("anger", "boredom"),
        "cremad": ("ANG", "BOR"),
    }[corpus]
    odd = good.rename(good.with_name(good.name.replace(*renamed)))
    with pytest.raises(CorpusError, match=f"{odd.name}: {name} has no emotion"):
        read_named(corpus, root)
    odd = odd.rename(odd.with_name("03-01-strange.wav"))
    with pytest.raises(CorpusError, match=f"{odd.name} is not named like the clips of {name}"):
        read_named(corpus, root)


def test_only_other_emotions_is_no_corpus(tmp_path: Path) -> None:
    wav(tmp_path / "Actor_01" / "03-01-08-01-01-01-01.wav")
    with pytest.raises(CorpusError, match="holds no clip that is angry, happy, neutral, sad"):
        read_named("ravdess", tmp_path)


def test_clips_that_cannot_be_read(tmp_path: Path) -> None:
    clips = read_named("emodb", emodb(tmp_path))
    check(clips)
    bad = clips[3]
    wav(bad.path, seconds=0)
    for read in (lambda: check(clips), bad.samples):
        with pytest.raises(CorpusError, match=f"{bad.path.name} holds no samples"):
            read()
    wav(bad.path, seconds=0.02)
    with pytest.raises(CorpusError, match=rf"{bad.path.name} lasts 0\.020 s, .* takes 0\.1 s"):
        check(clips)
    bad.path.write_text("version https://git-lfs.github.com/spec/v1\n")
    for read in (lambda: check(clips), bad.samples):
        with pytest.raises(CorpusError, match=f"{bad.path.name} cannot be decoded"):
            read()


@pytest.mark.parametrize("suffix", ["opus", "flac", "wav", "mp3"])
@pytest.mark.parametrize("part", [0.4, 0.97])
def test_clips_that_were_cut_are_refused(
    suffix: str, part: float, tmp_path: Path, speech: np.ndarray
) -> None:
    cuts = [Cut(0, "made", f"s{n}", "sad", "train") for n in range(3)]
    clips = read_clips(save_corpus(tmp_path, speech, cuts, 40_000, suffix))
    check(clips)
    for clip in clips[1:]:
        whole = clip.path.read_bytes()
        clip.path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(
        CorpusError, match=rf"1\.{suffix}.*\b(cut|damaged)\b.*1 more cannot be used either"
    ):
        check(clips)


def table(root: Path, *, split: bool = False, gender: bool = False) -> Path:
    """A clips.csv of 20 speakers, every third a man."""
    columns = ["path", "corpus", "speaker", "emotion", "text_id", "licence"]
    rows = []
    for number in range(20):
        name = f"clips/{number}.wav"
        wav(root / name)
        rows.append([name, "own", f"s{number:02}", "sad", "t", "CC0-1.0"])
        rows[-1] += ["train"] if split else []
        rows[-1] += ["M" if number % 3 == 0 else "F"] if gender else []
    header = [*columns, *["split"] * split, *["gender"] * gender]
    (root / "clips.csv").write_text("\n".join(",".join(row) for row in [header, *rows]))
    return root


def test_a_table_without_splits(tmp_path: Path) -> None:
    plain = splits(read_clips(table(tmp_path / "plain")))
    assert [*plain.values()] == ["train"] * 14 + ["dev"] * 3 + ["test"] * 3
    balanced = splits(read_clips(table(tmp_path / "balanced", gender=True)))
    assert Counter(balanced.values()) == {"train": 14, "dev": 3, "test": 3}
    for held in ("dev", "test"):
        men = [s for s, split in balanced.items() if split == held and int(s[1:]) % 3 == 0]
        assert len(men) == 1
    assert set(splits(read_clips(table(tmp_path / "own", split=True))).values()) == {"train"}
    short = tmp_path / "plain" / "clips.csv"
    short.write_text("\n".join(short.read_text().splitlines()[:3]))
    with pytest.raises(CorpusError, match=r"no split column, and three splits need .* s00, s01"):
        read_clips(tmp_path / "plain")


def test_splits_do_not_depend_on_order() -> None:
    genders = {f"s{number:02}": "FM"[number % 4 == 0] for number in range(31)}
    backwards = dict(sorted(genders.items(), reverse=True))
    assert split_speakers(genders) == split_speakers(backwards)
    assert Counter(split_speakers(dict.fromkeys("abc", "")).values()) == {
        "train": 1,
        "dev": 1,
        "test": 1,
    }


def test_a_key_does_not_depend_on_how_the_folder_was_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "a=b")
    emodb(tmp_path / "e")
    monkeypatch.chdir(tmp_path / "e")
    for here, there in ((tmp_path / "a=b", "../a=b"), (f"emodb={tmp_path / 'e'}", "emodb=.")):
        keys = [clip.key for clip in read_corpora([here])]
        assert keys == [clip.key for clip in read_corpora([there])]
        assert len(set(keys)) == len(keys)
        assert not any(str(tmp_path) in key for key in keys)


def test_specs_that_cannot_be_read(tmp_path: Path) -> None:
    root = emodb(tmp_path / "e")
    for specs, message in (
        ([f"emodb={root}", f"emodb={root}/."], "emodb is given twice, by emodb=.* and by"),
        ([f"emo={root}"], "no reader is called 'emo'; there are ravdess"),
        ([f"emodb:excited={root}"], "emodb has no option excited"),
        ([f"iemocap:exited={root}"], "iemocap has no option exited"),
        ([root], r"clips\.csv is missing"),
        (["iemocap="], "holds no Session"),
    ):
        with pytest.raises(CorpusError, match=message):
            read_corpora(specs)
    table(tmp_path / "o", split=True)
    text = (tmp_path / "o" / "clips.csv").read_text()
    (tmp_path / "o" / "clips.csv").write_text(text.replace("s07", "emodb_16"))
    message = r"speaker emodb_16 is in two splits: .*16a01Fa.wav in test, .*7\.wav in train"
    with pytest.raises(CorpusError, match=message):
        read_corpora([f"emodb={root}", tmp_path / "o"])


@pytest.mark.parametrize(("path", "corpus"), [("./clips/3.wav", "own"), ("clips/3.wav", "other")])
def test_a_clip_is_listed_once(tmp_path: Path, path: str, corpus: str) -> None:
    root = table(tmp_path, split=True)
    with (root / "clips.csv").open("a") as file:
        file.write(f"\n{path},{corpus},s03,happy,t,CC0-1.0,train\n")
    with pytest.raises(CorpusError, match=r"3\.wav is listed twice"):
        read_clips(root)
    row = "clips/3.wav,cv,p1,CC0-1.0\n"
    (root / "unlabelled.csv").write_text("path,corpus,speaker,licence\n" + 2 * row)
    with pytest.raises(CorpusError, match=r"3\.wav is listed twice"):
        read_unlabelled(root)


def test_a_fingerprint_is_of_clips_sound_splits_and_emotions(tmp_path: Path) -> None:
    file, same, other = (tmp_path / f"{name}.wav" for name in "abc")
    wav(file)
    wav(same)
    wav(other, seconds=0.9)
    one, two = (Clip(file, "a", "s", "sad", "t", "CC0-1.0", "train", name) for name in ("x", "y"))
    changes: list[dict[str, Any]] = [
        {"name": "z"},
        {"split": "dev"},
        {"emotion": "happy"},
        {"path": other},
    ]
    others = [fingerprint([one, replace(two, **change)]) for change in changes]
    moved = [replace(clip, path=same) for clip in (one, two)]
    assert fingerprint([one, two]) == fingerprint(moved)
    assert fingerprint([one, two]) not in [fingerprint([one], [two]), *others]
    wav(file, seconds=0.9)
    assert fingerprint([one, two]) != fingerprint(moved)
    file.unlink()
    with pytest.raises(CorpusError, match=r"a\.wav cannot be read: No such file"):
        fingerprint([one])


@pytest.fixture(scope="module")
def shared() -> Path:
    if not SHARED.is_dir() and "CI" not in os.environ:
        pytest.skip(f"{SHARED} is not here")
    return SHARED


def test_the_shared_corpora(shared: Path) -> None:
    clips = read_corpora([shared])
    counts = Counter((clip.corpus, clip.split) for clip in clips)
    assert [
        (corpus, *(counts[corpus, split] for split in ("train", "dev", "test")))
        for corpus in sorted({clip.corpus for clip in clips})
    ] == [
        ("banglaser", 809, 144, 207),
        ("emodb", 189, 77, 73),
        ("nemo", 2357, 360, 359),
        ("ravdess", 448, 112, 112),
    ]


def test_published_names_agree_with_the_shared_table(shared: Path, tmp_path: Path) -> None:
    """All names, put back where they were published, are read as the tables have them."""
    readers = {name: name for name in ("ravdess", "banglaser", "emodb", "nemo")}
    readers["crema_d"] = "cremad"
    places = dict.fromkeys(("ravdess", "banglaser"), "Actor_{}")
    places |= {"emodb": "wav", "nemo": "samples", "crema_d": "AudioWAV"}
    rows = []
    for root in (shared, shared.with_name("speech-more")):
        with (root / "clips.csv").open(newline="") as file:
            rows += [row for row in csv.DictReader(file) if row["corpus"] in readers]
    unheard = (
        "1064_TIE_SAD_XX",
        "1076_MTI_NEU_XX",
    )  # almost nothing in them; the reader skips them
    rows = [row for row in rows if Path(row["path"]).stem not in unheard]
    actors = {row["speaker"][-4:]: row["gender"] for row in rows if row["corpus"] == "crema_d"}
    sexes = "".join(f"{actor},{gender}\n" for actor, gender in actors.items())
    (tmp_path / "crema_d").mkdir()
    (tmp_path / "crema_d" / "VideoDemographics.csv").write_text(f"ActorID,Sex\n{sexes}")
    expected = set()
    for row in rows:
        corpus, folder, name = row["path"].split("/")
        stem = Path(name).stem
        path = tmp_path / corpus / places[corpus].format(folder) / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        text = row["text_id"].split("|")[0]
        columns = ("corpus", "speaker", "emotion", "licence", "split", "gender")
        facts = [row[column] for column in columns]
        expected.add((stem, text, *facts))
    clips = read_corpora([f"{reader}={tmp_path / corpus}" for corpus, reader in readers.items()])
    assert len(clips) == len(rows)
    assert expected == {
        (c.path.stem, c.text, c.corpus, c.speaker, c.emotion, c.licence, c.split, c.gender)
        for c in clips
    }


def test_sex_and_age_of_speakers(tmp_path: Path) -> None:
    root = table(tmp_path, gender=True)
    assert {clip.age for clip in read_clips(root)} == {None}
    ages = root / "ages.csv"
    ages.write_text("speaker,age\ns00,51\ns01,20.5\n")
    about = {clip.speaker: (clip.gender, clip.age) for clip in read_clips(root)}
    assert [about[f"s{n:02}"] for n in range(3)] == [("M", 51), ("F", 20.5), ("F", None)]
    ages.write_text("speaker,age\ns00,old\n")
    with pytest.raises(CorpusError, match=r"ages\.csv, line 2: 'old' is no age in years"):
        read_clips(root)
    ages.write_text("speaker,age\ns00,20\ns00,20\ns00,21\n")
    with pytest.raises(CorpusError, match="line 4: speaker s00 has another age above"):
        read_clips(root)
    ages.write_text("speaker,years\ns00,20\n")
    with pytest.raises(CorpusError, match="needs the columns speaker and age"):
        read_clips(root)


def test_reading_takes_no_torch() -> None:
    code = "import sys, export.corpora.readers; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_votes_make_soft_targets_and_unlabelled_speech_has_none(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        sf.write(tmp_path / f"{name}.wav", np.zeros(800), 16000)
    head = "path,corpus,speaker,emotion,text_id,licence,split,heard_as"
    rows = ["a.wav,c,s1,sad,t,CC0-1.0,train,N:S", "b.wav,c,s1,happy,t,CC0-1.0,train,D"]
    rows += ["c.wav,c,s1,angry,t,CC0-1.0,train,", "d.wav,c,s1,sad,t,CC0-1.0,train,HD"]
    table = tmp_path / "clips.csv"
    table.write_text("\n".join([head, *rows]))
    targets = [clip.target(0.5).tolist() for clip in read_clips(tmp_path)]
    assert targets == [[0, 0, 0.25, 0.75], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0.5, 0, 0.5]]
    table.write_text("\n".join([head, rows[0].replace("N:S", "N:X")]))
    with pytest.raises(CorpusError, match=r"line 2: heard_as 'NX' is no vote; .* not X"):
        read_clips(tmp_path)

    with pytest.raises(CorpusError, match=r"unlabelled\.csv is missing"):
        read_unlabelled(tmp_path)
    listed = tmp_path / "unlabelled.csv"
    listed.write_text("path,corpus,speaker,licence\na.wav,cv,p1,CC0-1.0\n")
    (clip,) = read_unlabelled(tmp_path)
    assert (clip.label, clip.split, clip.key) == (UNLABELLED, "train", "cv/a.wav")
    listed.write_text("path,corpus,speaker,licence\nz.wav,cv,p1,CC0-1.0\n")
    with pytest.raises(CorpusError, match=r"line 2: .*z\.wav is missing"):
        read_unlabelled(tmp_path)
    listed.write_text("path\na.wav\n")
    with pytest.raises(CorpusError, match="needs the columns"):
        read_unlabelled(tmp_path)


def test_a_split_without_clips_is_refused() -> None:
    clip = Clip(Path(), "a", "p1", "sad", "", "CC0-1.0", "train")
    assert in_split([clip], "train") == [clip]
    with pytest.raises(CorpusError, match="No clip is of the test split"):
        in_split([clip], "test")
