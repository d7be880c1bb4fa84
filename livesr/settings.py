"""The constants of the front end and of the decision; a model carries those it was trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """The constants of the front end; a model carries those it was trained with."""

    sample_rate: int = 16000
    window_samples: int = 400  # 25 ms
    shift_samples: int = 160  # 10 ms
    fft_samples: int = 512
    bands: int = 40
    log_floor: float = 1e-12
    level_memory_seconds: float = 3.0  # of speech
    level_idle_weight: float = 1e-6  # of a frame without speech, beside one with
    range_nepers: float = 10.0  # below the level, in log power
    delta_reach: int = 2  # N of the regression
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The constants as plain values, for a model's metadata."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """When there is a label; stored in the model, because its probabilities decide."""

    warm_up_seconds: float = 1.0
    speech_threshold: float = 0.5  # voice activity above this is speech
    window_seconds: float = 3.0
    least_speech_seconds: float = 0.5  # in the window; less is too little to judge
    silence_seconds: float = 1.0  # since the last speech; longer is no speech
    smoothing_seconds: float = 1.0  # of speech
    adaptation: float = 1.0  # share of a voice's mean that `livesr.stages.adaptation` takes out
    adaptation_seconds: float = 7.5  # of speech that counts as even shares at first
    memory_seconds: float = 60.0  # of speech that it looks back on
    # Of the leading emotion, smoothed: of strangers' labels 7 in 10 are then right.
    least_probability: float = 0.55
    # Over the runner-up, smoothed, for a new label and for the one shown: they tell where a model
    # takes less than even odds for a label. Where it takes more, letting go of the label shown any
    # later than a new one would come made it more often wrong, and hardly steadier.
    least_margin: float = 0.1
    keep_margin: float = 0.05

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for a model's metadata."""
        return asdict(self)
