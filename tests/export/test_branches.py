"""The comparison of branches: what each sees, and the command on a small corpus."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from export import branches
from export.branches import BRANCHES, Network, Sound, frames_of, logits, sound
from export.corpora.clips import Clip
from export.evaluation.encoded import Readings
from export.features.encoder import LAYERS, STEPS, VALUES
from export.features.steps import Encoded, Heard
from export.networks.acrnn import CONTEXT_FRAMES
from export.training.pretrained import Recipe
from livesr.model.metadata import LABELS
from tests.helpers.corpora import save_two_corpora


@pytest.fixture(scope="module")
def sounds() -> list[Sound]:
    rng, found = np.random.default_rng(0), []
    for number, count in enumerate((30, 170, 220)):
        clip = Clip(Path("a"), "made", f"s{number}", LABELS[number], "t", "CC0-1.0", "train")
        mels = rng.normal(0, 1, (2 * count, 80)).astype(np.float16)
        steps = rng.normal(0, 1, (count, LAYERS * VALUES)).astype(np.float16)
        spoken = rng.random(count) < 0.8
        found.append(sound(Heard(mels, spoken, 0, clip), Encoded(steps, spoken, 0, clip)))
    return found


@pytest.fixture(params=BRANCHES.values())
def network(request: pytest.FixtureRequest, sounds: list[Sound]) -> Network:
    torch.manual_seed(1)
    return Network(request.param, sounds).eval()


def test_windows_hold_the_newest_frames_and_what_the_convolutions_look_back_to(
    sounds: list[Sound],
) -> None:
    features, exists = frames_of([(sounds[0], 5, 30), (sounds[2], 60, 210)])
    count = 2 * STEPS + CONTEXT_FRAMES
    assert features.shape == (2, count, 40, 3)
    assert exists.sum(1).tolist() == [60, count]
    assert (features[0, :-60] == 0).all()
    np.testing.assert_array_equal(features[0, -60:], sounds[0].features)
    np.testing.assert_array_equal(features[1], sounds[2].features[420 - count : 420])


def test_a_branch_does_not_see_what_the_other_takes(network: Network, sounds: list[Sound]) -> None:
    one = sounds[1]
    moved = {
        "A": replace(one, features=one.features + np.float16(1)),
        "B": replace(one, encoded=replace(one.encoded, steps=one.encoded.steps + np.float16(1))),
    }
    with torch.no_grad():
        before = network([(one, 0, 150)])
        for branch, other in moved.items():
            same = torch.equal(network([(other, 0, 150)]), before)
            assert same == (branch not in network.branches)


def test_results_weigh_windows_by_speech(network: Network, sounds: list[Sound]) -> None:

    def results(*those: Sound) -> np.ndarray:
        readings = Readings([one.encoded for one in those])
        return readings.results(readings.logits(partial(logits, network, those)))

    found = results(*sounds)
    assert found.shape == (3, len(LABELS))
    np.testing.assert_allclose(found.sum(1), 1)
    silent = np.zeros_like(sounds[1].encoded.spoken)
    silent[:5] = True  # in the first block alone, so nearly all of the weight is the first window's
    encoded = replace(sounds[1].encoded, spoken=silent)
    said = results(replace(sounds[1], encoded=encoded))[0]
    with torch.no_grad():
        first = torch.softmax(network([(sounds[1], 0, 12)]), 1)[0]
    np.testing.assert_allclose(said, first, atol=0.05)


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
    monkeypatch.setattr(branches, "Recipe", lambda **changes: replace(recipe, **changes))
    command = ["branches", "--corpora", str(tmp_path), "--cache", str(tmp_path / "cache")]
    monkeypatch.setattr("sys.argv", [*command, "--seeds", "1", "2", "--epochs", "1"])
    branches.main()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "8 clips, 8 speakers"
    assert sum(line.startswith("without ") for line in told) == 2 * 2 * len(BRANCHES)
    rows = [line.split(" | ") for line in told if line.startswith("| ")]
    assert rows[0] == ["| branches", "a", "b", "mean", "least |"]
    assert [row[0].removeprefix("| ") for row in rows[1:]] == list(BRANCHES)
    for row in rows[1:]:
        a, b, mean = (float(cell.split(" ± ")[0]) for cell in row[1:4])
        assert mean == pytest.approx((a + b) / 2, abs=0.001)
        assert float(row[4].removesuffix(" |")) == min(a, b)
