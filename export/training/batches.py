"""Batches of training windows, cut from the features of clips as a live stream cuts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from export.features.scenes import SceneFeatures, with_deltas
from export.features.teacher import VALUES
from export.networks.acrnn import CONTEXT_FRAMES
from export.training.config import Config
from livesr.arrays import Array, Float32, Float64
from livesr.model.load import STEP_FRAMES
from livesr.model.metadata import LABELS

_LESSON_STEPS = 25  # half a second
_EVERY = 5  # steps of it are kept
_CPU = torch.device("cpu")


@dataclass(slots=True)
class Scenes:
    """One version of a set of clips as the network's input."""

    features: list[Float32]  # float16 [frames, bands, 3]
    lessons: list[Float32]  # float16 [steps / 5, 384]: the teacher's features, smoothed
    targets: Float32  # [clips, labels]: what the network is trained to answer
    clips: list[SceneFeatures]


def statistics(versions: Sequence[Sequence[SceneFeatures]]) -> tuple[Float64, Float64]:
    """Mean and deviation of levelled log-mels over the training set, band by band."""
    levels = np.concatenate([item.levels for version in versions for item in version])
    return levels.mean(0, dtype=np.float64), levels.std(0, dtype=np.float64)


def prepare(
    clips: list[SceneFeatures],
    mean: Float64,
    deviation: Float64,
    targets: Float32 | None = None,
    count: int = len(LABELS),
) -> Scenes:
    """Standardise and add deltas, through livesr's front end; smooth the teacher's output.

    Without `targets`, they are the clips' labels, of so many.

    Averaged over half a second, the teacher's steps say how something is spoken; a single step
    says which sound it is, which a small network cannot learn.
    """
    features = [with_deltas(clip.levels.astype(np.float32), mean, deviation) for clip in clips]
    lessons = [_smooth(clip.taught) for clip in clips]
    labels = [clip.label for clip in clips]
    if targets is None:
        targets = aims(labels, count)
    kept = [replace(clip, taught=clip.taught[:0].copy()) for clip in clips]  # gigabytes
    return Scenes([f.astype(np.float16) for f in features], lessons, targets, kept)


def aims(labels: Sequence[int], count: int = len(LABELS)) -> Float32:
    """The targets, [clips, labels]: one label, even shares for babble, zeros without a label."""
    rows = (np.eye(count), np.zeros(count), np.full(count, 1 / count))
    return np.vstack(rows).astype(np.float32)[np.asarray(labels, int)]  # the last two: negative


def _smooth(lesson: Float32) -> Float32:
    smooth = uniform_filter1d(lesson.astype(np.float32), _LESSON_STEPS, axis=0, mode="nearest")
    return smooth[_EVERY // 2 :: _EVERY].astype(np.float16)


def window(features: Float32, start: int, end: int, steps: int) -> tuple[Float32, Float32, Float32]:
    """Frames [start, end) as the network gets them in a stream.

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


def lesson(taught: Float32, end: int, steps: int) -> tuple[Float32, Float32]:
    """The teacher's values (from `Scenes.lessons`) for the window's steps up to frame `end`.

    Returns:
        values float32 [steps, 384], and 1 for each step that has values.
    """
    values, known = np.zeros((steps, VALUES), np.float32), np.zeros(steps, np.float32)
    last = end // STEP_FRAMES
    first = max(0, last - steps)
    if len(taught):
        there = np.minimum(np.arange(first, last) // _EVERY, len(taught) - 1)
        values[steps - len(there) :] = taught[there]
        known[steps - len(there) :] = 1
    return values, known


def draw(
    clip: SceneFeatures, config: Config, steps: int, rng: np.random.Generator
) -> tuple[int, int]:
    """A random window inside the labelled part, as a stream cuts it: [start, end), even frames."""
    longest = STEP_FRAMES * steps
    first = clip.first + clip.first % STEP_FRAMES
    whole = len(clip.speech) - len(clip.speech) % STEP_FRAMES
    best = (max(first, whole - longest), whole)
    for _ in range(6):
        end = int(rng.integers(min(whole, first + config.shortest_frames), whole + 1))
        end -= end % STEP_FRAMES
        short = rng.random() < config.partial
        length = int(rng.integers(config.shortest_frames, longest)) if short else longest
        start = max(first, end - length + length % STEP_FRAMES)
        if clip.speech[start:end].sum() >= config.least_speech_frames:
            return start, end
    return best


def batches(
    versions: Sequence[Scenes],
    babble: Scenes,
    unlabelled: Sequence[Scenes],
    config: Config,
    steps: int,
    rng: np.random.Generator,
    device: torch.device = _CPU,
) -> Iterator[tuple[Tensor, ...]]:
    """One epoch of balanced, augmented windows; the first version is the clips as recorded.

    Some windows come from `babble` (label BABBLE) instead. Each batch also gets windows of
    `unlabelled`, if there are any, with the label UNLABELLED. Windows are cut on the CPU, and
    augmented on `device`, which has most of the work; the targets stay on the CPU.

    Returns:
        of each batch: features float32 [batch, frames, bands, 3], which frames exist, which steps
        of the window count, the teacher's values and which of them are known (`lesson`; no values
        where the config does without a teacher), and targets [batch, labels].
    """
    groups = [(item.corpus, item.label) for item in versions[0].clips]
    sizes = Counter(groups)
    chance = np.array([sizes[group] ** (config.balance - 1.0) for group in groups])
    order = rng.choice(len(groups), len(groups), p=chance / chance.sum())
    more = round(config.unlabelled * config.batch) if unlabelled else 0
    none = np.zeros(0, np.float32)

    def cut(scenes: Scenes, item: int) -> tuple[Array, ...]:
        start, end = draw(scenes.clips[item], config, steps, rng)
        features = window(scenes.features[item], start, end, steps)
        # Without a teacher, batches of zeros would be most of what is copied.
        lessons = lesson(scenes.lessons[item], end, steps) if config.teach else (none, none)
        return *features, *lessons, scenes.targets[item]

    def any_of(scenes: Scenes) -> tuple[Array, ...]:
        return cut(scenes, int(rng.integers(len(scenes.clips))))

    for begin in range(0, len(order) - config.batch + 1, config.batch):
        parts = []
        for i in order[begin : begin + config.batch]:
            if rng.random() < config.background:
                parts.append(any_of(babble))
            elif len(versions) > 1 and rng.random() >= config.recorded:
                parts.append(cut(versions[int(rng.integers(1, len(versions)))], i))
            else:
                parts.append(cut(versions[0], i))
        for version in rng.integers(len(unlabelled), size=more) if more else ():
            parts.append(any_of(unlabelled[version]))
        columns = (torch.from_numpy(np.stack(column)) for column in zip(*parts, strict=True))
        *inputs, targets = columns
        seen, exists, *rest = (part.to(device) for part in inputs)
        seen = spec_augment(mix_styles(seen, exists, config.styles, rng), rng)
        yield seen, exists, *rest, targets


def mix_styles(features: Tensor, exists: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Mix the level and spread of each band with another window's, for a share of the windows.

    Freq-MixStyle (Schmid et al. 2022, after Zhou et al. 2021): a band's mean and deviation over
    time identify microphone, room and voice, and the network should not rely on them. Deltas have
    no level of their own.
    """
    count = len(features)
    there = exists[:, :, None, None]
    total = there.sum(1, keepdim=True).clamp(min=1)
    mean = (features * there).sum(1, keepdim=True) / total
    spread = (((features - mean).square() * there).sum(1, keepdim=True) / total + 1e-4).sqrt()
    own = rng.beta(0.4, 0.4, count)
    own = torch.from_numpy(np.where(rng.random(count) < share, own, 1)).float()[:, None, None, None]
    other = torch.from_numpy(rng.permutation(count)).to(features.device)
    own = own.to(features.device)
    new_mean = own * mean + (1 - own) * mean[other]
    new_spread = own * spread + (1 - own) * spread[other]
    return ((features - mean) / spread * new_spread + new_mean) * there


def spec_augment(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Masks over time and band, per window (Park et al. 2019, without warping)."""
    count, frames, bands, _ = features.shape
    silent, lost = np.zeros((count, bands), np.bool_), np.zeros((count, frames), np.bool_)
    for row in range(count):
        size = int(rng.integers(0, 9))
        low = int(rng.integers(0, bands - size))
        silent[row, low : low + size] = True
        size = int(rng.integers(0, 31))
        begin = int(rng.integers(0, frames - size))
        lost[row, begin : begin + size] = True
    hidden = torch.from_numpy(silent)[:, None, :] | torch.from_numpy(lost)[:, :, None]
    return features.masked_fill(hidden[..., None].to(features.device), 0)
