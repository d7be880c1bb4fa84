"""Computes the features of clips with the same stages that a live stream uses.

A training sequence is a small scene: perhaps another clip of the speaker first (so that the level
has settled), a pause, the clip, perhaps a second one of the same emotion, a pause; then changes of
speed, room, band, noise and gain. Stored are levelled log-mels; standardisation and deltas follow
from them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from export.corpora import augment
from export.corpora.clips import RATE, Clip, by_speaker
from export.features.teacher import VALUES, taught
from livesr.arrays import Bool, Float32, Float64
from livesr.settings import FrontEndSettings
from livesr.stages.deltas import Deltas
from livesr.stages.frontend import FrontEnd
from livesr.stages.vad import BLOCK_SAMPLES, VoiceActivity

BABBLE = -1  # the label of babble: speech without one voice in front
SCENES = 3  # raise when scenes change: those cached are then made anew
HOP = RATE // 4
SETTINGS = FrontEndSettings()
_UNTAUGHT = np.zeros((0, VALUES), np.float16)
_FACTS = ("first", "label", "corpus", "speaker")


@dataclass(frozen=True, slots=True)
class SceneFeatures:
    """The features of one scene.

    `levels` float16 [frames, bands]: levelled log-mels. `speech` bool [frames]. Frames from
    `first` on belong to the labelled clip. `taught` float16 [steps, 384]: the teacher's output for
    the scene before noise and room were added; no steps if it was not asked for.
    """

    levels: Any
    speech: Bool
    taught: Any
    first: int
    label: int
    corpus: str
    speaker: str


def stream_features(samples: Float32) -> tuple[Float32, Bool]:
    """Levelled log-mels [frames, bands] and speech or not [frames].

    As a stream computes them, but without its high-pass: so were the networks that ship trained.
    What is made for the encoder (`export.features.steps.hear`) has the high-pass.
    """
    voice = VoiceActivity()
    front = FrontEnd(SETTINGS, np.zeros(SETTINGS.bands), np.ones(SETTINGS.bands))
    features, verdicts = [], []
    for start in range(0, len(samples), HOP):
        block = samples[start : start + HOP]
        spoken = voice.push(block) > 0.5
        verdicts.append(spoken)
        features.append(front.push(block, spoken)[..., 0])
    features.append(front.finish()[..., 0])
    levels = np.concatenate(features)
    speech = np.concatenate(verdicts) if verdicts else np.zeros(0, np.bool_)
    blocks = (np.arange(len(levels)) * SETTINGS.shift_samples + 200) // BLOCK_SAMPLES
    return levels, np.append(speech, False)[np.minimum(blocks, len(speech))]


def with_deltas(levels: Float32, mean: Float64, deviation: Float64) -> Float32:
    """The network's input [frames, bands, 3] from levelled log-mels."""
    deltas = Deltas(SETTINGS.bands, SETTINGS.delta_reach)
    standard = ((levels - mean) / deviation).astype(np.float32)
    return np.concatenate((deltas.push(standard), deltas.finish()))


def scene(
    clip: Clip, fellows: Sequence[Clip], strangers: Sequence[Clip], rng: np.random.Generator
) -> tuple[Float32, Float32, int]:
    """A scene around `clip`, clean and augmented, and the sample where its label begins.

    Args:
        clip: its emotion is the label.
        fellows: other clips of the same speaker.
        strangers: clips of others, for babble.
        rng: all randomness.
    """

    def pause(longest: float) -> Float32:
        return np.zeros(int(rng.uniform(0, longest) * RATE), np.float32)

    def cut(other: Clip) -> Float32:
        samples = other.samples()
        return augment.trimmed(samples) if rng.random() < 0.7 else samples

    before: list[Float32] = []
    if fellows and rng.random() < 0.35:
        before = [cut(fellows[int(rng.integers(len(fellows)))]), pause(0.8)]
    before.append(pause(0.8))
    parts = [cut(clip)]
    same = [other for other in fellows if other.emotion == clip.emotion]
    if same and rng.random() < 0.4:
        parts += [pause(0.5), cut(same[rng.integers(len(same))])]
    parts.append(pause(0.8))
    first = sum(map(len, before))
    samples = np.concatenate(before + parts)
    for change, chance in ((augment.voice, 0.4), (augment.speed, 0.7)):
        if rng.random() < chance:
            whole = len(samples)
            samples = change(samples, rng)
            first = first * len(samples) // whole
    clear = samples
    if rng.random() < 0.5:
        samples = augment.tilt(samples, rng)
    if rng.random() < 0.35:
        samples = augment.room(samples, rng)
    if rng.random() < 0.65:
        if rng.random() < 0.3:
            voices = [strangers[i].samples() for i in rng.integers(len(strangers), size=4)]
            noise = augment.babble(len(samples), voices, rng)
        else:
            noise = augment.coloured_noise(len(samples), rng)
        samples = augment.add_noise(samples, noise, rng.uniform(0, 30))
    if rng.random() < 0.25:
        samples = augment.band_limit(samples, rng)
    return clear, augment.gain(samples, rng), first


def background(strangers: Sequence[Clip], rng: np.random.Generator) -> Float32:
    """Babble: several voices in a room, none in front. Voice activity takes it for speech."""
    count = int(rng.uniform(3, 5) * RATE)
    voices = [strangers[i].samples() for i in rng.integers(len(strangers), size=rng.integers(3, 9))]
    samples = augment.babble(count, voices, rng)
    if rng.random() < 0.5:
        samples = augment.room(samples, rng)
    noise = augment.coloured_noise(count, rng)
    samples = augment.add_noise(samples, noise, rng.uniform(0, 30))
    return augment.gain(samples * np.float32(0.05), rng)


def _one(job: tuple[Clip, list[Clip], list[Clip], int | None], teach: bool) -> SceneFeatures:
    clip, fellows, strangers, seed = job
    samples, first = clip.samples(), 0
    clear = samples
    if seed is not None:
        clear, samples, first = scene(clip, fellows, strangers, np.random.default_rng(seed))
    levels, speech = stream_features(samples)
    first //= SETTINGS.shift_samples
    kept = levels.astype(np.float16)
    lesson = taught(clear) if teach else _UNTAUGHT
    return SceneFeatures(kept, speech, lesson, first, clip.label, clip.corpus, clip.speaker)


def _nobody(job: tuple[list[Clip], int]) -> SceneFeatures:
    strangers, seed = job
    levels, speech = stream_features(background(strangers, np.random.default_rng(seed)))
    return SceneFeatures(levels.astype(np.float16), speech, _UNTAUGHT, 0, BABBLE, "", "")


def sequences(
    clips: Sequence[Clip], seed: int | None, cache: Path, workers: int = 2, teach: bool = False
) -> list[SceneFeatures]:
    """One sequence per clip, in order: augmented with `seed`, or as recorded with None.

    With `teach`, also the output of `export.features.teacher` for each. Each split of a corpus is
    computed and cached alone, so that it does not depend on the other corpora of a run.
    """
    found: dict[str, SceneFeatures] = {}
    for own in _groups(clips):
        name = f"{seed}-taught" if teach else str(seed)
        one = partial(_one, teach=teach)
        parts = _cached(own, name, cache, partial(_jobs, own, seed), one, workers)
        for clip, part in zip(own, parts, strict=True):  # cached by a run with other labels?
            same = part.label == clip.label
            found[clip.key] = part if same else replace(part, label=clip.label)
    return [found[clip.key] for clip in clips]


def backgrounds(
    clips: Sequence[Clip], seed: int, cache: Path, workers: int = 2
) -> list[SceneFeatures]:
    """Babble of the clips' voices, one sequence for every 12 clips, labelled BABBLE; cached."""

    def jobs(own: Sequence[Clip]) -> list[tuple[list[Clip], int]]:
        rng = np.random.default_rng(seed)
        return [
            ([own[i] for i in rng.integers(len(own), size=8)], int(rng.integers(2**62)))
            for _ in range(math.ceil(len(own) / 12))
        ]

    name = f"background-{seed}"
    parts = [
        _cached(own, name, cache, partial(jobs, own), _nobody, workers) for own in _groups(clips)
    ]
    return [item for part in parts for item in part]


def _groups(clips: Sequence[Clip]) -> list[list[Clip]]:
    """The clips of each corpus's split, in order."""
    found: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        found[clip.corpus, clip.split].append(clip)
    return list(found.values())


def _cached(
    clips: Sequence[Clip],
    name: str,
    cache: Path,
    jobs: Callable[[], list[Any]],
    one: Callable[[Any], SceneFeatures],
    workers: int,
) -> list[SceneFeatures]:
    source = [SCENES, SETTINGS.to_dict(), [clip.identity for clip in clips]]
    key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
    file = cache / f"{key}-{name}.npz"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        todo = jobs()
        with ProcessPoolExecutor(workers) as pool:
            # Few enough in a chunk that a small corpus keeps all workers busy.
            chunk = max(1, min(32, len(todo) // (4 * workers)))
            done = pool.map(one, todo, chunksize=chunk)
            _write(file, list(tqdm(done, f"features, {name}", len(todo), disable=None)))
    return _read(file)


def _jobs(
    clips: Sequence[Clip], seed: int | None
) -> list[tuple[Clip, list[Clip], list[Clip], int | None]]:
    speakers = by_speaker(clips)
    rng = np.random.default_rng(seed)
    jobs: list[tuple[Clip, list[Clip], list[Clip], int | None]] = []
    for clip in clips:
        fellows = [other for other in speakers[clip.speaker] if other is not clip]
        strangers = [clips[i] for i in rng.integers(len(clips), size=8)]
        own = None if seed is None else int(rng.integers(2**62))
        jobs.append((clip, fellows, strangers, own))
    return jobs


def _write(file: Path, items: Sequence[SceneFeatures]) -> None:
    part = file.with_suffix(".part.npz")
    facts: dict[str, Any] = {name: [getattr(item, name) for item in items] for name in _FACTS}
    np.savez(
        part,
        levels=np.concatenate([item.levels for item in items]),
        speech=np.concatenate([item.speech for item in items]),
        taught=np.concatenate([item.taught for item in items]),
        lengths=[(len(item.levels), len(item.taught)) for item in items],
        **facts,
    )
    part.rename(file)


def _read(file: Path) -> list[SceneFeatures]:
    with np.load(file) as data:
        lengths = data["lengths"]
        ends = np.cumsum(lengths, axis=0)
        levels, speech, lessons = data["levels"], data["speech"], data["taught"]
        facts = zip(*(data[name].tolist() for name in _FACTS), strict=True)
        return [
            SceneFeatures(levels[a:b], speech[a:b], lessons[c:d], *own)
            for (a, c), (b, d), own in zip(ends - lengths, ends, facts, strict=True)
        ]
