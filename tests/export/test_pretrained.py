"""A network with a pretrained encoder: its stream, its graph and its training module agree."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile as sf
import torch

from export import beside, train_pretrained
from export.corpora import augment
from export.corpora.clips import Clip
from export.features.encoder import LAYERS, VALUES, encode
from export.features.steps import Encoded
from export.networks.head import Head
from export.networks.pretrained_graph import LEAST_VARIANCE, UNSPOKEN, HeadWidths, build_pretrained
from export.train_pretrained import joined
from export.training.probe import DIRECTIONS, Probe, fit, statistics
from export.training.targets import cross_entropy
from livesr import Recognizer, push_all
from livesr.arrays import Array, Float32
from livesr.model.load import foreign_model, load_model
from livesr.model.metadata import LABELS
from livesr.settings import DecisionSettings, EncoderSettings, FrontEndSettings
from livesr.stages.model_stream import block_ends
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
    )


@pytest.fixture(scope="module")
def file(head: Head, probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "pretrained.onnx"
    decision = DecisionSettings(half_evidence_seconds=0)
    info = tiny_info(temperature=1.0, encoder=EncoderSettings(), decision=decision)
    onnx.save(build_pretrained(WIDTHS, joined(head, probe, 0.3), info), path)
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


def test_the_graph_streams_what_the_training_module_computes(
    head: Head, probe: Probe, file: Path, speech: np.ndarray
) -> None:
    recognizer = Recognizer(file)
    kept = []
    push = recognizer._network.push
    recognizer._network.push = lambda new: (kept.append(new), push(new))[0]  # type: ignore
    readings = recognizer.push(speech[: 5 * 16000])
    features = np.concatenate(kept)
    encodings = encode(features[:, 120:200])
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


def test_context_is_the_statistics_in_the_probes_directions(
    probe: Probe, file: Path, speech: np.ndarray
) -> None:
    recognizer = Recognizer(file)
    kept = []
    push = recognizer._network.push
    recognizer._network.push = lambda new: (kept.append(new), push(new))[0]  # type: ignore
    recognizer.push(speech[: 5 * 16000])
    features = np.concatenate(kept)
    encodings, spoken = encode(features[:, 120:200]), features[::2, 200]
    end = block_ends(0, len(encodings))[-1]
    pooled = pooling(encodings[end - 150 : end], spoken[end - 150 : end], probe)
    expected = pooled @ probe.directions - probe.centre
    np.testing.assert_allclose(recognizer._network.context, expected, atol=1e-3)


def test_statistics_of_a_clip_are_those_of_its_windows_weighted_by_speech() -> None:
    mean, deviation = np.full(768, 0.5, np.float32), np.full(768, 2, np.float32)
    probe = Probe(mean, deviation, *[np.zeros(0, np.float32)] * 4)
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
    places = rows @ probe.directions - probe.centre
    same = np.linalg.norm(places[:4] - places[4:], axis=1)  # two voices, one emotion
    other = np.linalg.norm(places[:4] - np.roll(places[4:], 1, axis=0), axis=1)
    assert (same < other).all()


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
    samples = speech[: 3 * 16000]
    cut, found = Recognizer(both), []
    for piece in np.split(samples, [777, 20_000]):
        found += cut.push(piece)
    assert found == Recognizer(both).push(samples)


@pytest.mark.slow
def test_the_command_trains_and_leaves_a_corpus_out(
    speech: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = ["path,corpus,speaker,emotion,text_id,licence,split"]
    for place in range(8):
        corpus, emotion = "ab"[place % 2], LABELS[place // 2]
        sf.write(tmp_path / f"{place}.wav", speech[place * 30_000 :][:24_000], 16000)
        rows.append(f"{place}.wav,{corpus},{corpus}{place},{emotion},t,CC0-1.0,train")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    recipe = train_pretrained.Recipe(epochs=1, batches=2, batch=4)
    monkeypatch.setattr(train_pretrained, "Recipe", lambda **changes: replace(recipe, **changes))
    command = ["train", "--corpora", str(tmp_path), "--cache", str(tmp_path / "cache")]
    command += ["--epochs", "1", "--threads", "1"]
    monkeypatch.setattr("sys.argv", [*command, "--output", str(tmp_path / "all.onnx")])
    train_pretrained.main()
    info = load_model(tmp_path / "all.onnx").info
    assert (info.name, info.licence, info.encoder) == ("all", "CC0-1.0", EncoderSettings())
    assert "Whisper tiny (MIT)" in info.training_data
    cached = sorted((tmp_path / "cache").iterdir())
    made = [file.stat().st_mtime_ns for file in cached]
    monkeypatch.setattr("sys.argv", [*command, "--left-out", str(tmp_path), "--only", "b"])
    train_pretrained.main()
    assert "without b: UAR 0." in capsys.readouterr().out
    assert load_model(tmp_path / "b" / "b.onnx").info.training_data.startswith("a (train split)")
    assert [file.stat().st_mtime_ns for file in cached] == made


def test_what_lies_between_a_voice_and_us_keeps_its_length(speech: np.ndarray) -> None:
    clip = speech[:20_000]
    for change in (augment.hum, augment.offset, augment.codec):
        for seed in range(6):
            altered = change(clip, np.random.default_rng(seed))
            assert (altered.shape, altered.dtype) == (clip.shape, np.float32)
    line = augment.mu_law(clip)
    assert 0.9 < np.corrcoef(line[1000:], clip[1000:])[0, 1] < 0.9999
