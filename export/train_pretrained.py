"""Train the network that stands on a pretrained encoder, and export it.

    python -m export.train_pretrained --corpora ../shared/speech ../shared/speech-more --seed 2
    python -m export.train_pretrained --corpora ... --left-out runs/pretrained-left

The second leaves each corpus out in turn, writes FOLDER/CORPUS/CORPUS.onnx, as `export.calibrate`
wants them, and prints the UAR on the train and dev speakers of each corpus left out.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from export.corpora.clips import Clip, CorpusError, check, named
from export.corpora.licences import licence
from export.corpora.readers import read_corpora
from export.evaluation.judging import Evaluation, judge_all, score
from export.features.encoder import LAYERS, STEPS, VALUES
from export.features.steps import Encoded, encoded
from export.networks.head import Head
from export.networks.pretrained_graph import build_pretrained
from export.training.probe import Probe, fit, weights
from livesr.errors import LivesrError
from livesr.model.metadata import LABELS, ModelInfo
from livesr.settings import EncoderSettings

ROOT = Path(__file__).resolve().parents[1]
ENCODER_LICENCES = (
    "; encoder: Whisper tiny (MIT) as trained further in Smart Turn 3.2 (BSD-2-Clause)"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What shapes a training run."""

    seed: int = 2
    epochs: int = 4
    batches: int = 150  # of an epoch
    batch: int = 48
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    votes: float = 0.5  # share of listeners' votes in a clip's target
    scenes: float = 0.4  # share of windows that are of scenes
    balance: float = 0.5  # a corpus-and-class is drawn in proportion to its size to this power
    probe: float = 0.5  # share of the probe's logits
    probe_scenes: float = 0.3  # share of scenes in the probe's loss
    average: float = 0.99  # of the exponential mean of weights, which is what is exported
    shorter: float = 0.25  # share of windows shorter than 3 s


def draw(one: Encoded, recipe: Recipe, rng: np.random.Generator) -> tuple[int, int]:
    """A window of the labelled part that holds speech, as steps [low, high)."""
    count = len(one.steps)
    first = one.first if one.first <= count - 25 else max(0, count - 50)
    for _ in range(6):
        high = int(rng.integers(min(count, first + 40), count + 1))
        short = rng.random() < recipe.shorter
        low = max(first, high - (int(rng.integers(40, STEPS)) if short else STEPS))
        if one.spoken[low:high].sum() >= 18:
            return low, high
    return max(first, count - STEPS), count


def windows(cuts: Sequence[tuple[Encoded, int, int]]) -> list[Tensor]:
    """Steps [B, S, 768] and which of them exist [B, S], newest last."""
    steps = np.zeros((len(cuts), STEPS, LAYERS * VALUES), np.float32)
    valid = np.zeros((len(cuts), STEPS), np.float32)
    for row, (one, low, high) in enumerate(cuts):
        start = STEPS - (high - low)
        steps[row, start:] = one.steps[low:high]
        valid[row, start:] = 1
    return [torch.from_numpy(part) for part in (steps, valid)]


def train(
    clips: Sequence[Encoded], scenes: Sequence[Encoded], recipe: Recipe
) -> tuple[Head, Probe]:
    """A head for these clips as recorded and these scenes, and a probe of the clips."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    clips, scenes = ([one for one in part if len(one.steps) >= 25] for part in (clips, scenes))
    if not clips:
        raise CorpusError("No clip is long enough to train on.")
    probe = fit(clips, scenes, recipe.balance, recipe.probe_scenes)
    network = Head(probe.mean, probe.deviation)
    decay = recipe.average
    average = torch.optim.swa_utils.AveragedModel(
        network,
        avg_fn=lambda mean, new, n: new if n < 20 else mean * decay + new * (1 - decay),
    )
    share = recipe.scenes if scenes else 0.0
    chance = [(1 - share) * weights(clips, recipe.balance)]
    if scenes:
        chance.append(share * weights(scenes, recipe.balance))
    every, likely = [*clips, *scenes], np.concatenate(chance, dtype=np.float64)
    likely /= likely.sum()
    targets = np.stack([one.clip.target(recipe.votes) for one in every])
    optimiser = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    # Unlike the probe, it competes among all classes everywhere: on corpora left out that costs it
    # nothing beside the probe, and where a corpus lacks a class it is hardly ever the answer.
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    total, began = recipe.epochs * recipe.batches, time.monotonic()
    network.train()
    losses = []
    for step in range(total):
        drawn = rng.choice(len(every), recipe.batch, p=likely)
        cuts = [(every[i], *draw(every[i], recipe, rng)) for i in drawn]
        warm, cosine = min(1, (step + 1) / 100), 0.5 + 0.5 * math.cos(math.pi * step / total)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * warm * cosine
        loss = criterion(network(*windows(cuts))[0], torch.from_numpy(targets[drawn]))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        average.update_parameters(network)
        losses.append(float(loss.detach()))
        if (step + 1) % recipe.batches == 0:
            mean = np.mean(losses[-recipe.batches :])
            print(
                f"batch {step + 1}  loss {mean:.3f}  {time.monotonic() - began:.0f} s", flush=True
            )
    found: Head = average.module
    for own, new in zip(found.buffers(), network.buffers(), strict=True):
        own.copy_(new)
    return found.eval(), probe


def joined(network: Head, probe: Probe, share: float) -> dict[str, np.ndarray]:
    """The weights of both as the graph takes them; the probe has so large a share of the logits."""
    found = network.weights()
    found["output.weight"] *= 1 - share
    found["output.bias"] = (1 - share) * found["output.bias"] + share * probe.bias
    return found | {
        "probe.mean": probe.mean,
        "probe.scale": 1 / probe.deviation,
        "probe.weight": share * probe.weight,
        "directions.weight": probe.directions,
        "directions.bias": probe.centre,
    }


def export(network: Head, probe: Probe, file: Path, clips: Sequence[Clip], recipe: Recipe) -> Path:
    """Write the network as a livesr file of its name, with the temperature 1."""
    bands = 40
    splits = " and ".join(sorted({clip.split for clip in clips}, reverse=True))
    info = ModelInfo(
        name=file.stem,
        labels=LABELS,
        mean=np.zeros(bands),
        deviation=np.ones(bands),
        temperature=1.0,
        training_data=f"{named(clips)} ({splits} split)" + ENCODER_LICENCES,
        licence=licence(clips),
        version=f"5-seed{recipe.seed}",
        encoder=EncoderSettings(),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build_pretrained(network.widths, joined(network, probe, recipe.probe), info), file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpora", nargs="+", required=True, help="as for export.train")
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    parser.add_argument("--left-out", type=Path, help="leave each corpus out; the folder to write")
    parser.add_argument("--only", nargs="+", help="of the corpora, to leave out")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "acrnn-whisper.onnx")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = Recipe(seed=options.seed, epochs=options.epochs)
    try:
        clips = [clip for clip in read_corpora(options.corpora) if clip.split != "test"]
        check(clips)
        licence(clips)
        recorded = encoded(clips, None, options.cache)
        scenes = encoded(clips, 1, options.cache)
        if not options.left_out:
            file = export(*train(recorded, scenes, recipe), options.output, clips, recipe)
            print(f"wrote {file}; export.calibrate gives it a temperature")
            return
        for out in options.only or sorted({clip.corpus for clip in clips}):
            parts = [[one for one in part if one.clip.corpus != out] for part in (recorded, scenes)]
            rest = [clip for clip in clips if clip.corpus != out]
            file = options.left_out / out / f"{out}.onnx"
            export(*train(parts[0], parts[1], recipe), file, rest, recipe)
            left = [clip for clip in clips if clip.corpus == out]
            print(f"without {out}: UAR {score(left, judge_all(left, Evaluation(str(file)))):.3f}")
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
