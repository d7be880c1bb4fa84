"""Does the network need both branches? Log-mels, a pretrained encoder, and both, on equal terms.

    python -m export.branches --corpora SPEECH SPEECH-MORE --seeds 1 2

Branch A is the paper's: log-mel, delta and delta-delta, eq. (1) to (3), and 2-D convolutions.
Branch B is the encoder, frozen. What follows is the same for A, B and both joined: linear layer,
BLSTM, attention, c, classifier. So are the clips, scenes and batches; nothing stands beside the
network.

Each corpus is left out in turn, and judged on its train and dev speakers. The result of a clip is
the mean of the probabilities of its windows, each weighted by the speech since the window before.
UAR; `test` is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from export.corpora.clips import CorpusError
from export.corpora.readers import read_to_leave_out
from export.evaluation.encoded import Readings
from export.evaluation.judging import some
from export.evaluation.metrics import by_corpus, confusion, uar
from export.evaluation.options import (
    add_corpora,
    add_mels,
    add_trials,
    command_parser,
)
from export.features.encoder import STEPS, Encoder
from export.features.scenes import with_deltas
from export.features.steps import Encoded, Heard, encode_all, heard
from export.networks.acrnn import CONTEXT_FRAMES, Convolutions
from export.networks.head import Head
from export.networks.sizes import COMPACT
from export.training.pretrained import LEAST_STEPS, Recipe, Window, learn, windows
from export.training.probe import moments
from livesr.arrays import Array
from livesr.errors import LivesrError

BRANCHES = {"A: log-mels": "A", "B: encoder": "B", "A and B joined": "AB"}


@dataclass(frozen=True, slots=True)
class Sound:
    """A clip or scene: what each branch takes.

    Attributes:
        features: log-mel, delta and delta-delta, eq. (1) to (3), float16 [2 S, 40, 3].
        encoded: its S steps.
    """

    features: Array
    encoded: Encoded


Cut = tuple[Sound, int, int]  # a window: its steps [low, high)


def sound(listened: Heard, encoded: Encoded) -> Sound:
    """With the log-mels of branch A: neighbouring bands are one, as many as livesr's own."""
    levels = listened.mels.astype(np.float32).reshape(len(listened.mels), COMPACT.bands, -1).mean(2)
    features = with_deltas(levels, np.zeros(COMPACT.bands), np.ones(COMPACT.bands))
    return Sound(features.astype(np.float16), encoded)


def frames_of(cuts: Sequence[Cut]) -> tuple[Tensor, Tensor]:
    """Features of windows and before them [B, T, 40, 3], and which frames exist [B, T]."""
    count = 2 * STEPS + CONTEXT_FRAMES
    features = np.zeros((len(cuts), count, COMPACT.bands, 3), np.float32)
    exists = np.zeros((len(cuts), count), np.float32)
    for row, (one, _, high) in enumerate(cuts):
        own = one.features[max(0, 2 * high - count) : 2 * high]
        features[row, count - len(own) :], exists[row, count - len(own) :] = own, 1
    return torch.from_numpy(features), torch.from_numpy(exists)


class Network(nn.Module):
    """The paper's network on one branch or both: windows -> logits [B, labels].

    Args:
        branches: "A", "B" or "AB".
        sounds: to train on; their means and deviations standardise what it takes.
    """

    def __init__(self, branches: str, sounds: Sequence[Sound]) -> None:
        super().__init__()
        self.branches = branches
        scales = []  # mean and deviation of what each branch gives
        if "A" in branches:
            self.convolutions = Convolutions(COMPACT)
            rows = _spoken_frames(sounds)
            self.register_buffer("mean", rows.mean(0))
            self.register_buffer("deviation", rows.std(0) + 1e-3)
            same = np.zeros(COMPACT.encoded, np.float32)  # batch norms have standardised it
            scales.append((same, same + 1))
        if "B" in branches:
            scales.append(moments([one.encoded for one in sounds]))
        mean, deviation = (np.concatenate(parts) for parts in zip(*scales, strict=True))
        self.head = Head(mean, deviation)

    def forward(self, cuts: Sequence[Cut]) -> Tensor:
        """Windows -> logits [B, labels]."""
        steps, valid = windows([(one.encoded, low, high) for one, low, high in cuts])
        parts = []
        if "A" in self.branches:
            features, exists = frames_of(cuts)
            features = (features - self.mean) / self.deviation
            with torch.autocast("cpu", torch.bfloat16):
                flow = self.convolutions.convolve(features, exists)
            parts.append(flow[:, -STEPS:].float() * valid[..., None])
        if "B" in self.branches:
            parts.append(steps)
        logits: Tensor = self.head(torch.cat(parts, 2), valid)[0]
        return logits


def _spoken_frames(sounds: Sequence[Sound]) -> Tensor:
    """Features of frames with speech, [frames, 40, 3], of some of the sounds."""
    few = np.random.default_rng(0).permutation(len(sounds))[:500]
    rows = [sounds[i].features[np.repeat(sounds[i].encoded.spoken, 2)] for i in few]
    return torch.from_numpy(np.concatenate(rows).astype(np.float32))


def trained(
    branches: str, clips: Sequence[Sound], scenes: Sequence[Sound], recipe: Recipe
) -> Network:
    """A network on these branches, as the default model's head is trained on a frozen encoder."""
    torch.manual_seed(recipe.seed)
    network, every = Network(branches, clips), [*clips, *scenes]

    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def loss(cuts: Sequence[Window], targets: Tensor) -> Tensor:
        found: Tensor = criterion(logits(network, every, cuts), targets)
        return found

    recorded, augmented = ([one.encoded for one in part] for part in (clips, scenes))
    learn(network, loss, recorded, augmented, recipe, branches)
    return network


def logits(network: Network, sounds: Sequence[Sound], cuts: Sequence[Window]) -> Tensor:
    """Of windows of these sounds, [B, labels]."""
    found: Tensor = network([(sounds[i], low, high) for i, low, high in cuts])
    return found


def left_out(
    clips: Sequence[Sound], scenes: Sequence[Sound], judged: Sequence[Sound], recipe: Recipe
) -> Iterator[tuple[str, str, float]]:
    """Corpus, branches and UAR, of networks that are trained without the corpus."""
    for out in sorted({one.encoded.clip.corpus for one in clips}):
        learnt = [[s for s in part if s.encoded.clip.corpus != out] for part in (clips, scenes)]
        strange = [one for one in judged if one.encoded.clip.corpus == out]
        truth = [one.encoded.clip.label for one in strange]
        readings = Readings([one.encoded for one in strange])
        for branches in BRANCHES.values():
            network = trained(branches, learnt[0], learnt[1], recipe)
            said = readings.logits(partial(logits, network, strange))
            guess = readings.results(said).argmax(1).tolist()
            yield out, branches, uar(confusion(truth, guess))


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    add_trials(parser, epochs=8)
    add_mels(parser)
    options = parser.parse_args()
    try:
        clips = read_to_leave_out(options.corpora)
        chosen = {clip.key for clip in some(clips, options.most)}
        encoder, parts = Encoder(), []
        for seed in (None, 1):  # of the scenes; None: as recorded
            listened = heard(clips, seed, options.cache, workers=options.workers)
            listened = [one for one in listened if len(one.spoken) >= LEAST_STEPS]
            pairs = zip(listened, encode_all(encoder, listened), strict=True)
            parts.append([sound(*pair) for pair in pairs])
        judged = [one for one in parts[0] if one.encoded.clip.key in chosen]
        print(
            f"{len(judged)} clips, {len({one.encoded.clip.speaker for one in judged})} speakers\n"
        )
        scores: dict[str, dict[str, list[float]]] = {name: {} for name in BRANCHES}
        names = {branches: name for name, branches in BRANCHES.items()}
        for seed in options.seeds:
            recipe = Recipe(seed=seed, epochs=options.epochs)
            for corpus, branches, score in left_out(parts[0], parts[1], judged, recipe):
                print(f"without {corpus}, seed {seed}, {branches}: UAR {score:.3f}", flush=True)
                scores[names[branches]].setdefault(corpus, []).append(score)
        for line in by_corpus("branches", scores):
            print(line)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
