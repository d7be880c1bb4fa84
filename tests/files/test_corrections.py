"""A recording made with a profile and corrections says the same when it is replayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livesr import Event, Profile, ProfileError, Reading, Recognizer
from livesr.event import Item
from livesr.files.recording import Recording, events_path
from livesr.files.replay import ReplaySettings, judged_by, opened, play
from livesr.microphone.capture import Capture
from tests.helpers.tiny import save_tiny


@pytest.fixture
def known(tiny: Path, speech: np.ndarray) -> Profile:
    profile = Profile(tiny, name="me")
    for number, label in enumerate(("angry", "sad", "neutral")):
        profile.add(label, speech[number * 40_000 : (number + 1) * 40_000])
    return profile


def captured(recognizer: Recognizer, path: Path, sound: np.ndarray) -> list[Item]:
    """4.4 s, a correction, a second more, another that is taken back, a reset, the rest."""
    capture = Capture(recognizer, Recording(path))
    items = capture.begin_profile()
    for part in np.split(sound, [30_000, 70_400]):
        items += capture.push(part[:, None])
    items += capture.teach("happy")
    items += capture.push(sound[:16_000, None])
    items += capture.teach("sad")
    items += capture.push(sound[16_000:32_000, None])
    items += capture.untaught()
    items += capture.reset()
    items += capture.push(sound[:40_000, None])
    return items + capture.finish()


def test_a_replay_repeats_profile_and_corrections(
    known: Profile, tmp_path: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "talk.flac"
    live = captured(Recognizer(profile=known), path, speech[:90_000])
    again = list(play(path))
    assert [i.to_dict() for i in again] == [i.to_dict() for i in live]
    assert again == live
    assert [i.kind for i in live if isinstance(i, Event)] == [
        "profile", "teach", "teach", "untaught", "reset",
    ]  # fmt: skip
    assert "data" not in live[0].to_dict()
    model, recorded = judged_by(opened(path), ReplaySettings())
    assert recorded is not None
    assert recorded.to_bytes() == known.to_bytes()
    assert model == known.model


def test_corrections_without_a_profile_are_repeated_too(
    tiny: Path, tmp_path: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "talk.flac"
    live = captured(Recognizer(tiny), path, speech[:90_000])
    assert list(play(path, ReplaySettings(model=tiny))) == live


def test_another_profile_overrides_and_says_so(
    known: Profile, tiny: Path, tmp_path: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "talk.flac"
    captured(Recognizer(profile=known), path, speech[:90_000])
    other = Profile(tiny, name="other")
    first, *rest = play(path, ReplaySettings(profile=other))
    assert isinstance(first, Event)
    assert first.text == "other in place of me, the recording's"
    assert {item.profile for item in rest if isinstance(item, Reading)} == {"other"}
    # of another model its vectors say nothing
    strange = save_tiny(tmp_path / "strange.onnx", seed=5)
    first, *rest = play(path, ReplaySettings(model=strange))
    assert isinstance(first, Event)
    assert "left out" in first.text
    assert isinstance(rest[0], Reading)
    assert rest[0].profile is None


def test_a_profile_damaged_beside_the_recording_is_told(
    known: Profile, tmp_path: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "talk.flac"
    captured(Recognizer(profile=known), path, speech[:90_000])
    beside = events_path(path)
    beside.write_text(beside.read_text().replace('"data": "bGl2', '"data": "bGl3'))
    with pytest.raises(ProfileError, match="beside the recording"):
        play(path)
