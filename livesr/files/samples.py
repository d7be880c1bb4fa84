"""Samples that a program has, in the place of a sound file."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.typing import ArrayLike

from livesr.arrays import Array
from livesr.errors import AudioError
from livesr.files.parts import HEADERS, Finding
from livesr.stages.samples import check_rate, shaped

_BLOCK_SECONDS = 0.5


class Samples:
    """Samples, given block by block as `SoundFile` gives a file's.

    Args:
        samples: as for `Recognizer.push`.
        rate: samples a second.

    Raises:
        AudioError: if they cannot be used.
    """

    name, path = "the samples", None

    def __init__(self, samples: ArrayLike, rate: int) -> None:
        if isinstance(samples, (bytes, bytearray)) and samples[:4].startswith(HEADERS):
            raise AudioError("These bytes are a sound file, not samples; give io.BytesIO of them.")
        self._samples: Array = shaped(samples)
        self.rate = check_rate(rate)
        self.channels = self._samples.shape[1] if self._samples.ndim == 2 else 1
        self.findings: list[Finding] = []

    @property
    def seconds(self) -> float:
        """How long they last."""
        return len(self._samples) / self.rate

    def blocks(self) -> Iterator[Array]:
        """[n] or [n, channels], in order."""
        size = max(2, int(self.rate * _BLOCK_SECONDS))
        for start in range(0, len(self._samples), size):
            yield self._samples[start : start + size]

    def __enter__(self) -> Samples:
        return self

    def __exit__(self, *_: object) -> None:
        pass
