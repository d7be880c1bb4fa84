"""The closing summary: its numbers add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livesr.app.many import Outcome
from livesr.app.ui.closing import closing, rounded
from livesr.event import PAUSED, Event
from livesr.model.metadata import LABELS
from livesr.summary import Summary
from tests.app.test_report import reading


def test_it_says_how_long_how_it_sounded_and_when_it_turned() -> None:
    summary = Summary(LABELS)
    for item in (
        reading(0.5, "warming-up"),
        reading(1.0, "sad"),
        reading(2.0, "sad"),
        reading(2.5, "unsure"),
        reading(3.0, "happy"),
        reading(5.0, "no-speech"),
        reading(7.0, "happy", gap=1.0),
    ):
        summary.add(item)
    assert closing(summary) == [
        "6.0 s of sound: 3.0 s with a label, 0.5 s unsure, 2.0 s no speech, 0.5 s warming up.",
        "1.0 s of sound were lost.",
        "Of the time with a label: happy 50 %, sad 50 %, angry 0 %, neutral 0 %.",
        "Turning points: 1.00 s sad, 3.00 s happy.",
    ]


def test_a_pause_is_no_loss() -> None:
    summary = Summary(LABELS)
    summary.add(reading(1.0, "sad"))
    summary.add(Event("gap", 3.5, 2.0, PAUSED))
    summary.add(reading(5.0, "sad", gap=2.0))
    assert closing(summary)[1] == "It was paused for 2.0 s."
    assert "lost" not in " ".join(closing(summary))
    summary.add(Event("gap", 5.5, 0.5, "the device was away"))
    summary.add(reading(6.0, "sad", gap=0.5))
    assert closing(summary)[1:3] == ["It was paused for 2.0 s.", "0.5 s of sound were lost."]


def test_a_pause_is_no_loss_in_the_table_of_many_files() -> None:
    outcome = Outcome()
    for item in (
        reading(1.0, "sad"),
        Event("gap", 1.5, 2.0, PAUSED),
        reading(4.0, "sad", gap=2.5),
    ):
        outcome.take(item)
    assert outcome.summaries[None].lost == pytest.approx(0.5)


def test_of_nothing_and_of_many_turns() -> None:
    assert len(closing(Summary(LABELS))) == 1
    summary = Summary(LABELS)
    for number in range(40):
        summary.add(reading((number + 1) / 4, ("angry", "sad")[number % 2]))
    assert closing(summary)[-1].endswith(" 3.00 s sad and 28 more.")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8))
def test_rounded_parts_add_up(values: list[float]) -> None:
    parts = rounded(values)
    assert sum(parts) == round(sum(values))
    assert all(abs(part - value) <= 1 for part, value in zip(parts, values, strict=True))
