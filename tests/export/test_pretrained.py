"""A network with a pretrained encoder: its stream, its graph and its training module agree."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export import beside, layers, train_pretrained
from export.corpora import augment
from export.corpora.clips import Clip, CorpusError
from export.features.encoder import LAYERS, STEPS, VALUES, Encoder, encode, encoder_weights
from export.features.steps import Encoded, Heard, encode_all
from export.networks.head import Head
from export.networks.pretrained_graph import LEAST_VARIANCE, UNSPOKEN, HeadWidths, build_pretrained
from export.train_pretrained import joined
from export.training.pretrained import Pooled, Recipe, Trained, _Schedule, train, windows
from export.training.probe import COMPONENTS, DIRECTIONS, Probe, fit, statistics, with_voices
from export.training.targets import cross_entropy
from livesr import Recognizer, push_all
from livesr.arrays import Array, Float32
from livesr.model.load import foreign_model, load_model
from livesr.model.metadata import LABELS
from livesr.settings import DecisionSettings, EncoderSettings, FrontEndSettings
from livesr.stages.model_stream import block_ends
from tests.export.conftest import Refusal
from tests.helpers.corpora import save_two_corpora
from tests.helpers.tiny import tiny_info

try:
    distribution("pipecat-ai")
except PackageNotFoundError:
    pytest.skip("`make teacher` installs the weights of the encoder", allow_module_level=True)
WIDTHS = HeadWidths(linear=12, cells=4, dense=8)


@pytest.fixture(scope="module")
def head() -> Head:
    torch.manual_seed(1)
    network = Head(np.zeros(LAYERS * VALUES, np.float32), np.ones(768, np.float32), WIDTHS)
    for norm in (network.linear_norm, network.context_norm, network.dense_norm):
        torch.nn.init.normal_(norm.running_mean, std=0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
        torch.nn.init.normal_(norm.bias)
    return network.eval()


@pytest.fixture(scope="module")
def probe() -> Probe:
    rng = np.random.default_rng(2)

    def drawn(*shape: int) -> Float32:
        return rng.normal(0, 0.02, shape).astype(np.float32)

    values, labels = LAYERS * VALUES, len(LABELS)
    return Probe(
        drawn(values),
        1 + drawn(values),
        drawn(2 * values, labels),
        drawn(labels),
        drawn(2 * values, DIRECTIONS),
        drawn(DIRECTIONS),
        drawn(2 * values, labels),
        drawn(labels),
        drawn(2 * values, COMPONENTS),
        drawn(3, COMPONENTS),
        drawn(2 * values),
        1 + drawn(2 * values),
    )


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Not the one from the package: one that was trained on since."""
    generator = torch.Generator().manual_seed(3)
    found = Encoder()
    with torch.no_grad():
        for own in found.parameters():
            moved = own + 0.02 * own.std() * torch.randn(own.shape, generator=generator)
            own.copy_(moved.half().float())
    return found.eval()


@pytest.fixture(scope="module")
def file(
    head: Head, probe: Probe, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("models") / "pretrained.onnx"
    decision = DecisionSettings(half_evidence_seconds=0, distance_power=0)
    info = tiny_info(temperature=1.0, encoder=EncoderSettings(), decision=decision)
    graph = build_pretrained(WIDTHS, encoder.weights(), joined(head, probe, 0.3), info)
    onnx.save(graph, path)
    return path


def voice(number: int, emotion: str, corpus: str = "a", count: int = 150, take: int = 0) -> Encoded:
    """A made-up clip: noise, moved in some of the encoder's values by its emotion."""
    rng = np.random.default_rng([number, LABELS.index(emotion), take])
    steps = rng.standard_normal((count, LAYERS * VALUES))
    steps[:, 10 * LABELS.index(emotion) : 10 * LABELS.index(emotion) + 10] += 1
    clip = Clip(Path(), corpus, f"{corpus}{number}", emotion, "", "", "train")
    return Encoded(steps.astype(np.float16), np.arange(count) % 4 > 0, 0, clip)


def pooling(steps: Float32, spoken: Array, probe: Probe) -> Float32:
    """Weighted mean and deviation, as a textbook has them."""
    values, weight = (steps - probe.mean) / probe.deviation, spoken + UNSPOKEN
    mean = np.average(values, 0, weight)
    variance = np.average((values - mean) ** 2, 0, weight)
    return np.concatenate((mean, np.sqrt(variance + LEAST_VARIANCE))).astype(np.float32)


def distances(probe: Probe, statistics: Float32) -> Float32:
    """From each corpus: [n, 1536] -> [n, corpora]."""
    apart = (statistics @ probe.components)[:, None] - probe.corpora
    return np.asarray(np.square(apart).mean(2))


def test_the_graph_streams_what_the_training_modules_compute(
    head: Head, probe: Probe, encoder: Encoder, file: Path, speech: np.ndarray
) -> None:
    recognizer = Recognizer(file)
    kept = []
    push = recognizer._network.push
    recognizer._network.push = lambda new: (kept.append(new), push(new))[0]  # type: ignore
    readings = recognizer.push(speech[: 5 * 16000])
    features = np.concatenate(kept)
    encodings = encode(encoder, features[:, 120:200])
    spoken = features[::2, 200][: len(encodings)]
    for reading, hop in zip(readings, range(1, 21), strict=True):
        end = block_ends(0, len(encodings))[hop - 1]
        start = max(0, end - 150)
        steps, valid = np.zeros((1, 150, 768), np.float32), np.zeros((1, 150), np.float32)
        steps[0, 150 - (end - start) :] = encodings[start:end]
        valid[0, 150 - (end - start) :] = 1
        with torch.no_grad():
            own, attention = head(*map(torch.from_numpy, (steps, valid)))
        pooled = pooling(encodings[start:end], spoken[start:end], probe)
        logits = 0.7 * own[0] + 0.3 * torch.from_numpy(probe.logits(pooled))
        np.testing.assert_allclose(reading.attention, attention[0, start - end :], atol=1e-4)
        if hop == 1:  # later ones are adapted to the voice
            said = list(reading.probabilities.values())
            np.testing.assert_allclose(said, torch.softmax(logits, 0), atol=1e-4)


def plainly(mels: Float32) -> Float32:
    """The package's encoder block by block, each block's window by itself; see `Encoder`."""
    own = {name: torch.from_numpy(v.astype(np.float32)) for name, v in encoder_weights().items()}
    functional = torch.nn.functional

    def normed(layer: int, number: int, steps: torch.Tensor) -> torch.Tensor:
        name = f"{layer}.norm{number}"
        return functional.layer_norm(steps, (VALUES,), own[f"{name}.scale"], own[f"{name}.bias"])

    def block(layer: int, window: torch.Tensor, new: int) -> torch.Tensor:
        rows = normed(layer, 1, window)
        query = rows[-new:] @ own[f"{layer}.query.weight"] + own[f"{layer}.query.bias"]
        key = rows @ own[f"{layer}.key.weight"]
        value = rows @ own[f"{layer}.value.weight"] + own[f"{layer}.value.bias"]
        heads = []
        for head in range(6):
            part = slice(64 * head, 64 * head + 64)
            heads.append((query[:, part] @ key[:, part].T).softmax(-1) @ value[:, part])
        seen = torch.cat(heads, 1) @ own[f"{layer}.out.weight"] + own[f"{layer}.out.bias"]
        steps = window[-new:] + seen
        grown = normed(layer, 2, steps) @ own[f"{layer}.grow.weight"] + own[f"{layer}.grow.bias"]
        shrunk = functional.gelu(grown) @ own[f"{layer}.shrink.weight"]
        return steps + shrunk + own[f"{layer}.shrink.bias"]

    count = len(mels) // 2
    flow = torch.from_numpy(mels[: 2 * count].T.copy())[None]
    for number, before in enumerate((2, 1)):
        weight, bias = own[f"conv{number}.weight"], own[f"conv{number}.bias"]
        flow = functional.conv1d(functional.pad(flow, (before, 0)), weight, bias, stride=1 + number)
        flow = functional.gelu(flow)
    steps, layers = flow[0].T, []
    ends = sorted({*block_ends(0, count), count})
    for layer in range(2):
        made = []
        for start, end in zip([0, *ends], ends, strict=False):
            window = steps[max(0, end - STEPS) : end]
            if layer == 0:
                window = window + own["position"][-len(window) :]
            made.append(block(layer, window, end - start))
        steps = torch.cat(made)
        layers.append(steps)
    return np.asarray(torch.cat(layers, 1).numpy())


def test_a_batch_of_streams_is_encoded_block_by_block() -> None:
    rng = np.random.default_rng(4)
    lengths = (600, 80, 31, 262)
    streams = [rng.standard_normal((length, 80)).astype(np.float32) for length in lengths]
    clip = Clip(Path(), "a", "a1", "sad", "", "", "train")
    clips = [
        Heard(mels, np.ones(len(mels) // 2, bool), 0, replace(clip, text=str(place)))
        for place, mels in enumerate(streams)
    ]
    found = encode_all(Encoder(), clips)
    for one, mels, place in zip(found, streams, range(4), strict=True):
        assert one.clip.text == str(place)
        np.testing.assert_allclose(one.steps, plainly(mels), atol=5e-3, rtol=2e-3)  # 16 bits
        np.testing.assert_allclose(encode(Encoder(), mels), plainly(mels), atol=1e-4)
    assert encode(Encoder(), streams[0][:1]).shape == (0, 768)


def test_a_probe_that_gradients_train_starts_as_it_was_fitted(probe: Probe) -> None:
    one = voice(1, "sad")
    steps, spoken = one.steps.astype(np.float32), one.spoken.astype(np.float32)
    module = Pooled(probe)
    given = (torch.from_numpy(part)[None] for part in (steps, np.ones_like(spoken), spoken))
    with torch.no_grad():
        said = module(*given)[0]
    expected = probe.logits(pooling(steps, spoken, probe))
    np.testing.assert_allclose(said, expected, atol=1e-3)
    np.testing.assert_allclose(module.probe().weight, probe.weight, atol=1e-6)
    np.testing.assert_allclose(module.probe().bias, probe.bias, atol=1e-4)


def test_a_corpus_is_near_its_own_new_voices_and_far_from_others() -> None:
    def moved(corpus: str, number: int, emotion: str) -> Encoded:
        """A voice of a corpus that sounds like itself in ten values."""
        one = voice(number, emotion, corpus, 200)
        steps = one.steps.astype(np.float32)
        place = 100 + 10 * "abc".index(corpus)
        steps[:, place : place + 10] += 1
        return replace(one, steps=steps.astype(np.float16))

    numbers = {"a": range(8), "b": range(8, 24)}
    clips = [moved(c, n, k) for c, own in numbers.items() for n in own for k in LABELS]
    probe = fit(clips, [], 0.5, 0.0)
    found = {
        corpus: distances(
            probe,
            np.stack(
                [
                    statistics(moved(corpus, number, emotion), probe.mean, probe.deviation)
                    for number in (90, 91, 92)
                    for emotion in LABELS
                ]
            ),
        )
        for corpus in "abc"
    }
    assert probe.corpora.shape == (2, COMPONENTS)
    assert (found["a"].argmin(1) == 0).all() and (found["b"].argmin(1) == 1).all()
    near = np.concatenate((found["a"], found["b"])).min(1)
    assert found["c"].min(1).mean() > 1.5 * near.mean()
    own = np.stack([statistics(one, probe.mean, probe.deviation) for one in clips])
    assert distances(probe, own).min(1).mean() == pytest.approx(1, abs=0.2)


def test_an_encoder_that_is_trained_on_learns_and_one_that_is_not_stays() -> None:
    rng = np.random.default_rng(5)
    clips = []
    for place in range(24):
        emotion = LABELS[place % 4]
        mels = rng.standard_normal((120, 80)) / 4
        mels[:, 15 * (place % 4) : 15 * (place % 4) + 15] += 0.3
        clip = Clip(Path(), "a", f"a{place // 4}", emotion, "", "", "train")
        clips.append(Heard(mels.astype(np.float16), np.ones(60, bool), 0, clip))
    recipe = Recipe(epochs=1, batches=4, batch=8, tuning_batch=8, tuning_rate=1e-3)
    frozen, tuned = (
        train(clips, clips[:4], replace(recipe, tuning_batches=count)) for count in (0, 8)
    )
    before = encoder_weights()
    for name, value in frozen.encoder.weights().items():
        np.testing.assert_array_equal(value, before[name])
    moved = tuned.encoder.weights()
    parts = ("conv0.weight", "position", "0.query.weight", "1.shrink.bias")
    assert all((moved[name] != before[name]).any() for name in parts)

    def lost(trained: Trained) -> float:
        steps = encode_all(trained.encoder, clips)
        seen = windows([(one, 0, len(one.steps)) for one in steps])
        aims = torch.tensor([one.clip.label for one in clips])
        with torch.no_grad():
            logits = trained.head(*seen)[0]
        return float(torch.nn.functional.cross_entropy(logits, aims))

    assert lost(tuned) < lost(frozen)
    # The directions are those of the new encoder.
    rows = [
        statistics(one, tuned.probe.mean, tuned.probe.deviation)
        for one in encode_all(tuned.encoder, clips)
    ]
    places = np.stack(rows) @ tuned.probe.directions - tuned.probe.origin
    np.testing.assert_array_less(abs(places.mean(0)), 1e-4 * places.std(0))


def test_a_loss_that_is_not_finite_ends_training() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    schedule = _Schedule(torch.optim.SGD([weight]), 2, warm=1)
    schedule.step(weight.sum(), [weight])
    with pytest.raises(CorpusError, match="loss of batch 2 is nan"):
        schedule.step(weight.sum() * torch.nan, [weight])


def test_layers_are_compared_on_corpora_left_out() -> None:
    numbers = {"a": range(6), "b": range(6, 12)}
    clips = [
        voice(number, emotion, corpus, 60)
        for corpus, own in numbers.items()
        for number in own
        for emotion in LABELS
    ]
    head, _, *rows = layers.table(clips)
    assert head == "| a probe on | a | b | mean |"
    found = {name: float(mean) for _, name, *_, mean, _ in (row.split("|") for row in rows)}
    # What tells the emotions of `voice` apart lies in the first layer's values alone.
    assert list(found) == [" first layer ", " second layer ", " both "]
    assert found[" first layer "] > 0.9 and found[" both "] > 0.9
    assert found[" second layer "] < 0.5


def test_context_is_the_statistics_in_the_probes_directions(
    probe: Probe, encoder: Encoder, file: Path, speech: np.ndarray
) -> None:
    recognizer = Recognizer(file)
    kept = []
    push = recognizer._network.push
    recognizer._network.push = lambda new: (kept.append(new), push(new))[0]  # type: ignore
    recognizer.push(speech[: 5 * 16000])
    features = np.concatenate(kept)
    encodings, spoken = encode(encoder, features[:, 120:200]), features[::2, 200]
    end = block_ends(0, len(encodings))[-1]
    pooled = pooling(encodings[end - 150 : end], spoken[end - 150 : end], probe)
    expected = pooled @ probe.directions - probe.origin
    np.testing.assert_allclose(recognizer._network.context, expected, atol=1e-3)
    related = pooled @ probe.relative + probe.relative_bias
    assert recognizer._network.relative is not None
    np.testing.assert_allclose(recognizer._network.relative, related, atol=1e-3)
    nearest = distances(probe, pooled[None]).min()
    np.testing.assert_allclose(recognizer._network.distance, nearest, rtol=1e-3)


def test_statistics_of_a_clip_are_those_of_its_windows_weighted_by_speech() -> None:
    mean, deviation = np.full(768, 0.5, np.float32), np.full(768, 2, np.float32)
    probe = Probe(mean, deviation, *[np.zeros(0, np.float32)] * 10)
    one = voice(1, "sad", count=400)
    weights, windows, before = [], [], 0
    for end in [*block_ends(0, 400), 400]:
        low = max(0, end - 150)
        windows.append(pooling(one.steps[low:end].astype(np.float32), one.spoken[low:end], probe))
        weights.append(one.spoken[before:end].sum() + 1e-3)
        before = end
    expected = np.average(windows, 0, weights)
    np.testing.assert_allclose(statistics(one, mean, deviation), expected, atol=2e-3)


@pytest.mark.slow
def test_a_probe_knows_unseen_voices_and_leaves_a_missing_class_to_others() -> None:
    drawn = [(n, k) for n in range(4) for k in (0, 1)]
    clips = [voice(n, emotion, take=k) for n, k in drawn for emotion in LABELS]
    without = [voice(n, emotion, "b", take=k) for n, k in drawn for emotion in LABELS[:3]]
    probe = fit([*clips, *without], clips[:8], 0.5, 0.3)
    tried = [voice(n, emotion, "c") for n in (8, 9) for emotion in LABELS]
    rows = np.stack([statistics(one, probe.mean, probe.deviation) for one in tried])
    assert (probe.logits(rows).argmax(1) == [one.clip.label for one in tried]).all()
    # Four emotions differ in three directions; which the others are, another processor may say.
    places = (rows @ probe.directions - probe.origin)[:, :3]
    same = np.linalg.norm(places[:4] - places[4:], axis=1)  # two voices, one emotion
    other = np.linalg.norm(places[:4] - np.roll(places[4:], 1, axis=0), axis=1)
    assert (same < other).all()


def test_the_relative_classifier_knows_a_voice_by_what_differs_from_its_mean() -> None:
    def moved(number: int, emotion: str, take: int = 0) -> Encoded:
        """A voice that sounds sad in everything."""
        one = voice(number, emotion, take=take)
        steps = one.steps.astype(np.float32)
        steps[:, 30:40] += 2 + number % 3
        return replace(one, steps=steps.astype(np.float16))

    drawn = [(n, k) for n in range(4) for k in (0, 1)]
    clips = [voice(n, emotion, take=k) for n, k in drawn for emotion in LABELS]
    probe = fit(clips, [], 0.5, 0.3)
    again = with_voices(replace(probe, relative=0 * probe.relative), clips, 0.5)
    np.testing.assert_allclose(again.relative, probe.relative, atol=1e-6)
    np.testing.assert_allclose(again.relative_bias, probe.relative_bias, atol=1e-4)
    tried = [moved(n, emotion, take) for n in (8, 9) for take in (0, 1) for emotion in LABELS]
    truth = np.array([one.clip.label for one in tried])
    rows = np.stack([statistics(one, probe.mean, probe.deviation) for one in tried])
    assert (probe.logits(rows).argmax(1) == LABELS.index("sad")).all()
    logits = rows @ probe.relative + probe.relative_bias
    logits[:8] -= logits[:8].mean(0)
    logits[8:] -= logits[8:].mean(0)
    assert np.mean(logits.argmax(1) == truth) > 0.8


def test_a_class_that_a_corpus_lacks_costs_nothing() -> None:
    logits = torch.tensor([[1.0, 0, 0, 9]])
    there = torch.tensor([[True, True, True, False]])
    lost = cross_entropy(logits, torch.tensor([[1.0, 0, 0, 0]]), there)
    assert float(lost[0]) == pytest.approx(float(-torch.log_softmax(logits[:, :3], 1)[0, 0]))


def test_live_is_replay_however_samples_are_cut(file: Path, speech: np.ndarray) -> None:
    samples = speech[: 4 * 16000 + 777]
    whole = Recognizer(file)
    expected = whole.push(samples) + whole.finish()
    cut, found = Recognizer(file), []
    for piece in np.split(samples, [1, 4000, 4001, 17_123, 40_000]):
        found += cut.push(piece)
        other = Recognizer(file)
        other.restore(cut.state())
        cut = other
    assert found + cut.finish() == expected


def test_encodings_do_not_depend_on_the_hop(file: Path, speech: np.ndarray) -> None:
    by_time: dict[float, list[Float32]] = {}
    for hop in (0.25, 0.1, 0.5, 1.0):
        for reading in Recognizer(file, hop=hop).push(speech[: 5 * 16000]):
            at = by_time.setdefault(round(reading.end * 4, 3), [])
            at.append(reading.attention)
    for time, found in by_time.items():
        for attention in found:
            if time == int(time):
                np.testing.assert_array_equal(attention, found[0])


def test_voices_that_share_a_call_read_what_each_reads_alone(
    file: Path, speech: np.ndarray
) -> None:
    chunks = [speech[start : start + 3 * 16000] for start in (0, 50_000, 90_000)]
    alone = [Recognizer(file).push(chunk) for chunk in chunks]
    assert push_all([Recognizer(file) for _ in chunks], chunks) == alone


def test_a_file_from_elsewhere_may_have_an_encoder(file: Path) -> None:
    foreign_model(file.read_bytes(), "a file")
    bands = FrontEndSettings().bands
    assert load_model(file).frame_shape == (3 * bands + EncoderSettings().bands + 1,)


def test_the_papers_network_beside_it_says_the_mean_of_both(
    file: Path, tiny: Path, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tmp_path / "both.onnx"
    command = ["beside", str(file), str(tiny), "--share", "0.25"]
    command += ["--output", str(both)]
    monkeypatch.setattr("sys.argv", command)
    beside.main()
    whole, own, paper = map(load_model, (both, file, tiny))
    foreign_model(both.read_bytes(), "a file")
    assert whole.context_size == own.context_size + paper.context_size
    features = np.random.default_rng(0).standard_normal((1, 26, 201)).astype(np.float32)
    memories = [model.memory() for model in (whole, own, paper)]
    for _ in range(2):
        given = [features, features, features[..., :120].reshape(1, 26, 40, 3)]
        said = [
            model.run(part, memory)
            for model, part, memory in zip((whole, own, paper), given, memories, strict=True)
        ]
        memories = [
            {name: one[f"new_{name}"] for name in memory}
            for one, memory in zip(said, memories, strict=True)
        ]
    mean = 0.75 * said[1]["logits"] + 0.25 * said[2]["logits"]
    np.testing.assert_allclose(said[0]["logits"], mean, atol=1e-4)
    attention = (said[1]["attention"] + said[2]["attention"]) / 2
    np.testing.assert_allclose(said[0]["attention"], attention, atol=1e-5)
    context = np.concatenate((said[2]["context"], said[1]["context"]), axis=1)
    np.testing.assert_allclose(said[0]["context"], context, atol=1e-4)
    np.testing.assert_allclose(said[0]["relative"], said[1]["relative"], atol=1e-4)
    np.testing.assert_allclose(said[0]["distances"], said[1]["distances"], rtol=1e-4)
    samples = speech[: 3 * 16000]
    cut, found = Recognizer(both), []
    for piece in np.split(samples, [777, 20_000]):
        found += cut.push(piece)
    assert found == Recognizer(both).push(samples)


def test_only_a_network_on_log_mels_goes_beside_one_on_an_encoder(
    file: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = ["--output", str(tmp_path / "both.onnx")]
    for pair in ((file, file), (tiny, tiny), (tiny, file)):
        monkeypatch.setattr("sys.argv", ["beside", *map(str, pair), *output])
        with pytest.raises(SystemExit, match="must have a pretrained encoder"):
            beside.main()
    assert not (tmp_path / "both.onnx").exists()


@pytest.mark.slow
def test_the_command_trains_and_leaves_a_corpus_out(
    speech: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_two_corpora(tmp_path, speech)
    recipe = Recipe(epochs=1, batches=2, batch=4, tuning_batches=2, tuning_batch=4)
    monkeypatch.setattr(train_pretrained, "Recipe", lambda **changes: replace(recipe, **changes))
    command = ["train", "--corpora", str(tmp_path), "--cache", str(tmp_path / "cache")]
    command += ["--epochs", "1", "--tuning-batches", "2", "--threads", "1"]
    monkeypatch.setattr("sys.argv", [*command, "--output", str(tmp_path / "all.onnx")])
    train_pretrained.main()
    info = load_model(tmp_path / "all.onnx").info
    assert (info.name, info.licence, info.encoder) == ("all", "CC0-1.0", EncoderSettings())
    assert "Whisper tiny (MIT)" in info.training_data
    cached = sorted((tmp_path / "cache").iterdir())
    made = [file.stat().st_mtime_ns for file in cached]
    monkeypatch.setattr("sys.argv", [*command, "--left-out", str(tmp_path), "--only", "c"])
    with pytest.raises(SystemExit, match="No corpus is c; there are a, b"):
        train_pretrained.main()
    assert not (tmp_path / "c").exists()
    monkeypatch.setattr("sys.argv", [*command, "--left-out", str(tmp_path), "--only", "b"])
    train_pretrained.main()
    assert "without b: UAR 0." in capsys.readouterr().out
    assert load_model(tmp_path / "b" / "b.onnx").info.training_data.startswith("a (train split)")
    assert [file.stat().st_mtime_ns for file in cached] == made
    some = ["--train-on", "a", "--output", str(tmp_path / "some.onnx")]
    monkeypatch.setattr("sys.argv", [*command, *some])
    train_pretrained.main()
    assert load_model(tmp_path / "some.onnx").info.training_data.startswith("a (train split)")
    monkeypatch.setattr("sys.argv", [*command, "--train-on", "a", "c"])
    with pytest.raises(SystemExit, match="No corpus is c; there are a, b"):
        train_pretrained.main()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--only", "a"], "give --left-out too"),
        (["--left-out", "runs/none", "--output", "runs/none.onnx"], "give it or --output"),
        (["--epochs", "0"], "whole number above 0"),
        (["--tuning-batches", "-1"], "whole number, 0 or more"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    options: list[str], why: str, refusal: Refusal
) -> None:
    assert why in refusal(train_pretrained.main, *options)


def test_what_lies_between_a_voice_and_us_keeps_its_length(speech: np.ndarray) -> None:
    clip = speech[:20_000]
    for change in (augment.hum, augment.offset, augment.codec):
        for seed in range(6):
            altered = change(clip, np.random.default_rng(seed))
            assert (altered.shape, altered.dtype) == (clip.shape, np.float32)
    line = augment.mu_law(clip)
    assert 0.9 < np.corrcoef(line[1000:], clip[1000:])[0, 1] < 0.9999
