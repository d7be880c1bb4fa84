"""The stateful graph: batches, masks, and the files that came with livesr."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import ArrayLike
from onnx import helper

import livesr
from export.networks.graph import build
from export.networks.sizes import weight_shapes
from livesr import ModelError, Recognizer
from livesr.arrays import Array, Float32
from livesr.model.load import DEFAULT, PAPER, bundled, foreign_model, load_model
from livesr.model.metadata import LABELS
from livesr.model.runtime import open_session
from livesr.settings import DecisionSettings
from livesr.stages.evidence import tempered
from livesr.stages.model_stream import ModelStream
from tests.helpers.tiny import TINY, add_distances, save_tiny, tiny_info


class Stream:
    """The graph by hand: state out, state in, N at a time."""

    def __init__(self, path: Path, count: int) -> None:
        self.session = open_session(path.read_bytes())
        self.state = {
            node.name: np.zeros((count, *node.shape[1:]), np.float32)
            for node in self.session.get_inputs()
            if node.name != "features"
        }

    def push(self, features: np.ndarray) -> dict[str, np.ndarray]:
        names = [node.name for node in self.session.get_outputs()]
        found = self.session.run(names, {"features": features, **self.state})
        outputs = dict(zip(names, found, strict=True))
        self.state = {name: outputs[f"new_{name}"] for name in self.state}
        return outputs


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_the_models_that_can_be_named() -> None:
    found = livesr.models()
    assert next(iter(found)) == DEFAULT
    assert set(found) == set(bundled())
    for name, info in found.items():
        assert isinstance(info, livesr.ModelInfo)
        assert info == load_model(name).info
        assert livesr.Recognizer(name).labels == info.labels
        assert info.licence and info.training_data


def test_hops_of_any_length_agree(tiny: Path) -> None:
    features = noise(1, 400, 40, 3)
    once = Stream(tiny, 1).push(features)
    stream, start = Stream(tiny, 1), 0
    for size in (2, 24, 26, 100, 48, 200):
        hops = stream.push(features[:, start : start + size])
        start += size
    for name in ("probabilities", "logits", "attention", "context"):
        np.testing.assert_allclose(hops[name], once[name], atol=1e-5)


def test_a_batch_of_streams_of_any_age_gives_what_each_gives_alone(tiny: Path) -> None:
    features = noise(3, 300, 40, 3)
    ages = (0, 50, 274)  # frames pushed before they share a batch
    singles = []
    for row, age in enumerate(ages):
        stream = Stream(tiny, 1)
        if age:
            stream.push(features[row : row + 1, :age])
        singles.append(stream)
    batch = Stream(tiny, 3)
    batch.state = {
        name: np.concatenate([single.state[name] for single in singles]) for name in batch.state
    }
    new = features[:, 274:]
    together = batch.push(new)
    for row, single in enumerate(singles):
        alone = single.push(new[row : row + 1])
        for name in ("probabilities", "attention", "context"):
            np.testing.assert_allclose(together[name][row], alone[name][0], atol=1e-6)
    assert not together["attention"][0, :-13].any()  # the first stream has only 26 frames
    assert (together["attention"][2, :-150] > 0).all()


def test_attention_is_nothing_where_nothing_was(tiny: Path) -> None:
    outputs = Stream(tiny, 1).push(noise(1, 60, 40, 3))
    assert not outputs["attention"][0, :120].any()
    assert outputs["attention"][0, 120:].sum() == pytest.approx(1, abs=1e-6)


def test_an_old_frame_is_forgotten_after_the_window(tiny: Path) -> None:
    features = noise(1, 700, 40, 3)
    other = features.copy()
    other[:, :100] += 5
    one, two = Stream(tiny, 1), Stream(tiny, 1)
    differs: list[bool] = []
    same: list[bool] = []
    for start in range(0, 700, 50):
        a = one.push(features[:, start : start + 50])["attention"]
        b = two.push(other[:, start : start + 50])["attention"]
        (differs if start < 350 else same).append(np.array_equal(a, b))
    assert not any(differs)
    assert all(same[1:])  # 3 s and the convolutions' reach of 0.2 s later


def test_the_stream_object_pairs_frames(tiny: Path) -> None:
    model = load_model(tiny)
    features = noise(101, 40, 3)
    odd, even = ModelStream(model), ModelStream(model)
    for start in range(101):
        odd.push(features[start : start + 1])
    even.push(features)
    np.testing.assert_allclose(odd.probabilities, even.probabilities, atol=1e-6)
    assert len(odd.attention) == len(even.attention) == 50
    np.testing.assert_allclose(odd.attention_times[:2], [280 / 16000, 600 / 16000])


def test_temperature_divides_logits(tiny: Path) -> None:
    outputs = Stream(tiny, 1).push(noise(1, 60, 40, 3))
    cooled = np.exp(outputs["logits"] / 0.5)
    np.testing.assert_allclose(outputs["probabilities"], cooled / cooled.sum(), atol=1e-6)


def test_weights_stored_in_16_bits_say_nearly_the_same(tmp_path: Path) -> None:
    widths, rng = replace(TINY, linear=64), np.random.default_rng(0)
    shapes = weight_shapes(widths)
    weights = {name: rng.normal(0, shape[-1] ** -0.5, shape) for name, shape in shapes.items()}
    paths = [tmp_path / "whole.onnx", tmp_path / "half.onnx"]
    for path, half in zip(paths, (False, True), strict=True):
        onnx.save(build(replace(widths, half=half), weights, tiny_info()), path)
    whole, half_ = (Stream(path, 1).push(noise(1, 60, 40, 3)) for path in paths)
    np.testing.assert_allclose(half_["logits"], whole["logits"], atol=2e-3)
    assert (half_["logits"] != whole["logits"]).any()
    saved = paths[0].stat().st_size - paths[1].stat().st_size
    assert saved > 1.9 * np.prod(shapes["linear.weight"])


def test_widths_of_the_tiny_network(tiny: Path) -> None:
    assert load_model(tiny).memory_shapes["encodings"] == [150, TINY.linear]


def test_a_model_may_have_labels_of_its_own(tmp_path: Path, speech: np.ndarray) -> None:
    labels = ("boredom", *LABELS, "fear")
    widths, rng = replace(TINY, labels=len(labels)), np.random.default_rng(0)
    weights = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in weight_shapes(widths).items()
    }
    path = tmp_path / "six.onnx"
    onnx.save(build(widths, weights, tiny_info(labels=labels)), path)
    recognizer = Recognizer(path)
    assert recognizer.labels == load_model(path).info.labels == labels
    for reading in recognizer.push(speech[:48_000]):
        assert tuple(reading.probabilities) == tuple(reading.smoothed) == labels
        assert sum(reading.probabilities.values()) == pytest.approx(1)
    for wrong in (("sad",), ("sad", "sad"), ("sad", ""), ("sad", "\x1b[2J"), ("a", "b" * 41)):
        model = build(widths, weights, tiny_info(labels=wrong))
        onnx.save(model, tmp_path / "wrong.onnx")
        with pytest.raises(ModelError, match="labels"):
            load_model(tmp_path / "wrong.onnx")
    onnx.save(build(widths, weights, tiny_info()), tmp_path / "fewer.onnx")
    with pytest.raises(ModelError, match="does not work"):  # six outputs for four labels
        load_model(tmp_path / "fewer.onnx")


def test_bundled_models_describe_themselves() -> None:
    assert {DEFAULT, PAPER, "acrnn-compact", "open"} <= set(bundled())
    assert load_model("compact") is load_model("acrnn-compact")
    for name in bundled():
        info = load_model(name).info
        assert info.name == name
        assert info.labels == LABELS
        assert info.licence in ("CC-BY-NC-SA-4.0", "CC-BY-4.0")
        assert info.training_data


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A tiny network, to every window of which a voice is adapted."""
    always = DecisionSettings(least_variety=0.0, full_variety=1e-6, unsure_below=1.0, sure_from=2.0)
    return save_tiny(tmp_path / "plain.onnx", tiny_info(decision=always))


@pytest.fixture
def related(plain: Path, tmp_path: Path) -> Path:
    """The tiny network, whose relative logits are its logits, doubled."""
    return _with_relative(plain, tmp_path / "related.onnx", "logits")


def _with_relative(tiny: Path, path: Path, source: str) -> Path:
    model = onnx.load(tiny)
    model.graph.node.append(helper.make_node("Add", [source, source], ["relative"]))
    told = helper.make_tensor_value_info("relative", onnx.TensorProto.FLOAT, ["N", None])
    model.graph.output.append(told)
    onnx.save(model, path)
    return path


def test_relative_logits_reach_the_adaptation(related: Path, plain: Path, speech: Float32) -> None:
    foreign_model(related.read_bytes(), "a file")
    one, other = livesr.Recognizer(related), livesr.Recognizer(plain)
    assert one._network.relative is not None
    assert other._network.relative is None
    readings, without = one.push(speech), other.push(speech)
    assert [r.probabilities for r in readings[:12]] == [r.probabilities for r in without[:12]]
    assert [r.probabilities for r in readings] != [r.probabilities for r in without]
    again = livesr.Recognizer(related)
    halves = again.push(speech[:200_000])
    third = livesr.Recognizer(related)
    third.restore(again.state())
    assert halves + third.push(speech[200_000:]) == readings


def test_a_profile_with_words_of_its_own_leaves_them_out(related: Path, speech: Float32) -> None:
    profile = livesr.Profile(model=related)
    for number, label in enumerate(("calm", "sad", "calm", "sad")):
        profile.add(label, speech[48_000 * number : 48_000 * number + 48_000])
    recognizer = livesr.Recognizer(profile=profile)
    assert recognizer.labels == ("calm", "sad")
    assert recognizer._relative() is None
    assert len(recognizer.push(speech)) > 100


@pytest.fixture
def measured(tiny: Path, tmp_path: Path) -> Path:
    """The tiny network, whose windows are 2 and more from the nearer of two corpora."""
    return add_distances(tiny, tmp_path / "measured.onnx", [4.0, 2.0], 3.0)


def said(recognizer: Recognizer, samples: Float32) -> tuple[Array, Array]:
    """Probabilities of each reading, and the distance of its window."""
    rows, distances = [], []
    for hop in np.split(samples, np.arange(4000, len(samples), 4000)):
        rows += [list(reading.probabilities.values()) for reading in recognizer.push(hop)]
        distances.append(recognizer._network.distance)
    return np.array(rows), np.array(distances)


def test_far_from_the_training_clips_a_reading_is_less_sure(
    measured: Path, tiny: Path, speech: Float32
) -> None:
    foreign_model(measured.read_bytes(), "a file")
    samples = speech[:200_000]
    found, distance = said(livesr.Recognizer(measured, adapt=False), samples)
    plain, _ = said(livesr.Recognizer(tiny, adapt=False), samples)
    assert distance.min() >= 2 and np.ptp(distance) > 0.1
    np.testing.assert_allclose(found, tempered(plain, distance**-0.75), rtol=1e-5)
    half = livesr.Recognizer(measured)
    first = half.push(samples[:100_000])
    again = livesr.Recognizer(measured)
    again.restore(half.state())
    whole = livesr.Recognizer(measured).push(samples)
    assert first + again.push(samples[100_000:]) == whole


def test_from_the_first_correction_on_the_distance_does_not_count(
    measured: Path, tiny: Path, speech: Float32
) -> None:
    one, other = livesr.Recognizer(measured), livesr.Recognizer(tiny)
    parts = speech[:80_000], speech[80_000:160_000], speech[160_000:240_000]
    before = said(one, parts[0])[0], said(other, parts[0])[0]
    assert not np.allclose(*before)
    for recognizer in (one, other):
        recognizer.teach("sad")
    # Adaptation has heard the same of both.
    np.testing.assert_array_equal(said(one, parts[1])[0], said(other, parts[1])[0])
    for recognizer in (one, other):
        recognizer.untaught()
    assert not np.allclose(said(one, parts[2])[0], said(other, parts[2])[0])


def test_a_state_with_a_distance_is_of_a_model_that_gives_one(
    measured: Path, tiny: Path, speech: Float32
) -> None:
    far = livesr.Recognizer(measured)
    far.push(speech[:80_000])
    state = far._network.state()
    assert state["_distance"] > 2
    stream = ModelStream(load_model(tiny))
    taken = int(state["_steps"]) * 2 + len(state["_odd"])
    with pytest.raises(ModelError, match="distance"):
        stream.restore(state, taken)
    stream.restore({**state, "_distance": 1.0}, taken)


def test_no_distance_is_too_large_for_a_state(tiny: Path, tmp_path: Path, speech: Float32) -> None:
    endless = add_distances(tiny, tmp_path / "endless.onnx", [1e30, 2e30])
    recognizer = livesr.Recognizer(endless)
    recognizer.push(speech[:80_000])
    again = livesr.Recognizer(endless)
    again.restore(recognizer.state())
    assert again.push(speech[80_000:160_000]) == recognizer.push(speech[80_000:160_000])


def test_of_a_voice_with_a_profile_the_distance_does_not_count(
    measured: Path, tiny: Path, speech: Float32
) -> None:
    said = []
    for model in (measured, tiny):
        profile = livesr.Profile(model=model)
        for number, label in enumerate(LABELS):
            profile.add(label, speech[48_000 * number : 48_000 * number + 48_000])
        said.append(livesr.Recognizer(profile=profile).push(speech))
    for one, other in zip(*said, strict=True):
        assert one.probabilities == other.probabilities


@pytest.mark.parametrize(
    ("said", "message"),
    [([[[1.0, 1.0]]], "distances are float32"), ([1.0, np.nan], "distances is not finite")],
)
def test_distances_that_are_none_are_refused(
    tiny: Path, tmp_path: Path, said: ArrayLike, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(add_distances(tiny, tmp_path / "wrong.onnx", said))


def test_relative_logits_of_another_size_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="relative are float32"):
        load_model(_with_relative(tiny, tmp_path / "wrong.onnx", "attention"))


def test_in_silence_a_voice_that_is_known_changes_nothing(related: Path, speech: Float32) -> None:
    """Whatever the relative logits of a window without speech."""
    recognizer = livesr.Recognizer(related)
    spoken = recognizer.push(speech)
    (*_, silent) = recognizer.push(np.zeros(64_000))
    assert max(silent.probabilities.values()) < 0.4
    assert max(max(reading.probabilities.values()) for reading in spoken) > 0.9
