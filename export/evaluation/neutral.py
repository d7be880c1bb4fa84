"""What is shown of long neutral speech: label changes and false alarms.

A speaker's neutral clips are strung together with short pauses, over again where they do not last
for a minute, and go through `Recognizer` as one stream. A false alarm is a stretch of readings
labelled angry, happy or sad; a neutral reading or one without a label ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import soundfile as sf

from export.corpora.clips import Clip, by_speaker
from export.evaluation.judging import Evaluation, spread_out
from export.evaluation.talks import Talk
from livesr.arrays import Float64
from livesr.model.metadata import LABELS
from livesr.reading import Reading

LEAST_SECONDS, MOST_SECONDS = 60.0, 180.0  # of one speaker's stream
LEAST_CLIPS = 4  # or a few words would be said over and over
_NEUTRAL = LABELS.index("neutral")


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What was shown of one stream, or of several together.

    Attributes:
        minutes: of stream time.
        changes: how often the label differed from the one shown before it.
        alarms: stretches labelled other than neutral.
        seconds: with each label and, last, without one, float64 [labels + 1].
    """

    minutes: float
    changes: int
    alarms: int
    seconds: Float64

    def __add__(self, other: Shown) -> Shown:
        return Shown(
            self.minutes + other.minutes,
            self.changes + other.changes,
            self.alarms + other.alarms,
            self.seconds + other.seconds,
        )

    @property
    def row(self) -> list[float]:
        """Changes and alarms a minute, and the share of time of each label and of none."""
        shares = self.seconds / self.seconds.sum()
        return [self.changes / self.minutes, self.alarms / self.minutes, *shares]


def shown(readings: Sequence[Reading]) -> Shown:
    """Count what was shown of one stream of neutral speech."""
    labels = [reading.label for reading in readings]
    said = [label for label in labels if label is not None]
    changes = sum(one != other for one, other in pairwise(said))
    alarm = [label not in (None, LABELS[_NEUTRAL]) for label in labels]
    starts = sum(now and not before for before, now in pairwise([False, *alarm]))
    seconds = np.zeros(len(LABELS) + 1)
    for label, hop in zip(labels, np.diff([r.end for r in readings], prepend=0.0), strict=True):
        seconds[-1 if label is None else LABELS.index(label)] += hop
    return Shown(readings[-1].end / 60, changes, starts, seconds)


def talks(clips: Sequence[Clip]) -> list[Talk]:
    """Long neutral speech of every speaker with enough neutral clips."""
    found = []
    for speaker, own in by_speaker(clips).items():
        neutral = tuple(clip for clip in own if clip.label == _NEUTRAL)
        if len(neutral) < LEAST_CLIPS:
            continue
        seconds = sum(sf.info(clip.path).duration for clip in neutral)
        lasts = min(MOST_SECONDS, max(LEAST_SECONDS, seconds))
        found.append(Talk(own[0].corpus, speaker, ((_NEUTRAL, lasts),), neutral))
    return found


def _judge(job: tuple[Talk, Evaluation]) -> Shown:
    talk, evaluation = job
    recognizer = evaluation.recognizer()
    return shown(recognizer.push(talk.samples()) + recognizer.finish())


def by_corpus(clips: Sequence[Clip], evaluation: Evaluation) -> Iterator[str]:
    """A row per corpus, and the mean of the corpora."""
    made = talks(clips)
    yield "### Long neutral speech\n"
    yield "Neutral clips of one speaker, strung together: 60 s or more, clips over again where they"
    yield f"do not last; speakers with {LEAST_CLIPS} neutral clips or more. A false alarm is a"
    yield "stretch labelled other than neutral.\n"
    if not made:
        yield f"No speaker has {LEAST_CLIPS} neutral clips.\n"
        return
    results = spread_out(_judge, [(talk, evaluation) for talk in made], "neutral", None)
    yield (
        "| corpus | speakers | minutes | label changes a minute | false alarms a minute | "
        "share of time " + " / ".join(LABELS) + " / no label |"
    )
    yield "|---" * 6 + "|"
    rows = []
    for corpus in sorted({talk.corpus for talk in made}):
        own = [one for talk, one in zip(made, results, strict=True) if talk.corpus == corpus]
        together = sum(own[1:], own[0])
        rows.append(together.row)
        yield f"| {corpus} | {len(own)} | {together.minutes:.1f} | {_cells(rows[-1])} |"
    minutes = sum(one.minutes for one in results)
    mean = _cells(np.mean(rows, axis=0).tolist())
    yield f"| mean of corpora | {len(made)} | {minutes:.1f} | {mean} |"
    yield ""


def _cells(row: Sequence[float]) -> str:
    changes, alarms, *shares = row
    return f"{changes:.1f} | {alarms:.1f} | " + " / ".join(f"{share:.0%}" for share in shares)
