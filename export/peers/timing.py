"""How everything here is timed, and the tables of the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile as sf

from export.evaluation.options import ROOT
from livesr.arrays import Float32

RATE = 16000
HOP_SECONDS = 0.25
HOP, WINDOW = 4000, 48000  # samples
_SHARE_SECONDS = 0.03  # of each round, for a call that is shorter


@dataclass(frozen=True, slots=True)
class Table:
    """A title, column heads, rows of text, and a note."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        lines = [self.columns, ["---", *["--:"] * (len(self.columns) - 1)], *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join(filter(None, (f"**{self.title}**", table, self.note)))


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS, OpenMP and torch (if installed) on one thread; livesr's onnxruntime always is."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415  (extra `peers`)

    try:
        import torch  # noqa: PLC0415
    except ImportError:
        pass
    else:
        torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


def medians(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of one call of each, over `rounds` rounds.

    The calls take turns, so that a drift in the machine's speed affects all alike. What counts is
    the processor time of all threads of this process: other processes do not count, but threads
    that a library starts do.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            until = time.process_time() + _SHARE_SECONDS
            while (began := time.process_time()) < until:
                call()
                spent[name].append((time.process_time() - began) * 1e3)
    return {name: float(np.median(times)) for name, times in spent.items()}


def conversation() -> Float32:
    """Half a minute of German, two actors; float32, 16 kHz."""
    return np.asarray(sf.read(ROOT / "tests/data/conversation.flac", dtype="float32")[0])


def hops(samples: Float32, size: int = HOP) -> list[Float32]:
    """Whole hops of samples, in order."""
    return [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]


def ms(milliseconds: float) -> str:
    """Milliseconds with three significant digits."""
    digits = 1 if milliseconds >= 10 else 2 if milliseconds >= 1 else 3
    return f"{milliseconds:.{digits}f} ms"


def times(ratio: float) -> str:
    """A ratio with two or three significant digits."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def core(milliseconds: float, hop_seconds: float = HOP_SECONDS) -> str:
    """The share of a core that one such call per hop takes."""
    percent = milliseconds / hop_seconds / 10
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
