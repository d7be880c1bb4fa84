"""What a network says of streams, reading by reading, kept on disk.

The network is nearly all of the cost. What comes after it (adaptation, a profile, the decision) is
then tried in seconds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.corpora.clips import RATE
from export.evaluation.judging import spread_out
from livesr.arrays import Array, Bool, Float32, Float64
from livesr.model.load import load_model
from livesr.reading import Reading
from livesr.recognizer import Hop, Recognizer
from livesr.settings import HOP_SECONDS, DecisionSettings
from livesr.stages.adaptation import Adaptation
from livesr.stages.decision import Decision, Verdict
from livesr.stages.evidence import Evidence, distance_factor, tempered
from livesr.stages.known_voice import KnownVoice
from livesr.stages.vad import BLOCK_SAMPLES
from livesr.version import __version__

BLOCK_SECONDS = BLOCK_SAMPLES / RATE
_VERSION = 4  # of what is kept; raise when it changes: what is cached is then made anew
Sound = Callable[[], Float32]  # samples at 16 kHz, made where they are used


@dataclass(frozen=True, slots=True)
class Windows:
    """What a network says of one stream, a row for each reading.

    Attributes:
        probabilities: float64 [n, labels], as the network gives them.
        context: float32 [n, c], c of eq. (5).
        relative: float64 [n, labels], relative logits; [n, 0] of a network without them.
        distance: from the training clips, float64 [n].
        speech: for each reading, whether each of its new blocks is speech, bool [blocks].
        ends: float64 [n], seconds of stream time.
        likely: float64 [n], `Reading.speech`: how likely speech is in each reading's hop.
    """

    probabilities: Float64
    context: Float32
    relative: Float64
    distance: Float64
    speech: tuple[Bool, ...]
    ends: Float64
    likely: Float64

    @property
    def spoken(self) -> Float64:
        """Seconds of new speech of each reading, float64 [n]."""
        return np.array([np.count_nonzero(new) * BLOCK_SECONDS for new in self.speech])

    def spoken_in_window(self, window_seconds: float) -> Float64:
        """Seconds of speech in the window of each reading, at least a block, float64 [n]."""
        flags = np.concatenate(self.speech)
        sums = np.concatenate(([0], np.cumsum(flags)))
        ends = np.cumsum([len(new) for new in self.speech])
        starts = np.maximum(0, ends - math.ceil(window_seconds / BLOCK_SECONDS))
        found: Float64 = np.maximum(1, sums[ends] - sums[starts]) * BLOCK_SECONDS
        return found


class _Tap(Recognizer):
    """A Recognizer that keeps what its network says."""

    def listen(self, samples: Float32) -> Windows:
        self.reset()
        self._kept: list[tuple[Float64, Float32, Float64, Bool, float, float, float]] = []
        self.push(samples)
        self.finish()
        probabilities, context, relative, speech, *times = zip(*self._kept, strict=True)
        said, summary, scores = map(np.stack, (probabilities, context, relative))
        distance, ends, likely = map(np.array, times)
        return Windows(said, summary, scores, distance, speech, ends, likely)

    def _reading(self, hop: Hop) -> Reading:
        reading = super()._reading(hop)
        raw = self._network.probabilities.astype(np.float64)
        raw /= raw.sum()
        network, relative = self._network, self._relative()
        relative = np.zeros(0) if relative is None else relative
        times = network.distance, reading.end, reading.speech
        self._kept.append((raw, network.context, relative, hop.spoken, *times))
        return reading


def listen(model: str | None, sound: Sound) -> Windows:
    """What a model says of one sound."""
    return _Tap(model).listen(sound())


def judge_sounds(
    named: Sequence[tuple[str, Sound]], model: str | None, cache: Path | None, what: str
) -> list[Windows]:
    """Windows of each sound by a model; read from `cache` if it is there.

    Args:
        named: what each sound is called, which must tell it from all others, and the sound.
        model: a bundled name or a file.
        cache: a folder to keep it in.
        what: it is, in a word, for the progress shown and the file's name.
    """
    about = load_model(model)
    identity = f"{about.identity} {about.info.front_end} {__version__} {_VERSION}"
    key = hashlib.sha256("\n".join([identity, *(name for name, _ in named)]).encode()).hexdigest()
    kept = cache / f"{what.replace('/', '-')}-{key[:16]}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as file:
            return _unpacked(file)
    found = spread_out(partial(listen, model), [sound for _, sound in named], what, None)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, allow_pickle=False, **_packed(found))
        part.replace(kept)
    return found


def _packed(windows: Sequence[Windows]) -> dict[str, Array]:
    speech = [new for one in windows for new in one.speech]
    return {
        "probabilities": np.concatenate([one.probabilities for one in windows]),
        "context": np.concatenate([one.context for one in windows]),
        "relative": np.concatenate([one.relative for one in windows]),
        "distance": np.concatenate([one.distance for one in windows]),
        "ends": np.concatenate([one.ends for one in windows]),
        "likely": np.concatenate([one.likely for one in windows]),
        "speech": np.concatenate(speech),
        "blocks": np.array([len(new) for new in speech]),
        "readings": np.array([len(one.ends) for one in windows]),
    }


def _unpacked(file: Any) -> list[Windows]:
    cuts = np.cumsum(file["readings"])[:-1]
    blocks = np.split(file["speech"], np.cumsum(file["blocks"])[:-1])
    at, found = 0, []
    names = "probabilities", "context", "relative", "distance", "ends", "likely"
    columns = [np.split(file[name], cuts) for name in names]
    for said, context, relative, distance, ends, likely in zip(*columns, strict=True):
        speech = tuple(blocks[at : at + len(ends)])
        at += len(ends)
        found.append(Windows(said, context, relative, distance, speech, ends, likely))
    return found


def decide(
    windows: Windows,
    settings: DecisionSettings,
    known: KnownVoice | None = None,
) -> tuple[Float64, list[Verdict]]:
    """What comes of a stream, of a known voice too: the rest of `Recognizer.push`.

    Args:
        windows: of a stream with readings every `HOP_SECONDS`.
        settings: of the model, or others to try.
        known: the voice, where it is.

    Returns:
        the readings' probabilities, float64 [n, labels], and what livesr shows.
    """
    labels = windows.probabilities.shape[1]
    evidence = Evidence(settings, BLOCK_SECONDS)
    adaptation = Adaptation(settings, labels, HOP_SECONDS)
    decision = Decision(settings, labels, BLOCK_SECONDS)
    said = windows.probabilities
    if known is not None:
        said = known.push(windows.context.astype(np.float64), said)
    fair, kept, shown = [], [], []
    for raw, relative, spoken, speech in zip(
        said, windows.relative, windows.spoken, windows.speech, strict=True
    ):
        fair.append(evidence.push(raw, speech))
        related = relative if relative.size else None
        kept.append(adaptation.push(fair[-1], spoken, related, evidence.factor))
    if known is None:
        kept = list(tempered(np.stack(kept), distance_factor(windows.distance, settings)))
    elif known.complete:
        kept = fair
    for row, speech, end in zip(kept, windows.speech, windows.ends, strict=True):
        shown.append(decision.push(row, speech, end))
    return np.stack(kept), shown
