"""Train an ACRNN and export it: `python -m export.train --corpora ../shared/speech`.

Speaker-independent: trains on the `train` split, chooses on `dev`, never sees `test`. One run
writes `runs/NAME/` (a checkpoint each epoch; started again, it goes on from there) and, at its
end, the ONNX file.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from export.corpora import Clip, CorpusError, check
from export.features import SETTINGS, Heard, sequences, with_deltas
from export.graph import NETWORKS, build
from export.network import ACRNN, CONTEXT_FRAMES
from export.readers import read_corpora
from livesr.metadata import LABELS, ModelInfo
from livesr.model import STEP_FRAMES
from livesr.stage import Float32, Float64

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Config:
    """All that shapes a run; stored beside its checkpoint."""

    network: str = "acrnn-compact"
    corpora: tuple[str, ...] = ("banglaser", "emodb", "nemo", "ravdess")
    seed: int = 1
    scenes: int = 5  # augmented versions of the training set
    recorded: float = 0.4  # share of windows drawn from the clips as recorded
    epochs: int = 26
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    dropout: float = 0.15
    label_smoothing: float = 0.05
    balance: float = 0.5  # a corpus-and-class is drawn in proportion to its size to this power
    average: float = 0.998  # of the exponential mean of weights, which is what is exported
    partial: float = 0.2  # share of windows shorter than the stream's 3 s
    shortest_frames: int = 100
    least_speech_frames: int = 40


@dataclass(slots=True)
class Scenes:
    """One version of a set of clips as the network's input."""

    features: list[Float32]  # float16 [frames, bands, 3]
    heard: list[Heard]


def statistics(versions: Sequence[Sequence[Heard]]) -> tuple[Float64, Float64]:
    """Mean and deviation of levelled log-mels over the training set, band by band."""
    levels = np.concatenate([item.levels for version in versions for item in version])
    return levels.mean(0, dtype=np.float64), levels.std(0, dtype=np.float64)


def prepare(heard: list[Heard], mean: Float64, deviation: Float64) -> Scenes:
    """Standardise and add deltas, through `livesr.frontend`."""
    features = [with_deltas(h.levels.astype(np.float32), mean, deviation) for h in heard]
    return Scenes([f.astype(np.float16) for f in features], heard)


def window(features: Float32, start: int, end: int, steps: int) -> tuple[Float32, Float32, Float32]:
    """Frames [start, end) as the network sees them in a stream.

    Returns:
        features [context + 2 steps, bands, 3] ending at `end`, which of those frames exist, and
        which steps of the window count.
    """
    length = CONTEXT_FRAMES + STEP_FRAMES * steps
    block = np.zeros((length, *features.shape[1:]), np.float32)
    exists = np.zeros(length, np.float32)
    have = min(end, length)
    block[length - have :] = features[end - have : end]
    exists[length - have :] = 1
    valid = np.zeros(steps, np.float32)
    valid[steps - min(steps, (end - start) // STEP_FRAMES) :] = 1
    return block, exists, valid


def draw(heard: Heard, config: Config, steps: int, rng: np.random.Generator) -> tuple[int, int]:
    """A window inside the labelled part, cut as a stream cuts it: [start, end), even frames."""
    longest = STEP_FRAMES * steps
    first = heard.first + heard.first % STEP_FRAMES
    whole = len(heard.speech) - len(heard.speech) % STEP_FRAMES
    best = (max(first, whole - longest), whole)
    for _ in range(6):
        end = int(rng.integers(min(whole, first + config.shortest_frames), whole + 1))
        end -= end % STEP_FRAMES
        short = rng.random() < config.partial
        length = int(rng.integers(config.shortest_frames, longest)) if short else longest
        start = max(first, end - length + length % STEP_FRAMES)
        if heard.speech[start:end].sum() >= config.least_speech_frames:
            return start, end
    return best


def batches(
    versions: Sequence[Scenes], config: Config, steps: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """One epoch of balanced, augmented windows; the first version is the clips as recorded."""
    groups = [(item.corpus, item.label) for item in versions[0].heard]
    sizes = Counter(groups)
    chance = np.array([sizes[group] ** (config.balance - 1.0) for group in groups])
    order = rng.choice(len(groups), len(groups), p=chance / chance.sum())
    for begin in range(0, len(order) - config.batch + 1, config.batch):
        chosen = order[begin : begin + config.batch]
        parts = []
        for i in chosen:
            plain = len(versions) == 1 or rng.random() < config.recorded
            scenes = versions[0 if plain else int(rng.integers(1, len(versions)))]
            start, end = draw(scenes.heard[i], config, steps, rng)
            parts.append(window(scenes.features[i], start, end, steps))
        columns = zip(*parts, strict=True)
        features, exists, valid = (torch.from_numpy(np.stack(column)) for column in columns)
        labels = torch.tensor([versions[0].heard[i].label for i in chosen])
        yield spec_augment(features, rng), exists, valid, labels


def spec_augment(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Masks over time and band, and another microphone's colour, per window."""
    count, frames, bands, _ = features.shape
    place = np.linspace(0, np.pi, bands)
    shape = sum(rng.normal(0, 0.35 / k, (count, 1)) * np.cos(k * place)[None] for k in range(1, 4))
    features[..., 0] += torch.from_numpy(np.asarray(shape, np.float32))[:, None]
    for row in range(count):
        size = int(rng.integers(0, 9))
        low = int(rng.integers(0, bands - size))
        features[row, :, low : low + size] = 0
        size = int(rng.integers(0, 31))
        begin = int(rng.integers(0, frames - size))
        features[row, begin : begin + size] = 0
    return features


@torch.no_grad()
def evaluate(network: ACRNN, scenes: Scenes, stride: int = 50) -> Float64:
    """Mean logits of each clip's windows, one every `stride` frames, float64 [clips, labels]."""
    network.eval()
    steps = network.widths.steps
    parts, owners = [], []
    for clip, (features, heard) in enumerate(zip(scenes.features, scenes.heard, strict=True)):
        whole = len(features) - len(features) % STEP_FRAMES
        ends = [*range(100, whole, stride), whole]
        starts = [max(heard.first, end - STEP_FRAMES * steps) for end in ends]
        spoken = [int(heard.speech[a:b].sum()) for a, b in zip(starts, ends, strict=True)]
        enough = min(max(spoken), 50)
        for start, end, frames in zip(starts, ends, spoken, strict=True):
            if frames >= enough:
                parts.append(window(features, start, end, steps))
                owners.append(clip)
    rows = []
    for begin in range(0, len(parts), 64):
        columns = zip(*parts[begin : begin + 64], strict=True)
        rows.append(network(*(torch.from_numpy(np.stack(column)) for column in columns))[0])
    logits, owner = torch.cat(rows).double().numpy(), np.array(owners)
    return np.stack([logits[owner == clip].mean(0) for clip in range(len(scenes.heard))])


def recalls(scores: Float64, scenes: Scenes) -> dict[str, float]:
    """UAR of each corpus, and their mean."""
    truth = np.array([item.label for item in scenes.heard])
    corpora = np.array([item.corpus for item in scenes.heard])
    guess = scores.argmax(1)
    found = {
        corpus: float(
            np.mean(
                [
                    (guess[(corpora == corpus) & (truth == k)] == k).mean()
                    for k in np.unique(truth[corpora == corpus])
                ]
            )
        )
        for corpus in sorted({item.corpus for item in scenes.heard})
    }
    return {**found, "mean": float(np.mean(list(found.values())))}


def fit_temperature(scores: Float64, scenes: Scenes) -> float:
    """The temperature at which the mean logits are best calibrated on these clips."""
    truth = np.array([item.label for item in scenes.heard])
    grid = np.geomspace(0.3, 5, 200)

    def loss(temperature: float) -> float:
        cooled = scores / temperature
        cooled -= cooled.max(1, keepdims=True)
        logs = cooled - np.log(np.exp(cooled).sum(1, keepdims=True))
        return -float(logs[np.arange(len(truth)), truth].mean())

    return float(grid[np.argmin([loss(t) for t in grid])])


def _running_mean(decay: float, mean: Tensor, new: Tensor, count: Tensor) -> Tensor:
    """Exponential mean that does not hold on to where training began."""
    kept = min(decay, (1 + int(count)) / (10 + int(count)))
    return mean + (new - mean) * (1 - kept) if mean.is_floating_point() else new


class Run:
    """A training run and what it keeps on disk."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        torch.manual_seed(config.seed)
        self.network = ACRNN(NETWORKS[config.network], config.dropout)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.network,
            avg_fn=partial(_running_mean, config.average),
            use_buffers=True,
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch = 0
        self.log: list[dict[str, float]] = []
        self._resume()

    def _resume(self) -> None:
        file = self.folder / "checkpoint.pt"
        if not file.is_file():
            return
        kept = torch.load(file, weights_only=True)
        if kept["config"] != json.dumps(asdict(self.config)):
            raise SystemExit(
                f"{file} was made with another config; remove {self.folder} or name another run."
            )
        for name in ("network", "average", "optimiser"):
            getattr(self, name).load_state_dict(kept[name])
        self.epoch, self.log = kept["epoch"], kept["log"]

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {
            name: getattr(self, name).state_dict() for name in ("network", "average", "optimiser")
        }
        config = json.dumps(asdict(self.config))
        part = self.folder / "checkpoint.part"
        torch.save({"config": config, "epoch": self.epoch, "log": self.log, **parts}, part)
        part.rename(self.folder / "checkpoint.pt")

    def train(self, versions: Sequence[Scenes], dev: Scenes) -> None:
        """The epochs that are left."""
        config, steps = self.config, self.network.widths.steps
        criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        per_epoch = len(versions[0].heard) // config.batch
        total = config.epochs * per_epoch
        while self.epoch < config.epochs:
            rng = np.random.default_rng((config.seed, self.epoch))
            self.network.train()
            began, losses = time.monotonic(), []
            epoch = batches(versions, config, steps, rng)
            for step, (features, exists, valid, labels) in enumerate(epoch):
                done = (self.epoch * per_epoch + step) / total
                warm = min(1.0, (self.epoch * per_epoch + step + 1) / (2 * per_epoch))
                for group in self.optimiser.param_groups:
                    group["lr"] = (
                        config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * done))
                    )
                logits, _ = self.network(features, exists, valid)
                loss = criterion(logits, labels)
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
                self.optimiser.step()
                self.average.update_parameters(self.network)
                losses.append(float(loss.detach()))
            self.epoch += 1
            row = {"epoch": self.epoch, "loss": float(np.mean(losses))}
            if self.epoch % 4 == 0 or self.epoch == config.epochs:
                row |= recalls(evaluate(self.average.module, dev), dev)
            row["seconds"] = time.monotonic() - began
            self.log.append(row)
            print(
                "  ".join(
                    f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
                ),
                flush=True,
            )
            self.save()


def chosen(clips: Sequence[Clip], split: str, config: Config) -> list[Clip]:
    """The clips of one split of the run's corpora."""
    found = [clip for clip in clips if clip.split == split and clip.corpus in config.corpora]
    if not found:
        raise CorpusError(f"No {split} clips of {', '.join(config.corpora)}.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="a folder with clips.csv, or NAME=FOLDER"
    )
    parser.add_argument("--config", type=Path, help="JSON of Config's fields")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--name", default="acrnn-compact", help="of the run and its model")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--output", type=Path, help="the .onnx file (default: in the run's folder)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = json.loads(options.config.read_text()) if options.config else {}
    if options.seed is not None:
        settings["seed"] = options.seed
    config = Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    run = Run(config, ROOT / "runs" / options.name)  # a checkpoint that does not fit fails first
    try:
        clips = read_corpora(options.corpora)
        train, dev = (chosen(clips, split, config) for split in ("train", "dev"))
        check([*train, *dev])
        seeds = [None, *range(1, config.scenes + 1)]
        heard = [sequences(train, seed, options.cache) for seed in seeds]
        mean, deviation = statistics(heard[:3])
        versions = [prepare(version, mean, deviation) for version in heard]
        dev_scenes = prepare(sequences(dev, None, options.cache), mean, deviation)
    except CorpusError as error:
        raise SystemExit(str(error)) from None
    run.train(versions, dev_scenes)
    network = run.average.module
    scores = evaluate(network, dev_scenes)
    info = ModelInfo(
        name=options.name,
        labels=LABELS,
        mean=mean,
        deviation=deviation,
        temperature=fit_temperature(scores, dev_scenes),
        training_data=", ".join(config.corpora) + " (train split)",
        licence=licence(train),
        version=f"1-seed{config.seed}",
        front_end=SETTINGS,
    )
    output = options.output or run.folder / f"{options.name}.onnx"
    onnx.save(build(network.widths, network.weights(), info.to_metadata()), output)
    print(f"dev {recalls(scores, dev_scenes)}  temperature {info.temperature:.3f}\nwrote {output}")


def licence(clips: Sequence[Clip]) -> str:
    """The licence that weights trained on these clips carry: the strictest of theirs."""
    for strict in ("LicenseRef-IEMOCAP", "CC-BY-NC-SA-4.0", "ODbL-1.0", "CC-BY-4.0", "CC0-1.0"):
        if any(clip.licence == strict for clip in clips):
            return strict
    raise CorpusError(f"Unknown licence among {sorted({clip.licence for clip in clips})}.")


if __name__ == "__main__":
    main()
