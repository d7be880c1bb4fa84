"""A session as a picture, with matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from livesr.colours import colours_of
from livesr.errors import LivesrError
from livesr.event import Event
from livesr.reading import Reading
from livesr.settings import SAMPLE_RATE
from livesr.stages.samples import as_mono, check_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_SECONDS = 0.02  # of the attention's timeline
_MOST_POINTS = 4000  # of the waveform's outline


def plot(
    readings: Iterable[Reading | Event],
    samples: ArrayLike | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> Figure:
    """Probabilities and labels over time, and attention, over the waveform where there is one.

    Args:
        readings: of one stream, in order.
        samples: of the same stream, as for `Recognizer.push`; the first is where the first
            reading starts.
        sample_rate: of the samples, in Hz.

    Returns:
        A matplotlib figure, which a notebook shows and `savefig` writes.

    Raises:
        LivesrError: if matplotlib is not installed, there are no readings, or they are of several
            channels or have other labels than the first.
        AudioError: if the samples cannot be.

    Example:
        >>> import livesr
        >>> plot(livesr.replay("talk.flac")).savefig("talk.png")
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError:
        raise LivesrError("matplotlib is not installed; pip install matplotlib.") from None
    found = [item for item in readings if isinstance(item, Reading)]
    if not found:
        raise LivesrError("There are no readings to plot.")
    labels = tuple(found[0].smoothed)
    if any((tuple(r.smoothed), r.channel) != (labels, found[0].channel) for r in found):
        raise LivesrError(
            "These readings are of several streams; plot one channel, or one profile."
        )
    figure = Figure(figsize=(10, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    ends = np.array([reading.end for reading in found])
    colours = colours_of(labels)
    lines = [
        above.plot(ends, [r.smoothed[label] for r in found], color=colour, label=label)[0]
        for label, colour in colours.items()
    ]
    for reading, start in zip(found, [found[0].start, *ends[:-1]], strict=True):
        if reading.label is not None:
            above.axvspan(start, reading.end, color=colours[reading.label], alpha=0.15, lw=0)
    above.set(ylim=(0, 1), ylabel="probability, smoothed")
    words = [label.replace("$", r"\$") for label in labels]  # matplotlib's sign for a formula
    above.legend(lines, words, loc="upper right", ncols=len(colours), fontsize="small")
    if samples is not None:
        _outline(below, as_mono(samples), check_rate(sample_rate), found[0].start)
    times, weights = _attention(found)
    shown = below.twinx()
    shown.fill_between(times, weights, step="mid", color="#cc79a7", alpha=0.5)
    shown.set(ylabel="attention", yticks=[])
    below.set(xlabel="seconds", ylabel="" if samples is None else "waveform", yticks=[])
    return figure


def _outline(axes: Any, mono: np.ndarray, rate: int, start: float) -> None:
    """The highest and lowest sample of every column."""
    step = max(1, len(mono) // _MOST_POINTS)
    columns = mono[: len(mono) // step * step].reshape(-1, step)
    times = start + np.arange(len(columns)) * step / rate
    axes.fill_between(times, columns.min(axis=1), columns.max(axis=1), color="#999999", lw=0)


def _attention(readings: list[Reading]) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the highest weight that any reading gave each; 1 is the average of a window."""
    start = readings[0].start
    cells = np.zeros(int((readings[-1].end - start) / _CELL_SECONDS) + 2)
    for reading in readings:
        since = (reading.attention_times - start) / _CELL_SECONDS
        places = np.clip(since, 0, len(cells) - 1).astype(int)
        # A young stream's window has few moments, and each a larger part of the whole.
        np.maximum.at(cells, places, reading.attention * len(places))
    return start + np.arange(len(cells)) * _CELL_SECONDS, cells
