"""Corrections of a served voice, kept by the client or by the server."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livesr import Profile, Reading, Recognizer
from livesr.errors import ProfileError
from livesr.serve.profiles import Profiles
from livesr.serve.protocol import ReadingMessage
from tests.helpers.server import Server, collected, readings, serving, tell, until
from tests.helpers.tiny import save_tiny


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "profiles"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tiny: Path, kept: Path) -> Iterator[Server]:
    with serving("--model", str(tiny), "--profile-dir", str(kept)) as server:
        yield server


def ints(speech: np.ndarray) -> np.ndarray:
    return (speech[:160_000] * 32767).astype("<i2")


PLAN = ((60_000, "sad"), (90_000, "angry"), (120_000, "sad"), (140_000, "angry"))


def taught(server: Server, speech: np.ndarray, **update: Any) -> list[dict[str, Any]]:
    """A session with corrections at places of its sound."""
    sound, at = ints(speech), 0
    with server.connect() as client:
        tell(client, "session.update", mode="lossless", **update)
        for place, label in PLAN:
            client.send(sound[at:place].tobytes())
            tell(client, "teach", label=label)
            at = place
        client.send(sound[at:].tobytes())
        tell(client, "session.end")
        return collected(client)


def alone(
    model: Path, speech: np.ndarray, profile: Profile | None = None
) -> tuple[Recognizer, list[Reading]]:
    """The same, by a Recognizer: its readings, and itself."""
    own, found, at = Recognizer(model, profile=profile), [], 0
    for place, label in PLAN:
        found += own.push(ints(speech)[at:place])
        own.teach(label)
        at = place
    found += own.push(ints(speech)[at:]) + own.finish()
    return own, found


def test_corrections_are_those_of_a_recognizer(
    server: Server, tiny: Path, speech: np.ndarray
) -> None:
    own, expected = alone(tiny, speech)
    told = taught(server, speech)
    assert readings(told) == [reading.to_dict() for reading in expected]
    profiles = [message for message in told if message["type"] == "profile"]
    assert len(profiles) == len(PLAN)
    brought = Profile.from_bytes(base64.b64decode(profiles[-1]["data"]))
    assert own.profile is not None
    assert brought.counts == own.profile.counts == {"sad": 2, "angry": 2}
    again = taught(server, speech, profile=profiles[-1]["data"])
    _, expected = alone(tiny, speech, brought)
    assert readings(again) == [reading.to_dict() for reading in expected]


def test_a_named_profile_grows_on_the_server(
    server: Server, speech: np.ndarray, kept: Path
) -> None:
    for count in (4, 8):
        told = taught(server, speech, profile="anna")
        assert not [m for m in told if m["type"] == "error"]
        (file,) = kept.iterdir()
        assert file.name == "anna.livesr-profile"
        assert len(Profile.load(file).examples) == count
    assert readings(told)[0]["profile"] == "anna"


def test_two_sessions_with_one_profile_keep_what_both_taught(
    server: Server, speech: np.ndarray, kept: Path
) -> None:
    sound = ints(speech)
    with server.connect() as one, server.connect() as other:
        for client in (one, other):
            tell(client, "session.update", mode="lossless", profile="anna")
            until(client, "session.created")
        for client, labels in ((one, ("sad", "angry")), (other, ("happy",)), (one, ("sad",))):
            for label in labels:
                client.send(sound[:60_000].tobytes())
                tell(client, "teach", label=label)
                until(client, "profile")
        for client in (one, other):
            tell(client, "session.end")
            assert not [m for m in collected(client) if m["type"] == "error"]
    assert Profile.load(kept / "anna.livesr-profile").counts == {"sad": 2, "angry": 1, "happy": 1}


def test_a_resumed_session_teaches_nothing_twice(
    server: Server, speech: np.ndarray, kept: Path
) -> None:
    state = taught(server, speech, profile="anna")[-1]["state"]
    with server.connect() as client:
        tell(client, "session.update", resume=state)
        client.send(ints(speech)[:60_000].tobytes())
        for _ in range(2):
            tell(client, "teach", label="happy")
        tell(client, "session.end")
        assert not [m for m in collected(client) if m["type"] == "error"]
    counts = Profile.load(kept / "anna.livesr-profile").counts
    assert counts == {"sad": 2, "angry": 2, "happy": 2}


def in_base64(profile: Profile | None) -> str:
    assert profile is not None
    return base64.b64encode(profile.to_bytes()).decode()


def test_saves_at_once_lose_nothing(tiny: Path, speech: np.ndarray, kept: Path) -> None:
    found = in_base64(alone(tiny, speech)[0].profile)
    with ThreadPoolExecutor(8) as pool:
        saves = [
            pool.submit(Profiles(str(kept), str(tiny)).save, "anna", found, 0) for _ in range(24)
        ]
        assert {save.result() for save in saves} == {4}
    (file,) = kept.iterdir()
    assert len(Profile.load(file).examples) == 24 * 4


def test_a_profile_that_was_made_anew_with_another_model_is_not_written(
    tiny: Path, speech: np.ndarray, kept: Path, tmp_path: Path
) -> None:
    file = kept / "anna.livesr-profile"
    Profile(save_tiny(tmp_path / "other.onnx", seed=1)).save(file)
    before = file.read_bytes()
    with pytest.raises(ProfileError, match="another model"):
        Profiles(str(kept), str(tiny)).save("anna", in_base64(alone(tiny, speech)[0].profile), 0)
    assert file.read_bytes() == before
    file.write_bytes(b"damaged")
    with pytest.raises(ProfileError, match="cannot be used"):
        Profiles(str(kept), str(tiny)).save("anna", in_base64(alone(tiny, speech)[0].profile), 0)
    assert file.read_bytes() == b"damaged"


def test_a_wrong_profile_is_refused(server: Server, kept: Path) -> None:
    for profile in ("../anna", ".anna", "a/b", "?", "AAAA" * 40, "x" * 65):
        with server.connect() as client:
            tell(client, "session.update", profile=profile)
            (error,) = collected(client)
            assert (error["code"], client.close_code) == ("bad_configuration", 1008), profile
    assert not list(kept.iterdir())


def test_a_correction_to_an_unknown_label_is_an_error(server: Server, speech: np.ndarray) -> None:
    with server.connect() as client:
        client.send(ints(speech)[:20_000].tobytes())
        tell(client, "teach", label="no such mood")
        tell(client, "session.end")
        told = collected(client)
    (error,) = [message for message in told if message["type"] == "error"]
    assert (error["code"], error["fatal"]) == ("cannot_teach", False)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_ends_no_session(tiny: Path, speech: np.ndarray, kept: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(kept)], check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (kept / "ballast").write_bytes(bytes(8192))
        (kept / "more").write_bytes(bytes(4096))
        with serving("--model", str(tiny), "--profile-dir", str(kept)) as server:
            told = taught(server, speech, profile="anna")
        _, expected = alone(tiny, speech, Profile(tiny, name="anna"))
        assert readings(told) == [reading.to_dict() for reading in expected]
        errors = [message for message in told if message["type"] == "error"]
        assert errors
        assert all(e["code"] == "cannot_keep" and not e["fatal"] for e in errors)
        assert "make room" in errors[0]["message"]
        assert len([message for message in told if message["type"] == "profile"]) == len(PLAN)
        assert not list(kept.glob(".profile-*"))
    finally:
        subprocess.run(["umount", str(kept)], check=True)


def test_a_reading_message_has_every_field_of_a_reading() -> None:
    ours = set(ReadingMessage.__struct_fields__)
    assert {field.name for field in fields(Reading)} <= ours
