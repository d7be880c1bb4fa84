"""Many voices at once: one network call for several streams whose hop is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from numpy.typing import ArrayLike

from livesr.errors import LivesrError
from livesr.reading import Reading
from livesr.recognizer import Hop, Recognizer
from livesr.stages.model_stream import push_together


def push_all(
    recognizers: Sequence[Recognizer], samples: Sequence[ArrayLike], sample_rate: int = 16000
) -> list[list[Reading]]:
    """`Recognizer.push` for each of many voices, cheaper than one after the other.

    Best with chunks of a hop: voices that have a hop to hear in the same call share it. They
    may be of any age and come and go between calls; a Recognizer pushed alone in between goes
    on just the same.

    Args:
        recognizers: each at most once.
        samples: for each of them, as for `push`; of any lengths, also 0.
        sample_rate: in Hz, of all of them.

    Returns:
        For each of them, the readings that came due, oldest first: those of `push` bit for
        bit, as long as onnxruntime's kernels give a row of a batch the bits that it has alone.
        Those for x86-64 do, and a test watches it; they do not promise it.

    Raises:
        AudioError: if samples or rate cannot be heard by one of them; none has heard any then.
        LivesrError: if a Recognizer is there twice, or the numbers of both do not agree.
    """
    if len(recognizers) != len(samples):
        raise LivesrError(
            f"{len(samples)} chunks were given for {len(recognizers)} Recognizers; give one each."
        )
    if len(set(map(id, recognizers))) < len(recognizers):
        raise LivesrError("A Recognizer hears one voice; give each of them once.")
    readings: list[list[Reading]] = [[] for _ in recognizers]
    going = [
        (own, recognizer, recognizer._hops(chunk, sample_rate))
        for own, recognizer, chunk in zip(readings, recognizers, samples, strict=True)
    ]
    with ExitStack() as stack:
        for recognizer in recognizers:
            stack.enter_context(recognizer._failing())
        _read_together(going)
    return readings


def _read_together(going: Sequence[tuple[list[Reading], Recognizer, Iterator[Hop]]]) -> None:
    while going:
        drawn = [(stream, hop) for stream in going if (hop := next(stream[2], None))]
        push_together(
            [recognizer._network for (_, recognizer, _), _ in drawn],
            [hop.features for _, hop in drawn],
        )
        for (own, recognizer, _), hop in drawn:
            own.append(recognizer._reading(hop))
        going = [stream for stream, _ in drawn]
