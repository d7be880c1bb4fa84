"""Voice activity: whether there is speech.

Silero's voice-activity network (MIT; see `export.silero`), run by livesr's own onnxruntime
session, so that its memory is part of the stream's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from livesr.arrays import Float32
from livesr.errors import ModelError
from livesr.model.load import models_directory
from livesr.model.runtime import Session, open_session
from livesr.stages.stage import Stage

BLOCK_SAMPLES = 512  # 32 ms at 16 kHz, the only length that the network takes
CONTEXT_SAMPLES = 64  # of the block before, repeated in front of each block
_CELLS = 128


@lru_cache(maxsize=1)
def _session() -> Session:
    path = models_directory() / "silero-vad.onnx"
    if not path.is_file():
        raise ModelError(f"The voice-activity network {path} is missing; install livesr again.")
    return open_session(path.read_bytes())


class VoiceActivity(Stage):
    """The probability of speech in each block of 32 ms; uses no later samples.

    Example:
        >>> import numpy as np
        >>> VoiceActivity().push(np.zeros(1024, np.float32)).max() < 0.5
        np.True_
    """

    _fields = ("_held", "_memory")

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        # The context of the first block is silence.
        self._held: Float32 = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._memory: Float32 = np.zeros((2, 1, _CELLS), np.float32)

    def push(self, samples: Float32) -> Float32:
        """float32 [n], 16 kHz -> probability of speech in each completed block, float32 [k]."""
        held = np.concatenate((self._held, samples))
        count = (len(held) - CONTEXT_SAMPLES) // BLOCK_SAMPLES
        self._held = held[count * BLOCK_SAMPLES :].copy()
        if not count:
            return np.zeros(0, np.float32)
        length = CONTEXT_SAMPLES + BLOCK_SAMPLES
        blocks = held[np.arange(count)[:, None] * BLOCK_SAMPLES + np.arange(length)]
        feed = {"blocks": blocks, "memory": self._memory}
        speech, self._memory = self._session.run(["speech", "new_memory"], feed)
        return np.asarray(speech)

    def _lengths(self, values: Mapping[str, Any], taken: int) -> dict[str, tuple[Any, Any]]:
        return {
            "held": (CONTEXT_SAMPLES + taken % BLOCK_SAMPLES, len(values["_held"])),
            "memory": (2, len(values["_memory"])),
        }
