"""No input from outside does more than raise a LivesrError.

A long run has more cases: LIVESR_FUZZ=100000 python -m pytest tests/end_to_end/test_fuzz.py
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.console import Console
from typer.testing import CliRunner

import livesr
from livesr import LivesrError, ModelError, Reading, Recognizer
from livesr.app.cli import app
from livesr.app.exit_status import ExitStatus
from livesr.app.ui.picture import Picture
from livesr.app.ui.view import View
from livesr.files.jsonl import readings_from_jsonl
from livesr.files.replay import ReplaySettings, play
from livesr.model.metadata import METADATA_KEY
from livesr.state import pack, unpack
from tests.helpers.tiny import DATA, tiny_info

CASES = int(os.environ.get("LIVESR_FUZZ", "1000"))
_MOST_BYTES = 4 << 30  # of memory, beside what the tests already hold
_HANGS_SECONDS = 300


def cases(percent: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=CASES * percent // 100,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """A case that allocates more memory than any of them should gets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + _MOST_BYTES, before[1]))
    yield
    faulthandler.cancel_dump_traceback_later()
    resource.setrlimit(resource.RLIMIT_AS, before)


def one_case() -> None:
    """A case that hangs, even in C code, ends the run with a traceback."""
    faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)


def in_order(reading: Reading) -> None:
    """Check that a reading's values are possible."""
    json.dumps(reading.to_dict(), allow_nan=False)
    assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert (reading.label is None) == (reading.status != "speech")


def told(error: LivesrError) -> str:
    """What a user would see of it: one short line."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 2000
    return text


# ---- bytes, and what may become of them ----

PLACES = st.one_of(st.integers(0, 120), st.integers(0, 1 << 20))
NUMBERS = st.sampled_from([0, 1, 2, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF]) | (
    st.integers(0, 0xFFFFFFFF)
)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), PLACES, st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("set"), PLACES, NUMBERS.map(lambda n: n.to_bytes(4, "little"))),
        st.tuples(st.just("set"), PLACES, NUMBERS.map(lambda n: n.to_bytes(4, "big"))),
        st.tuples(st.just("insert"), PLACES, st.binary(max_size=30)),
        st.tuples(st.just("delete"), PLACES, st.binary(max_size=30)),
        st.tuples(st.just("cut"), PLACES, st.just(b"")),
        st.tuples(st.just("repeat"), PLACES, st.binary(max_size=4)),
    ),
    min_size=1,
    max_size=5,
)


def edited(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for what, place, value in edits:
        at = place % max(1, len(data))
        head, tail = data[:at], data[at:]
        if what == "set":
            data = head + value + tail[len(value) :]
        elif what == "insert":
            data = head + value + tail
        elif what == "delete":
            data = head + tail[len(value) :]
        elif what == "cut":
            data = head
        else:
            data = head + tail[:500] * len(value) + tail
    return data


# ---- sound files ----


def _sound_files() -> dict[str, bytes]:
    """Half a second of speech in every container and most codings that libsndfile writes."""
    samples, _ = sf.read(DATA / "banglaser.flac", frames=8000, start=8000, dtype="float32")
    found = {}
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"livesr-fuzz-{os.getpid()}"
    for kind in sf.available_formats():
        for coding in sf.available_subtypes(kind):
            try:
                sf.write(path, samples, 8000, coding, format=kind)
            except (sf.LibsndfileError, ValueError):
                continue
            found[f"{kind} {coding}"] = path.read_bytes()
    path.unlink(missing_ok=True)
    return found


SOUND_FILES = _sound_files()
SUFFIXES = st.sampled_from(["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "raw", ""])


def replayed_or_refused(path: Path, tiny: Path) -> None:
    one_case()
    try:
        items = list(islice(play(path, ReplaySettings(tiny, hop=0.5)), 200))
    except LivesrError as error:
        assert str(path) in told(error)
        return
    assert len(items) < 200  # of half a second each, from a few kilobytes
    for item in items:
        if isinstance(item, Reading):
            in_order(item)


@pytest.mark.slow
@given(kind=st.sampled_from(sorted(SOUND_FILES)), edits=EDITS, suffix=SUFFIXES)
@cases(35)
def test_damaged_sound_files(
    tmp_path: Path, tiny: Path, kind: str, edits: list[tuple[str, int, bytes]], suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(edited(SOUND_FILES[kind], edits))
    replayed_or_refused(path, tiny)


@given(
    kind=st.sampled_from(sorted(SOUND_FILES)),
    header=st.integers(0, 128),
    body=st.binary(max_size=3000),
    suffix=SUFFIXES,
)
@cases(10)
def test_any_bytes_after_a_header(
    tmp_path: Path, tiny: Path, kind: str, header: int, body: bytes, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(SOUND_FILES[kind][:header] + body)
    replayed_or_refused(path, tiny)


EVENTS = [
    {"event": "mark", "at": 0.0, "text": "x"},
    {"event": "gap", "at": 0.1, "seconds": 12.5},
    {"event": "reset", "at": 12.7},
    {"event": "gap", "at": 12.8, "seconds": 0.01},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TIMES = st.floats() | st.integers() | st.integers(0, 10**400) | st.sampled_from([0, 0.1, 1e8, 1e9])


@pytest.mark.slow
@given(
    place=st.integers(0, len(EVENTS) - 1),
    key=st.sampled_from(["event", "at", "seconds", "text"]),
    value=TIMES | JSON,
    edits=st.none() | EDITS,
)
@cases(5)
def test_any_events_beside_a_recording(
    tmp_path: Path,
    tiny: Path,
    place: int,
    key: str,
    value: Any,
    edits: list[tuple[str, int, bytes]] | None,
) -> None:
    path = tmp_path / "a.wav"
    if not path.exists():
        sf.write(path, np.zeros(8000), 16000, "PCM_24")
    events = [*EVENTS[:place], {**EVENTS[place], key: value}, *EVENTS[place + 1 :]]
    data = "".join(json.dumps(event) + "\n" for event in events).encode()
    (tmp_path / "a.wav.events.jsonl").write_bytes(edited(data, edits) if edits else data)
    replayed_or_refused(path, tiny)


# ---- samples ----

RATES = st.one_of(
    st.sampled_from([8000, 16000, 44100, 48000]),
    st.integers(8000, 192_000),
    st.integers(),
    st.floats(),
    st.sampled_from([None, True, "16000", 1e300, np.int16(16000), 10**400]),
)
COUNTS = st.one_of(
    st.integers(0, 20_000),
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 10**13, 10**400, None, True, "3", np.uint64(2**63)]),
)
VIEWS: list[Callable[[np.ndarray], Any]] = [
    lambda a: a,
    lambda a: a.T,
    lambda a: a[::-1] if a.ndim else a,
    lambda a: a[..., ::3] if a.ndim else a,
    lambda a: np.broadcast_to(a, (2, *a.shape)),
    lambda a: a.astype(a.dtype.newbyteorder()),
    np.asfortranarray,
    lambda a: np.resize(a, 9000),  # longer than two hops
    lambda a: np.resize(a, (5000, 3)),
    lambda a: a.tolist(),
    lambda a: np.ascontiguousarray(a).data if a.dtype.kind in "iuf" else a,
]
ARRAYS = st.builds(
    lambda array, view, scale: view(array * scale if array.dtype.kind == "f" else array),
    hnp.arrays(
        st.sampled_from(["f4", "f8", "i2", "i4", "f2", "u1", "i8", "c8", "?", "S3", "U2", "M8[s]"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    ),
    st.sampled_from(VIEWS),
    st.sampled_from([1, 1e-3, 1e-30]),
)
CALM = st.builds(
    lambda seed, count, kind: kind(np.random.default_rng(seed).uniform(-1, 1, count)),
    st.integers(0, 99),
    st.integers(0, 9000),
    st.sampled_from(
        [
            lambda a: a.astype(np.float32),
            lambda a: (a * 32767).astype(np.int16),
            lambda a: np.stack([a, a * 1e-40], axis=1),
            lambda a: a * 100,
        ]
    ),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), ARRAYS | CALM | JSON, st.none() | RATES),
        st.tuples(st.just("push"), CALM, st.none()),
        st.tuples(st.just("skip"), COUNTS, st.none() | RATES),
        st.tuples(st.just("restore"), st.binary(max_size=60) | JSON, st.none()),
        st.tuples(st.just("reset"), TIMES | st.none() | st.text(), st.none()),
        st.tuples(st.just("finish"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=6,
)


def do(recognizer: Recognizer, step: tuple[str, Any, Any], rate: int) -> list[Reading]:
    what, value, other = step
    if what in ("push", "skip"):
        return getattr(recognizer, what)(value, rate if other is None else other)  # type: ignore[no-any-return]
    if what == "finish":
        return recognizer.finish()
    if what == "reset":
        recognizer.reset(start=value)
    else:
        recognizer.restore(value)
    return []


@pytest.mark.slow
@given(steps=STEPS, rate=st.sampled_from([8000, 16000, 44100]))
@cases(25)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_any_samples(tiny: Path, steps: list[tuple[str, Any, Any]], rate: int) -> None:
    one_case()
    recognizer, twin = Recognizer(tiny), Recognizer(tiny)
    readings, same = [], []
    for step in [*steps, ("push", np.ones(6000, np.float32), None), ("finish", None, None)]:
        before = recognizer.state()
        try:
            readings += do(recognizer, step, rate)
        except LivesrError as error:
            told(error)
            assert recognizer.state() == before
            continue
        same += do(twin, step, rate)
    for reading in readings:
        in_order(reading)
    assert readings == same
    assert recognizer.state() == twin.state()


# ---- models ----


def listens(path: Path) -> None:
    """A model that loads is one that can be listened with."""
    one_case()
    try:
        recognizer = Recognizer(path)
        readings = recognizer.push(np.ones(9000, np.float32)) + recognizer.finish()
    except ModelError as error:
        assert path.name in told(error)
        return
    for reading in readings:
        in_order(reading)


def fresh(folder: Path) -> Path:
    """A name not used before: models are kept by name and age, and these are young."""
    for old in folder.glob("m*.onnx"):
        old.unlink()
        return folder / f"m{int(old.stem[1:]) + 1}.onnx"
    return folder / "m0.onnx"


@given(junk=st.binary(max_size=300), edits=st.none() | EDITS, place=st.integers(0, 1 << 20))
@cases(5)
def test_damaged_models(
    tmp_path: Path,
    tiny: Path,
    junk: bytes,
    edits: list[tuple[str, int, bytes]] | None,
    place: int,
) -> None:
    data = tiny.read_bytes()
    if edits:
        at = place % len(data)  # so that the small numbers of `PLACES` are anywhere in it
        junk = data[:at] + edited(data[at:], edits)
    path = fresh(tmp_path)
    path.write_bytes(junk)
    listens(path)


METADATA = tiny_info().to_metadata()
KEYS = [(key,) for key in METADATA] + [
    (key, inner) for key in METADATA if isinstance(METADATA[key], dict) for inner in METADATA[key]
]
VALUES = JSON | st.sampled_from([0, 1e-300, 1e300, -1, 10**400, [10**400] * 40, [1e-300] * 40])


@given(keys=st.sampled_from(KEYS), value=VALUES, edits=st.none() | EDITS)
@cases(5)
def test_models_with_any_metadata(
    tmp_path: Path,
    tiny: Path,
    keys: tuple[str, ...],
    value: Any,
    edits: list[tuple[str, int, bytes]] | None,
) -> None:
    model = onnx.load(tiny)
    about = json.loads(json.dumps(METADATA))
    inner = about[keys[0]] if len(keys) > 1 else about
    inner[keys[-1]] = value
    text = json.dumps(about).encode()
    text = edited(text, edits) if edits else text
    onnx.helper.set_model_props(model, {METADATA_KEY: text.decode(errors="replace")})
    path = fresh(tmp_path)
    path.write_bytes(model.SerializeToString())
    listens(path)


@given(
    node=st.integers(0, 60),
    constant=st.integers(0, 60),
    change=st.sampled_from(["operator", "inputs", "attribute", "values", "dims", "swap"]),
    operator=st.sampled_from(["Relu", "Softmax", "MatMul", "Add", "Div", "Transpose", "Squeeze"]),
    number=st.sampled_from([np.nan, np.inf, 0.0, -1.0, 1e38, 1e-40, 3.0]),
)
@cases(5)
def test_models_of_other_arithmetic(
    tmp_path: Path, tiny: Path, node: int, constant: int, change: str, operator: str, number: float
) -> None:
    model = onnx.load(tiny)
    nodes, constants = model.graph.node, model.graph.initializer
    chosen, held = nodes[node % len(nodes)], constants[constant % len(constants)]
    if change == "operator":
        chosen.op_type = operator
    elif change == "inputs":
        chosen.input[0] = held.name
    elif change == "attribute" and chosen.attribute:
        chosen.attribute[0].i = int(np.nan_to_num(number, posinf=2**31, neginf=-1).clip(-1, 2**31))
        for index in range(len(chosen.attribute[0].ints)):
            chosen.attribute[0].ints[index] += constant
    elif change == "values":
        array = onnx.numpy_helper.to_array(held).copy()
        with np.errstate(invalid="ignore"):
            array.reshape(-1)[:1] = np.asarray(number).astype(array.dtype)
        held.CopyFrom(onnx.numpy_helper.from_array(array, held.name))
    elif change == "dims":
        held.dims[:] = [*reversed(held.dims), 1]
    else:
        other = model.graph.output[node % len(model.graph.output)]
        other.name, chosen.output[0] = chosen.output[0], other.name
    path = fresh(tmp_path)
    path.write_bytes(model.SerializeToString())
    listens(path)


# ---- saved states ----


@pytest.fixture(scope="module")
def saved(tiny: Path, speech: np.ndarray) -> list[bytes]:
    found = []
    for count, rate in ((0, 16000), (5000, 16000), (90_000, 44_100), (70_000, 16000)):
        recognizer = Recognizer(tiny)
        recognizer.push(speech[:count], rate)
        found.append(recognizer.state())
    return found


def leaves(value: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    found = []
    for key, inner in value.items():
        found += leaves(inner) if isinstance(inner, dict) else [(value, key)]
    return found


def other(value: Any, how: int, number: float) -> Any:
    """Something in the place of a leaf of a state."""
    if not isinstance(value, np.ndarray):
        whole = int(np.nan_to_num(number, posinf=2**70, neginf=-(2**70)))
        choices = [number, whole, str(value), None, [1], isinstance(value, bool), {}]
        return value + 1 if isinstance(value, int) and how == 7 else choices[how % 7]
    changed = value.copy()
    if changed.size and changed.dtype != np.bool_:
        changed.reshape(-1)[how % changed.size] = number
    choices = [
        changed,
        value[:-1],
        np.concatenate([value, value])[: len(value) + 1 + how] if value.ndim else value,
        np.zeros((0, *value.shape[1:]), value.dtype),
        value.astype(np.float64),
        value.reshape(-1),
        value.tolist(),
        -value if value.dtype != np.bool_ else ~value,
    ]
    return choices[how % len(choices)]


@given(
    which=st.integers(0, 3),
    changes=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 7), st.floats()), min_size=1, max_size=3
    ),
    edits=st.none() | EDITS,
)
@cases(10)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_states_of_no_stream(
    tiny: Path,
    speech: np.ndarray,
    saved: list[bytes],
    which: int,
    changes: list[tuple[int, int, float]],
    edits: list[tuple[str, int, bytes]] | None,
) -> None:
    one_case()
    if edits:
        data = edited(saved[which], edits)
    else:
        state = unpack(saved[which])
        places = leaves(state)
        for place, how, number in changes:
            holder, key = places[place % len(places)]
            with np.errstate(over="ignore"):
                holder[key] = other(holder[key], how, number)
        data = pack(state)
    recognizer = Recognizer(tiny)
    recognizer.push(speech[:7000])
    before = recognizer.state()
    try:
        recognizer.restore(data)
    except ModelError as error:
        told(error)
        assert recognizer.state() == before
        return
    # It is one that some stream may have left: whatever comes then is in order.
    if not recognizer._finished:
        for reading in recognizer.push(
            speech[:9000], unpack(data)["resampler"]["input_rate"] or 16000
        ):
            in_order(reading)
    for reading in recognizer.finish():
        in_order(reading)


# ---- sessions ----

SESSION = [reading.to_dict() for reading in livesr.replay(DATA / "banglaser.flac")]
FIELDS = [*SESSION[0], "event", "at", "seconds", "text"]


@pytest.mark.slow
@given(
    place=st.integers(0, len(SESSION) - 1),
    key=st.sampled_from(FIELDS),
    value=JSON | TIMES | st.sampled_from(["mark", "\x1b[2J", "\ud800", "a" * 10_000, {"": 1.0}]),
    names=st.none() | st.text(max_size=50),
    edits=st.none() | EDITS,
    junk=st.none() | st.binary(max_size=300),
)
@cases(10)
def test_any_session(
    tmp_path: Path,
    place: int,
    key: str,
    value: Any,
    names: str | None,
    edits: list[tuple[str, int, bytes]] | None,
    junk: bytes | None,
) -> None:
    one_case()
    session = [dict(values) for values in SESSION]
    session[place][key] = value
    if names is not None:  # other labels throughout
        for values in session:
            for table in ("probabilities", "smoothed"):
                if isinstance(values[table], dict):
                    values[table] = {names + name: x for name, x in values[table].items()}
            if isinstance(values["label"], str):
                values["label"] = names + values["label"]
    data = b"".join(json.dumps(values).encode() + b"\n" for values in session)
    if edits:
        data = edited(data, [(what, at * 7, bits) for what, at, bits in edits])
    path = tmp_path / "a.jsonl"
    path.write_bytes(data if junk is None else junk)
    arguments = ["replay", str(path), "--force", "--report", str(tmp_path / "a.html")]
    done = CliRunner().invoke(app, [*arguments, "--csv", str(tmp_path / "a.csv")])
    shown = done.stdout.replace("\n", "")
    assert shown.isprintable()
    if done.exit_code == ExitStatus.PARTLY:  # damaged after the first reading
        with pytest.raises(LivesrError, match=path.name):
            list(readings_from_jsonl(path))
        return
    if done.exception is not None:
        assert isinstance(done.exception, LivesrError), done.exception
        assert str(path) in told(done.exception)
        return
    assert done.exit_code == 0
    view = View(source="a", model="b")
    for item in readings_from_jsonl(path):
        if isinstance(item, Reading):
            view.add(item)
    with open(
        os.devnull, "w", encoding="ascii", errors="replace"
    ) as screen:  # as the command has it
        Console(file=screen, force_terminal=True, width=60, height=20).print(Picture(view))
