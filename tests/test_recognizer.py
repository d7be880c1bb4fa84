"""The promise: the same sound gives the same readings, bit for bit, however it arrives."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livesr import AudioError, LivesrError, ModelError, Profile, Reading, Recognizer, push_all
from livesr.model.load import Model
from livesr.model.metadata import LABELS
from livesr.stages.samples import Mixdown, as_mono
from livesr.state import pack, unpack
from livesr.summary import Summary
from tests.helpers.tiny import save_tiny

CHUNKS = st.lists(
    st.one_of(st.integers(1, 64), st.integers(65, 8000), st.integers(8001, 160_000)),
    min_size=1,
    max_size=8,
)
RELAXED = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def whole(recognizer: Recognizer, samples: np.ndarray, rate: int = 16000) -> list[Reading]:
    return recognizer.push(samples, rate) + recognizer.finish()


def chunked(
    recognizer: Recognizer, samples: np.ndarray, sizes: list[int], rate: int = 16000
) -> list[Reading]:
    readings, start = [], 0
    for size in cycle(sizes):
        readings += recognizer.push(samples[start : start + size], rate)
        start += size
        if start >= len(samples):
            return readings + recognizer.finish()
    raise AssertionError


@pytest.fixture(scope="session")
def at_once(tiny: Path, speech: np.ndarray) -> Callable[[int], list[Reading]]:
    """Readings of 7 s of a rate that are pushed as one chunk."""
    return cache(lambda rate: whole(Recognizer(tiny), speech[: rate * 7], rate))


@given(sizes=CHUNKS)
@RELAXED
def test_any_chunks_at_16_khz(
    tiny: Path, speech: np.ndarray, at_once: Callable[[int], list[Reading]], sizes: list[int]
) -> None:
    # Runs of single samples are slow to push and no different after a while.
    sizes = [*sizes, 20_000]
    assert chunked(Recognizer(tiny), speech[: 16_000 * 7], sizes) == at_once(16_000)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
@given(sizes=CHUNKS)
@RELAXED
def test_any_chunks_through_the_resampler(
    tiny: Path,
    speech: np.ndarray,
    at_once: Callable[[int], list[Reading]],
    rate: int,
    sizes: list[int],
) -> None:
    samples = speech[: rate * 7]  # past the resampler's first epoch
    sizes = [*sizes, 20_000]
    assert chunked(Recognizer(tiny), samples, sizes, rate) == at_once(rate)


def test_single_samples(tiny: Path, speech: np.ndarray) -> None:
    samples = speech[16_000:34_000]
    assert chunked(Recognizer(tiny), samples, [1]) == whole(Recognizer(tiny), samples)


def test_two_interleaved_equal_two_alone(tiny: Path, speech: np.ndarray) -> None:
    first, second = speech[:80_000], speech[200_000:280_000]
    alone = whole(Recognizer(tiny), first), whole(Recognizer(tiny), second, 44100)
    one, two = Recognizer(tiny), Recognizer(tiny)
    mixed: tuple[list[Reading], list[Reading]] = ([], [])
    for start in range(0, 80_000, 3000):
        mixed[0].extend(one.push(first[start : start + 3000]))
        mixed[1].extend(two.push(second[start : start + 3000], 44100))
    mixed[0].extend(one.finish())
    mixed[1].extend(two.finish())
    assert mixed == alone


def test_reset_equals_a_fresh_object(tiny: Path, speech: np.ndarray) -> None:
    used = Recognizer(tiny)
    used.push(speech[:123_456], 48000)
    used.reset()
    assert whole(used, speech[:60_000], 22050) == whole(Recognizer(tiny), speech[:60_000], 22050)
    used.reset()
    assert whole(used, speech[:60_000]) == whole(Recognizer(tiny), speech[:60_000])


@pytest.mark.parametrize("rate", [16000, 44100])
def test_state_continues_in_another_object(tiny: Path, speech: np.ndarray, rate: int) -> None:
    samples, rng = speech[: rate * 9], random.Random(0)
    current, readings, start = Recognizer(tiny), [], 0
    while start < len(samples):
        size = rng.choice([7, 900, 30_000])
        readings += current.push(samples[start : start + size], rate)
        start += size
        saved = current.state()
        current = Recognizer(tiny)
        current.restore(saved)
        assert current.state() == saved
    readings += current.finish()
    assert readings == whole(Recognizer(tiny), samples, rate)


def test_a_state_knows_how_many_channels_came(tiny: Path) -> None:
    first, second = Recognizer(tiny), Recognizer(tiny)
    first.push(np.zeros((100, 16)))
    second.restore(first.state())
    second.push(np.zeros((1, 16)))  # one frame of 16 channels, as before
    second.restore(Recognizer(tiny).state())
    with pytest.raises(AudioError, match="would be 16 channels"):
        second.push(np.zeros((1, 16)))
    with pytest.raises(AudioError):
        push_all([second, first], [np.zeros((100, 16)), np.full(9, np.nan)])
    with pytest.raises(AudioError, match="would be 16 channels"):
        second.push(np.zeros((1, 16)))


def test_states_that_do_not_fit_are_refused_and_change_nothing(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    recognizer = Recognizer(tiny)
    recognizer.push(speech[:50_000])
    saved = recognizer.state()
    other = Recognizer(save_tiny(tmp_path / "other.onnx", seed=1))
    flipped = bytearray(saved)
    flipped[len(saved) // 2] ^= 1
    for bad, message in (
        (b"", "not a livesr state"),
        (b"hello", "not a livesr state"),
        (saved[:-1], "damaged"),
        (bytes(flipped), "damaged"),
        (other.state(), "saved with the model"),
        (Recognizer(tiny, hop=0.5).state(), "saved with the hop"),
    ):
        with pytest.raises(ModelError, match=message):
            recognizer.restore(bad)
        assert recognizer.state() == saved


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("decision", "_label"), 99),
        (("decision", "_recent"), np.zeros(10_000, np.bool_)),
        (("decision", "_weight"), float("nan")),
        (("front_end", "_speech"), np.zeros(0, np.bool_)),
        (("front_end", "Framer", "_tail"), np.zeros(10**6, np.float32)),
        (("network", "_steps"), -5),
        (("network", "memory", "encodings"), np.full((1, 150, 8), np.inf, np.float32)),
        (("adaptation", "_heard"), -np.ones(5)),
        (("resampler", "resampler", "_given"), 10**9),
        (("cutter", "position"), 3),
        (("cutter", "start"), -1),
        (("resampler", "input_rate"), "44100"),
        (("high_pass", "_output"), float("inf")),
        (("finished",), 1),
        (("cutter",), np.zeros(0, np.float32)),
        (("model",), np.zeros(4)),
        (("hop_samples",), np.zeros(4)),
    ],
)
def test_states_that_no_stream_leaves(
    tiny: Path, speech: np.ndarray, place: tuple[str, ...], value: Any
) -> None:
    recognizer = Recognizer(tiny)
    recognizer.push(speech[:150_000], 44_100)
    saved = recognizer.state()
    made_up = holder = unpack(saved)
    for key in place[:-1]:
        holder = holder[key]
    assert place[-1] in holder
    holder[place[-1]] = value
    with pytest.raises(ModelError):
        recognizer.restore(pack(made_up))
    assert recognizer.state() == saved


@pytest.mark.parametrize("rate", [16_000, 192_000])
def test_a_stream_of_years_is_saved_and_restored(tiny: Path, speech: np.ndarray, rate: int) -> None:
    recognizer = Recognizer(tiny)
    recognizer.reset(start=4e7)
    recognizer.push(speech[:20_000], rate)
    recognizer.skip(2 * 10**12, rate)
    other = Recognizer(tiny)
    other.restore(recognizer.state())
    found = recognizer.push(speech[20_000:120_000], rate)
    assert found
    assert other.push(speech[20_000:120_000], rate) == found


def test_a_start_is_a_number_of_any_type_and_leaves_room(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    for start in (3, 3.0, np.float32(3), np.int64(3)):
        recognizer.reset(start=start)  # type: ignore[arg-type]
        assert recognizer.push(speech[:4000])[0].end == 3.25
    recognizer.reset(start=5e7)
    (reading,) = recognizer.push(speech[:4000])
    assert Reading.from_dict(reading.to_dict()).end == reading.end
    for wrong in (1e8, -1, float("nan"), "3", None):
        with pytest.raises(AudioError, match="cannot start at"):
            recognizer.reset(start=wrong)  # type: ignore[arg-type]


def test_adapt_is_yes_or_no(tiny: Path) -> None:
    own = Recognizer(tiny, adapt=np.True_)  # type: ignore[arg-type]
    Recognizer(tiny).restore(own.state())
    for wrong in ("no", 1, None):
        with pytest.raises(LivesrError, match="give True or False"):
            Recognizer(tiny, adapt=wrong)  # type: ignore[arg-type]


def test_a_refused_state_changes_nothing_also_after_the_end_or_a_failure(
    tiny: Path, speech: np.ndarray
) -> None:
    profile = Profile(tiny)
    for number, label in enumerate(("calm", "tense")):
        profile.add(label, speech[number * 40_000 : (number + 1) * 40_000])
    bad = unpack(Recognizer(profile=profile).state())
    bad["decision"]["_label"] = 99
    finished, failed = Recognizer(tiny), Recognizer(tiny)
    whole(finished, speech[:50_000])
    failed._failed = True
    for recognizer in (finished, failed):
        with pytest.raises(ModelError):
            recognizer.restore(pack(bad))
        assert recognizer.labels == Recognizer(tiny).labels
        assert recognizer.profile is None
    finished.teach("happy")  # what was said last is still there
    assert failed._failed


def test_what_is_taught_needs_no_file(tmp_path: Path, speech: np.ndarray) -> None:
    file = save_tiny(tmp_path / "gone.onnx")
    recognizer = Recognizer(file)
    recognizer.push(speech[:50_000])
    file.unlink()
    recognizer.teach("happy")
    assert recognizer.profile is not None
    assert recognizer.profile.counts == {"happy": 1}


def test_only_a_hop_that_was_lost_is_missing(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    lost = recognizer.skip(60 * 16_000 + 1000)
    assert {reading.reason for reading in lost[4:]} == {"the sound is missing"}
    after = recognizer.push(speech[:11_000])
    assert after[0].gap > 50  # so much was lost since the reading before
    assert all(reading.reason != "the sound is missing" for reading in after)
    after = recognizer.skip(9_000)
    assert [reading.reason == "the sound is missing" for reading in after] == [True, True]


@given(gaps=st.lists(st.integers(0, 20 * 16_000), min_size=1, max_size=4))
@RELAXED
def test_all_that_was_lost_is_in_readings(tiny: Path, gaps: list[int]) -> None:
    recognizer, summary = Recognizer(tiny), Summary()
    for gap in gaps:
        for reading in recognizer.push(np.zeros(1000)) + recognizer.skip(gap):
            summary.add(reading)
    last = recognizer.finish()
    for reading in last:
        summary.add(reading)
    assert summary.lost == pytest.approx(sum(gaps) / 16_000)
    assert summary.end == (sum(gaps) + 1000 * len(gaps)) / 16_000
    assert recognizer.finish() == []


def test_a_program_s_own_rules_for_underflow_do_not_matter(tiny: Path, speech: np.ndarray) -> None:
    quiet = speech[:50_000] * np.float32(1e-18)
    with np.errstate(all="raise"):
        recognizer = Recognizer(tiny)
        found = recognizer.push(quiet, 44_100) + recognizer.skip(5, 44_100)
        found += recognizer.finish()
        Profile(tiny).add("happy", speech[:50_000])
    plain = Recognizer(tiny)
    assert found == plain.push(quiet, 44_100) + plain.skip(5, 44_100) + plain.finish()


def test_a_state_outlives_a_new_version(
    tiny: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(tiny)
    recognizer.push(speech[:50_000])
    saved = recognizer.state()
    monkeypatch.setattr("livesr.version.__version__", "99.0.0")
    newer = Recognizer(tiny)
    newer.restore(saved)
    assert newer.push(speech[50_000:90_000]) == recognizer.push(speech[50_000:90_000])


def test_a_finished_stream_is_restored_as_finished(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    whole(recognizer, speech[:50_001])
    other = Recognizer(tiny)
    other.restore(recognizer.state())
    assert other.finish() == []
    with pytest.raises(LivesrError, match="finished"):
        other.push(speech[:10])
    assert other.position == recognizer.position == 50_001


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused(tiny: Path, copied: Any) -> None:
    with pytest.raises(TypeError, match=r"state\(\).*restore\(\)"):
        copied(Recognizer(tiny))


def test_after_a_network_failed_only_reset_helps(
    tiny: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(tiny)
    recognizer.push(speech[:20_000])
    before = recognizer.state()
    run = Model.run
    with monkeypatch.context() as patch:
        patch.setattr(Model, "run", _failing)
        with pytest.raises(ModelError, match="made up"):
            recognizer.push(speech[20_000:40_000])
    assert Model.run is run
    for call in (
        lambda: recognizer.push(speech[:10]),
        recognizer.state,
        lambda: recognizer.skip(1),
    ):
        with pytest.raises(ModelError, match=r"reset\(\)"):
            call()
    assert recognizer.finish() == []
    recognizer.restore(before)
    expected = Recognizer(tiny)
    expected.restore(before)
    assert recognizer.push(speech[20_000:60_000]) == expected.push(speech[20_000:60_000])
    recognizer.reset()
    assert whole(recognizer, speech[:40_000]) == whole(Recognizer(tiny), speech[:40_000])


def _failing(*_: Any) -> Any:
    raise ModelError("made up")


def test_the_repr_of_a_recognizer(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny, hop=0.5)
    recognizer.push(speech[:20_000])
    assert repr(recognizer) == (
        "Recognizer('tiny', labels=angry/happy/neutral/sad, hop=0.5 s, position=1.25 s)"
    )


@pytest.mark.parametrize("offset", [-40, -20])
def test_a_constant_offset_changes_next_to_nothing(speech: np.ndarray, offset: int) -> None:
    quiet = speech[:160_000] * np.float32(0.2)
    clean = whole(Recognizer(), quiet)
    moved = whole(Recognizer(), quiet + np.float32(10 ** (offset / 20)))
    assert np.mean([a.label == b.label for a, b in zip(clean, moved, strict=True)]) > 0.95
    loudness = [(a.level_dbfs, b.level_dbfs) for a, b in zip(clean[1:], moved[1:], strict=True)]
    assert max(abs(a - b) for a, b in loudness) < 1


def test_readings_come_on_the_grid(tiny: Path, speech: np.ndarray) -> None:
    recognizer = Recognizer(tiny)
    assert recognizer.push(speech[:3999]) == []
    (first,) = recognizer.push(speech[3999:4000])
    assert (first.end, first.status, first.label) == (0.25, "warming-up", None)
    readings = recognizer.push(speech[4000:64_100])
    assert [r.end for r in readings] == [0.25 * k for k in range(2, 17)]
    assert [r.status for r in readings[:2]] == ["warming-up"] * 2
    assert all(r.status != "warming-up" for r in readings[2:])
    (last,) = recognizer.finish()
    assert last.end == 64_100 / 16_000
    assert recognizer.finish() == []


@pytest.mark.parametrize("hop", [0.02, 0.03, 0.1, 0.26, 1.0, 3.0])
def test_other_hops(tiny: Path, speech: np.ndarray, hop: float) -> None:
    recognizer = Recognizer(tiny, hop=hop)
    readings = recognizer.push(speech[:96_000])
    assert len(readings) == int(6 / hop + 1e-9)
    np.testing.assert_allclose(np.diff([r.end for r in readings]), hop)


@pytest.mark.parametrize("hop", [0, -1, 0.01, 0.025, 3.02, float("nan"), float("inf"), "x", None])
def test_hops_that_cannot_be(tiny: Path, hop: float) -> None:
    with pytest.raises(LivesrError, match="hop"):
        Recognizer(tiny, hop=hop)


def test_what_a_reading_holds(tiny: Path, speech: np.ndarray) -> None:
    readings = whole(Recognizer(tiny), speech[:100_000])
    assert {"speech", "warming-up", "unsure"} >= {r.status for r in readings}
    for reading in readings:
        assert set(reading.probabilities) == set(reading.smoothed) == set(LABELS)
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-9)
        assert sum(reading.smoothed.values()) == pytest.approx(1, abs=1e-9)
        assert (reading.label is None) == (reading.status != "speech")
        assert (reading.reason is None) == (reading.status == "speech")
        assert reading.attention.dtype == np.float32
        assert reading.attention.sum() == pytest.approx(1, abs=1e-5)
        assert len(reading.attention) == len(reading.attention_times) <= 150
        assert (np.diff(reading.attention_times) > 0).all()
        assert reading.start == max(0, reading.end - 3)
        # 4 frames of deltas, one that waits for its pair, and half a step at either side.
        assert reading.end - 0.1 < reading.attention_times[-1] < reading.end
        assert reading.attention_times[0] >= reading.start - 0.1
        assert 0 <= reading.speech <= 1
        assert -120 <= reading.level_dbfs <= 0
    assert len(readings[-1].attention) == 150


def test_types_and_channels_are_one_sound(tiny: Path, speech: np.ndarray) -> None:
    integers = np.round(speech[:60_000] * 32767).astype(np.int16)
    floats = integers.astype(np.float32) / 32768
    expected = whole(Recognizer(tiny), floats)
    for same in (
        integers,
        integers.astype(">i2"),
        integers.astype(np.int32) * 65536,
        floats.astype(np.float64),
        floats[:, None],
        np.repeat(floats[:, None], 2, axis=1),
        np.asfortranarray(np.repeat(floats[:, None], 8, axis=1)),
        np.repeat(floats, 3)[::3],
        floats.tolist(),
    ):
        assert whole(Recognizer(tiny), same) == expected
    opposite = np.stack((floats, -floats), axis=1)
    assert all(r.level_dbfs == -120 for r in whole(Recognizer(tiny), opposite))


def test_what_fades_into_denormals_is_silence() -> None:
    faint = np.random.default_rng(0).normal(0, 1e-38, 16000)
    assert as_mono(faint.astype(np.float32)).tolist() == [0.0] * 16000
    assert as_mono(np.array([1e-10, -1.0])).tolist() == [np.float32(1e-10), -1.0]


def test_silence_and_noise_are_no_speech(tiny: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(80_000).astype(np.float32) * 0.1
    time = np.arange(80_000) / 16_000
    hum = (0.3 * np.sin(2 * np.pi * 50 * time)).astype(np.float32)
    for sound in (np.zeros(80_000, np.float32), noise, hum):
        readings = whole(Recognizer(tiny), sound)
        assert {r.status for r in readings[4:]} == {"no-speech"}
        assert all(r.label is None for r in readings)


def test_after_speech_silence_is_no_speech(tiny: Path, speech: np.ndarray) -> None:
    quiet = np.zeros(48_000, np.float32)
    readings = whole(Recognizer(tiny), np.concatenate((speech[:40_000], quiet)))
    assert readings[-1].status == "no-speech"
    assert set(readings[-1].smoothed.values()) == {0.25}


def test_very_short_streams(tiny: Path, speech: np.ndarray) -> None:
    assert Recognizer(tiny).finish() == []
    (only,) = whole(Recognizer(tiny), speech[:3200])
    assert (only.status, only.end) == ("warming-up", 0.2)
    (one,) = whole(Recognizer(tiny), speech[:1])
    assert len(one.attention) == 0
    assert set(one.probabilities.values()) == {0.25}


def test_gain_does_not_change_what_is_said(speech: np.ndarray) -> None:
    reference = whole(Recognizer(), speech[:160_000])
    louder = whole(Recognizer(), speech[:160_000] * np.float32(4))
    same = [
        a.label == b.label or None in (a.label, b.label)
        for a, b in zip(reference, louder, strict=True)
    ]
    assert np.mean(same) > 0.95


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_little_endian_int16(tiny: Path, speech: np.ndarray, kind: type) -> None:
    whole = (speech[:20_000] * 32767).astype("<i2")
    first, second = Recognizer(tiny), Recognizer(tiny)
    assert first.push(kind(whole.tobytes())) == second.push(whole)
    assert first.state() == second.state()


def test_a_channel_alone_is_that_channel(tiny: Path, speech: np.ndarray) -> None:
    stereo = np.stack((speech[:40_000], speech[40_000:80_000]), axis=1)
    alone, of_two = Recognizer(tiny), Recognizer(tiny)
    expected = alone.push(np.ascontiguousarray(stereo[:, 1])) + alone.finish()
    found = []
    for start in range(0, len(stereo), 777):
        found += of_two.push(stereo[start : start + 777], channel=2)
    assert found + of_two.finish() == expected
    broken = stereo.copy()
    broken[5, 0] = np.nan  # of the other channel
    Recognizer(tiny).push(broken, channel=2)


def test_a_mixdown_that_loses_the_voice_is_told_once(speech: np.ndarray) -> None:
    def told(samples: np.ndarray) -> list[int]:
        watch = Mixdown(16000)
        starts = range(0, len(samples), 4000)
        return [start for start in starts if watch.loses(samples[start : start + 4000])]

    left, right = speech[:80_000], speech[80_000:160_000]
    opposite = told(np.stack((left, -left), axis=1))
    assert len(opposite) == 1
    assert 12_000 <= opposite[0] <= 40_000
    assert told(np.stack((left, -0.9 * left), axis=1))
    for calm in (
        np.stack((left, left), axis=1),
        np.stack((left, right), axis=1),
        np.stack((left, 0 * left), axis=1),
        np.stack((left, *np.zeros((15, 80_000), np.float32)), axis=1),
        np.stack((1e-4 * left, -1e-4 * left), axis=1),
        left[:, None],
    ):
        assert told(calm.astype(np.float32)) == []
