"""Training on the pretrained encoder: head and probe while it is frozen, then all three together.

First the encoder stays as it was and its steps are computed once: the probe is fitted and the head
trained in minutes. Then encoder, head and probe are fine-tuned together, at a small rate of the
encoder, from the log-mels. A head that already knows its task sends the encoder few wrong
gradients (Kumar et al. 2022, "Fine-tuning can distort pretrained features").
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from export.corpora.clips import CorpusError
from export.features.encoder import LAYERS, STEPS, VALUES, Encoder
from export.features.steps import Encoded, Heard, encode_all, together
from export.networks.head import Head
from export.networks.pretrained_graph import LEAST_VARIANCE, UNSPOKEN
from export.training.probe import PENALTY, Probe, classes, fit, weights, with_voices
from export.training.targets import cross_entropy
from livesr.arrays import Float64

LEAST_STEPS = 25  # of a clip to learn from
Window = tuple[int, int, int]  # the number of a clip or scene, and its steps [low, high)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What shapes a training run."""

    seed: int = 2
    votes: float = 0.5  # share of listeners' votes in the head's targets
    label_smoothing: float = 0.1
    balance: float = 0.5  # a corpus-and-class is drawn in proportion to its size to this power
    average: float = 0.99  # of the exponential mean of weights, which is what is exported
    shorter: float = 0.25  # share of windows shorter than 3 s
    probe: float = 0.5  # share of the probe's logits
    # While the encoder is frozen:
    epochs: int = 4
    batches: int = 150  # of an epoch
    batch: int = 48
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    scenes: float = 0.4  # share of windows that are of scenes
    probe_scenes: float = 0.3  # share of scenes in the probe's loss
    # Then, together:
    tuning_batches: int = 600  # 0: the encoder stays as it is
    tuning_batch: int = 64
    tuning_rate: float = 1e-4  # of the encoder
    tuning_head_rate: float = 1e-3
    tuning_probe_rate: float = 3e-4
    tuning_scenes: float = 0.5
    steps_before: int = 50  # that the encoder hears before a window


@dataclass(frozen=True, slots=True)
class Trained:
    """What comes out: all that `build_pretrained` needs."""

    encoder: Encoder
    head: Head
    probe: Probe


def train(clips: Sequence[Heard], scenes: Sequence[Heard], recipe: Recipe) -> Trained:
    """Encoder, head and probe for these clips as recorded and these scenes.

    On a GPU if there is one. Without one, fine-tuning the encoder takes most of the time.

    Raises:
        CorpusError: if no clip is long enough.
    """
    clips, scenes = (
        [one for one in part if len(one.spoken) >= LEAST_STEPS] for part in (clips, scenes)
    )
    if not clips:
        raise CorpusError("No clip is long enough to train on.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = Encoder().to(device)
    head, probe = train_frozen(
        encode_all(encoder, clips), encode_all(encoder, scenes), recipe, device
    )
    if recipe.tuning_batches:
        probe = tune(encoder, head, probe, clips, scenes, recipe)
        _round(encoder)
        probe = with_voices(probe, encode_all(encoder, clips), recipe.balance)
    return Trained(encoder, head, probe)


def train_frozen(
    clips: Sequence[Encoded], scenes: Sequence[Encoded], recipe: Recipe, device: torch.device
) -> tuple[Head, Probe]:
    """A head for the frozen encoder's steps of these clips and scenes, and their probe."""
    torch.manual_seed(recipe.seed)
    probe = fit(clips, scenes, recipe.balance, recipe.probe_scenes)
    head, every = Head(probe.mean, probe.deviation).to(device), [*clips, *scenes]
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def loss(cuts: Sequence[Window], targets: Tensor) -> Tensor:
        seen = windows([(every[i], low, high) for i, low, high in cuts])
        found = head(*(part.to(device) for part in seen))[0]
        # Unlike the probe, it competes among all classes everywhere: on corpora left out that
        # costs nothing, and where a corpus lacks a class it is hardly ever the answer.
        return criterion(found, targets.to(device))  # type: ignore[no-any-return]

    learn(head, loss, clips, scenes, recipe, "frozen")
    return head, probe


def learn(
    network: nn.Module,
    loss: Callable[[Sequence[Window], Tensor], Tensor],
    clips: Sequence[Encoded],
    scenes: Sequence[Encoded],
    recipe: Recipe,
    what: str,
) -> None:
    """Train a network on windows of these clips and scenes, the encoder frozen.

    Args:
        network: changed in place.
        loss: of a batch of windows with targets [B, labels]; numbers count `clips`, then `scenes`.
        clips: as recorded.
        scenes: augmented.
        recipe: of the run.
        what: is trained, in a word, for the progress shown.
    """
    rng = np.random.default_rng(recipe.seed)
    average = _averaged(network, recipe.average)
    every, likely = [*clips, *scenes], _chances(clips, scenes, recipe, recipe.scenes)
    targets = np.stack([one.clip.target(recipe.votes) for one in every])
    optimiser = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = _Schedule(optimiser, recipe.epochs * recipe.batches, warm=100)
    network.train()
    for _ in schedule.steps(recipe.batches, what):
        drawn = rng.choice(len(every), recipe.batch, p=likely)
        cuts = [(i, *draw(every[i], recipe, rng)) for i in drawn.tolist()]
        schedule.step(loss(cuts, torch.from_numpy(targets[drawn])), network.parameters())
        average.update_parameters(network)
    _take(network, average.module)
    network.eval()


def tune(
    encoder: Encoder,
    head: Head,
    probe: Probe,
    clips: Sequence[Heard],
    scenes: Sequence[Heard],
    recipe: Recipe,
) -> Probe:
    """Fine-tune encoder, head and probe together.

    Args:
        encoder: changed in place.
        head: changed in place.
        probe: to begin with; what it knows of voices is of the encoder before.
        clips: as recorded.
        scenes: augmented.
        recipe: of the run.

    Returns:
        the new probe.
    """
    device = encoder.position.device
    torch.manual_seed(recipe.seed + 100)
    rng = np.random.default_rng(recipe.seed + 100)
    pooled = Pooled(probe).to(device)
    whole = nn.ModuleList([encoder, head, pooled])
    average = _averaged(whole, recipe.average)
    every, likely = [*clips, *scenes], _chances(clips, scenes, recipe, recipe.tuning_scenes)
    targets = np.stack([one.clip.target(recipe.votes) for one in every])
    labels, there = np.stack([one.clip.target() for one in every]), classes(every)
    optimiser = torch.optim.AdamW(
        [
            {"params": encoder.parameters(), "lr": recipe.tuning_rate, "weight_decay": 0.0},
            {
                "params": head.parameters(),
                "lr": recipe.tuning_head_rate,
                "weight_decay": recipe.weight_decay,
            },
            {"params": pooled.parameters(), "lr": recipe.tuning_probe_rate, "weight_decay": 0.0},
        ]
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    schedule = _Schedule(optimiser, recipe.tuning_batches, warm=60)
    whole.train()
    for _ in schedule.steps(min(150, recipe.tuning_batches), "together"):
        drawn = rng.choice(len(every), recipe.tuning_batch, p=likely)
        cuts = [(every[i], *draw(every[i], recipe, rng)) for i in drawn]
        steps, valid, spoken = _encoded_windows(encoder, cuts, recipe.steps_before)
        aims, sure, exist = (
            torch.from_numpy(part[drawn]).to(device) for part in (targets, labels, there)
        )
        own = criterion(head(steps, valid)[0], aims)
        said = cross_entropy(pooled(steps, valid, spoken), sure, exist).mean()
        loss = own + said + PENALTY / 2 * pooled.weight.square().sum()
        schedule.step(loss, head.parameters(), encoder.parameters())
        average.update_parameters(whole)
    _take(whole, average.module)
    whole.eval()
    return pooled.probe()


class Pooled(nn.Module):
    """A probe that is trained by gradients: statistics of a window's steps, and a linear layer.

    Its weight is that of standardised statistics, which is what `PENALTY` is for.
    """

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self._before = probe
        for name in ("mean", "deviation", "spread", "centre"):
            self.register_buffer(name, torch.from_numpy(getattr(probe, name)))
        self.weight = nn.Parameter(torch.from_numpy(probe.weight * probe.spread[:, None]))
        self.bias = nn.Parameter(torch.from_numpy(probe.bias + probe.centre @ probe.weight))

    def forward(self, steps: Tensor, valid: Tensor, spoken: Tensor) -> Tensor:
        """Windows [B, S, 768], the steps that exist and those with speech [B, S] -> [B, labels]."""
        values = (steps - self.mean) / self.deviation
        weight = ((spoken + UNSPOKEN) * valid)[..., None]
        total = weight.sum(1)
        mean = (weight * values).sum(1) / total
        variance = (weight * values.square()).sum(1) / total - mean.square()
        deviation = (variance.clamp(min=0) + LEAST_VARIANCE).sqrt()
        rows = (torch.cat((mean, deviation), 1) - self.centre) / self.spread
        return rows @ self.weight + self.bias

    @torch.no_grad()
    def probe(self) -> Probe:
        """With the new weights, and what it knew of voices before."""
        weight = (self.weight / self.spread[:, None]).cpu().numpy()
        bias = self.bias.cpu().numpy() - self._before.centre @ weight
        return replace(self._before, weight=weight, bias=bias)


def draw(one: Encoded | Heard, recipe: Recipe, rng: np.random.Generator) -> tuple[int, int]:
    """A window of the labelled part that holds speech, as steps [low, high)."""
    count = len(one.spoken)
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


def _encoded_windows(
    encoder: Encoder, cuts: Sequence[tuple[Heard, int, int]], before: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Steps [B, S, 768] of windows, the steps that exist and those with speech [B, S]."""
    device = encoder.position.device
    starts = [max(0, high - STEPS - before) for _, _, high in cuts]
    cut = [
        one.mels[2 * start : 2 * high] for (one, _, high), start in zip(cuts, starts, strict=True)
    ]
    mels, counts = together(cut)
    mels, counts = mels.to(device), counts.to(device)
    valid, spoken = np.zeros((2, len(cuts), STEPS), np.float32)
    for row, (one, low, high) in enumerate(cuts):
        valid[row, STEPS - (high - low) :] = 1
        spoken[row, STEPS - (high - low) :] = one.spoken[low:high]
    exists = torch.from_numpy(valid).to(device)
    place = counts[:, None] - STEPS + torch.arange(STEPS, device=device)
    rows = torch.arange(len(cuts), device=device)[:, None]
    with torch.autocast(device.type, torch.bfloat16):  # half the time on a CPU that has it
        steps = encoder(mels, counts)
    steps = steps.float()[rows, place.clamp(min=0)] * exists[..., None]
    return steps, exists, torch.from_numpy(spoken).to(device)


def _chances(
    clips: Sequence[Encoded | Heard],
    scenes: Sequence[Encoded | Heard],
    recipe: Recipe,
    share: float,
) -> Float64:
    """How likely each clip, then each scene, is drawn: [n], sums to 1."""
    share = share if scenes else 0.0
    found = [(1 - share) * weights(clips, recipe.balance)]
    if scenes:
        found.append(share * weights(scenes, recipe.balance))
    likely = np.concatenate(found, dtype=np.float64)
    return np.asarray(likely / likely.sum())


def _averaged(network: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    return torch.optim.swa_utils.AveragedModel(
        network,
        avg_fn=lambda mean, new, n: new if n < 20 else mean * decay + new * (1 - decay),
    )


@torch.no_grad()
def _take(network: nn.Module, mean: nn.Module) -> None:
    """The mean of the weights; what a batch norm counted stays the newest."""
    for own, other in zip(network.parameters(), mean.parameters(), strict=True):
        own.copy_(other)


@torch.no_grad()
def _round(encoder: Encoder) -> None:
    """To 16 bits, as the file stores them."""
    for own in encoder.parameters():
        own.copy_(own.half().float())


class _Schedule:
    """The steps of an optimiser: its rates rise over the first ones, then fall as a cosine."""

    def __init__(self, optimiser: torch.optim.Optimizer, total: int, warm: int) -> None:
        self._optimiser, self._total, self._warm = optimiser, total, warm
        self._most = [group["lr"] for group in optimiser.param_groups]
        self._losses: list[float] = []

    def steps(self, every: int, what: str) -> Iterator[int]:
        """Each step's number; says how it goes after `every` of them."""
        began = time.monotonic()
        for step in range(self._total):
            part = min(1, (step + 1) / self._warm)
            part *= 0.5 + 0.5 * math.cos(math.pi * step / self._total)
            for group, most in zip(self._optimiser.param_groups, self._most, strict=True):
                group["lr"] = most * part
            yield step
            if (step + 1) % every == 0:
                mean = np.mean(self._losses[-every:])
                took = time.monotonic() - began
                print(f"{what}, batch {step + 1}  loss {mean:.3f}  {took:.0f} s", flush=True)

    def step(self, loss: Tensor, *parts: Iterable[Tensor]) -> None:
        """One step, with the gradients of the first part cut to a norm of 2, of the second to 1.

        Raises:
            CorpusError: if the loss is not finite.
        """
        if not math.isfinite(value := float(loss.detach())):
            raise CorpusError(
                f"The loss of batch {len(self._losses) + 1} is {value}; no file is written."
            )
        self._optimiser.zero_grad()
        loss.backward()
        for part, most in zip(parts, (2.0, 1.0), strict=False):
            nn.utils.clip_grad_norm_(part, most)
        self._optimiser.step()
        self._losses.append(value)
