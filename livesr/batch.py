"""Many voices at once: one network call for several streams whose hop is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

from numpy.typing import ArrayLike

from livesr.errors import AudioError, LivesrError
from livesr.reading import Reading
from livesr.recognizer import Hop, Recognizer
from livesr.settings import SAMPLE_RATE
from livesr.stages.model_stream import push_together


def push_all(
    recognizers: Iterable[Recognizer], samples: Iterable[ArrayLike], sample_rate: int = SAMPLE_RATE
) -> list[list[Reading]]:
    """`Recognizer.push` for many voices, at a lower cost than one after the other.

    Works best with chunks of a hop: voices with a complete hop share a call of the network. The
    streams may have any age and may come and go between calls. A Recognizer may also be pushed
    alone in between.

    Args:
        recognizers: each at most once.
        samples: for each of them, as for `push`; of any lengths, also 0.
        sample_rate: in Hz, of all of them.

    Returns:
        For each of them, the readings that became due, oldest first. They are those of `push`
        bit for bit, as long as onnxruntime computes a row of a batch as it computes the row
        alone. On x86-64 it does, and a test checks it; onnxruntime does not promise it.

    Raises:
        AudioError: if one of them cannot use its samples or the rate; nothing is pushed then.
        ModelError: if a network fails. All the streams given then have to be `reset()`.
        LivesrError: if a Recognizer is there twice or is none, or the two lists differ in length.

    Example:
        >>> import numpy as np
        >>> from livesr import Recognizer, push_all
        >>> voices = [Recognizer(), Recognizer()]
        >>> [len(own) for own in push_all(voices, [np.zeros(4000), np.zeros(8000)])]
        [1, 2]
    """
    try:
        recognizers, samples = list(recognizers), list(samples)
    except TypeError:
        raise LivesrError("Give a list of Recognizers and a list of their samples.") from None
    if len(recognizers) != len(samples):
        raise LivesrError(
            f"{len(samples)} chunks were given for {len(recognizers)} Recognizers; give one each."
        )
    if not all(isinstance(recognizer, Recognizer) for recognizer in recognizers):
        raise LivesrError("Give Recognizers and, for each of them, its samples.")
    if len(set(map(id, recognizers))) < len(recognizers):
        raise LivesrError("A Recognizer is for one voice; give each of them once.")
    readings: list[list[Reading]] = [[] for _ in recognizers]
    going = []
    for number, (own, recognizer, chunk) in enumerate(
        zip(readings, recognizers, samples, strict=True), 1
    ):
        try:
            going.append((own, recognizer, recognizer._hops(chunk, sample_rate)))
        except AudioError as error:
            error.args = (f"Voice {number} of {len(recognizers)}: {error}", *error.args[1:])
            raise
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
