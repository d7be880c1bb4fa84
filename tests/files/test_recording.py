"""The recording of any session replays to the same readings and events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import livesr
from livesr import AudioError, Event, LivesrError, Reading, Recognizer
from livesr.event import Item
from livesr.files.recording import CUT_EVENT, Recording, events_path, read_events, to_grid
from livesr.files.replay import ReplaySettings, play
from livesr.microphone.capture import Capture
from tests.helpers.tiny import DATA

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.floats(0.001, 3)),
        st.tuples(st.just("lose"), st.one_of(st.floats(0.0001, 0.5), st.floats(3, 20))),
        st.tuples(st.just("pause"), st.floats(0.1, 8)),
        st.tuples(st.just("mark"), st.just(0.0)),
        st.tuples(st.just("reset"), st.just(0.0)),
        st.tuples(st.just("begin"), st.sampled_from([8000.0, 16000.0, 44100.0, 48000.0])),
    ),
    min_size=1,
    max_size=12,
)


def live(capture: Capture, steps: list[tuple[str, float]], sound: np.ndarray) -> list[Item]:
    items: list[Item] = []
    rate, place = 16000, 0
    for what, amount in [*steps, ("push", 1.5)]:
        if what == "push":
            count = int(amount * rate)
            block = np.take(sound, range(place, place + count), mode="wrap")
            items += capture.push(np.stack([block, block * np.float32(0.7)], axis=1))
            place += count
        elif what == "lose":
            items += capture.lose(int(amount * rate), "lost")
        elif what == "pause":
            items += capture.pause(amount, "away")
        elif what == "mark":
            items += capture.note("mark", "here")
        elif what == "reset":
            items += capture.reset()
        else:
            rate = int(amount)
            items += capture.begin(rate)
    return items + capture.finish()


@pytest.mark.parametrize("kind", ["flac", pytest.param("wav", marks=pytest.mark.slow)])
@given(steps=STEPS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_recording_replays_to_the_same_items(
    tiny: Path, speech: np.ndarray, tmp_path: Path, kind: str, steps: list[tuple[str, float]]
) -> None:
    path = tmp_path / f"session.{kind}"
    for file in tmp_path.iterdir():
        file.unlink()
    items = live(Capture(Recognizer(tiny), Recording(path)), steps, speech * 1.4)
    assert list(play(path, ReplaySettings(model=tiny))) == items
    assert [item for item in items if isinstance(item, Event)] == read_events(path)


@pytest.mark.parametrize("hop", [0.1, 0.25, 0.5, 1.3])
def test_a_recording_with_a_long_gap_replays_at_any_hop(
    tmp_path: Path, tiny: Path, speech: np.ndarray, hop: float
) -> None:
    path = tmp_path / "a.flac"
    capture = Capture(Recognizer(tiny), Recording(path))
    capture.push(speech[:32_000, None])
    capture.lose(116_800, "lost")
    capture.push(speech[32_000:80_000, None])
    capture.finish()
    expected = Recognizer(tiny, hop=hop)
    readings = expected.push(to_grid(speech[:32_000])) + expected.skip(116_800)
    readings += expected.push(to_grid(speech[32_000:80_000])) + expected.finish()
    assert list(livesr.replay(path, model=tiny, hop=hop)) == readings


@pytest.mark.slow
@given(steps=STEPS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_clock_stays_true_and_what_was_lost_is_counted(
    tiny: Path, speech: np.ndarray, steps: list[tuple[str, float]]
) -> None:
    items = live(Capture(Recognizer(tiny)), steps, speech)
    seconds = {"push": 1.5, "lose": 0.0, "pause": 0.0}
    for what, amount in steps:
        if what in seconds:
            seconds[what] += amount
    ends = [item.end for item in items if isinstance(item, Reading)]
    assert ends == sorted(ends)
    assert ends[-1] == pytest.approx(sum(seconds.values()), abs=0.001 * (1 + len(steps)))
    told = sum(item.seconds for item in items if isinstance(item, Event))
    assert told == pytest.approx(seconds["lose"] + seconds["pause"], abs=0.001 * len(steps))


def test_a_gap_is_marked_in_the_readings(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    readings = recognizer.push(speech[:24_800])
    readings += recognizer.skip(7 * 16000)
    readings += recognizer.push(speech[24_800:60_000]) + recognizer.finish()
    assert sum(reading.gap for reading in readings) == pytest.approx(7.0)
    assert readings[-1].end == pytest.approx(60_000 / 16000 + 7)
    silent = [r for r in readings if r.gap == 0.25]
    assert {r.reason for r in silent if r.label is None} == {"the sound is missing"}
    assert all(r.speech < 0.5 for r in silent[2:])
    # Of the gap only 4 s count as silence; then the clock jumps by whole hops.
    ends = np.array([reading.end for reading in readings[:-1]])
    steps = np.diff(ends)
    assert sorted(steps)[-1] == pytest.approx(3.25)
    assert np.allclose(np.sort(steps)[:-1], 0.25)
    newest = readings[-1]
    assert newest.attention_times[-1] == pytest.approx(newest.end, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_gap_of_no_samples_changes_nothing(tiny: Path, speech: np.ndarray, rate: int) -> None:
    plain, gaps, found = Recognizer(tiny), Recognizer(tiny), []
    for at in range(0, 96_000, 960):
        found += gaps.push(speech[at : at + 960], rate) + gaps.skip(0, rate)
    assert found + gaps.finish() == plain.push(speech[:96_000], rate) + plain.finish()


def test_a_short_gap_at_any_rate_keeps_the_clock(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    readings = recognizer.push(speech[:44_100], 44100)
    readings += recognizer.skip(441, 44100)
    readings += recognizer.push(speech[:44_100], 44100) + recognizer.finish()
    assert readings[-1].end == pytest.approx(2.01, abs=1e-4)
    assert sum(reading.gap for reading in readings) == pytest.approx(0.01, abs=1e-4)


def test_a_state_saved_within_a_gap_goes_on(tiny: Path, speech: np.ndarray) -> None:
    first, second = Recognizer(tiny), Recognizer(tiny)
    first.push(speech[:30_000])
    first.skip(100_000)
    second.restore(first.state())
    rest = speech[30_000:70_000]
    assert first.push(rest) + first.finish() == second.push(rest) + second.finish()


@pytest.mark.parametrize("count", [-1, 1.5, True, None, "3", 10**400])
def test_a_gap_that_cannot_be(recognizer: Recognizer, count: object) -> None:
    before = recognizer.state()
    with pytest.raises(AudioError, match="gap"):
        recognizer.skip(count)  # type: ignore[arg-type]
    assert recognizer.state() == before


@pytest.mark.parametrize("start", [-1.0, float("nan"), float("inf"), 1e9, "0", None])
def test_a_start_that_cannot_be(recognizer: Recognizer, start: object) -> None:
    recognizer.push(np.ones(100, np.float32))
    before = recognizer.state()
    with pytest.raises(AudioError, match="cannot start"):
        recognizer.reset(start=start)  # type: ignore[arg-type]
    assert recognizer.state() == before


def test_a_name_too_long_for_events_has_none(tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / ("a" * 250 + ".wav")
    sf.write(path, np.zeros(8000), 16000)
    assert len(list(play(path, ReplaySettings(model=tiny)))) == 2
    with pytest.raises(LivesrError, match="cannot be recorded to: File name too long"):
        Recording(tmp_path / ("b" * 250 + ".wav"))


def test_nan_samples_are_lost_sound(tiny: Path, speech: np.ndarray) -> None:
    capture = Capture(Recognizer(tiny))
    broken = speech[:8000].copy()
    broken[17] = np.nan
    items = capture.push(speech[:8000, None]) + capture.push(broken[:, None]) + capture.finish()
    gaps = [item for item in items if isinstance(item, Event)]
    assert [(gap.kind, gap.at, gap.seconds) for gap in gaps] == [("gap", 0.5, 0.5)]


def test_the_grid_survives_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = to_grid(rng.uniform(-1.2, 1.2, 20_000).astype(np.float32))
    for kind in ("flac", "wav"):
        recording = Recording(tmp_path / f"a.{kind}")
        recording.write(samples)
        recording.close()
        assert np.array_equal(sf.read(recording.path, dtype="float32")[0], samples)


def test_recordings_are_not_overwritten(tmp_path: Path) -> None:
    for name in ("a.flac", "a.wav"):
        (tmp_path / name).write_bytes(b"precious")
        with pytest.raises(LivesrError, match="exists"):
            Recording(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"precious"
    (tmp_path / "b.flac.events.jsonl").write_text("")
    with pytest.raises(LivesrError, match="exists"):
        Recording(tmp_path / "b.flac")
    with pytest.raises(LivesrError, match="flac or wav"):
        Recording(tmp_path / "a.mp3")
    with pytest.raises(LivesrError, match="cannot be recorded to"):
        Recording(tmp_path / "no" / "a.flac")


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[1]",
        '{"event": "gap"}',
        '{"event": ["mark"], "at": 1}',
        '{"event": "gap", "at": NaN, "seconds": 1}',
        '{"event": "gap", "at": 2, "seconds": -1}',
        '{"event": "mark", "at": 2}\n{"event": "mark", "at": 1}',
        '{"event": "mark", "at": 2, "text": 3}',
        '{"event": "gap", "at": 1e400}',
        '{"event": "gap", "at": 1' + "0" * 400 + "}",
        '{"event": "gap", "at": 1e300}',
        '{"event": "session", "at": 0, "about": {"a": 1' + "0" * 400 + "}}",
        '{"event": "gap", "at": 1, "seconds": 1e308}',
        "[" * 100_000,
    ],
)
def test_events_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.flac.events.jsonl").write_text(text)
    with pytest.raises(
        AudioError, match=r"a\.flac\.events\.jsonl is not the events of a recording \(line [12]: "
    ):
        read_events(tmp_path / "a.flac")


@pytest.mark.parametrize("cut", ['{"event": "mark", "at": 3.0', '{"ev'])
def test_a_last_event_that_was_cut_is_left_out_and_told(
    tmp_path: Path, tiny: Path, cut: str
) -> None:
    clip = tmp_path / "talk.flac"
    clip.write_bytes((DATA / "conversation.flac").read_bytes())
    events = tmp_path / "talk.flac.events.jsonl"
    events.write_text('{"event": "mark", "at": 1.5, "text": "one"}\n' + cut)
    mark, note = read_events(clip)
    assert mark == Event("mark", 1.5, text="one")
    assert (note.kind, note.text) == ("note", CUT_EVENT)
    found = [item for item in play(clip, ReplaySettings(model=tiny)) if isinstance(item, Event)]
    assert found == [mark, note]
    events.write_text(cut)
    assert [event.text for event in read_events(clip)] == [CUT_EVENT]


def test_events_of_a_later_livesr_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.flac.events.jsonl").write_text(
        '{"event": "party", "at": 1, "guests": [2]}\n{"event": "mark", "at": 2}\n'
    )
    assert read_events(tmp_path / "a.flac") == [Event("mark", 2.0)]


def test_events_beside_another_file_are_told(tmp_path: Path, tiny: Path) -> None:
    clip = tmp_path / "talk.flac"
    clip.write_bytes((DATA / "conversation.flac").read_bytes())
    (tmp_path / "talk.flac.events.jsonl").write_text(
        json.dumps({"event": "mark", "at": 2.5}) + "\n"
    )
    assert Event("mark", 2.5) in list(play(clip, ReplaySettings(model=tiny)))
    assert list(livesr.replay(clip, model=tiny)) == list(
        livesr.replay(DATA / "conversation.flac", model=tiny)
    )


@pytest.mark.parametrize("path", ["", "/", ".", 5, b"me.flac", "m\0.flac"])
def test_what_names_no_recording(path: Any) -> None:
    with pytest.raises(LivesrError):
        Recording(path)
    if isinstance(path, str) and "\0" not in path:
        with pytest.raises(LivesrError, match="names no file"):
            events_path(path)


@pytest.mark.parametrize("lost", [16_000, 160_000])
def test_a_start_within_a_gap_is_its_end(
    tmp_path: Path, tiny: Path, speech: np.ndarray, lost: int
) -> None:
    """Later times stay the recording's, and what is noted there falls on the same sound."""
    path = tmp_path / "a.flac"
    capture = Capture(Recognizer(tiny), Recording(path))
    capture.push(speech[:32_000, None])
    capture.lose(lost, "lost")
    capture.push(speech[32_000:96_000, None])
    capture.teach("happy")
    capture.lose(8_000, "lost")
    capture.push(speech[96_000:128_000, None])
    capture.reset()
    capture.push(speech[128_000:180_000, None])
    capture.finish()
    back = 2.0 + lost / 16_000
    expected = Recognizer(tiny)
    expected.reset(start=back)
    readings = expected.push(to_grid(speech[32_000:96_000]))
    expected.teach("happy")
    readings += expected.skip(8_000) + expected.push(to_grid(speech[96_000:128_000]))
    expected.reset(start=expected.position / 16_000)
    readings += expected.push(to_grid(speech[128_000:180_000])) + expected.finish()
    for start in (2.1, back - 0.1, back):
        found = list(play(path, ReplaySettings(model=tiny, start=start)))
        assert [item for item in found if isinstance(item, Reading)] == readings
        assert [item for item in found if isinstance(item, Event)] == read_events(path)[1:]
    with pytest.raises(AudioError, match=rf"no sound from 2\.1 to 2\.2 s.*until {back:.2f} s"):
        play(path, ReplaySettings(model=tiny, start=2.1, end=2.2))


@pytest.mark.parametrize("lost", [16_000, 160_000])
def test_an_end_within_a_gap(tmp_path: Path, tiny: Path, speech: np.ndarray, lost: int) -> None:
    path = tmp_path / "a.flac"
    capture = Capture(Recognizer(tiny), Recording(path))
    capture.push(speech[:32_000, None])
    capture.lose(lost, "lost")
    capture.push(speech[32_000:48_000, None])
    capture.finish()
    expected = Recognizer(tiny)
    readings = expected.push(to_grid(speech[:32_000])) + expected.skip(11_200) + expected.finish()
    found = list(play(path, ReplaySettings(model=tiny, end=2.7)))
    assert [item for item in found if isinstance(item, Reading)] == readings
    assert found[-1] == readings[-1] and readings[-1].end == 2.7
    (gap,) = (item for item in found if isinstance(item, Event))
    assert (gap.at, gap.seconds, gap.silence) == (2.0, 0.7, 0.7)
    before = list(play(path, ReplaySettings(model=tiny, end=2.0)))
    assert [i.end for i in before if isinstance(i, Reading)][-1] == 2.0
    assert len(before) == 8  # the gap that begins there is no part of it
