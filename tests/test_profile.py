"""A known voice: what a profile holds, how it is kept, and what a stream makes of it."""

from __future__ import annotations

import dataclasses
import itertools
import os
import struct
import unicodedata
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import livesr
from livesr import Profile, ProfileError, Recognizer
from livesr.profile import MOST_EXAMPLES, Example, doubtful, two_voices
from livesr.profile_file import add_to_file, alone
from livesr.settings import DecisionSettings
from livesr.stages.evidence import Evidence
from livesr.stages.vad import BLOCK_SAMPLES
from tests.helpers.tiny import save_tiny, tiny_info

RATE = 16000


@pytest.fixture
def voice(tiny: Path, speech: np.ndarray) -> Profile:
    """Two examples of each of three labels."""
    profile = Profile(tiny, name="me")
    for number in range(6):
        label = ("angry", "neutral", "sad")[number % 3]
        profile.add(label, speech[number * 32_000 : (number + 1) * 32_000], source=f"{number}.wav")
    return profile


def chunks(total: int, cuts: list[int]) -> list[slice]:
    ends = sorted({min(total, cut) for cut in cuts} | {0, total})
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


def run(recognizer: Recognizer, sound: np.ndarray) -> list[livesr.Reading]:
    return recognizer.push(sound) + recognizer.finish()


def test_it_tells_what_it_holds(voice: Profile) -> None:
    assert voice.labels == ("angry", "neutral", "sad")
    assert voice.counts == {"angry": 2, "neutral": 2, "sad": 2}
    assert repr(voice).startswith("Profile('me', 2 angry, 2 neutral, 2 sad, model ")
    expected = voice.expectation()
    assert expected is not None
    assert expected.examples == 6
    assert "guessing: 25%" in str(expected)
    voice.remove("sad", 2)
    voice.remove("angry")
    assert voice.counts == {"neutral": 2, "sad": 1}
    assert voice.expectation() is None
    with pytest.raises(ProfileError, match="2 neutral, 1 sad"):
        voice.remove("sad", 2)


def test_it_holds_vectors_and_never_sound(voice: Profile, speech: np.ndarray) -> None:
    assert {a.dtype for e in voice.examples for a in (e.context, e.logs)} == {np.dtype("float16")}
    assert voice.to_bytes().find(speech[8000:8010].tobytes()) < 0


def test_a_file_gives_back_the_same(voice: Profile, tmp_path: Path) -> None:
    path = tmp_path / "me.livesr-profile"
    voice.save(path)
    assert Profile.load(path).to_bytes() == voice.to_bytes()
    assert os.stat(path).st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


def test_voices_that_were_allowed_once_stand_in_no_later_examples_way(
    voice: Profile, speech: np.ndarray
) -> None:
    label = voice.examples[0].label
    pair = [
        dataclasses.replace(voice.examples[0], label=name, pitch=pitch)
        for name in (label, "neutral")
        for pitch in (90.0, 300.0)
    ]
    voice.examples = tuple(pair)
    apart = two_voices(voice.examples)
    assert apart > 0
    voice.add("happy", speech[:48_000])  # which brings them no further apart
    assert two_voices(voice.examples) == apart


def test_a_label_is_found_however_it_is_composed(voice: Profile, speech: np.ndarray) -> None:
    composed, apart = (unicodedata.normalize(form, "müde") for form in ("NFC", "NFD"))
    voice.add(apart, speech[:48_000], any_voice=True)
    assert voice.counts[composed] == 1
    voice.remove(apart)
    assert composed not in voice.counts


def test_forty_examples_take_less_than_50_kilobytes(speech: np.ndarray) -> None:
    profile = Profile()
    profile.add("angry", speech[:48_000])
    for _ in range(39):
        profile.append(profile.examples[0])
    assert len(profile.to_bytes()) < 50_000


def test_a_full_disk_leaves_the_profile_as_it_was(
    voice: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "me.livesr-profile"
    voice.save(path)
    before = path.read_bytes()
    voice.remove("sad")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProfileError, match="No space left"):
        voice.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_profile_is_refused_in_a_sentence(voice: Profile, tmp_path: Path) -> None:
    good, path = voice.to_bytes(), tmp_path / "bad.livesr-profile"

    def crafted(change: bytes, by: bytes) -> bytes:
        head = len(b"livesr-profile-1\n")
        length, _ = struct.unpack_from("<II", good, head)
        body = good[head + 8 :].replace(change, by, 1)
        length += len(by) - len(change)
        return good[:head] + struct.pack("<II", length, zlib.crc32(body)) + body

    for data, words in (
        (b"", "not a livesr profile"),
        (good[:100], "damaged or cut short"),
        (good[:-1], "damaged or cut short"),
        (good[:200] + b"x" + good[201:], "damaged or cut short"),
        (b"livesr-profile-7\n" + good[17:], "format '7'"),
        (b"livesr-state-2\n" + good[17:], "not a livesr profile"),
        (crafted(b'"angry", "neutral"', b'"angry", "' + b"n" * 10_000 + b'"'), "label"),
        (crafted(b'"angry", "neutral"', b'"angry", "\\u001b["'), "label"),
        (crafted(b'"seconds": [', b'"seconds": [1e400, '), "no profile"),
        (crafted(b'"labels": [', b'"labels": [["angry"], '), "no profile"),
        (crafted(b'"model_labels": ["angry"', b'"model_labels": ["happy"'), "twice"),
    ):
        path.write_bytes(data)
        with pytest.raises(ProfileError, match=words) as caught:
            Profile.load(path)
        assert len(str(caught.value)) < 500
    with pytest.raises(ProfileError, match="There is no file"):
        Profile.load(tmp_path / "none")


def test_a_profile_that_says_other_things_of_its_model_is_refused(
    voice: Profile, tiny: Path
) -> None:
    state = voice.state()
    for change in (
        {"model_labels": state["model_labels"][::-1]},
        {"context": state["context"][:, :5]},
    ):
        with pytest.raises(ProfileError, match="other labels or vectors"):
            Recognizer(tiny, profile=Profile.from_state({**state, **change}))
    for change in (
        {"model_labels": state["model_labels"][:2]},
        {"seconds": [str(number) for number in state["seconds"]]},
        {"seconds": [10**400, *state["seconds"][1:]]},
    ):
        with pytest.raises(ProfileError, match="no profile"):
            Profile.from_state({**state, **change})


def test_what_is_no_file_is_no_profile(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(ProfileError, match="is not a file"):
            Profile.load(path)


def test_what_looks_alike_is_one_label(voice: Profile, speech: np.ndarray) -> None:
    for label in ("m\u00fcde", "mu\u0308de"):
        voice.add(label, speech[:48_000], any_voice=True)
    assert voice.counts["m\u00fcde"] == 2


def test_names_and_sources_are_texts(voice: Profile, tiny: Path, speech: np.ndarray) -> None:
    with pytest.raises(ProfileError, match="name is a text"):
        Profile(tiny, name=5)  # type: ignore[arg-type]
    with pytest.raises(ProfileError, match="source is a text"):
        voice.add("sad", speech[:48_000], source=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["", " angry", "a" * 10_000, "a\nb", "\x1b[2J", None, 3])
def test_what_is_no_label_is_refused(voice: Profile, label: object, speech: np.ndarray) -> None:
    before = voice.to_bytes()
    with pytest.raises(ProfileError, match="cannot be a label"):
        voice.add(label, speech[:48_000])  # type: ignore[arg-type]
    assert voice.to_bytes() == before


def test_silence_is_no_example(voice: Profile) -> None:
    before = voice.to_bytes()
    with pytest.raises(ProfileError, match=r"0\.0 s of speech"):
        voice.add("angry", np.zeros(48_000, np.float32))
    assert voice.to_bytes() == before


def test_a_full_profile_takes_no_more(voice: Profile) -> None:
    example = voice.examples[0]
    while len(voice.examples) < MOST_EXAMPLES:
        voice.append(example)
    with pytest.raises(ProfileError, match="as many as a profile may"):
        voice.append(example)


def test_another_model_is_refused_by_name(voice: Profile, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other.onnx", seed=7)
    with pytest.raises(ProfileError, match="was made with the model"):
        Recognizer(other, profile=voice)
    with pytest.raises(ProfileError, match="vectors"):
        voice.append(Example("sad", np.zeros(3, np.float16), np.zeros(4, np.float16), 1.0))


def test_without_a_model_it_is_the_profiles(voice: Profile, tiny: Path) -> None:
    assert voice.identity in str(Recognizer(profile=voice).profile.identity)  # type: ignore[union-attr]
    assert Recognizer(profile=voice).labels == Recognizer(tiny).labels


def test_a_profile_changes_what_is_said_and_says_so(
    voice: Profile, tiny: Path, speech: np.ndarray
) -> None:
    plain, known = (
        run(Recognizer(tiny), speech[:80_000]),
        run(Recognizer(profile=voice), speech[:80_000]),
    )
    assert {reading.profile for reading in plain} == {None}
    assert {reading.profile for reading in known} == {"me"}
    assert plain[-1].probabilities != known[-1].probabilities
    assert np.isclose(sum(known[-1].probabilities.values()), 1)


def test_no_examples_change_nothing(tiny: Path, speech: np.ndarray) -> None:
    expected = [r.probabilities for r in run(Recognizer(tiny), speech[:80_000])]
    found = run(Recognizer(profile=Profile(tiny)), speech[:80_000])
    assert [r.probabilities for r in found] == expected


def test_neutral_examples_alone_take_the_voices_offset_out(
    voice: Profile, tiny: Path, speech: np.ndarray
) -> None:
    voice.remove("sad")
    voice.remove("angry")
    plain = run(Recognizer(tiny, adapt=False), speech[:80_000])
    found = run(Recognizer(profile=voice, adapt=False), speech[:80_000])
    for label in ("angry", "happy", "sad"):  # by the same factor everywhere
        ratios = [
            np.log(new.probabilities[label] / new.probabilities["neutral"])
            - np.log(old.probabilities[label] / old.probabilities["neutral"])
            for new, old in zip(found[12:], plain[12:], strict=True)
        ]
        assert np.ptp(ratios) < 1e-3 + 0.2 * abs(np.mean(ratios))  # but for the speech in a window
        assert abs(np.mean(ratios)) > 0.05


def test_of_other_labels_one_alone_changes_nothing(speech: np.ndarray, tmp_path: Path) -> None:
    info = tiny_info(labels=("calm", "tense", "tired", "glad"))
    model = save_tiny(tmp_path / "other.onnx", info)
    profile = Profile(model)
    profile.add("calm", speech[:40_000])
    plain = run(Recognizer(model), speech[:80_000])
    found = run(Recognizer(profile=profile), speech[:80_000])
    assert [r.probabilities for r in found] == [r.probabilities for r in plain]


def test_own_words_are_all_that_is_judged(tiny: Path, speech: np.ndarray) -> None:
    profile = Profile(tiny)
    profile.add("calm", speech[:48_000])
    with pytest.raises(ProfileError, match="'calm' alone"):
        Recognizer(profile=profile)
    profile.add("stressed", speech[48_000:96_000])
    profile.add("angry", speech[96_000:144_000])
    recognizer = Recognizer(profile=profile)
    assert recognizer.labels == ("calm", "stressed", "angry")
    readings = run(recognizer, speech[:48_000])
    assert set(readings[-1].smoothed) == {"calm", "stressed", "angry"}
    assert max(readings[-1].smoothed, key=readings[-1].smoothed.__getitem__) == "calm"


def test_a_correction_counts_from_the_next_reading_on(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    with pytest.raises(ProfileError, match="1"):
        recognizer.teach("angry")
    first = recognizer.push(speech[:80_000])
    with pytest.raises(ProfileError, match="not judged here"):
        recognizer.teach("tired")
    recognizer.teach("angry")
    recognizer.push(speech[80_000:160_000])
    recognizer.teach("sad")
    known = recognizer.profile
    assert known is not None
    assert known.counts == {"angry": 1, "sad": 1}
    assert known.examples[0].source == "corrected at 5.00 s"
    assert first[-1].profile is None
    assert recognizer.push(speech[160_000:164_000])[0].profile == "corrections"
    recognizer.reset()
    assert recognizer.profile is not None
    recognizer.untaught()
    recognizer.untaught()
    assert recognizer.profile is None
    with pytest.raises(ProfileError, match="no correction"):
        recognizer.untaught()


def test_the_profile_that_was_given_is_never_changed(voice: Profile, speech: np.ndarray) -> None:
    before = voice.to_bytes()
    recognizer = Recognizer(profile=voice)
    recognizer.push(speech[:80_000])
    recognizer.teach("happy")
    assert voice.to_bytes() == before
    assert recognizer.profile is not None
    assert recognizer.profile.counts["happy"] == 1


@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(1, 100_000), max_size=12), at=st.integers(40_000, 90_000))
def test_chunks_do_not_matter_with_a_profile_and_corrections(
    cuts: list[int], at: int, known_bytes: bytes, speech: np.ndarray
) -> None:
    """Nor does going on in another Recognizer, of which nothing was known."""
    sound = speech[:100_000]

    def told(cuts: list[int], moved: bool) -> list[livesr.Reading]:
        recognizer = Recognizer(profile=Profile.from_bytes(known_bytes))
        readings = []
        for part in chunks(len(sound), [*cuts, at]):
            readings += recognizer.push(sound[part])
            if part.stop == at:
                recognizer.teach("sad")
            if moved:
                other = Recognizer(recognizer.profile.model)  # type: ignore[union-attr]
                other.restore(recognizer.state())
                recognizer = other
        return readings + recognizer.finish()

    assert told([], False) == told(cuts, False) == told(cuts, True)


@pytest.fixture(scope="session")
def known_bytes(tmp_path_factory: pytest.TempPathFactory, speech: np.ndarray) -> bytes:
    """A profile with own words, of a model that stays where it is."""
    profile = Profile(save_tiny(tmp_path_factory.mktemp("model") / "tiny.onnx"))
    for number, label in enumerate(("calm", "sad", "calm", "tense")):
        profile.add(label, speech[number * 40_000 : (number + 1) * 40_000])
    return profile.to_bytes()


def test_a_state_with_a_bad_profile_is_refused(voice: Profile, tiny: Path) -> None:
    from livesr.state import pack, unpack  # noqa: PLC0415

    saved = unpack(Recognizer(profile=voice).state())
    recognizer = Recognizer(tiny)
    for bad in (
        {**saved, "taught": 7},
        {**saved, "profile": {**saved["profile"], "labels": ["x"]}},
        {**saved, "profile": {**saved["profile"], "identity": "0" * 64}},
        {**saved, "adapt": False},
    ):
        with pytest.raises(livesr.ModelError):
            recognizer.restore(pack(bad))
        assert recognizer.profile is None
    assert recognizer.labels == Recognizer(tiny).labels


def test_adapt_off_takes_nothing_out(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny, adapt=False)
    for reading in run(recognizer, speech[: 20 * RATE]):
        assert reading.profile is None
    spoken, raw = recognizer._evidence._recent, recognizer._network.probabilities
    fair = Evidence(DecisionSettings(), BLOCK_SAMPLES / RATE).push(raw.astype(np.float64), spoken)
    assert np.allclose(list(reading.probabilities.values()), fair)


def test_two_voices_are_refused_and_the_profile_is_as_before(
    tiny: Path, speech: np.ndarray
) -> None:
    profile = Profile(tiny)
    for number, label in enumerate(("angry", "neutral")):
        heard = profile.add(label, speech[number * 32_000 : (number + 1) * 32_000])
        profile.pop()
        profile.append(dataclasses.replace(heard, pitch=heard.pitch / 2))
    profile.add("angry", speech[:32_000])
    assert "semitones apart" in profile.doubt()
    before = profile.to_bytes()
    with pytest.raises(ProfileError, match=r"two voices.*semitones apart") as caught:
        profile.add("neutral", speech[32_000:64_000])
    assert profile.to_bytes() == before
    assert len(str(caught.value)) < 300
    profile.add("neutral", speech[32_000:64_000], any_voice=True)
    assert profile.counts == {"angry": 2, "neutral": 2}


def test_a_profile_finds_its_model_from_another_folder(
    tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny(tmp_path / "own.onnx")
    monkeypatch.chdir(tmp_path)
    profile = Profile("own.onnx", name="me")
    profile.add("angry", speech[:32_000])
    profile.save("me.livesr-profile")
    monkeypatch.chdir("/")
    assert Profile.load(tmp_path / "me.livesr-profile").load_model().identity == profile.identity
    Recognizer(profile=profile)


def test_what_is_no_path_or_number_is_refused(voice: Profile) -> None:
    for wrong in (None, 123):
        with pytest.raises(ProfileError, match="cannot be read"):
            Profile.load(wrong)  # type: ignore[arg-type]
        with pytest.raises(ProfileError, match="cannot be written"):
            voice.save(wrong)  # type: ignore[arg-type]
    with pytest.raises(ProfileError, match="no example '2'"):
        voice.remove("angry", "2")  # type: ignore[arg-type]


def test_examples_of_like_pitch_are_not_doubted_and_an_octave_alone_is() -> None:
    def doubts(*pitches: tuple[str, float]) -> tuple[bool, bool]:
        none = np.zeros(0, np.float16)
        of = [Example(label, none, none, 2.0, pitch=pitch) for label, pitch in pitches]
        return doubtful(of) > 0, two_voices(of) > 0

    angry, sad = (("a", 200.0), ("a", 220.0)), (("s", 120.0), ("s", 125.0))
    assert doubts() == (False, False)
    assert doubts(*angry, *sad) == (False, False)  # emotions differ, that is no doubt
    assert doubts(("a", 200.0), ("s", 100.0)) == (False, False)
    assert doubts(("a", 200.0), ("a", 0.0), *sad) == (False, False)  # not known
    assert doubts(("a", 100.0), ("a", 200.0)) == (True, False)  # may be an error of the estimate
    assert doubts(("a", 100.0), ("a", 200.0), ("s", 100.0), ("s", 200.0)) == (True, True)


def test_one_voice_is_neither_refused_nor_doubted(voice: Profile) -> None:
    assert all(60 < example.pitch < 400 for example in voice.examples)
    assert voice.doubt() == ""


def test_a_file_without_pitches_is_still_read(voice: Profile) -> None:
    state = voice.state()
    del state["pitches"]
    old = Profile.from_state(state)
    assert [example.pitch for example in old.examples] == [0.0] * 6
    assert old.counts == voice.counts
    assert old.doubt() == ""
    for bad in ([0.0] * 5, [float("nan")] * 6, [-1.0] * 6, ["x"] * 6):
        with pytest.raises(ProfileError, match="no profile"):
            Profile.from_state({**state, "pitches": bad})


def test_two_programs_teach_one_file(tiny: Path, speech: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "me.livesr-profile"
    mine, theirs = Profile(tiny), Profile(tiny)
    mine.add("angry", speech[:48_000])
    assert add_to_file(path, mine, 0) == (1, "")
    theirs.add("sad", speech[48_000:96_000])
    assert add_to_file(path, theirs, 0) == (1, "")
    mine.add("happy", speech[96_000:144_000])
    assert add_to_file(path, mine, 1) == (1, "")
    assert Profile.load(path).counts == {"angry": 1, "sad": 1, "happy": 1}
    mine.add("happy", speech[:48_000])
    assert add_to_file(path, mine, None) == (1, "")  # nobody knows which: the others are there
    assert Profile.load(path).counts == {"angry": 1, "sad": 1, "happy": 2}
    other = Profile(name="other")
    other.examples = ()
    assert add_to_file(path, other, 0) == (0, "")


def test_a_change_of_a_file_waits_for_another(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "me.livesr-profile"
    Profile(tiny).save(path)
    mine = Profile.load(path)
    mine.add("angry", speech[:48_000])
    with ThreadPoolExecutor() as pool, alone(path):
        waiting = pool.submit(add_to_file, path, mine, 0)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        Profile.load(path).save(path)
    assert waiting.result() == (1, "")


def test_it_takes_the_place_of_no_pipe(voice: Profile, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ProfileError, match="not a file"):
        voice.save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_a_profiles_file_is_for_its_owner_alone(voice: Profile, tmp_path: Path) -> None:
    path = tmp_path / "me.livesr-profile"
    for _ in range(2):
        voice.save(path)
        assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)


def test_what_is_added_changes_the_file(tiny: Path, speech: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "me.livesr-profile"
    mine = Profile(tiny)
    mine.created = mine.changed = "2020-01-01T00:00:00Z"
    mine.save(path)
    mine.add("angry", speech[:48_000])
    mine.changed = "2020-01-01T00:00:00Z"  # of corrections no clock is read
    assert add_to_file(path, mine, 0) == (1, "")
    found = Profile.load(path)
    assert found.created == "2020-01-01T00:00:00Z" < found.changed


def test_an_empty_path_is_no_profile(voice: Profile) -> None:
    for call in (lambda: Profile.load(""), lambda: voice.save(""), lambda: Recognizer(profile="")):
        with pytest.raises(ProfileError, match="name of the profile's file is empty"):
            call()
