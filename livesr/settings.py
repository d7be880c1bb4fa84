"""The constants of the front end and of the decision; a model carries those it was trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

SAMPLE_RATE = 16000  # Hz: all that is computed, recorded and counted inside is at this rate
HOP_SECONDS = 0.25  # between two readings, unless a caller asks for another
LONGEST_MARK = 200  # characters of a mark's text, in a session of a server
MOST_CHANNELS = 64  # of a stream, a file or a device
SPEECH_THRESHOLD = 0.5  # voice activity above this is speech

_LONGEST_SECONDS = 3600.0
_LEAST_SECONDS = 0.01  # of what divides, or is the length of what is kept
_MAY_BE_ZERO = ("warm_up_seconds", "least_speech_seconds", "half_evidence_seconds")


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """The front end's constants (paper, section 2.2).

    Raises:
        ValueError: naming a constant that cannot be used.
    """

    sample_rate: int = SAMPLE_RATE
    window_samples: int = 400  # 25 ms
    shift_samples: int = 160  # 10 ms
    fft_samples: int = 512
    bands: int = 40
    log_floor: float = 1e-12
    level_memory_seconds: float = 3.0  # of speech
    level_idle_weight: float = 1e-6  # of a frame without speech, beside one with
    range_nepers: float = 10.0  # below the level, in log power
    delta_reach: int = 2  # N of eq. (2) and eq. (3)
    version: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not 0 < value < float("inf"):
                raise ValueError(f"{field.name} is {value!r:.80}")

    def to_dict(self) -> dict[str, Any]:
        """The constants as plain values, for a model's metadata."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The constants of a pretrained encoder's own input; a model that has one carries them."""

    name: str = "Whisper tiny, of Smart Turn 3.2"
    layers: int = 2
    bands: int = 80
    fft_samples: int = 400
    offset: float = 1.49  # in log10: from livesr's level to where Whisper's log-mels usually are
    floor: float = -5.5  # in log10
    block_seconds: float = 0.25  # of the stream's clock; its steps are encoded together
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The constants as plain values, for a model's metadata."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """When there is a label; stored in the model, because its probabilities decide.

    Raises:
        ValueError: naming a setting that cannot be used.
    """

    warm_up_seconds: float = 1.0
    speech_threshold: float = SPEECH_THRESHOLD
    window_seconds: float = 3.0
    least_speech_seconds: float = 0.5  # in the window; less is too little to judge
    # Of speech in the window: `livesr.stages.evidence`. Chosen on corpora left out.
    half_evidence_seconds: float = 0.5
    # Of the distance from the training clips: `livesr.stages.evidence`. Chosen on corpora left out.
    distance_power: float = 0.75
    usual_distance: float = 1.0  # of strangers, at which nothing changes; fitted for each model
    silence_seconds: float = 1.0  # since the last speech; longer is no speech
    smoothing_seconds: float = 1.0  # of speech
    adaptation: float = 1.0  # share of a voice's offset that `livesr.stages.adaptation` takes out
    adaptation_seconds: float = 5.0  # of speech without an offset that comes first
    # Nats by which an emotion leads in typical speech of it: of log-probabilities, and of a
    # model's relative logits. These are added with a weight.
    typical_lead: float = 2.0
    relative_lead: float = 1.0
    relative_weight: float = 1.0
    memory_seconds: float = 60.0  # of speech that it looks back on
    least_variety: float = 0.15  # nats: up to here a voice stays in one mood, nothing is taken out
    full_variety: float = 0.2  # from here on all of it is
    unsure_below: float = 0.6  # of a window's largest probability: all of the offset is taken out
    sure_from: float = 0.9  # from here on nothing is
    known_sharpness: float = 1.0  # factor on a known voice's scores, so that they are calibrated
    # Of the leading emotion, smoothed: for held-out speakers, 7 labels in 10 are then right.
    least_probability: float = 0.55
    # Over the second, smoothed, for a new label and for the one shown: they decide where a model
    # takes less than even odds for a label. Where it takes more, letting go of the label shown any
    # later than a new one would come made it more often wrong, and hardly steadier.
    least_margin: float = 0.1
    keep_margin: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            seconds = name.endswith("_seconds") and name not in _MAY_BE_ZERO
            lowest = _LEAST_SECONDS if seconds else 0.0
            if type(value) not in (int, float) or not lowest <= value <= _LONGEST_SECONDS:
                raise ValueError(f"{name} is {value!r:.80}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for a model's metadata."""
        return asdict(self)
