"""A colour for each label, on pages and pictures; the terminal has others, see its theme."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle

# Okabe and Ito's hues, told apart by colour-blind eyes.
COLOURS = {"angry": "#d55e00", "happy": "#e69f00", "neutral": "#009e73", "sad": "#0072b2"}
_SPARE = ("#cc79a7", "#56b4e9", "#f0e442", "#999999")


def colours_of(labels: Iterable[str]) -> dict[str, str]:
    """Label -> its colour; labels other than the four emotions take spare ones in turn.

    Example:
        >>> colours_of(["angry", "calm"])
        {'angry': '#d55e00', 'calm': '#cc79a7'}
    """
    spare = cycle(_SPARE)
    return {label: COLOURS.get(label) or next(spare) for label in labels}
