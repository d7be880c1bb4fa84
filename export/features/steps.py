"""Clips to what the pretrained encoder takes and makes, through the stages of a live stream.

The log-mels of each clip and each scene (`export.features.scenes.scene`, then perhaps hum, an
offset and a codec) are cached. An encoder makes steps of them, and makes them again after each
change of its weights.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from export.corpora import augment
from export.corpora.clips import Clip, CorpusError
from export.features.encoder import Encoder
from export.features.scenes import SETTINGS, scene
from livesr.arrays import Array, Bool, Float32
from livesr.settings import EncoderSettings
from livesr.stages.frontend import FrontEnd
from livesr.stages.highpass import HighPass
from livesr.stages.vad import VoiceActivity

VERSION = 2  # raise when scenes change: those cached are then made anew
_HOP = 4000
_ENCODER = EncoderSettings()
_STEP_SAMPLES = 320
_TOGETHER = {"cpu": 600, "cuda": 6000}  # steps of a call: what a core's cache holds, or a GPU


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip or scene as the encoder takes it.

    Attributes:
        mels: float16 [2 S, 80].
        spoken: in which steps somebody speaks, bool [S].
        first: step at which the labelled clip begins.
        clip: with its label.
    """

    mels: Array
    spoken: Bool
    first: int
    clip: Clip


@dataclass(frozen=True, slots=True)
class Encoded:
    """A clip or scene: steps float16 [S, 768], where somebody speaks bool [S], where it begins."""

    steps: Array
    spoken: Bool
    first: int  # step at which the labelled clip begins
    clip: Clip


def hear(samples: Float32) -> tuple[Float32, Bool]:
    """Log-mels of a stream, float32 [2 S, 80], and where somebody speaks, bool [S]."""
    front = FrontEnd(SETTINGS, np.zeros(SETTINGS.bands), np.ones(SETTINGS.bands), _ENCODER)
    high_pass, vad, found = HighPass(), VoiceActivity(), []
    for start in range(0, len(samples), _HOP):
        hop = high_pass.push(samples[start : start + _HOP])
        found.append(front.push(hop, vad.push(hop) > 0.5))
    found.append(front.finish())
    features = np.concatenate(found)
    features = features[: len(features) // 2 * 2]
    own = 3 * SETTINGS.bands
    return features[:, own : own + _ENCODER.bands], features[::2, -1] > 0


@torch.no_grad()
def encode_all(encoder: Encoder, clips: Sequence[Heard]) -> list[Encoded]:
    """The steps of each clip, in order; clips of nearly one length share a call."""
    device = encoder.position.device
    found: list[Encoded | None] = [None] * len(clips)
    waiting = sorted(range(len(clips)), key=lambda i: len(clips[i].spoken))
    most = _TOGETHER[device.type]
    bar = tqdm(total=len(clips), desc="encoding", leave=False, disable=None)
    while waiting:
        longest = len(clips[waiting[-1]].spoken)
        own = [waiting.pop() for _ in range(min(len(waiting), max(1, most // longest)))]
        mels, counts = together([clips[i].mels for i in own])
        steps = encoder(mels.to(device), counts.to(device)).half().cpu().numpy()
        for i, row, count in zip(own, steps, counts, strict=True):
            one = clips[i]
            found[i] = Encoded(row[:count].copy(), one.spoken, one.first, one.clip)
        bar.update(len(own))
    return [one for one in found if one is not None]


def together(mels: Sequence[Array]) -> tuple[torch.Tensor, torch.Tensor]:
    """Streams of log-mels [2 S, 80] as a batch [B, 2 longest S, 80], and their steps, [B]."""
    counts = [len(one) // 2 for one in mels]
    whole = np.zeros((len(mels), 2 * max(counts), _ENCODER.bands), np.float32)
    for row, one, count in zip(whole, mels, counts, strict=True):
        row[: 2 * count] = one[: 2 * count]
    return torch.from_numpy(whole), torch.tensor(counts)


def disturbed(
    clip: Clip, fellows: Sequence[Clip], strangers: Sequence[Clip], rng: np.random.Generator
) -> tuple[Float32, int]:
    """A scene around a clip, and the sample at which the clip begins."""
    _, samples, first = scene(clip, fellows, strangers, rng)
    for change, chance in ((augment.hum, 0.12), (augment.offset, 0.08), (augment.codec, 0.4)):
        if rng.random() < chance:
            samples = change(samples, rng)
    return samples, first


def _one(job: tuple[Clip, list[Clip], list[Clip], int | None]) -> Heard:
    clip, fellows, strangers, seed = job
    samples, first = clip.samples(), 0
    if seed is not None:
        samples, first = disturbed(clip, fellows, strangers, np.random.default_rng(seed))
    mels, spoken = hear(samples)
    return Heard(mels.astype(np.float16), spoken, first // _STEP_SAMPLES, clip)


def heard(
    clips: Sequence[Clip], seed: int | None, cache: Path, most: int = 1000, workers: int = 2
) -> list[Heard]:
    """The clips as recorded (seed None), or scenes around at most so many of each corpus and split.

    A corpus's split is computed and cached by itself.
    """
    groups: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.corpus, clip.split].append(clip)
    found = []
    for own in groups.values():
        found += _cached(own, seed, cache, most, workers)
    return found


def _cached(
    clips: list[Clip], seed: int | None, cache: Path, most: int, workers: int
) -> list[Heard]:
    kept = list(range(len(clips)))
    rng = np.random.default_rng(seed)
    if seed is not None:
        kept = sorted(rng.permutation(len(clips))[:most].tolist())
    source = [VERSION, SETTINGS.to_dict(), _ENCODER.to_dict(), [clips[i].identity for i in kept]]
    key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
    file = cache / f"{key}-mels-{seed}.npz"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        jobs = [_job(clips, i, seed, rng) for i in kept]
        with ProcessPoolExecutor(workers) as pool:
            name = f"{clips[0].corpus} {clips[0].split}, {seed}"
            done = list(tqdm(pool.map(_one, jobs, chunksize=8), name, len(jobs), disable=None))
        part = file.with_suffix(".part.npz")
        np.savez(
            part,
            mels=np.concatenate([one.mels for one in done]),
            spoken=np.concatenate([one.spoken for one in done]),
            facts=[(len(one.spoken), one.first) for one in done],
        )
        part.rename(file)
    with np.load(file) as data:
        mels, spoken, facts = data["mels"], data["spoken"], data["facts"]
    if len(facts) != len(kept) or len(spoken) != facts[:, 0].sum():
        raise CorpusError(f"{file} is of another cache; remove it.")
    ends = np.cumsum(facts[:, 0])
    return [
        Heard(mels[2 * (end - size) : 2 * end], spoken[end - size : end], int(first), clips[i])
        for i, end, (size, first) in zip(kept, ends, facts, strict=True)
    ]


def _job(
    clips: list[Clip], index: int, seed: int | None, rng: np.random.Generator
) -> tuple[Clip, list[Clip], list[Clip], int | None]:
    clip = clips[index]
    if seed is None:
        return clip, [], [], None
    fellows = [c for c in clips if c.speaker == clip.speaker and c is not clip]
    strangers = [clips[i] for i in rng.integers(len(clips), size=8)]
    return clip, fellows, strangers, int(rng.integers(2**62))
