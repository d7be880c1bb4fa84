"""A recording's sound as a report holds it: small, and played by browsers."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile as sf

from livesr.errors import LivesrError
from livesr.files.soundfile import SoundFile
from livesr.settings import SAMPLE_RATE
from livesr.stages.resample import Resampler


def as_opus(opened: Callable[[], SoundFile]) -> bytes:
    """The whole sound, mono, as Ogg Opus.

    Args:
        opened: gives the file, to be read from its start.

    Raises:
        AudioError: if the file cannot be read.
        LivesrError: if the libsndfile here knows no Opus.
    """
    made = io.BytesIO()
    with opened() as sound:
        resampler = Resampler(sound.rate, SAMPLE_RATE)
        try:
            with sf.SoundFile(made, "w", SAMPLE_RATE, 1, "OPUS", format="OGG") as file:
                for block in sound.blocks():
                    file.write(resampler.push(block.mean(axis=1, dtype=np.float32)))
                file.write(resampler.finish())
        except (sf.LibsndfileError, ValueError) as error:
            raise LivesrError(
                f"The libsndfile here writes no Opus ({error}); leave --with-sound out."
            ) from None
    return made.getvalue()
