"""How the constants of the classifier of known voices were chosen: a row for each choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from export.evaluation.curves import COUNTS, curve
from export.evaluation.known_voices import Judged, Voice, voices_of
from livesr.arrays import Float64
from livesr.model.metadata import LABELS
from livesr.stages.known_voice import KnownSettings

_SHARPNESS = 1.75  # `known_sharpness` of acrnn-whisper and open
_CHOICES = tuple(KnownSettings(penalty=penalty) for penalty in (0.005, 0.01, 0.02, 0.04))
_OWN_CHOICES = tuple(
    KnownSettings(own_penalty=penalty, logs_weight=weight)
    for penalty, weight in ((0.0075, 0.6), (0.015, 0.6), (0.03, 0.6), (0.015, 0.3), (0.015, 1.2))
)
_NO_OFFSET = KnownSettings(offset_examples=1e9)
_OFFSETS = (
    KnownSettings(),
    KnownSettings(raising=1.0),
    KnownSettings(raising=0.0),
    KnownSettings(most_offset=0.75),
    KnownSettings(most_offset=100.0),
    KnownSettings(most_offset=100.0, raising=1.0),
    KnownSettings(offset_examples=1.0),
)


def choices(said: Sequence[Judged], words: Sequence[Judged], draws: int) -> Iterator[str]:
    """A row for each choice of the classifier's constants: UAR and calibration error.

    Args:
        said: clips of the model's labels.
        words: clips of all emotions of the speakers who have others too.
        draws: of each speaker.
    """
    yield "| penalty | known_sharpness | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 2) + "|"
    usual = KnownSettings()
    for settings, sharpness in (
        *((settings, _SHARPNESS) for settings in _CHOICES),
        (usual, 1.25),
        (usual, 2.25),
    ):
        tried = [replace(one, settings=settings, sharpness=sharpness) for one in said]
        cells = _cells(voices_of(tried), draws)
        yield f"| {settings.penalty:g} | {sharpness:g} | {cells} |"
    yield "\nNeutral examples alone:\n"
    yield "| offset_examples | most_offset | raising | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 3) + "|"
    for settings in (_NO_OFFSET, *_OFFSETS):
        tried = [replace(one, settings=settings, sharpness=_SHARPNESS) for one in said]
        cells = _cells(voices_of(tried), draws, ("neutral",))
        values = (settings.offset_examples, settings.most_offset, settings.raising)
        yield f"| {' | '.join(f'{value:g}' for value in values)} | {cells} |"
    corpora = sorted({one.clip.corpus for one in said})
    yield "\n| two neutral examples | " + " | ".join(corpora) + " |"
    yield "|---" * (len(corpora) + 1) + "|"
    for name, settings in (("without the offset", _NO_OFFSET), ("with it", usual)):
        tried = [replace(one, settings=settings, sharpness=_SHARPNESS) for one in said]
        voices = voices_of(tried)
        found = curve(voices, 2, draws, only=("neutral",))
        scores = found.corpora(found.scores)
        cells = " | ".join(f"{scores[k]:.3f}" if k in scores else "-" for k in corpora)
        yield f"| {name} | {cells} |"
    yield "\nMean log-probabilities of each emotion, over the corpora (`KnownSettings.typical`):\n"
    yield "| | " + " | ".join(LABELS) + " |"
    yield "|---" * (len(LABELS) + 1) + "|"
    for label, row in zip(LABELS, typical(said), strict=True):
        yield f"| {label} | " + " | ".join(f"{value:.1f}" for value in row) + " |"
    if not words:
        return
    yield "\nWords of the speaker's own:\n"
    yield "| penalty | weight of the log-probabilities | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 2) + "|"
    for settings in _OWN_CHOICES:
        tried = [replace(one, settings=settings, sharpness=_SHARPNESS) for one in words]
        cells = _cells(voices_of(tried, None), draws)
        yield f"| {settings.own_penalty:g} | {settings.logs_weight:g} | {cells} |"


def typical(said: Sequence[Judged]) -> tuple[tuple[float, ...], ...]:
    """Mean log-probabilities of the clips of each emotion, mean over the corpora."""
    rows = []
    for label in range(len(LABELS)):
        of: dict[str, list[Float64]] = defaultdict(list)
        for one in said:
            if one.clip.label == label:
                of[one.clip.corpus].append(one.logs)
        means = [np.mean(logs, axis=0) for logs in of.values()]
        rows.append(tuple(np.mean(means, axis=0).tolist()) if means else (0.0,) * len(LABELS))
    return tuple(rows)


def _cells(voices: Sequence[Voice], draws: int, only: Sequence[str] = ()) -> str:
    found = [curve(voices, count, draws, only=only) for count in COUNTS]
    return " | ".join(
        f"{np.mean(list(one.corpora(one.scores).values())):.3f}, {one.error:.3f}"
        if one.truth
        else "-"  # nobody has so many clips
        for one in found
    )
