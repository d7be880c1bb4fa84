"""`livesr enrol`, `livesr profiles`, `--profile`: as a user meets them."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from livesr import DeviceError, Event, Profile, ProfileError, Reading
from livesr.app.cli import app
from livesr.app.enrolment import Enrolment
from livesr.app.profiles import keep_corrections, place
from livesr.event import Item
from livesr.files.recording import Recording
from livesr.microphone.capture import Capture
from livesr.profile_file import add_to_file
from livesr.recognizer import Recognizer


@pytest.fixture
def clips(tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LIVESR_PROFILES", str(tmp_path / "voices"))
    monkeypatch.setenv("LIVESR_CONFIG", str(tmp_path / "none.toml"))
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, path in enumerate(paths):
        sf.write(path, speech[number * 40_000 : (number + 1) * 40_000], 16000)
    return [str(path) for path in paths]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_enrol_from_clips_then_list_show_use_and_remove(
    clips: list[str], tiny: Path, tmp_path: Path
) -> None:
    assert "No profile yet" in said("profiles")
    model = ("--model", str(tiny))
    said("enrol", "me", "--label", "angry", *model, *clips[:2])
    out = said("enrol", "me", "--label", "sad", *clips[2:])
    assert "me: 2 angry, 2 sad" in out
    assert "guessing: 25%" in out
    assert "me: 2 angry, 2 sad" in said("profiles")
    assert "2.wav" in said("profiles", "me")
    jsonl = tmp_path / "out.jsonl"
    said("replay", clips[0], "--profile", "me", "--jsonl", str(jsonl))
    read = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert {item["profile"] for item in read if "end" in item} == {"me"}
    said("profiles", "me", "--remove", "--label", "sad", "--number", "1")
    assert Profile.load(place("me")).counts == {"angry": 2, "sad": 1}
    assert "is removed" in said("profiles", "me", "--remove")
    with pytest.raises(ProfileError, match="livesr enrol"):
        said("replay", clips[0], "--profile", "me")


def test_clips_of_two_voices_are_refused_unless_said(
    clips: list[str], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real voices an octave apart are in `export.profiles --voices`; here the pitch is given."""
    pitches = iter([100.0, 200.0, 100.0, 200.0, 100.0, 200.0])
    monkeypatch.setattr("livesr.stages.pitch.pitch", lambda _: next(pitches))
    out = said("enrol", "me", "--label", "angry", "--model", str(tiny), *clips[:2])
    assert "12 semitones apart in pitch: are all of one voice?" in " ".join(out.split())
    before = place("me").read_bytes()
    with pytest.raises(ProfileError, match=r"3\.wav.*two voices.*Nothing was enrolled"):
        said("enrol", "me", "--label", "sad", *clips[2:])
    assert place("me").read_bytes() == before
    said("enrol", "me", "--label", "sad", "--any-voice", *clips[2:])
    shown = " ".join(said("profiles", "me").split())
    assert "200 Hz" in shown
    assert "one voice?" in shown


def test_clips_are_enrolled_all_or_none(clips: list[str], tiny: Path, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    sf.write(silence, np.zeros(32_000), 16000)
    path = tmp_path / "a.livesr-profile"
    with pytest.raises(ProfileError, match=r"silence\.wav.*Nothing was enrolled"):
        said("enrol", str(path), "--label", "sad", "--model", str(tiny), clips[0], str(silence))
    assert not path.exists()


def test_a_long_recording_is_no_clip_and_damage_is_told(
    clips: list[str], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / "long.wav"
    sf.write(long, np.zeros(620 * 8000), 8000)
    enrol = ["enrol", "me", "--label", "sad", "--model", str(tiny)]
    with pytest.raises(ProfileError, match=r"long\.wav: An example takes 600 s at most"):
        said(*enrol, str(long))
    cut = Path(clips[0])
    cut.write_bytes(cut.read_bytes()[:-3000])
    assert "it was cut" in said(*enrol, str(cut)) + capsys.readouterr().err


def test_a_clip_is_enrolled_once_and_patterns_are_matched(
    clips: list[str], tiny: Path, tmp_path: Path
) -> None:
    pattern = str(tmp_path / "[01].wav")
    said("enrol", "me", "--label", "sad", "--model", str(tiny), pattern)
    out = said("enrol", "me", "--label", "sad", clips[1], clips[2], clips[2])
    assert Profile.load(place("me")).counts == {"sad": 3}
    assert "1.wav: it is enrolled already" in out.replace("\n", "")
    before = place("me").read_bytes()
    said("enrol", "me", "--label", "sad", clips[0])
    assert place("me").read_bytes() == before
    said("enrol", "me", "--label", "happy", clips[0])  # as another emotion it is news
    assert Profile.load(place("me")).counts == {"sad": 3, "happy": 1}


def test_a_word_of_ones_own_says_what_is_judged_no_longer(clips: list[str], tiny: Path) -> None:
    out = said("enrol", "me", "--label", "happy", "--model", str(tiny), clips[0])
    assert "own labels are judged" not in out
    out = said("enrol", "me", "--label", "hapy", clips[1]).replace("\n", " ")
    assert "labels are judged: happy, hapy. The model's angry, neutral, sad are not." in out
    assert "If hapy is a misspelt happy: livesr profiles me --remove --label hapy" in out


def test_what_cannot_be_is_told(
    clips: list[str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("enrol", "we", "--label", "sad", "--model", str(tiny), clips[0])
    monkeypatch.chdir(tmp_path)
    Path("clip").write_bytes(Path(clips[0]).read_bytes())
    for arguments, words in (
        (["enrol", "me", clips[0]], "--label happy"),
        (["enrol", "me", "--labels", "calm,tense", "--label", "calm", clips[0]], "--label alone"),
        (["enrol", "a/b", "--label", "sad", clips[0]], "a path that ends in .livesr-profile"),
        (["enrol", clips[0], "--label", "sad", clips[1]], "first word after enrol is the profile"),
        (["enrol", Path(clips[0]).name, "--label", "sad", clips[1]], "first word after enrol is"),
        (["enrol", Path(clips[0]).name, "--label", "sad"], "first word after enrol is the profile"),
        (["enrol", "me", "--label", "x" * 10_000, clips[0]], "cannot be a label"),
        (["enrol", "", "--label", "sad", clips[0]], "cannot be a profile's name"),
        (["profiles", "--remove"], "Name the profile"),
        (["profiles", "nobody"], "no profile 'nobody'.*there are: "),
        (["profiles", "we", "--remove", "--number", "2"], "give --label too"),
        (["profiles", "we", "--label", "sad"], "give --remove too"),
    ):
        with pytest.raises(ProfileError, match=words):
            said(*arguments)
    said("enrol", "clip", "--label", "sad", "--model", str(tiny), clips[1])  # a name, as any other
    assert Profile.load(place("clip")).counts == {"sad": 1}


def test_enrolling_by_the_microphone_asks_until_it_is_right(
    tiny: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person's part is played here; tests/microphone has a real one."""
    recorded = iter([np.zeros(48_000, np.float32), *np.split(speech[:192_000], 4)])
    answers = iter(["", "", "r", "", "q", "keep", "", "", "s"])
    monkeypatch.setattr("builtins.input", lambda: next(answers))
    monkeypatch.setattr(Enrolment, "_record", lambda *_: (next(recorded), -20.0))
    profile = Profile(tiny)
    with Enrolment(None, None, tiny, 3.0) as enrolment:
        assert enrolment.take(profile, "angry", 1, 2)  # silence, repeated, kept
        assert not enrolment.take(profile, "sad", 1, 2)  # left out
    assert profile.counts == {"angry": 1}


def test_without_a_microphone_nothing_is_asked(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> str:
        raise AssertionError("it asks before it looks for the microphone")

    monkeypatch.setattr("builtins.input", ask)
    with Enrolment("no such microphone", None, tiny, 3.0) as enrolment, pytest.raises(DeviceError):
        enrolment.check_level()


def test_enrolling_says_what_is_there_and_what_comes(
    tiny: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = Profile(tiny, name="me")
    Enrolment.begin(profile, ["calm", "tense"], 2)
    assert capsys.readouterr().out.startswith("Profile me: 2 sentences for each of calm, tense.")
    profile.add("calm", speech[:48_000])
    Enrolment.begin(profile, ["tense"], 2)
    assert capsys.readouterr().out.startswith("Profile me has 1 calm; what you say now is added.")


def test_corrections_are_kept_in_the_profiles_file(
    tiny: Path, speech: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "me.livesr-profile"
    before = Profile(tiny, name="me")
    before.save(path)
    recognizer = Recognizer(profile=before)
    capture = Capture(recognizer, Recording(tmp_path / "talk.flac"))
    items: list[Item] = capture.push(speech[:80_000, None]) + capture.teach("happy")
    assert items[-1] == Event("teach", capture.seconds, text="happy")
    keep_corrections(before, recognizer.profile, path)
    assert "1 correction was saved in the profile" in capsys.readouterr().err
    assert Profile.load(path).counts == {"happy": 1}
    keep_corrections(None, recognizer.profile, None)
    assert "--profile NAME" in capsys.readouterr().err


class Talk:
    """What `listen` has when it ends: a profile as it was at the start, and with corrections."""

    def __init__(self, path: Path, model: Path, speech: np.ndarray, *taught: str) -> None:
        self.path = path
        self.before = Profile(model, name="me")
        self.before.add("angry", speech[:48_000])
        self.before.save(path)
        self.after = self.before.copy()
        for label in taught:
            self.after.add(label, speech[48_000:96_000])

    def keep(self) -> None:
        keep_corrections(self.before, self.after, self.path, Path("talk.flac"))


@pytest.fixture
def talk(tiny: Path, speech: np.ndarray, tmp_path: Path) -> Talk:
    return Talk(tmp_path / "me.livesr-profile", tiny, speech, "happy", "sad")


def test_corrections_destroy_nothing_that_was_enrolled_meanwhile(
    talk: Talk, speech: np.ndarray
) -> None:
    other = Profile.load(talk.path)
    other.remove("angry")
    other.add("neutral", speech[:48_000])
    other.save(talk.path)
    talk.keep()
    assert Profile.load(talk.path).counts == {"neutral": 1, "happy": 1, "sad": 1}


def test_corrections_are_kept_where_the_profile_is_gone(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    talk.path.unlink()
    talk.keep()
    assert Profile.load(talk.path).counts == {"angry": 1, "happy": 1, "sad": 1}
    assert "2 corrections were saved" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_not_written_over(talk: Talk) -> None:
    later = talk.path.read_bytes().replace(b"livesr-profile-1", b"livesr-profile-2")
    talk.path.write_bytes(later)
    with pytest.raises(ProfileError, match=r"2 corrections were not saved.*talk\.flac has them"):
        talk.keep()
    assert talk.path.read_bytes() == later


def test_a_removed_profile_stays_removed(
    clips: list[str], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said("enrol", "me", "--label", "angry", "--model", str(tiny), clips[0])
    path = place("me")
    mine = Profile.load(path)
    removed: list[Future[str]] = []
    load = Profile.load.__func__  # type: ignore[attr-defined]

    def slow(cls: type[Profile], file: Path) -> Profile:
        found: Profile = load(cls, file)
        if not removed:
            removed.append(pool.submit(said, "profiles", "me", "--remove"))
            with pytest.raises(TimeoutError):
                removed[0].result(0.3)
        return found

    mine.append(mine.examples[0])
    with ThreadPoolExecutor() as pool:
        monkeypatch.setattr(Profile, "load", classmethod(slow))
        assert add_to_file(path, mine, 1) == (1, "")
        assert "is removed" in removed[0].result()
    assert not path.exists()


def test_a_link_to_a_profile_stays_one(clips: list[str], tiny: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real.livesr-profile", tmp_path / "link.livesr-profile"
    link.symlink_to(real)
    for label, clip in zip(("angry", "sad"), clips, strict=False):  # first to a file yet to be made
        said("enrol", str(link), "--label", label, "--model", str(tiny), clip)
    assert link.is_symlink()
    assert Profile.load(real).counts == {"angry": 1, "sad": 1}


def test_a_profile_of_a_stranger_shows_no_control_characters(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    profile = Profile(tiny)
    profile.add("angry", speech[:48_000], source="a\x1b[2Jb")
    assert profile.examples[0].source == "a?[2Jb"
    state = profile.state()
    state["name"], state["created"] = "x\x1b]0;y\x07", "\x1b[31mred"
    found = Profile.from_state(state)
    assert (found.name, found.created) == ("x?]0;y?", "?[31mred")
    for source in ("\x1b[2J", 7):
        state["sources"] = [source]
        with pytest.raises(ProfileError, match="source"):
            Profile.from_state(state)


@pytest.mark.parametrize("name", ["n" * 220, "", "a\x07b"])
def test_a_reading_can_be_read_again_whatever_its_profile_is_called(
    tiny: Path, speech: np.ndarray, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.livesr-profile"
    profile = Profile(tiny)
    for number, label in enumerate(("calm", "tense")):
        profile.add(label, speech[number * 48_000 :][:48_000])
    profile.save(path)
    for reading in Recognizer(profile=path).push(speech[:16_000]):
        assert Reading.from_dict(reading.to_dict()).profile == reading.profile


def test_no_output_takes_the_place_of_a_profiles_model(
    clips: list[str], tiny: Path, tmp_path: Path
) -> None:
    model = tmp_path / "mine.onnx"
    shutil.copy(tiny, model)
    said("enrol", "me", "--label", "angry", "--model", str(model), clips[0])
    before = model.read_bytes()
    for files in (clips[:1], clips):
        command = ["replay", *files, "--profile", "me", "--csv", str(model), "--force"]
        result = CliRunner().invoke(app, command)
        assert "would destroy" in str(result.exception)
        assert model.read_bytes() == before


def test_a_microphone_that_goes_keeps_what_was_enrolled(
    tiny: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded = iter(np.split(speech[:96_000], 2))

    def record(*_: object) -> tuple[np.ndarray, float]:
        samples = next(recorded, None)
        if samples is None:
            raise DeviceError("The microphone is gone.")
        return samples, -20.0

    monkeypatch.setattr("builtins.input", lambda: "")
    monkeypatch.setattr("livesr.app.enrolment.find", lambda _: None)
    monkeypatch.setattr(Enrolment, "_record", record)
    path = tmp_path / "me.livesr-profile"
    words = ("--labels", "angry,sad", "--model", str(tiny))
    result = CliRunner().invoke(app, ["enrol", str(path), *words])
    assert result.exit_code == 3, result.output
    assert "me: 1 angry" in result.output
    assert Profile.load(path).counts == {"angry": 1}


def test_nobody_speaks_in_vain_for_a_full_profile(
    tiny: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "me.livesr-profile"
    profile = Profile(tiny)
    profile.add("angry", speech[:48_000])
    profile.save(path)
    monkeypatch.setattr("livesr.profile.MOST_EXAMPLES", 1)
    monkeypatch.setattr("builtins.input", lambda: "")
    monkeypatch.setattr("livesr.app.enrolment.find", lambda _: None)
    heard = iter([(speech[:48_000], -20.0)])  # the level check alone
    monkeypatch.setattr(Enrolment, "_record", lambda *_: next(heard))
    result = CliRunner().invoke(app, ["enrol", str(path), "--labels", "sad"])
    assert "as many as a profile may" in str(result.exception)


def test_corrections_that_another_model_cannot_use(talk: Talk) -> None:
    Profile(name="me").save(talk.path)
    made = talk.path.read_bytes()
    with pytest.raises(ProfileError, match=r"2 corrections were not saved.*talk\.flac has them"):
        talk.keep()
    assert talk.path.read_bytes() == made


def test_corrections_fill_a_profile_to_its_end(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("livesr.profile.MOST_EXAMPLES", 2)
    with pytest.raises(ProfileError, match=r"1 correction was not saved.*as many as"):
        talk.keep()
    assert "1 correction was saved" in capsys.readouterr().err
    assert Profile.load(talk.path).counts == {"angry": 1, "happy": 1}


@pytest.mark.parametrize("end", [KeyboardInterrupt, EOFError])
def test_an_example_that_nobody_kept_is_not_counted(
    tiny: Path,
    speech: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    end: type[BaseException],
) -> None:
    asked = iter(["", "", "", ""])  # the level; a sentence, kept; another one

    def answer() -> str:
        text = next(asked, None)
        if text is None:
            raise end
        return text

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("livesr.app.enrolment.find", lambda _: None)
    recorded = iter(np.split(speech[:192_000], 4))
    monkeypatch.setattr(Enrolment, "_record", lambda *_: (next(recorded), -20.0))
    monkeypatch.setattr("livesr.app.commands.enrol._EACH", 3)
    path = tmp_path / "new" / "me.livesr-profile"
    words = ("--labels", "angry", "--model", str(tiny))
    out = said("enrol", str(path), *words)
    kept = Profile.load(path).counts
    assert f"me: {kept['angry']} angry  (" in out.replace("\n", "")


@pytest.mark.parametrize("clip", [True, False])
def test_a_folder_that_cannot_be_made_is_told_before_anybody_speaks(
    clips: list[str],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clip: bool,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("builtins.input", lambda: pytest.fail("was asked to speak"))
    given = ("--label", "sad", clips[0]) if clip else ()
    for place_of in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("LIVESR_PROFILES", str(place_of))
        with pytest.raises(ProfileError, match=r"me\.livesr-profile cannot be kept.*another path"):
            said("enrol", "me", "--model", str(tiny), *given)
    assert (tmp_path / "file").read_text() == ""


def test_only_a_profile_is_removed(clips: list[str], tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["profiles", clips[0], "--remove"])
    assert isinstance(told.exception, ProfileError)
    assert Path(clips[0]).is_file()
    damaged = tmp_path / "old.livesr-profile"
    damaged.write_bytes(b"cut")
    said("profiles", str(damaged), "--remove")
    assert not damaged.exists()
