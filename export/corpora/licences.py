"""The licence that weights carry, from those of the corpora."""

from __future__ import annotations

from collections.abc import Sequence

from export.corpora.clips import Clip, CorpusError

_LICENCES = (  # the strictest first
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
    """The licence that weights trained on these clips carry: the strictest of theirs.

    Raises:
        CorpusError: for a licence that is not in the list, which might be the strictest.
    """
    found = {clip.licence for clip in clips}
    if unknown := sorted(found - set(_LICENCES)):
        raise CorpusError(
            f"Unknown licence {unknown[0]!r}, which may be the strictest; add it to "
            "export/corpora/licences.py."
        )
    return min(found, key=_LICENCES.index)
