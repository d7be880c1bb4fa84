"""`judge` and `read_session`: a verdict on a whole clip, and what was written, read back."""

from __future__ import annotations

import codecs
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import livesr
from livesr import Recognizer
from livesr.event import PAUSED
from livesr.files.recording import Recording
from livesr.microphone.capture import Capture
from livesr.summary import Summary
from tests.helpers import commands
from tests.helpers.tiny import DATA

CLIP = DATA / "conversation.flac"


def test_the_verdict_is_the_mean_of_the_readings_by_their_speech(tiny: Path) -> None:
    readings = list(livesr.replay(CLIP, model=tiny))
    verdict = livesr.judge(CLIP, model=tiny)
    assert isinstance(verdict, Summary)
    weights = np.maximum([reading.speech for reading in readings], 0.001)
    for label, share in verdict.probabilities.items():
        values = [reading.probabilities[label] for reading in readings]
        assert share == pytest.approx(np.average(values, weights=weights))
    assert verdict.label == max(verdict.probabilities, key=verdict.probabilities.__getitem__)
    labelled = [reading.label for reading in readings if reading.label]
    for label, share in verdict.shares.items():
        assert share == pytest.approx(labelled.count(label) / len(labelled), abs=0.01)
    turns = [
        (now.end, now.label)
        for before, now in zip([None, *labelled], [r for r in readings if r.label], strict=False)
        if now.label != before
    ]
    assert verdict.turning_points == tuple(turns)
    told = verdict.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["label"] == verdict.label


def test_every_kind_of_source_gives_the_same(tiny: Path) -> None:
    samples, rate = sf.read(CLIP, dtype="float32")
    expected = livesr.judge(CLIP, model=tiny).to_dict()
    assert livesr.judge(samples, rate, model=tiny).to_dict() == expected
    assert livesr.judge(io.BytesIO(CLIP.read_bytes()), model=tiny).to_dict() == expected
    with CLIP.open("rb") as file:
        assert livesr.judge(file, model=tiny).to_dict() == expected
    both = np.stack((samples[::-1], samples), axis=1)
    assert livesr.judge(both, rate, model=tiny, channel=2).to_dict() == expected


def test_a_verdict_is_of_one_voice(tiny: Path) -> None:
    with pytest.raises(livesr.AudioError, match="one verdict, so channel='each'"):
        livesr.judge(CLIP, model=tiny, channel="each")  # type: ignore[arg-type]


def test_silence_has_no_verdict(tiny: Path) -> None:
    verdict = livesr.judge(np.zeros(32_000, np.float32), model=tiny)
    assert verdict.label is None
    assert set(verdict.shares.values()) == {0.0}
    assert verdict.turning_points == ()
    assert livesr.judge(np.zeros(0, np.float32), model=tiny).probabilities == {}


def test_profile_hop_and_adaptation_are_those_of_replay(tiny: Path, speech: np.ndarray) -> None:
    profile = livesr.Profile(tiny, name="me")
    profile.add("calm", speech[:48_000])
    profile.add("tense", speech[48_000:96_000])
    known = livesr.judge(CLIP, profile=profile)  # and its model
    assert set(known.probabilities) == {"calm", "tense"}
    expected = Summary()
    for reading in livesr.replay(CLIP, model=tiny, hop=0.5, adapt=False):
        expected.add(reading)
    assert livesr.judge(CLIP, model=tiny, hop=0.5, adapt=False).to_dict() == expected.to_dict()


def test_what_cannot_be_judged_is_an_error(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(livesr.AudioError):
        livesr.judge(tmp_path / "none.wav", model=tiny)
    with pytest.raises(livesr.AudioError, match="no channel 2"):
        livesr.judge(CLIP, model=tiny, channel=2)
    with pytest.raises(livesr.ModelError):
        livesr.judge(CLIP, model="no-such-model")
    with pytest.raises(livesr.ProfileError):
        livesr.judge(CLIP, profile=tmp_path / "none.livesr-profile")


def test_a_verdict_on_a_recording_tells_pauses_from_lost_sound(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "talk.flac"
    capture = Capture(Recognizer(tiny), Recording(path))
    capture.push(speech[:32_000, None])
    capture.lose(16_000, PAUSED)
    capture.push(speech[32_000:64_000, None])
    capture.lose(8_000, "lost")
    capture.finish()
    verdict = livesr.judge(path, model=tiny)
    assert (verdict.paused, verdict.lost) == (pytest.approx(1.0), pytest.approx(0.5))


def test_a_word_in_a_long_hop_has_a_verdict() -> None:
    sound = np.zeros(84_000, np.float32)
    sound[16_000:36_000] = sf.read(CLIP, dtype="float32")[0][372_000:392_000]
    readings = list(livesr.replay(sound, model="compact", hop=1.0))
    assert any(reading.label for reading in readings)
    assert max(reading.speech for reading in readings) < 0.5
    assert livesr.judge(sound, model="compact", hop=1.0).label


@pytest.mark.parametrize("number", [np.int64(1), np.float32(1)])
def test_numbers_of_numpy_are_times(tiny: Path, number: np.number[Any]) -> None:
    found = [reading.end for reading in livesr.replay(CLIP, model=tiny, start=number)]  # type: ignore[arg-type]
    assert found == [reading.end for reading in livesr.replay(CLIP, model=tiny, start=1.0)]


def test_a_file_that_gives_no_bytes_is_refused(tiny: Path) -> None:
    closed = io.BytesIO(CLIP.read_bytes())
    closed.close()
    with codecs.open(str(CLIP), encoding="latin-1") as text:
        for source in (closed, text):
            with pytest.raises(livesr.AudioError, match="open a file in binary mode"):
                livesr.judge(source, model=tiny)  # type: ignore[arg-type]


def test_a_verdict_warns_its_caller_of_what_was_cut(tiny: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.wav"
    sf.write(half, sf.read(CLIP)[0][:80_000], 16000)
    half.write_bytes(half.read_bytes()[:100_000])
    with pytest.warns(livesr.AudioWarning, match="it was cut") as warned:
        livesr.judge(half, model=tiny)
    assert [warning.filename for warning in warned] == [__file__]


def test_a_session_comes_back_whole(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    half = tmp_path / "half.wav"
    sf.write(half, sf.read(CLIP)[0][:80_000], 16000)
    half.write_bytes(half.read_bytes()[:100_000])  # it says so at the end
    told = commands.livesr("replay", str(half), "--model", str(tiny), "--jsonl", str(path))
    assert told.returncode == 3
    session = livesr.read_session(path)
    assert isinstance(session, livesr.SavedSession)
    with pytest.warns(livesr.AudioWarning):
        expected = [reading.to_dict() for reading in livesr.replay(half, model=tiny)]
    assert [reading.to_dict() for reading in session.readings] == expected
    assert [event.kind for event in session.events] == ["file"]
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    again = livesr.read_session(zipped)
    assert [reading.to_dict() for reading in again.readings] == expected
    assert again.events == session.events


def test_a_session_cut_or_damaged(tiny: Path, tmp_path: Path) -> None:
    lines = [json.dumps(r.to_dict()) for r in livesr.replay(DATA / "banglaser.flac", model=tiny)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines)[:-5])
    assert len(livesr.read_session(path).readings) == len(lines) - 1
    path.write_text("\n".join([lines[0], "{}", *lines[1:]]))
    with pytest.raises(livesr.LivesrError, match=r"a\.jsonl, line 2, is not what livesr writes"):
        livesr.read_session(path)
    with pytest.raises(livesr.LivesrError, match="cannot be read"):
        livesr.read_session(tmp_path / "none.jsonl")


def test_a_part_of_a_recording_lasts_as_long_as_it_is(tiny: Path) -> None:
    part = Summary()
    for reading in livesr.replay(CLIP, model=tiny, start=10.0, end=14.0):
        part.add(reading)
    assert (part.begin, part.end) == (10.0, 14.0)
    assert sum(part.seconds.values()) == 4.0
    assert livesr.judge(CLIP, model=tiny).begin == 0.0
