"""`Reading`: as text, to plain values and back, and what is refused on the way back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livesr import Event, LivesrError, Reading, Recognizer, read_session

SHARES = {"angry": 0.71, "happy": 0.04, "neutral": 0.2, "sad": 0.05}


def reading(label: str | None = "angry", **changes: Any) -> Reading:
    made = Reading(
        start=0.0,
        end=3.0,
        status="speech" if label else "unsure",
        label=label,
        reason=None if label else "too close to call",
        probabilities=SHARES,
        smoothed=SHARES,
        attention=np.full(3, 1 / 3, np.float32),
        attention_times=np.array([0.5, 1.5, 2.5]),
        speech=0.9,
        level_dbfs=-20.0,
    )
    return dataclasses.replace(made, **changes)


def test_as_text_for_a_language_model() -> None:
    # 0.05 is told, less is not; highest first.
    assert reading().to_rcs() == "([emotion angry=0.71, neutral=0.20, sad=0.05])"
    assert reading(None).to_rcs() == ""
    own = {"calm": 0.5, "tense": 0.5}
    assert reading("calm", smoothed=own).to_rcs() == "([emotion calm=0.50, tense=0.50])"


def test_as_plain_values_with_and_without_attention() -> None:
    whole, rest = reading().to_dict(), reading().to_dict(attention=False)
    assert whole["attention"] == [0.333333] * 3
    assert whole["attention_times"] == [0.5, 1.5, 2.5]
    assert whole.keys() - rest.keys() == {"attention", "attention_times"}
    assert {name: whole[name] for name in rest} == rest
    assert {"channel", "profile"}.isdisjoint(whole)
    told = reading(channel=2, profile="me").to_dict(attention=False)
    assert (told["channel"], told["profile"]) == (2, "me")
    assert json.loads(json.dumps(rest, allow_nan=False)) == rest


@pytest.mark.parametrize("attention", [True, False])
def test_plain_values_come_back(attention: bool) -> None:
    original = reading(channel=1, profile="me", gap=0.25)
    back = Reading.from_dict(original.to_dict(attention=attention))
    assert back.channel == 1
    assert back.to_dict(attention=False) == original.to_dict(attention=False)
    assert len(back.attention) == (3 if attention else 0)


def test_equal_means_every_value_but_the_channel() -> None:
    assert reading() == reading(channel=2)
    others: dict[str, Any] = {"end": 3.25, "profile": "me", "gap": 0.1, "speech": 0.8}
    for name, other in others.items():
        assert reading() != reading(**{name: other})
    assert reading() != reading(attention=np.array([0.5, 0.25, 0.25], np.float32))
    assert reading() != "angry"


@pytest.fixture
def values(recognizer: Recognizer, speech: np.ndarray) -> dict[str, Any]:
    return recognizer.push(speech[:48_000])[-1].to_dict()


def test_plain_values_and_back(values: dict[str, Any]) -> None:
    reading = Reading.from_dict(values)
    assert reading.to_dict() == values
    assert Reading.from_dict(reading.to_dict(attention=False)).attention.size == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"end": float("nan")}, "a value that is no number"),
        ({"end": True}, "a value that is no number"),
        ({"start": 5.0}, "a time that cannot be"),
        ({"gap": -1.0}, "a gap that cannot be"),
        ({"channel": 65}, "a channel that cannot be"),
        ({"speech": 1.5}, "a probability that cannot be"),
        ({"probabilities": {}}, "no probabilities"),
        ({"probabilities": {"glad": 1.0}}, "other labels"),
        ({"status": "speech", "label": "glad"}, "a status that cannot be"),
        ({"reason": "\x1b[2J"}, "a reason that is no text"),
        ({"profile": ""}, "a profile that cannot be shown"),
        ({"attention": [1e300]}, "an attention that cannot be"),
        ({"attention": [10**400]}, "a number that cannot be"),
        ({"speech": 10**400}, "a number that cannot be"),
        ({"attention_times": [[0.5]]}, "an attention that cannot be"),
    ],
)
def test_values_of_no_reading_are_refused(
    values: dict[str, Any], changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Reading.from_dict({**values, **changed})


def test_a_change_of_the_plain_values_leaves_the_reading_as_it_was() -> None:
    one = reading()
    one.to_dict()["probabilities"].clear()
    one.to_dict(attention=False)["smoothed"].clear()
    assert one == reading()


@pytest.mark.parametrize("name", ["start", "status", "smoothed", "level_dbfs"])
def test_a_value_that_is_missing_is_named(values: dict[str, Any], name: str) -> None:
    del values[name]
    with pytest.raises(ValueError, match=f"^a reading without {name}$"):
        Reading.from_dict(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [({}, "event, at"), ({"event": "mark"}, "at"), ({"at": 1.0}, "event")],
)
def test_a_name_that_an_event_lacks_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^an event without {told}$"):
        Event.from_dict(values)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"end": 1.0}', "a reading without start, status, label"),
        ('{"event": "mark"}', "an event without at"),
    ],
)
def test_a_session_with_a_name_missing_is_a_livesr_error(
    tmp_path: Path, line: str, told: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(LivesrError, match=f"line 1, is not what livesr writes .{told}"):
        read_session(path)
