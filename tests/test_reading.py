"""`Reading`: to plain values and back, and what is refused on the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from livesr import Reading, Recognizer


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
        ({"attention_times": [[0.5]]}, "an attention that cannot be"),
    ],
)
def test_values_of_no_reading_are_refused(
    values: dict[str, Any], changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Reading.from_dict({**values, **changed})


@pytest.mark.parametrize("name", ["start", "status", "smoothed", "level_dbfs"])
def test_a_value_that_is_missing_is_named(values: dict[str, Any], name: str) -> None:
    del values[name]
    with pytest.raises(KeyError, match=name):
        Reading.from_dict(values)
