"""What a run came to, in a few sentences whose numbers add up."""

from __future__ import annotations

from collections.abc import Sequence

from livesr.summary import Summary

_MOST_TURNS = 12
_LEAST_SECONDS = 0.05  # worth a sentence


def closing(summary: Summary) -> list[str]:
    """A sentence a line: how long, how it sounded, when it turned.

    Example:
        "27.1 s of sound: 20.6 s with a label, 5.7 s unsure, 0.8 s warming up."
    """
    parts = {
        "with a label": summary.seconds.get("speech", 0.0),
        "unsure": summary.seconds.get("unsure", 0.0),
        "no speech": summary.seconds.get("no-speech", 0.0),
        "warming up": summary.seconds.get("warming-up", 0.0),
    }
    tenths = rounded([10 * seconds for seconds in parts.values()])
    said = [f"{count / 10:.1f} s {name}" for name, count in zip(parts, tenths, strict=True)]
    lines = [f"{sum(tenths) / 10:.1f} s of sound: {', '.join(said)}."]
    if summary.paused >= _LEAST_SECONDS:
        lines.append(f"It was paused for {summary.paused:.1f} s.")
    if summary.lost >= _LEAST_SECONDS:
        lines.append(f"{summary.lost:.1f} s of sound were lost.")
    if any(summary.labelled.values()):
        shares = summary.shares
        percents = rounded([100 * share for share in shares.values()])
        ranked = sorted(zip(percents, shares, strict=True), key=lambda pair: -pair[0])
        how = ", ".join(f"{name} {percent} %" for percent, name in ranked)
        lines.append(f"Of the time with a label: {how}.")
        shown = summary.turns[:_MOST_TURNS]
        turns = ", ".join(f"{time:.2f} s {label}" for time, label in shown)
        more = summary.turned - len(shown)
        lines.append(f"Turning points: {turns}{f' and {more} more' if more else ''}.")
    return lines


def rounded(values: Sequence[float]) -> list[int]:
    """Whole numbers that add up to the rounded sum: the largest remainders are rounded up."""
    wholes = [int(value) for value in values]
    missing = round(sum(values)) - sum(wholes)
    order = sorted(range(len(values)), key=lambda place: wholes[place] - values[place])
    for place in order[:missing]:
        wholes[place] += 1
    return wholes
