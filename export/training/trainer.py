"""A training run: epochs, checkpoints, and the results on `dev` along the way."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from export.features.teacher import VALUES
from export.networks.acrnn import ACRNN
from export.networks.sizes import NETWORKS
from export.training.batches import Scenes, batches, window
from export.training.config import Config, ConfigError, refuse_other
from livesr.arrays import Float64
from livesr.model.load import STEP_FRAMES

_KEPT = ("network", "pupil", "average", "optimiser")


@torch.no_grad()
def evaluate(network: ACRNN, scenes: Scenes, stride: int = 100) -> Float64:
    """Mean logits of each clip's windows, one every `stride` frames, float64 [clips, labels]."""
    network.eval()
    steps, device = network.widths.steps, network.output.weight.device
    parts, owners = [], []
    for clip, (features, item) in enumerate(zip(scenes.features, scenes.clips, strict=True)):
        whole = len(features) - len(features) % STEP_FRAMES
        ends = [*range(100, whole, stride), whole]
        starts = [max(item.first, end - STEP_FRAMES * steps) for end in ends]
        spoken = [int(item.speech[a:b].sum()) for a, b in zip(starts, ends, strict=True)]
        enough = min(max(spoken), 50)
        for start, end, frames in zip(starts, ends, spoken, strict=True):
            if frames >= enough:
                parts.append(window(features, start, end, steps))
                owners.append(clip)
    rows = []
    for begin in range(0, len(parts), 64):
        columns = zip(*parts[begin : begin + 64], strict=True)
        tensors = (torch.from_numpy(np.stack(column)).to(device) for column in columns)
        rows.append(network(*tensors)[0].cpu())
    logits, owner = torch.cat(rows).double().numpy(), np.array(owners)
    return np.stack([logits[owner == clip].mean(0) for clip in range(len(scenes.clips))])


def recalls(scores: Float64, scenes: Scenes) -> dict[str, float]:
    """UAR of each corpus, and their mean."""
    truth = np.array([item.label for item in scenes.clips])
    corpora = np.array([item.corpus for item in scenes.clips])
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
        for corpus in sorted({item.corpus for item in scenes.clips})
    }
    return {**found, "mean": float(np.mean(list(found.values())))}


def _running_mean(decay: float, means: list[Tensor], new: list[Tensor], count: int) -> None:
    """Exponential mean of the weights, with a shorter memory at the start of training.

    Of all weights at once: one by one, their kernels would take longer than a small network's.
    """
    if not means[0].is_floating_point():  # counts of batches
        torch._foreach_copy_(means, new)
        return
    kept = min(decay, (1 + count) / (10 + count))
    apart = torch._foreach_sub(new, means)
    torch._foreach_mul_(apart, 1 - kept)
    torch._foreach_add_(means, apart)


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.stack(list(values)).double().cpu().numpy().mean())


class Run:
    """A training run, with a checkpoint on disk after each epoch.

    Args:
        config: of the run.
        folder: of the run.
        data: the hash of its clips (`export.corpora.clips.fingerprint`); None if not known yet.

    Raises:
        ConfigError: if the folder has a checkpoint of another config, or of other clips.
    """

    def __init__(self, config: Config, folder: Path, data: str | None = None) -> None:
        self.config, self.folder, self.data = config, folder, data
        torch.manual_seed(config.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        widths = replace(NETWORKS[config.network], labels=len(config.labels))
        self.network = ACRNN(widths, config.dropout).to(self.device)
        self.pupil = nn.Linear(self.network.widths.hidden, VALUES).to(self.device)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.network,
            multi_avg_fn=self._average,
            use_buffers=True,
        )
        self.trained = [*self.network.parameters(), *self.pupil.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.trained, config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch = 0
        self.log: list[dict[str, float]] = []
        self._resume()

    def _average(self, means: list[Tensor], new: list[Tensor], _: Tensor | int) -> None:
        # The count that torch passes is on the device, and would have to be waited for.
        _running_mean(self.config.average, means, new, int(self.average.n_averaged))

    def _resume(self) -> None:
        file = self.folder / "checkpoint.pt"
        if not file.is_file():
            return
        kept = torch.load(file, weights_only=True, map_location=self.device)
        refuse_other(file, self.config, self.data, kept["config"], kept.get("data"))
        for name in _KEPT:
            getattr(self, name).load_state_dict(kept[name])
        self.epoch, self.log = kept["epoch"], kept["log"]

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {name: getattr(self, name).state_dict() for name in _KEPT}
        part = self.folder / "checkpoint.part"
        facts = {"config": self.config.to_json(), "data": self.data}
        torch.save({**facts, "epoch": self.epoch, "log": self.log, **parts}, part)
        part.rename(self.folder / "checkpoint.pt")

    def _lessons(self, scenes: Scenes) -> list[Tensor]:
        """The mean and deviation of each of the teacher's values, to standardise them."""
        values = np.concatenate(scenes.lessons).astype(np.float32)
        return [torch.from_numpy(part).to(self.device) for part in (values.mean(0), values.std(0))]

    def train(
        self, versions: Sequence[Scenes], babble: Scenes, unlabelled: Sequence[Scenes], dev: Scenes
    ) -> None:
        """The epochs that are left; see `export.training.batches.batches`.

        Raises:
            ConfigError: if the loss of an epoch is not finite; the checkpoint of the one before
                stays.
        """
        config, steps = self.config, self.network.widths.steps
        per_epoch = len(versions[0].clips) // config.batch
        total = config.epochs * per_epoch
        lessons_scale = self._lessons(versions[0]) if config.teach else []
        while self.epoch < config.epochs:
            # Seeded anew each epoch, so that a broken run goes on as if it had not been.
            seeds = np.random.SeedSequence((config.seed, self.epoch))
            torch.manual_seed(int(seeds.generate_state(1)[0]))
            rng = np.random.default_rng(seeds)
            self.network.train()
            began, losses, misses = time.monotonic(), [], []
            epoch = tqdm(
                batches(versions, babble, unlabelled, config, steps, rng, self.device),
                f"{self.folder.name}, epoch {self.epoch + 1} of {config.epochs}",
                per_epoch,
                leave=False,
                disable=None,  # without a terminal
            )
            for step, batch in enumerate(epoch):
                # Nothing in the loop waits for the device; the losses are read after the epoch.
                *seen, lessons, known, targets = batch
                labelled = torch.nonzero(targets.sum(1) > 0)[:, 0].to(self.device)
                targets = targets.to(self.device)
                done = (self.epoch * per_epoch + step) / total
                warm = min(1.0, (self.epoch * per_epoch + step + 1) / (2 * per_epoch))
                for group in self.optimiser.param_groups:
                    group["lr"] = (
                        config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * done))
                    )
                logits, _, hidden = self.network(*seen)
                loss = cross_entropy(
                    logits[labelled], targets[labelled], label_smoothing=config.label_smoothing
                )
                if lessons_scale:
                    mean, deviation = lessons_scale
                    wrong = (self.pupil(hidden) - (lessons - mean) / deviation).square().mean(2)
                    known = known * seen[2]
                    imitated = (wrong * known).sum() / known.sum().clamp(min=1)
                    loss = loss + config.teach * imitated
                    misses.append(imitated.detach())
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.trained, 2.0)
                self.optimiser.step()
                self.average.update_parameters(self.network)
                losses.append(loss.detach())
            self.epoch += 1
            row = {"epoch": self.epoch, "loss": _mean(losses)}
            if not math.isfinite(row["loss"]):
                raise ConfigError(
                    f"{self.folder}: the loss of epoch {self.epoch} is {row['loss']}; set a "
                    "smaller learning_rate in the config."
                )
            if misses:
                row["unlike the teacher"] = _mean(misses)
            if dev.clips and (self.epoch % 8 == 0 or self.epoch == config.epochs):
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
