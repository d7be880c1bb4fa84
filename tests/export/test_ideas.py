"""Ideas for training: what each changes, what is kept, and the command on a small corpus."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from export import ideas
from export.corpora.clips import Clip, CorpusError
from export.features.encoder import LAYERS, VALUES
from export.features.steps import Encoded
from export.ideas import IDEAS, SHIPPED, Kept, Learner, Trial, contrast, mixed, table, trained
from export.networks.head import Head
from export.training.pretrained import Recipe, train_frozen
from export.training.probe import Probe, fit
from livesr.model.metadata import LABELS
from tests.helpers.corpora import save_two_corpora

RECIPE = Recipe(epochs=1, batches=2, batch=8)


@pytest.fixture(scope="module")
def clips() -> list[Encoded]:
    rng, found = np.random.default_rng(0), []
    for number in range(16):
        label = number % 4
        steps = rng.normal(0, 1, (60 + number, LAYERS * VALUES))
        steps[:, 10 * label : 10 * label + 10] += 1
        clip = Clip(
            Path(f"{number}"),
            "ab"[number // 8],
            f"s{number // 4}",
            LABELS[label],
            "t",
            "CC0-1.0",
            "train",
            gender="FM"[number % 2],
        )
        spoken = rng.random(len(steps)) < 0.8
        found.append(Encoded(steps.astype(np.float16), spoken, 0, clip))
    return found


@pytest.fixture(scope="module")
def probe(clips: list[Encoded]) -> Probe:
    return fit(clips, [], 0.5, 0.0)


@pytest.fixture(scope="module")
def shipped(clips: list[Encoded], probe: Probe) -> Head:
    return trained(Trial(("c",), SHIPPED, RECIPE), clips, probe, {}, [])


def said(head: Head) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    steps = torch.randn(3, 150, LAYERS * VALUES, generator=generator)
    with torch.no_grad():
        return head(steps, torch.ones(3, 150))[0]  # type: ignore[no-any-return]


def test_as_shipped_is_how_the_shipped_head_is_trained(
    clips: list[Encoded], probe: Probe, shipped: Head
) -> None:
    head, _ = train_frozen(clips, [], RECIPE, torch.device("cpu"))
    assert torch.equal(said(head), said(shipped))


@pytest.mark.parametrize("idea", [name for name in IDEAS if name != SHIPPED])
def test_every_idea_changes_what_is_learned(
    idea: str, clips: list[Encoded], probe: Probe, shipped: Head
) -> None:
    voices = {one.clip.key: (1.0, -1.0) for one in clips}
    head = trained(Trial(("c",), idea, RECIPE), clips, probe, voices, [shipped])
    found = said(head)
    assert found.shape == (3, len(LABELS))
    assert torch.isfinite(found).all()
    assert not torch.equal(found, said(shipped))


def test_styles_are_mixed_among_windows_that_are_alike() -> None:
    generator = torch.Generator().manual_seed(1)
    steps = torch.randn(4, 20, 6, generator=generator) + torch.arange(4.0)[:, None, None] * 10
    valid = torch.ones(4, 20)
    valid[:, :5] = 0
    steps = steps * valid[..., None]
    everyone = torch.ones(4, 4, dtype=torch.bool)
    torch.testing.assert_close(mixed(steps, valid, everyone, 0.0), steps, atol=1e-4, rtol=0)
    nobody_else = torch.eye(4, dtype=torch.bool)
    torch.testing.assert_close(mixed(steps, valid, nobody_else, 1.0), steps, atol=1e-4, rtol=0)
    pairs = torch.tensor([0, 1, 0, 1])[:, None] == torch.tensor([0, 1, 0, 1])
    torch.manual_seed(5)
    found = mixed(steps, valid, pairs, 1.0)
    assert not found[:, :5].any()
    means = found[:, 5:].mean((1, 2))
    assert (means[[0, 2]] > -1).all()
    assert (means[[0, 2]] < 21).all()
    assert (means[[1, 3]] > 9).all()
    assert not torch.allclose(means, steps[:, 5:].mean((1, 2)), atol=0.5)


def test_contrast_is_that_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(7, 5, generator=generator)
    labels, corpora = torch.tensor([0, 0, 0, 1, 1, 2, 3]), torch.tensor([0, 1, 1, 0, 1, 0, 1])
    unit = values / values.norm(dim=1, keepdim=True)
    losses = []
    for i in range(7):
        others = [j for j in range(7) if labels[j] != labels[i] or corpora[j] != corpora[i]]
        alike = [j for j in others if labels[j] == labels[i]]
        near = {j: unit[i] @ unit[j] / 0.1 for j in others}
        total = torch.stack(list(near.values())).logsumexp(0)
        if alike:
            losses.append(-sum(near[j] - total for j in alike) / len(alike))
    expected = torch.stack([torch.as_tensor(loss) for loss in losses]).mean()
    torch.testing.assert_close(contrast(values, labels, corpora), expected)
    alone = contrast(values[5:], labels[5:], corpora[5:])
    assert alone == 0


def test_what_tells_corpora_is_unlearned(clips: list[Encoded], probe: Probe) -> None:
    """The classifier of corpora goes down its gradient, the network up the same one."""
    torch.manual_seed(1)
    learner = Learner(replace(IDEAS[SHIPPED], against=1.0), probe, ["a", "b"], {})
    learner.head.eval()  # no dropout
    context = torch.randn(4, 128, requires_grad=True)
    learner.head.summary = lambda *_: (context, None)  # type: ignore[method-assign,assignment]
    steps, valid = torch.zeros(4, 150, LAYERS * VALUES), torch.ones(4, 150)
    targets = torch.eye(4)
    few = [clips[0], clips[5], clips[10], clips[15]]
    corpora = torch.tensor([0, 0, 1, 1])
    learner.loss(steps, valid, targets, few).backward()
    both = context.grad
    labels_only, own = (
        torch.autograd.grad(loss, context)[0]
        for loss in (
            torch.nn.functional.cross_entropy(
                learner.head.classify(context), targets, label_smoothing=0.1
            ),
            torch.nn.functional.cross_entropy(learner.corpus(context), corpora),
        )
    )
    assert both is not None
    torch.testing.assert_close(both, labels_only - own)


def test_results_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "kept.jsonl"
    trials = [Trial(("a",), SHIPPED, Recipe(seed=seed)) for seed in (1, 2)]
    kept = Kept(file, "data")
    assert kept.of(trials) == {}
    taught = [replace(trials[0], teachers=seeds) for seeds in ((), (1,), (1, 2))]
    assert len({trial.key("data") for trial in taught}) == 3
    spread = replace(taught[0], idea="c and deviation").key("data")
    assert "WithSpread" in spread and "ideas." not in spread  # of __main__ it is, in a command
    kept.add(trials[1], {"a": (0.5, 0.25)})
    assert kept.of(trials) == {trials[1]: {"a": [0.5, 0.25]}}
    assert Kept(file, "other clips").of(trials) == {}
    file.write_text("something else\n")
    with pytest.raises(CorpusError, match="does not hold results"):
        kept.of(trials)


def test_the_table_has_mean_and_least_over_seeds() -> None:
    found = {
        Trial(("a", "b"), SHIPPED, Recipe(seed=1)): {"a": (0.5, 0.9), "b": (0.3, 0.7)},
        Trial(("a", "b"), SHIPPED, Recipe(seed=2)): {"a": (0.7, 0.9), "b": (0.3, 0.7)},
    }
    rows = list(table(found, 0))
    assert rows[0] == "| idea | a | b | mean | least |"
    assert rows[2].startswith("| as shipped | 0.600 ± 0.")
    assert rows[2].endswith("| 0.300 |")
    assert "| 0.900" in list(table(found, 1))[2]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pipecat") is None, reason="make teacher")
def test_the_command(
    speech: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_two_corpora(tmp_path, speech)
    recipe = Recipe(batches=2, batch=4)
    monkeypatch.setattr(ideas, "Recipe", lambda **changes: replace(recipe, **changes))
    few = [SHIPPED, "mixed styles", "taught by all seeds"]
    command = ["ideas", "--corpora", str(tmp_path), "--cache", str(tmp_path / "cache")]
    command += ["--output", str(tmp_path / "kept.jsonl"), "--epochs", "1", "--seeds", "1", "2"]
    monkeypatch.setattr("sys.argv", [*command, "--ideas", *few])
    ideas.main()
    told = capsys.readouterr().out.splitlines()
    assert sum(", seed " in line for line in told) == 2 * 2 * len(few)
    rows = [line for line in told if line.startswith("| ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == 2 * ["idea", *few]
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 2 * 2 * len(few)
    ideas.main()  # nothing is trained again
    again = capsys.readouterr().out.splitlines()
    assert not any(", seed " in line for line in again)
    assert [line for line in again if line.startswith("| ")] == rows
    another = [*command, "--output", str(tmp_path / "another.jsonl"), "--ideas", few[-1]]
    monkeypatch.setattr("sys.argv", another)
    ideas.main()  # its teachers are trained, though they were not asked for
    alone = capsys.readouterr().out.splitlines()
    assert [line for line in alone if line.startswith(f"| {few[-1]}")] == [rows[3], rows[7]]
    twice = [*command, "--without", "a", "--without", "a"]
    monkeypatch.setattr("sys.argv", twice)
    with pytest.raises(SystemExit, match="a is left out twice"):
        ideas.main()
    monkeypatch.setattr("sys.argv", [*command, "--ideas", SHIPPED, "--without", "a", "b"])
    with pytest.raises(SystemExit, match="No corpus is left"):
        ideas.main()
    monkeypatch.setattr("sys.argv", [*command, "--without", "nobody"])
    with pytest.raises(SystemExit, match="There is no corpus nobody; there are a, b"):
        ideas.main()
    assert json.loads((tmp_path / "kept.jsonl").read_text().splitlines()[0])["uar"]
