"""How often the live label is right during a conversation, and how soon it follows a change.

Clips of one speaker are joined into a conversation: two or three clips of one emotion, short
pauses, then another emotion, all in coloured noise at 20 dB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from export.corpora import augment
from export.corpora.clips import RATE, Clip, by_speaker
from export.evaluation.judging import Evaluation, spread_out
from export.evaluation.metrics import confusion, uar
from livesr.arrays import Array, Float32
from livesr.model.metadata import LABELS
from livesr.reading import Reading

_NOISE_SNR_DB = 20.0
_MOST_CLIPS = 40  # of one speaker, or one of nEMO would talk for a quarter of an hour
_SHOWN, _LEADING = 0, 1


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive clips of one emotion: [start, end) of each in seconds."""

    label: int
    spans: tuple[tuple[float, float], ...]

    @property
    def start(self) -> float:
        return self.spans[0][0]

    @property
    def end(self) -> float:
        return self.spans[-1][1]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One speaker's clips in a row, float32 [n] at 16 kHz, and the emotion of each."""

    corpus: str
    samples: Float32
    passages: tuple[Passage, ...]


@dataclass(slots=True)
class Streaming:
    """The results of one model on all conversations."""

    tables: dict[str, Array] = field(default_factory=dict)  # corpus -> [shown or leading, 4, 4]
    spoken: int = 0  # readings that ended during a clip
    labelled: int = 0  # those of them with a label
    delays: list[float] = field(default_factory=list)  # seconds, of the changes that were followed
    changes: int = 0

    def uar(self, which: int = _SHOWN) -> float:
        """Time-weighted UAR, mean of the corpora; by default of the label, while one is shown."""
        found = [uar(counts[which]) for counts in self.tables.values()]
        return float(np.nanmean(found)) if found else float("nan")

    def row(self) -> str:
        """Cells of a Markdown table; see `HEADER`."""
        delay = f"{np.median(self.delays):.2f} s" if self.delays else "never"
        return (
            f"{self.uar():.3f} | {self.labelled / max(1, self.spoken):.0%} | "
            f"{self.uar(_LEADING):.3f} | {delay} | "
            f"{len(self.delays) / max(1, self.changes):.0%} of {self.changes}"
        )


HEADER = "UAR of the label shown | of the time | UAR of the leading emotion | to follow | followed"


def string(clips: Sequence[Clip], rng: np.random.Generator) -> Conversation:
    """One conversation from a speaker's clips, in random order."""
    waiting: dict[int, list[Clip]] = defaultdict(list)
    for i in rng.permutation(len(clips))[:_MOST_CLIPS]:
        waiting[clips[i].label].append(clips[i])
    parts: list[Float32] = []
    passages: list[Passage] = []
    at, last = 0, -1
    while labels := [label for label, left in waiting.items() if left and label != last]:
        last = int(rng.choice(labels))
        spans = []
        for clip in [waiting[last].pop() for _ in range(rng.integers(2, 4)) if waiting[last]]:
            pause = np.zeros(int(rng.uniform(0.3, 1.0) * RATE), np.float32)
            samples = augment.trimmed(clip.samples())
            start = at + len(pause)
            parts += [pause, samples]
            at = start + len(samples)
            spans.append((start / RATE, at / RATE))
        passages.append(Passage(last, tuple(spans)))
    samples = np.concatenate(parts)
    noise = augment.coloured_noise(len(samples), rng)
    return Conversation(
        clips[0].corpus, augment.add_noise(samples, noise, _NOISE_SNR_DB), tuple(passages)
    )


def count(conversation: Conversation, readings: Sequence[Reading], into: Streaming) -> None:
    """Add the readings of a conversation to the results."""
    shape = (2, len(LABELS), len(LABELS))
    counts = into.tables.setdefault(conversation.corpus, np.zeros(shape, int))
    for passage in conversation.passages:
        for reading in readings:
            if not any(start < reading.end <= end for start, end in passage.spans):
                continue
            into.spoken += 1
            leading = int(np.argmax(list(reading.smoothed.values())))
            counts[_LEADING] += confusion([passage.label], [leading])
            if reading.label is not None:
                into.labelled += 1
                counts[_SHOWN] += confusion([passage.label], [LABELS.index(reading.label)])
    for passage in conversation.passages[1:]:
        into.changes += 1
        right = [
            r.end
            for r in readings
            if passage.start < r.end <= passage.end and r.label == LABELS[passage.label]
        ]
        if right:
            into.delays.append(right[0] - passage.start)


def _judge(job: tuple[Sequence[Clip], Evaluation]) -> tuple[Conversation, list[Reading]]:
    clips, evaluation = job
    conversation = string(clips, np.random.default_rng(0))
    recognizer = evaluation.recognizer()
    readings = recognizer.push(conversation.samples) + recognizer.finish()
    # Without its sound: all conversations together would be hundreds of megabytes.
    return replace(conversation, samples=np.zeros(0, np.float32)), readings


def converse(clips: Sequence[Clip], evaluation: Evaluation) -> Streaming:
    """A conversation of each speaker, through `Recognizer`."""
    speakers = by_speaker(clips).values()
    jobs = [(own, evaluation) for own in speakers if len({clip.label for clip in own}) > 1]
    found = Streaming()
    for conversation, readings in spread_out(_judge, jobs, "conversations", None):
        count(conversation, readings, found)
    return found
