"""The licence that weights carry, from those of the corpora."""

from __future__ import annotations

from collections.abc import Sequence

from export.corpora.clips import (
    Clip,
    CorpusError,
)

_LICENCES = (
    "LicenseRef-IEMOCAP",
    "CC-BY-NC-SA-4.0",
    "CC-BY-4.0",
    "CC-BY-3.0",
    # Weights are taken as a work produced from such a database: a notice is enough (ODbL, 4.3).
    "ODbL-1.0 + DbCL-1.0",
    "ODbL-1.0",
    "CC0-1.0",
)


def licence(clips: Sequence[Clip]) -> str:
    """The licence that weights trained on these clips carry: the strictest of theirs."""
    for strict in _LICENCES:
        if any(clip.licence == strict for clip in clips):
            return strict
    raise CorpusError(f"Unknown licence among {sorted({clip.licence for clip in clips})}.")
