"""A voice and the engine, by a clock of the test's own: what waits, is dropped, and goes on."""

from __future__ import annotations

import base64
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livesr import Reading, Recognizer
from livesr.reading import LATEST_START_SECONDS
from livesr.serve.engine import Engine
from livesr.serve.protocol import (
    ErrorMessage,
    Gap,
    SessionCreated,
    SessionEnded,
    SessionUpdate,
)
from livesr.serve.settings import Limits
from livesr.serve.sound import Sound
from livesr.serve.voice import Outgoing, Voice
from livesr.stages.model_stream import TOGETHER
from livesr.state import pack, unpack


class Uncounted:
    def inferred(self, voices: int, seconds: float, inference: float, readings: int) -> None:
        pass


class Bench:
    """An engine whose rounds the test runs, at times that it says."""

    def __init__(self, model: Path) -> None:
        self.now = 100.0
        self.told: list[Outgoing] = []
        self._model = str(model)
        self.engine = Engine(self._take, Uncounted(), clock=lambda: self.now)

    def _take(self, made: list[tuple[Voice, list[Outgoing]]]) -> None:
        self.told += [one for _, told in made for one in told]

    def voice(self, state: bytes | None = None, **update: Any) -> Voice:
        made = Voice(self._model, SessionUpdate(**update), frozenset(update), "session", Limits())
        made.command(lambda: made.open(state))
        self.run(made)
        return made

    def run(self, voice: Voice) -> None:
        while voice.due:
            self.engine.round([voice])

    def messages(self, kind: type) -> list[Any]:
        return [one.message for one in self.told if isinstance(one.message, kind)]


@pytest.fixture
def bench(tiny: Path) -> Bench:
    return Bench(tiny)


def ints(speech: np.ndarray, count: int = 200_000) -> np.ndarray:
    return (speech[:count] * 32767).astype("<i2")


@pytest.mark.parametrize("rate", [16000, 44100])
def test_live_drops_whole_hops_that_waited_and_says_so(
    bench: Bench, tiny: Path, speech: np.ndarray, rate: int
) -> None:
    sound = ints(speech, 14 * rate)
    voice = bench.voice(sample_rate=rate)
    rng, sent = random.Random(5), 0
    while sent < len(sound):
        count = rng.randrange(100, 2000)
        voice.sound(sound[sent : sent + count].tobytes(), bench.now)
        sent += count
        bench.now += count / rate
        if not 3 < sent / rate < 7:  # for four seconds, the machine does nothing
            bench.run(voice)
    voice.command(voice.end)
    bench.run(voice)
    gaps = bench.messages(Gap)
    assert gaps
    assert all(gap.samples % round(0.25 * rate) == 0 for gap in gaps)
    assert sum(gap.seconds for gap in gaps) > 2
    own, expected, done = Recognizer(tiny), [], 0
    for gap in gaps:
        at = round(gap.at * rate)
        expected += own.push(sound[done:at], rate)
        expected += own.skip(gap.samples, rate)
        done = at + gap.samples
    expected += own.push(sound[done:], rate) + own.finish()
    assert bench.messages(Reading) == expected
    assert bench.messages(SessionEnded)[0].lost_seconds == sum(gap.seconds for gap in gaps)


def test_a_hop_that_waits_for_its_own_rest_is_not_dropped(bench: Bench, speech: np.ndarray) -> None:
    voice = bench.voice()
    sound = ints(speech)
    voice.sound(sound[:3000].tobytes(), bench.now)
    bench.run(voice)
    bench.now += 30
    voice.sound(sound[3000:9000].tobytes(), bench.now)
    bench.run(voice)
    assert not bench.messages(Gap)
    assert len(bench.messages(Reading)) == 2


def test_lossless_drops_nothing(bench: Bench, tiny: Path, speech: np.ndarray) -> None:
    voice = bench.voice(mode="lossless")
    sound = ints(speech)
    voice.sound(sound.tobytes(), bench.now)
    bench.now += 60
    bench.run(voice)
    assert not bench.messages(Gap)
    assert bench.messages(Reading) == Recognizer(tiny).push(sound)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_the_state_goes_on_bit_for_bit(
    bench: Bench, tiny: Path, speech: np.ndarray, rate: int
) -> None:
    sound = ints(speech)
    whole = Bench(tiny)
    voice = whole.voice(sample_rate=rate, mode="lossless")
    voice.sound(sound.tobytes(), whole.now)
    voice.command(voice.end)
    whole.run(voice)

    at, parts, state = 0, [], None
    for count in (30_001, 70_000, 50_000, len(sound) - 150_001):
        bench.told.clear()
        first = {"sample_rate": rate, "mode": "lossless"}
        voice = bench.voice(state, **(first if state is None else {}))
        assert bench.messages(SessionCreated)[0].position == at
        voice.sound(sound[at : at + count].tobytes(), bench.now)
        at += count
        voice.command(voice.end if at == len(sound) else voice.leave)
        bench.run(voice)
        parts += [one for one in bench.told if not isinstance(one.message, SessionCreated)]
        ended = parts.pop().message
        assert isinstance(ended, SessionEnded)
        state = base64.b64decode(ended.state)
    ours = [(one.seq, one.message) for one in parts]
    theirs = [(one.seq, one.message) for one in whole.told[1:-1]]
    assert ours == theirs
    assert ended == whole.messages(SessionEnded)[0]


def test_the_state_of_a_session_that_ended_goes_on_as_if_it_had_not(
    bench: Bench, tiny: Path, speech: np.ndarray
) -> None:
    sound = ints(speech)
    voice = bench.voice()
    voice.sound(sound[:50_000].tobytes(), bench.now)
    voice.command(voice.end)
    bench.run(voice)
    assert len(bench.messages(Reading)) == 13  # the last for half a hop
    state = base64.b64decode(bench.messages(SessionEnded)[0].state)
    bench.told.clear()
    again = bench.voice(state)
    again.sound(sound[50_000:80_000].tobytes(), bench.now)
    bench.run(again)
    assert bench.messages(Reading) == Recognizer(tiny).push(sound[:80_000])[12:]


def changed(state: bytes, *, finished: bool = False, rate: int = 0) -> bytes:
    """As somebody who knows the format could change it."""
    values = unpack(state)
    stream = values["stream"]
    stream["finished"] = finished
    stream["resampler"]["input_rate"] = rate or stream["resampler"]["input_rate"]
    return pack(values)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state[:-1],
        lambda state: b"",
        lambda state: pack({"session": "{}", "stream": {}}),
        lambda state: pack({"session": 3}),
        lambda state: pack({"a": {"b": 1}}),
        lambda state: state.replace(b'\\"frames\\":30000', b'\\"frames\\":40000'),
        lambda state: changed(state, finished=True),
        lambda state: changed(state, rate=8000),
    ],
)
def test_a_state_that_cannot_be_is_refused(bench: Bench, speech: np.ndarray, damage: Any) -> None:
    voice = bench.voice()
    voice.sound(ints(speech)[:30_000].tobytes(), bench.now)
    voice.command(lambda: [])
    bench.run(voice)
    state = voice.state()
    assert damage(state) != state
    bench.told.clear()
    refused = bench.voice(damage(state))
    (error,) = bench.messages(ErrorMessage)
    assert (error.code, error.fatal) == ("bad_resume", True)
    assert refused.ended


def test_a_resumed_session_may_not_be_another(bench: Bench, speech: np.ndarray) -> None:
    voice = bench.voice(sample_rate=48000)
    voice.sound(ints(speech)[:30_000].tobytes(), bench.now)
    bench.run(voice)
    state = voice.state()
    bench.voice(state, sample_rate=16000)
    (error,) = bench.messages(ErrorMessage)
    assert "sample_rate" in error.message


def test_a_state_that_breaks_the_network_ends_only_its_own_voice(
    bench: Bench, tiny: Path, speech: np.ndarray
) -> None:
    sound = ints(speech, 40_000)
    voice = bench.voice()
    voice.sound(sound[:20_000].tobytes(), bench.now)
    bench.run(voice)
    well, bad = bench.voice(), bench.voice(voice.state())
    bad.recognizer._network.memory = {}  # as if the state had held what no network takes
    bench.told.clear()
    for one in (well, bad):
        one.sound(sound.tobytes(), bench.now)
    while well.due:
        bench.engine.round([one for one in (well, bad) if one.due])
    assert [error.code for error in bench.messages(ErrorMessage)] == ["internal"]
    assert bench.messages(Reading) == Recognizer(tiny).push(sound)


def test_one_voice_that_fails_does_not_end_the_others(
    bench: Bench, tiny: Path, speech: np.ndarray
) -> None:
    well, broken = bench.voice(), bench.voice()
    sound = ints(speech, 20_000)
    for voice in (well, broken):
        voice.sound(sound.tobytes(), bench.now)
    broken.draw = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    while well.due:
        bench.engine.round([voice for voice in (well, broken) if voice.due])
    assert bench.messages(Reading) == Recognizer(tiny).push(sound)
    (error,) = bench.messages(ErrorMessage)
    assert (error.code, error.fatal) == ("internal", True)
    assert broken.ended


def test_who_skips_rests_while_others_have_something_to_do(
    bench: Bench, tiny: Path, speech: np.ndarray
) -> None:
    """A skip of 3 s costs a dozen readings, and its message next to nothing."""
    sound, own = ints(speech, 48_000), Recognizer(tiny)
    skipper, talker = bench.voice(), bench.voice()
    for _ in range(20):
        skipper.command(lambda: skipper.skip(48_000))
    talker.sound(sound.tobytes(), bench.now)
    order: list[tuple[Voice, Reading]] = []
    over = threading.Event()

    def deliver(made: list[tuple[Voice, list[Outgoing]]]) -> None:
        order.extend(
            (voice, one.message)
            for voice, told in made
            for one in told
            if isinstance(one.message, Reading)
        )
        if len(order) == 21 * 12:
            over.set()

    engine = Engine(deliver, Uncounted(), clock=lambda: bench.now)
    for voice in (skipper, talker):
        engine.poke(voice)
    engine.start()
    assert over.wait(60)
    engine.stop()
    first = order[: 2 * 12]
    assert [reading for voice, reading in first if voice is talker] == Recognizer(tiny).push(sound)
    assert [reading for voice, reading in order if voice is skipper] == [
        reading for _ in range(20) for reading in own.skip(48_000)
    ]


def test_a_skip_to_a_time_that_no_reading_has_changes_nothing(
    bench: Bench, tiny: Path, speech: np.ndarray
) -> None:
    voice, own, sound = bench.voice(mode="lossless"), Recognizer(tiny), ints(speech, 16_000)
    most = round(LATEST_START_SECONDS * 16_000)
    for count in (10**13, 4_000, most - 3_999, most - 4_000):
        voice.command(lambda count=count: voice.skip(count))  # type: ignore[misc]
    voice.sound(sound.tobytes(), bench.now)
    voice.command(voice.end)
    bench.run(voice)
    errors = bench.messages(ErrorMessage)
    assert [(error.code, error.fatal) for error in errors] == [("bad_message", False)] * 2
    expected = own.skip(4_000) + own.skip(most - 4_000) + own.push(sound) + own.finish()
    found = bench.messages(Reading)
    assert found == expected
    assert Reading.from_dict(found[-1].to_dict()).end == LATEST_START_SECONDS + 1


def test_bad_samples_of_a_channel_that_is_not_used_do_not_count() -> None:
    frames = np.array([[0.5, np.nan], [200.0, 0.25]], "<f4")
    for channel, right, wrong in ((1, [0.5, 0.0], 1), (2, [0.0, 0.25], 1)):
        samples, bad = Sound("f32le", 2, channel).samples(frames.tobytes())
        assert (samples.tolist(), bad) == (right, wrong)
    assert Sound("f32le", 2, None).samples(frames.tobytes())[1] == 2


def test_a_round_takes_those_that_wait_longest(bench: Bench) -> None:
    rounds: list[list[Voice]] = []
    over = threading.Event()
    voices = [bench.voice() for _ in range(2 * TOGETHER + 3)]

    class Noted(Engine):
        def round(self, voices_due: list[Voice]) -> None:
            rounds.append(voices_due)
            if sum(map(len, rounds)) == len(voices):
                over.set()

    engine = Noted(lambda _made: None, Uncounted())
    for voice in voices:
        engine.poke(voice)
    engine.poke(voices[0])  # more sound of one that waits already
    engine.start()
    assert over.wait(10)
    engine.stop()
    assert [voice for taken in rounds for voice in taken] == voices
    assert max(map(len, rounds)) == TOGETHER
