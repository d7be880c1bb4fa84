"""Ways to train the network on the encoder, each tried on every corpus left out.

    python -m export.ideas --corpora SPEECH SPEECH-MORE --seeds 1 2 3

The encoder is frozen. The network is the paper's from its linear layer on, as in the default model;
each idea changes one thing of it, or of how it is trained. Clips and batches are the same. All
clips are as recorded: without augmented scenes, a trial takes minutes.

Each corpus is left out in turn, and judged on its train and dev speakers. The result of a clip is
the mean of the probabilities of its windows, each weighted by the speech since the window before.
UAR, of the network alone and beside the linear probe, as it ships. `test` is not read.

`other tasks` needs openSMILE (the extra `baseline`). Results are kept in a file: a run that was
broken off goes on, and one that is done prints its tables again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.corpora.clips import Clip, CorpusError, fingerprint
from export.corpora.readers import read_to_leave_out
from export.evaluation.encoded import Readings
from export.evaluation.functionals import LEVEL, PITCH, functionals
from export.evaluation.judging import some
from export.evaluation.metrics import by_corpus, confusion, uar
from export.evaluation.options import (
    Once,
    add_cache,
    add_corpora,
    add_trials,
    command_parser,
    new_file,
)
from export.features.encoder import Encoder
from export.features.steps import Encoded, encode_all, heard
from export.networks.acrnn import weigh
from export.networks.head import Head
from export.networks.pretrained_graph import LEAST_VARIANCE, HeadWidths
from export.training.pretrained import LEAST_STEPS, Pooled, Recipe, Window, learn, windows
from export.training.probe import Probe, fit
from livesr.arrays import Array
from livesr.errors import LivesrError
from livesr.model.metadata import LABELS

_HIGH = [LABELS.index(emotion) for emotion in ("angry", "happy")]  # emotions of high arousal
_PROJECTED = 64  # values of c that contrast compares
_TEMPERATURE = 0.1  # of contrast
Voices = Mapping[str, tuple[float, float]]  # clip's key -> pitch and level, standardised
Scores = Mapping[str, tuple[float, float]]  # corpus -> UAR, alone and beside the probe


class WithSpread(Head):
    """Statistics pooling (Okabe et al. 2018): beside c, the deviation by the same attention."""

    def __init__(self, mean: Array, deviation: Array, widths: HeadWidths) -> None:
        super().__init__(mean, deviation, widths)
        self.context_norm = nn.BatchNorm1d(4 * widths.cells)
        self.dense = nn.Linear(4 * widths.cells, widths.dense)

    def summary(self, encodings: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """c and the deviation around it, [B, 4 cells], and attention [B, S]."""
        hidden = self.hidden(encodings, valid)
        attention = weigh(self.score, hidden, valid)
        mean = (attention[:, None] @ hidden)[:, 0]
        variance = (attention[:, None] @ hidden.square())[:, 0] - mean.square()
        return torch.cat((mean, (variance.clamp(min=0) + LEAST_VARIANCE).sqrt()), 1), attention


class WithoutLstm(Head):
    """Attention over what the linear layer gives; the order of steps is not heard."""

    def __init__(self, mean: Array, deviation: Array, widths: HeadWidths) -> None:
        super().__init__(mean, deviation, widths)
        del self.lstm
        self.score = nn.Linear(widths.linear, 1, bias=False)
        self.context_norm = nn.BatchNorm1d(widths.linear)
        self.dense = nn.Linear(widths.linear, widths.dense)

    def hidden(self, encodings: Tensor, valid: Tensor) -> Tensor:
        """As they are, [B, S, linear]."""
        return encodings


@dataclass(frozen=True, slots=True)
class Idea:
    """What is changed.

    Attributes:
        network: kind of network.
        widths: its sizes.
        label_smoothing: of its loss.
        mixed: share of windows whose mean and deviation over time are mixed with those of another
            window of the batch (Zhou et al. 2021, MixStyle).
        same_emotion: whether that window has the same emotion.
        contrast: weight of supervised contrast on c (Khosla et al. 2020), where only clips
            of other corpora are alike.
        against: weight of a classifier of corpora whose gradient is reversed at c (Ganin and
            Lempitsky 2015).
        tasks: weight of other tasks: sex, arousal, and a clip's mean pitch and level.
        taught: share of what a mean of networks, one of each seed, says in the targets.
    """

    network: type[Head] = Head
    widths: HeadWidths = field(default_factory=HeadWidths)
    label_smoothing: float = 0.1
    mixed: float = 0.0
    same_emotion: bool = False
    contrast: float = 0.0
    against: float = 0.0
    tasks: float = 0.0
    taught: float = 0.0


SHIPPED = "as shipped"
IDEAS = {
    SHIPPED: Idea(),
    "c and deviation": Idea(network=WithSpread),
    "BLSTM of 32 cells": Idea(widths=HeadWidths(cells=32)),
    "no BLSTM": Idea(network=WithoutLstm),
    "no label smoothing": Idea(label_smoothing=0.0),
    "mixed styles": Idea(mixed=0.5),
    "styles of one emotion mixed": Idea(mixed=0.5, same_emotion=True),
    "contrast across corpora": Idea(contrast=0.2),
    "against corpora": Idea(against=0.1),
    "other tasks": Idea(tasks=0.2),
    "taught by all seeds": Idea(taught=0.7),
}


class Learner(nn.Module):
    """A network with what an idea needs in training only.

    Args:
        idea: of the run.
        probe: of the same clips; it has the encoder's means and deviations.
        corpora: to learn from.
        voices: pitch and level of clips; none without other tasks.
        teachers: networks, for an idea that is taught.
    """

    def __init__(
        self,
        idea: Idea,
        probe: Probe,
        corpora: Sequence[str],
        voices: Voices,
        teachers: Sequence[Head] = (),
    ) -> None:
        super().__init__()
        self._idea, self._corpora, self._voices = idea, list(corpora), voices
        self._teachers = list(teachers)  # no part of the module: they do not learn
        self.head = idea.network(probe.mean, probe.deviation, idea.widths)
        width = self.head.dense.in_features
        if idea.contrast:
            self.project = nn.Linear(width, _PROJECTED)
        if idea.against:
            out = nn.Linear(64, len(corpora))
            self.corpus = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), out)
        if idea.tasks:
            self.others = nn.Linear(width, 4)

    def loss(
        self, steps: Tensor, valid: Tensor, targets: Tensor, clips: Sequence[Encoded]
    ) -> Tensor:
        """Of a batch of windows: steps [B, S, 768], which exist [B, S], targets [B, labels]."""
        idea = self._idea
        if idea.taught:
            with torch.no_grad():
                said = [torch.softmax(one(steps, valid)[0], 1) for one in self._teachers]
            targets = (1 - idea.taught) * targets + idea.taught * torch.stack(said).mean(0)
        labels = torch.tensor([one.clip.label for one in clips])
        corpora = torch.tensor([self._corpora.index(one.clip.corpus) for one in clips])
        if idea.mixed:
            alike = labels[:, None] == labels
            steps = mixed(steps, valid, alike | (not idea.same_emotion), idea.mixed)
        context, _ = self.head.summary(self.head.encodings(steps, valid), valid)
        loss = functional.cross_entropy(
            self.head.classify(context), targets, label_smoothing=idea.label_smoothing
        )
        if idea.contrast:
            loss = loss + idea.contrast * contrast(self.project(context), labels, corpora)
        if idea.against:
            reversed_ = 2 * context.detach() - context  # the same values; the gradient's sign turns
            loss = loss + idea.against * functional.cross_entropy(self.corpus(reversed_), corpora)
        if idea.tasks:
            loss = loss + idea.tasks * self._other_tasks(context, targets, clips)
        return loss

    def _other_tasks(self, context: Tensor, targets: Tensor, clips: Sequence[Encoded]) -> Tensor:
        found = self.others(context)
        sexes = torch.tensor([{"F": 1.0, "M": 0.0}.get(one.clip.gender, -1.0) for one in clips])
        high = targets[:, _HIGH].sum(1)
        voices = torch.tensor([self._voices[one.clip.key] for one in clips])
        cross_entropy = functional.binary_cross_entropy_with_logits
        sex = cross_entropy(found[:, 0], sexes.clamp(min=0), reduction="none")
        arousal = cross_entropy(found[:, 1], high)
        apart = (found[:, 2:] - voices).square()
        return (sex * (sexes >= 0)).mean() + arousal + apart.mean()


def mixed(steps: Tensor, valid: Tensor, alike: Tensor, share: float) -> Tensor:
    """Steps of windows, with the mean and deviation of some mixed with another window's.

    Args:
        steps: [B, S, 768].
        valid: [B, S], 1 where a step exists.
        alike: [B, B], with which other windows a window may be mixed.
        share: of windows that are mixed.
    """
    there = valid[..., None]
    count = there.sum(1, keepdim=True)
    mean = (steps * there).sum(1, keepdim=True) / count
    variance = ((steps - mean).square() * there).sum(1, keepdim=True) / count
    deviation = (variance + LEAST_VARIANCE).sqrt()
    other = torch.multinomial(alike.float(), 1)[:, 0]
    own = torch.distributions.Beta(0.3, 0.3).sample((len(steps), 1, 1))
    own = torch.where(torch.rand(len(steps), 1, 1) < share, own, torch.ones(()))
    level, width = (own * part + (1 - own) * part[other] for part in (mean, deviation))
    return ((steps - mean) / deviation * width + level) * there


def contrast(values: Tensor, labels: Tensor, corpora: Tensor) -> Tensor:
    """Supervised contrast (Khosla et al. 2020) of values [B, n].

    Windows of one emotion and different corpora are alike, those of different emotions are not. Of
    one emotion and one corpus it says nothing.
    """
    unit = functional.normalize(values, dim=1)
    near = unit @ unit.T / _TEMPERATURE
    same = labels[:, None] == labels
    alike = same & (corpora[:, None] != corpora)
    near = near - near.masked_fill(same & ~alike, -1e4).logsumexp(1, keepdim=True)
    rows = (near * alike).sum(1) / alike.sum(1).clamp(min=1)
    return -rows.sum() / alike.any(1).sum().clamp(min=1)


@dataclass(frozen=True, slots=True)
class Trial:
    """A network to train.

    Attributes:
        out: the corpora that it never hears, and is judged on.
        idea: its name.
        recipe: of the training.
        teachers: seeds of the networks, as shipped, that teach it.
    """

    out: tuple[str, ...]
    idea: str
    recipe: Recipe
    teachers: tuple[int, ...] = ()

    def key(self, data: str) -> str:
        """Of its result: the same for the same network on the same clips, whose hash is `data`."""
        idea = IDEAS[self.idea]
        # A class of the module that is run has another name than where it is imported.
        settings = idea.network.__name__, repr(replace(idea, network=Head))
        parts = [data, self.out, *settings, repr(self.recipe)]
        return json.dumps([*parts, *self.teachers])


def trained(
    trial: Trial,
    clips: Sequence[Encoded],
    probe: Probe,
    voices: Voices,
    teachers: Sequence[Head],
) -> Head:
    """A network that is trained on these clips."""
    torch.manual_seed(trial.recipe.seed)
    corpora = sorted({one.clip.corpus for one in clips})
    learner = Learner(IDEAS[trial.idea], probe, corpora, voices, teachers)

    def loss(cuts: Sequence[Window], targets: Tensor) -> Tensor:
        steps, valid = windows([(clips[i], low, high) for i, low, high in cuts])
        return learner.loss(steps, valid, targets, [clips[i] for i, _, _ in cuts])

    learn(learner, loss, clips, [], trial.recipe, trial.idea)
    return learner.head.eval()


class Judge:
    """The clips of a corpus that is left out, and what the probe of the others says of them."""

    def __init__(self, clips: Sequence[Encoded], probe: Probe) -> None:
        self._clips, self._readings = clips, Readings(clips)
        pooled = Pooled(probe)

        def of(cuts: Sequence[Window]) -> Tensor:
            steps, valid = self._windows(cuts)
            spoken = torch.zeros_like(valid)
            for row, (i, low, high) in enumerate(cuts):
                own = torch.from_numpy(clips[i].spoken[low:high])
                spoken[row, len(valid[0]) - (high - low) :] = own
            found: Tensor = pooled(steps, valid, spoken)
            return found

        self._probe = self._readings.logits(of)

    def scores(self, head: Head, share: float) -> tuple[float, float]:
        """UAR of a network: alone, and beside the probe, which has this share of the logits."""
        alone = self._readings.logits(lambda cuts: head(*self._windows(cuts))[0])
        return self._uar(alone), self._uar((1 - share) * alone + share * self._probe)

    def _windows(self, cuts: Sequence[Window]) -> list[Tensor]:
        return windows([(self._clips[i], low, high) for i, low, high in cuts])

    def _uar(self, logits: Tensor) -> float:
        guess = self._readings.results(logits).argmax(1)
        return uar(confusion([one.clip.label for one in self._clips], guess.tolist()))


def voices_of(clips: Sequence[Clip], cache: Path) -> Voices:
    """Pitch and level of each clip, less the mean of all and in units of their deviation.

    Raises:
        CorpusError: without openSMILE.
    """
    try:
        found = functionals(clips, cache)[:, [PITCH, LEVEL]]
    except ImportError as error:
        raise CorpusError(f"{error}; pip install -e '.[train,baseline]' first.") from None
    found = np.clip((found - found.mean(0)) / found.std(0), -3, 3)
    return {clip.key: tuple(row.tolist()) for clip, row in zip(clips, found, strict=True)}


class Kept:
    """Results of trials in a file, a line of JSON each.

    Args:
        file: may not be there yet.
        data: hash of the clips that are learned from and judged.
    """

    def __init__(self, file: Path, data: str) -> None:
        self._file, self._data = file, data

    def of(self, trials: Sequence[Trial]) -> dict[Trial, Scores]:
        """Results of those trials that have been made.

        Raises:
            CorpusError: for a file of something else.
        """
        lines = self._file.read_text().splitlines() if self._file.is_file() else []
        try:
            made = {line["trial"]: line["uar"] for line in map(json.loads, lines)}
        except (ValueError, KeyError, TypeError):
            raise CorpusError(f"{self._file} does not hold results of this command.") from None
        keys = {trial: trial.key(self._data) for trial in trials}
        return {trial: made[key] for trial, key in keys.items() if key in made}

    def add(self, trial: Trial, scores: Scores) -> None:
        """Write a result at the end of the file; two commands may write to one."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(json.dumps({"trial": trial.key(self._data), "uar": scores}) + "\n")


def left_out(
    trials: Sequence[Trial],
    clips: Sequence[Encoded],
    judged: Collection[str],
    voices: Voices,
) -> Iterator[tuple[Trial, Scores]]:
    """Results of trials without the same corpora; those as shipped come first and teach others.

    Args:
        trials: to make.
        clips: of all corpora.
        judged: keys of the clips to judge.
        voices: pitch and level of clips.
    """
    out, recipe = trials[0].out, trials[0].recipe
    known = [one for one in clips if one.clip.corpus not in out]
    probe = fit(known, [], recipe.balance, 0.0)
    own = [one for one in clips if one.clip.key in judged]
    judges = {
        corpus: Judge([one for one in own if one.clip.corpus == corpus], probe) for corpus in out
    }
    teachers: list[Head] = []
    for trial in sorted(trials, key=lambda one: one.idea != SHIPPED):
        head = trained(trial, known, probe, voices, teachers)
        if trial.idea == SHIPPED:
            teachers.append(head)
        yield trial, {name: judge.scores(head, recipe.probe) for name, judge in judges.items()}


def run(
    trials: Sequence[Trial], clips: Sequence[Clip], chosen: Sequence[Clip], kept: Kept, cache: Path
) -> None:
    """Make and keep the results that are not there yet.

    Args:
        trials: to make.
        clips: to learn from, those of corpora that are not left out.
        chosen: to judge.
        kept: results that are there.
        cache: folder of log-mels.

    Raises:
        CorpusError: if a clip or a file of results cannot be read.
    """
    there = kept.of(trials)
    missing = [trial for trial in trials if trial not in there]
    if not missing:
        return
    tasks = any(IDEAS[trial.idea].tasks for trial in missing)
    voices = voices_of(clips, cache) if tasks else {}
    listened = heard(clips, None, cache)
    encoded = encode_all(Encoder(), [one for one in listened if len(one.spoken) >= LEAST_STEPS])
    keys = {clip.key for clip in chosen}
    for out in dict.fromkeys(trial.out for trial in missing):
        own = [trial for trial in missing if trial.out == out]
        own += [
            Trial(out, SHIPPED, replace(trial.recipe, seed=seed))
            for trial in own
            for seed in trial.teachers
        ]
        for trial, scores in left_out(list(dict.fromkeys(own)), encoded, keys, voices):
            kept.add(trial, scores)
            said = ", ".join(f"{corpus} {own[1]:.3f}" for corpus, own in scores.items())
            print(f"{trial.idea}, seed {trial.recipe.seed}, beside the probe: {said}", flush=True)


def table(found: Mapping[Trial, Scores], column: int) -> Iterator[str]:
    """A row for each idea, a column for each corpus left out, mean and least."""
    uars: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trial, scores in found.items():
        for corpus, both in scores.items():
            uars[trial.idea][corpus].append(both[column])
    return by_corpus("idea", uars)


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    add_trials(parser, epochs=4)
    parser.add_argument(
        "--ideas",
        nargs="+",
        action=Once,
        choices=list(IDEAS),
        default=list(IDEAS),
        help="try these",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        action="append",
        help="leave out these corpora together; give it again for others. Each by itself unless "
        "given",
    )
    parser.add_argument(
        "--output",
        type=new_file,
        default=Path("runs/ideas.jsonl"),
        help="keep the results in this file; what is there is not made again",
    )
    add_cache(parser, kept="the encoder's log-mels")
    options = parser.parse_args()
    try:
        clips = read_to_leave_out(options.corpora)
        corpora = sorted({clip.corpus for clip in clips})
        folds = options.without or [[corpus] for corpus in corpora]
        if unknown := sorted({corpus for out in folds for corpus in out} - {*corpora}):
            raise CorpusError(f"There is no corpus {unknown[0]}; there are {', '.join(corpora)}.")
        named = [corpus for out in folds for corpus in out]
        if twice := [corpus for corpus in corpora if named.count(corpus) > 1]:
            raise CorpusError(f"{twice[0]} is left out twice; its results would count twice.")
        if full := [out for out in folds if {*out} >= {*corpora}]:
            raise CorpusError(f"No corpus is left to learn from without {' '.join(full[0])}.")
        chosen = some(clips, options.most)
        kept = Kept(options.output, fingerprint(clips, chosen))
        seeds = tuple(sorted(options.seeds))
        trials = [
            Trial(
                tuple(sorted(out)),
                idea,
                Recipe(seed=seed, epochs=options.epochs),
                seeds if IDEAS[idea].taught else (),
            )
            for out in folds
            for idea in options.ideas
            for seed in options.seeds
        ]
        run(trials, clips, chosen, kept, options.cache)
        found = kept.of(trials)
        print(f"\n{len(chosen)} clips, {len({clip.speaker for clip in chosen})} speakers")
        for column, what in enumerate(("The network alone", "Beside the probe")):
            print(f"\n{what}:\n")
            for line in table(found, column):
                print(line)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
