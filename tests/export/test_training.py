"""Training: corpora to a graph that livesr loads."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile as sf
import torch

from export import train
from export.corpora.clips import RATE, UNLABELLED, Clip, CorpusError, read_clips
from export.corpora.licences import licence as strictest
from export.evaluation.metrics import calibration_error, confusion, uar
from export.features import teacher
from export.features.encoder import encoder_weights
from export.features.scenes import (
    BABBLE,
    SceneFeatures,
    backgrounds,
    scene,
    sequences,
    stream_features,
    with_deltas,
)
from export.features.teacher import VALUES, taught
from export.networks.acrnn import ACRNN, CONTEXT_FRAMES
from export.networks.graph import build
from export.networks.sizes import NETWORKS, Widths
from export.silero import BLOCK, CONTEXT, published
from export.training.batches import (
    Scenes,
    aims,
    batches,
    draw,
    lesson,
    mix_styles,
    prepare,
    window,
)
from export.training.config import Config, ConfigError, read_config
from export.training.trainer import Run
from livesr import Recognizer
from livesr.model.load import load_model
from livesr.model.metadata import LABELS
from livesr.model.runtime import open_session
from livesr.settings import DecisionSettings
from livesr.stages.vad import VoiceActivity
from tests.helpers.corpora import Cut, save_corpus
from tests.helpers.tiny import TINY, tiny_info


def tiny(name: str) -> Widths:
    """A network as it is compared, but for its sizes."""
    sizes = {field: getattr(TINY, field) for field in ("maps", "linear", "dense")}
    cells = TINY.cells if NETWORKS[name].cells else 0
    return replace(NETWORKS[name], **sizes, cells=cells)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> ACRNN:
    torch.manual_seed(0)
    network = ACRNN(tiny(request.param))
    for norm in (*network.norms, network.linear_norm, network.dense_norm):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2)
    return network.eval()


def test_torch_offline_the_stream_and_a_batch_agree(
    network: ACRNN, speech: np.ndarray, tmp_path: Path
) -> None:
    """A whole recording encoded at once in torch, against hop by hop through Recognizer."""
    info = tiny_info(
        temperature=1.0, decision=DecisionSettings(adaptation=0.0, half_evidence_seconds=0.0)
    )
    path = tmp_path / "network.onnx"
    onnx.save(build(network.widths, network.weights(), info), path)
    samples = speech[:112_000]
    readings = Recognizer(path).push(samples)
    levels, _ = stream_features(samples)
    features = torch.from_numpy(with_deltas(levels, info.mean, info.deviation))[None]
    with torch.no_grad():
        encodings = network.encode(features, torch.ones(1, features.shape[1]))
        for reading in readings[4:]:
            steps = round(reading.attention_times[-1] * 50 + 0.125)
            first = max(0, steps - network.widths.steps)
            window_ = torch.zeros(1, network.widths.steps, network.widths.linear)
            valid = torch.zeros(1, network.widths.steps)
            window_[:, network.widths.steps - (steps - first) :] = encodings[:, first:steps]
            valid[:, network.widths.steps - (steps - first) :] = 1
            logits, attention, _ = network.attend(window_, valid)
            expected = torch.softmax(logits, 1)[0].numpy()
            np.testing.assert_allclose(list(reading.probabilities.values()), expected, atol=1e-4)
            np.testing.assert_allclose(
                reading.attention, attention[0, -(steps - first) :].numpy(), atol=1e-4
            )


def test_a_training_window_is_what_the_stream_sees(network: ACRNN) -> None:
    features = np.random.default_rng(0).standard_normal((700, 40, 3)).astype(np.float32)
    session = open_session(
        build(network.widths, network.weights(), tiny_info(temperature=1.0)).SerializeToString()
    )
    state = {
        node.name: np.zeros((1, *node.shape[1:]), np.float32)
        for node in session.get_inputs()
        if node.name != "features"
    }
    names = [node.name for node in session.get_outputs()]
    for end in range(50, 701, 50):
        feed = {"features": features[None, end - 50 : end], **state}
        outputs = dict(zip(names, session.run(names, feed), strict=True))
        state = {name: outputs[f"new_{name}"] for name in state}
        parts = window(features, max(0, end - 300), end, network.widths.steps)
        with torch.no_grad():
            logits, attention, hidden = network(*(torch.from_numpy(part)[None] for part in parts))
        context = torch.einsum("bs,bsh->bh", attention, hidden)  # eq. (5)
        np.testing.assert_allclose(logits.numpy(), outputs["logits"], atol=1e-4)
        np.testing.assert_allclose(attention.numpy(), outputs["attention"], atol=1e-4)
        np.testing.assert_allclose(context.numpy(), outputs["context"], atol=1e-4)


def test_our_voice_graph_is_the_published_one(speech: np.ndarray) -> None:
    session = open_session(published().read_bytes())
    memory = np.zeros((2, 1, 128), np.float32)
    padded = np.concatenate((np.zeros(CONTEXT, np.float32), speech[:80_000]))
    expected = []
    for start in range(0, len(padded) - CONTEXT - BLOCK + 1, BLOCK):
        block = padded[None, start : start + CONTEXT + BLOCK]
        rate = np.array(16000, np.int64)
        output, memory = session.run(None, {"input": block, "state": memory, "sr": rate})
        expected.append(output[0, 0])
    voice = VoiceActivity()
    found = np.concatenate([voice.push(speech[s : s + 4000]) for s in range(0, 80_000, 4000)])
    assert max(expected) > 0.9
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture
def corpus(tmp_path: Path, speech: np.ndarray) -> Path:
    """A tiny corpus in the layout of the real one: 4 speakers, 4 emotions."""
    splits = ("train", "train", "dev", "test")
    cuts = (Cut(n * 20_000, "made", f"s{n // 4}", LABELS[n % 4], splits[n // 4]) for n in range(16))
    return save_corpus(tmp_path, speech, cuts, 30_000)


def test_corpora_that_cannot_be_used(corpus: Path, tmp_path: Path) -> None:
    assert len(read_clips(corpus)) == 16
    table = corpus / "clips.csv"
    good = table.read_text()
    for old, new, message in (
        (",s0,F,angry", ",s0,F,furious", "emotion 'furious'"),
        ("CC0-1.0,dev", "CC0-1.0,train2", "split 'train2'"),
        ("s3,M", "s2,M", "speaker s2 is in two splits"),
        ("15.flac", "no.flac", "missing"),
        ("emotion,", "feeling,", "needs the columns"),
    ):
        table.write_text(good.replace(old, new, 1))
        with pytest.raises(CorpusError, match=message):
            read_clips(corpus)
    with pytest.raises(CorpusError, match=r"clips\.csv is missing"):
        read_clips(tmp_path / "nowhere")
    broken = tmp_path / "broken.flac"
    broken.write_text("x")
    with pytest.raises(CorpusError, match="cannot be decoded"):
        Clip(broken, "c", "s", "sad", "t", "CC0-1.0", "train").samples()


@pytest.mark.slow
def test_a_run_learns_resumes_and_refuses_another_config(corpus: Path, tmp_path: Path) -> None:
    clips = [clip for clip in read_clips(corpus) if clip.split == "train"]
    items = sequences(clips, None, tmp_path / "cache", workers=1)
    again = sequences(clips, None, tmp_path / "cache", workers=1)
    np.testing.assert_array_equal(items[3].levels, again[3].levels)
    # A teacher of whom there is something to learn: how loud it is.
    items = [replace(h, taught=np.repeat(h.levels[::2, :1], VALUES, axis=1)) for h in items]
    data = prepare(items, np.full(40, -4.0), np.full(40, 2.0))
    babble = prepare(
        backgrounds(clips, 1, tmp_path / "cache", workers=1), np.full(40, -4.0), np.full(40, 2.0)
    )
    config = Config(epochs=8, batch=4, learning_rate=5e-3, background=0.2, unlabelled=0.5)
    folder = tmp_path / "run"
    first = Run(config, folder)
    first.config = replace(config, epochs=1)
    first.train([data], babble, [], data)
    first.config = config
    first.save()
    resumed = Run(config, folder)
    assert resumed.epoch == 1
    resumed.train([data], babble, [data], data)
    assert (resumed.epoch, len(resumed.log)) == (8, 8)
    assert set(resumed.log[-1]) >= {"loss", "made", "mean"}
    unlike = [row["unlike the teacher"] for row in resumed.log]
    assert unlike[-1] < 0.7 * unlike[0]
    early = json.loads(config.to_json())
    del early["styles"]  # as it was before there were any
    assert config.wrote(json.dumps(early))
    assert not config.wrote(json.dumps(early | {"retired": 1}))
    with pytest.raises(ConfigError, match="another config"):
        Run(Config(epochs=5), folder)


def made_up(level: float = 0.0) -> Scenes:
    """Noise in four labels, a second each."""
    rng = np.random.default_rng(0)
    clips = [
        SceneFeatures(
            rng.normal(level, 1, (100, 40)).astype(np.float16),
            np.ones(100, np.bool_),
            np.zeros((0, VALUES), np.float16),
            0,
            label,
            "made",
            "s",
        )
        for label in range(4)
    ]
    return prepare(clips, np.zeros(40), np.ones(40))


PLAIN = Config(network="cnn1d-lstm", epochs=2, batch=2, teach=0, background=0)


def test_a_run_goes_on_only_with_its_own_clips(tmp_path: Path) -> None:
    Run(PLAIN, tmp_path).save()  # as before a checkpoint named its clips
    Run(PLAIN, tmp_path, "these").save()
    assert Run(PLAIN, tmp_path, "these").data == "these"
    Run(PLAIN, tmp_path)  # before the corpora are read
    with pytest.raises(ConfigError, match=r"checkpoint\.pt was made with other clips; remove"):
        Run(PLAIN, tmp_path, "others")


def test_a_broken_run_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, save = made_up(), Run.save

    def weights(run: Run) -> Any:
        run.train([data], data, [], data)
        return run.network.output.weight.detach().numpy()

    def save_and_break(run: Run) -> None:
        save(run)
        raise KeyboardInterrupt

    expected = weights(Run(PLAIN, tmp_path / "whole"))
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(Run, "save", save_and_break)
        weights(Run(PLAIN, tmp_path / "broken"))
    np.testing.assert_array_equal(weights(Run(PLAIN, tmp_path / "broken")), expected)


def test_a_loss_that_is_not_finite_ends_a_run(tmp_path: Path) -> None:
    data = made_up(np.nan)
    with pytest.raises(ConfigError, match="loss of epoch 1 is nan"):
        Run(PLAIN, tmp_path).train([data], data, [], data)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("epochs", 0, "epochs is 0: give a whole number from 1"),
        ("epochs", "2", 'epochs is "2": give a whole number'),
        ("epochs", True, "epochs is true"),
        ("batch", 1, "batch is 1: give a whole number from 2"),
        ("seed", -1, "seed is -1: give a whole number from 0"),
        ("seed", 1.5, r"seed is 1\.5"),
        ("votes", 7, "votes is 7: give a number from 0 to 1"),
        ("dropout", None, "dropout is null"),
        ("learning_rate", float("nan"), "learning_rate is NaN"),
        ("shortest_frames", 300, "shortest_frames is 300"),
        ("corpora", "emodb", 'corpora is "emodb": give a list of texts'),
        ("labels", [1, 2], r"labels is \[1, 2\]"),
        ("network", ["acrnn"], "give a text"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, setting: str, value: Any, told: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({setting: value}))
    with pytest.raises(ConfigError, match=told):
        read_config(file)


def test_the_configs_that_ship_can_be_used() -> None:
    files = list((Path(train.__file__).parent / "configs").glob("*.json"))
    assert sorted(file.stem for file in files) == [
        "acrnn",
        "acrnn-compact",
        "comparison",
        "emodb",
        "emodb7",
        "iemocap",
        "open",
        "others",
    ]
    for file in files:
        written = json.loads(file.read_text())
        found = json.loads(read_config(file).to_json())
        assert {name: found[name] for name in written} == written


def test_dev_is_trained_on_only_if_a_config_asks_for_it(corpus: Path) -> None:
    clips = read_clips(corpus)
    every = [replace(clip, split=("train", "dev", "test")[i % 3]) for i, clip in enumerate(clips)]

    def splits(*of: str) -> list[set[str]]:
        config = Config(corpora=("made",), splits=of, batch=4)
        return [{clip.split for clip in part} for part in train.chosen(every, config)]

    assert splits("train") == [{"train"}, {"dev"}, {"test"}]
    assert splits("train", "dev") == [{"train", "dev"}, set(), {"test"}]
    with pytest.raises(CorpusError, match="No dev clips of made; see the column split"):
        train.chosen([clip for clip in every if clip.split != "dev"], Config(corpora=("made",)))
    with pytest.raises(CorpusError, match="6 clips of made to train on do not fill a batch of 32"):
        train.chosen(every, Config(corpora=("made",)))
    for wrong in (("train", "test"), ("dev",)):
        with pytest.raises(ConfigError, match="train, or train and dev"):
            Config(splits=wrong)


def test_windows_stay_inside_their_label(corpus: Path, tmp_path: Path) -> None:
    clips = [clip for clip in read_clips(corpus) if clip.split == "train"]
    rng = np.random.default_rng(0)
    for item in sequences(clips, 3, tmp_path / "cache", workers=1):
        for _ in range(20):
            start, end = draw(item, Config(), 150, rng)
            assert item.first <= start < end <= len(item.speech)
            assert end - start <= 300
            assert start % 2 == end % 2 == 0


def test_scenes_hold_their_clip(corpus: Path) -> None:
    clips = read_clips(corpus)
    for seed in range(8):
        clear, samples, first = scene(clips[0], clips[1:4], clips[4:], np.random.default_rng(seed))
        assert 0 <= first < len(samples) == len(clear)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1


def test_a_lesson_stands_beside_its_window() -> None:
    values = np.arange(80).astype(np.float16)  # of every fifth step
    taught: Any = np.repeat(values[:, None], VALUES, 1)
    for end in (40, 300, 302, 804):
        lessons, known = lesson(taught, end, 150)
        there = min(end // 2, 150)
        assert known.sum() == known[150 - there :].sum() == there
        steps = np.arange(end // 2 - there, end // 2)
        np.testing.assert_array_equal(lessons[150 - there :, 0], np.minimum(steps // 5, 79))
    assert not lesson(taught[:0], 300, 150)[1].any()


@pytest.mark.skipif(find_spec("pipecat") is None, reason="make teacher")
def test_the_teacher_takes_long_sounds_in_parts(speech: np.ndarray) -> None:
    sound = np.resize(speech, 20 * RATE)
    whole, end = taught(sound), taught(sound[-8 * RATE :])
    assert whole.shape == (1000, VALUES)
    np.testing.assert_array_equal(whole[-300:], end[-300:])
    assert taught(sound[:319]).shape == (0, VALUES)
    # One 20-ms step of the teacher's is the one step of the network's that holds the same sound.
    click = np.zeros(2 * RATE, np.float32)
    click[RATE : RATE + 160] = 0.5
    moved = np.abs(np.diff(taught(click).astype(np.float32), axis=0)).sum(1)
    assert abs(int(moved.argmax()) - 49) <= 2


def test_without_a_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "distribution", distribution_of_nothing)
    teacher._teacher.cache_clear()
    with pytest.raises(CorpusError, match="make teacher"):
        taught(np.zeros(RATE, np.float32))


def test_another_release_of_the_teacher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "distribution", lambda _: SimpleNamespace(version="0.0.1"))
    teacher._teacher.cache_clear()
    encoder_weights.cache_clear()
    for read in (lambda: taught(np.zeros(RATE, np.float32)), encoder_weights):
        with pytest.raises(CorpusError, match=r"pipecat-ai 0\.0\.1 is installed"):
            read()


def distribution_of_nothing(name: str) -> None:
    raise PackageNotFoundError(name)


def test_figures() -> None:
    table = confusion([0, 0, 0, 1], [0, 0, 1, 1])
    assert uar(table) == pytest.approx((2 / 3 + 1) / 2)
    sure = np.array([[0.9, 0.1, 0, 0]] * 10)
    assert calibration_error(sure, [0] * 9 + [1]) == pytest.approx(0, abs=1e-9)
    assert calibration_error(sure, [1] * 10) == pytest.approx(0.9)
    assert CONTEXT_FRAMES == 2 * (4 + 4) + 4


def test_babble_has_no_emotion(corpus: Path, tmp_path: Path) -> None:
    items = backgrounds(read_clips(corpus), 1, tmp_path / "cache", workers=1)
    assert {item.label for item in items} == {BABBLE}
    wanted = aims([2, BABBLE, UNLABELLED])
    np.testing.assert_array_equal(wanted, [[0, 0, 1, 0], [0.25] * 4, [0] * 4])


def test_batches_bring_unlabelled_clips(corpus: Path, tmp_path: Path) -> None:
    clips = [clip for clip in read_clips(corpus) if clip.split == "train"]
    strange = [replace(clip, corpus="strange", emotion="") for clip in clips]
    cache, flat = tmp_path / "cache", (np.full(40, -4.0), np.full(40, 2.0))
    known, others = (prepare(sequences(c, None, cache, 1), *flat) for c in (clips, strange))
    config = Config(batch=4, unlabelled=0.5, background=0)
    for more, rows in (([others], 6), ([], 4)):
        *_, targets = next(batches([known], known, more, config, 150, np.random.default_rng(0)))
        assert targets.sum(1).tolist() == [1] * 4 + [0] * (rows - 4)


def test_styles_are_mixed_and_what_is_said_stays() -> None:
    rng = np.random.default_rng(0)
    level, spread = np.repeat([[3, 2], [-1, 0.5]], 8, axis=0).T[..., None, None, None]
    seen = torch.from_numpy(rng.normal(level, spread, (16, 300, 40, 3)).astype(np.float32))
    exists = torch.ones(16, 300)
    exists[:, :20] = 0
    seen[:, :20] = 0
    torch.testing.assert_close(mix_styles(seen, exists, 0, rng), seen, atol=1e-4, rtol=1e-4)
    assert mix_styles(seen, torch.zeros(16, 300), 1, rng).isfinite().all()
    mixed = mix_styles(seen, exists, 1, rng)
    assert not mixed[:, :20].any()
    means = mixed[:, 20:].mean((1, 2, 3))
    assert ((means > -1.1) & (means < 3.1)).all()
    assert (means - seen[:, 20:].mean((1, 2, 3))).abs().max() > 0.5
    for before, after in zip(seen[:, 20:], mixed[:, 20:], strict=True):
        together = np.corrcoef(before[:, 7, 0], after[:, 7, 0])[0, 1]
        assert together == pytest.approx(1, abs=1e-3)


def test_weights_carry_the_strictest_licence_of_their_clips(corpus: Path) -> None:
    clip = read_clips(corpus)[0]

    def of(*licences: str) -> str:
        return strictest([replace(clip, licence=licence) for licence in licences])

    assert of("CC0-1.0", "ODbL-1.0 + DbCL-1.0") == "ODbL-1.0 + DbCL-1.0"
    assert of("CC0-1.0", "ODbL-1.0 + DbCL-1.0", "CC-BY-4.0") == "CC-BY-4.0"
    assert of("CC-BY-NC-SA-4.0", "CC-BY-4.0") == "CC-BY-NC-SA-4.0"
    assert of("CC0-1.0", "CC-BY-4.0") == "CC-BY-4.0"
    assert of("CC-BY-4.0", "CC-BY-NC-SA-4.0", "ODbL-1.0") == "CC-BY-NC-SA-4.0"
    with pytest.raises(CorpusError, match="Unknown licence"):
        of("mine")
    with pytest.raises(CorpusError, match=r"Unknown licence 'CC-BY-NC-4\.0'"):
        of("CC0-1.0", "CC-BY-NC-4.0")


def test_unlabelled_speech_is_given_where_the_config_wants_some(tmp_path: Path) -> None:
    table = tmp_path / "unlabelled.csv"
    table.write_text("path,corpus,speaker,licence\na.wav,cv,p1,CC0-1.0\n")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match=r"a\.wav"):
        train.unlabelled_clips(Config(unlabelled=0.5), tmp_path)
    sf.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    (clip,) = train.unlabelled_clips(Config(unlabelled=0.5), tmp_path)
    assert clip.label == UNLABELLED
    for share, given in ((0.5, None), (0.0, tmp_path)):
        with pytest.raises(ConfigError, match="--unlabelled"):
            train.unlabelled_clips(Config(unlabelled=share), given)
    with pytest.raises(ConfigError, match="set teach"):
        Config(unlabelled=0.5, teach=0)


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json cannot be read: No such file .*check the"):
        read_config(tmp_path / "none.json")


@pytest.mark.slow
def test_the_command_trains_exports_and_leaves_out(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train, "ROOT", tmp_path)
    settings = {"network": "cnn1d-lstm", "corpora": ["made"], "batch": 4, "epochs": 1, "scenes": 0}
    settings["teach"] = 0  # which `make teacher` installs
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings))
    arguments = ["train", "--corpora", str(corpus), "--config", str(config), "--name", "try"]
    arguments += ["--cache", str(tmp_path / "cache"), "--threads", "1"]

    def run(*more: str) -> str:
        monkeypatch.setattr("sys.argv", [*arguments, *more])
        train.main()
        return capsys.readouterr().out

    said = run()
    assert "try: the weights inherit the licence CC0-1.0" in said
    assert "wrote" in said
    info = load_model(tmp_path / "runs" / "try-seed1" / "try.onnx").info
    assert (info.name, info.licence, info.training_data) == ("try", "CC0-1.0", "made (train split)")
    assert "windows of dev" not in run("--seed", "4", "--splits", "train", "dev")
    info = load_model(tmp_path / "runs" / "try-seed4" / "try.onnx").info
    assert (info.temperature, info.training_data) == (1.0, "made (train and dev split)")
    said = run("--folds", "speaker", "--seed", "2")
    assert "a speaker left out, UAR of 4 folds" in said
    assert "| made | 4 | 16 |" in said
    said = run("--folds", "speaker", "--seed", "2", "--only", "s1")
    assert "a speaker left out, UAR of 1 folds" in said
    with pytest.raises(SystemExit, match="No fold leaves out s9; the folds are s0"):
        run("--folds", "speaker", "--seed", "2", "--only", "s9")
    with pytest.raises(SystemExit):
        run("--only", "s1")
    assert "give --folds too" in capsys.readouterr().err
    for change, message in (
        ({"network": "lstm"}, "network 'lstm' is none of"),
        ({"speed": 2}, "sets speed, which is no setting"),
        ({"corpora": ["other"], "seed": 9}, "No train clips of other; name yours in `corpora`"),
        ({"epochs": 2}, "made with another config"),
    ):
        config.write_text(json.dumps(settings | change))
        with pytest.raises(SystemExit, match=message):
            run()
    config.write_text("{")
    with pytest.raises(SystemExit, match="cannot be read as JSON"):
        run()
