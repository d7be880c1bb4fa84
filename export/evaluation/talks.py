"""One speaker for a while: clips strung together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import numpy as np

from export.corpora import augment
from export.corpora.clips import RATE, Clip, fingerprint
from livesr.arrays import Float32
from livesr.model.metadata import LABELS

_BETWEEN_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Talk:
    """One speaker for a while: clips and their emotions, strung together."""

    corpus: str
    speaker: str
    parts: tuple[tuple[int, float], ...]  # label and seconds, in order
    clips: tuple[Clip, ...]

    @property
    def name(self) -> str:
        """Tells it from every other talk, one of other clips of the same speaker too."""
        said = " ".join(f"{LABELS[label]} {seconds:g}" for label, seconds in self.parts)
        return f"{self.speaker} {said} of {fingerprint(self.clips)}"

    def samples(self) -> Float32:
        """float32 [n]; clips in random order, over again where they do not last."""
        rng = np.random.default_rng(0)
        pause = np.zeros(round(_BETWEEN_SECONDS * RATE), np.float32)
        sound = []
        for label, seconds in self.parts:
            own = [clip for clip in self.clips if clip.label == label]
            count, said = round(seconds * RATE), 0
            strung = []
            for i in cycle(rng.permutation(len(own))):
                strung += [augment.trimmed(own[i].samples()), pause]
                said += len(strung[-2]) + len(pause)
                if said >= count:
                    break
            sound.append(np.concatenate(strung)[:count])
        return np.concatenate(sound)
