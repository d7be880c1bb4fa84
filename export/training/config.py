"""The settings of a training run; the files in `export/configs` hold such settings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from export.networks.sizes import NETWORKS
from livesr.model.metadata import LABELS
from livesr.reading import MOST_LABELS

_MOST = 2**32
_RANGES = {  # the least and the greatest value of a setting that is a number
    "seed": (0, _MOST),
    "scenes": (0, _MOST),
    "recorded": (0, 1),
    "epochs": (1, _MOST),
    "batch": (2, _MOST),  # a batch norm takes two
    "learning_rate": (1e-9, 1),
    "weight_decay": (0, 1),
    "dropout": (0, 0.99),
    "label_smoothing": (0, 1),
    "votes": (0, 1),
    "teach": (0, _MOST),
    "unlabelled": (0, _MOST),
    "styles": (0, 1),
    "background": (0, 1),
    "balance": (0, 1),
    "average": (0, 1),
    "partial": (0, 1),
    "shortest_frames": (2, 299),  # of the 300 of a stream's 3 s
    "least_speech_frames": (0, 300),
}


class ConfigError(Exception):
    """Settings that cannot be used; the message says which."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a run; stored beside its checkpoint."""

    network: str = "acrnn-compact"
    corpora: tuple[str, ...] = ("banglaser", "crema_d", "emodb", "emospeech", "nemo", "ravdess")
    labels: tuple[str, ...] = LABELS  # more than these four: see --others of export.train
    splits: tuple[str, ...] = ("train",)  # to train on; with dev too, once all is chosen
    seed: int = 1
    scenes: int = 3  # augmented versions of the training set
    recorded: float = 0.5  # share of windows drawn from the clips as recorded
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    dropout: float = 0.15
    label_smoothing: float = 0.05
    votes: float = 0.0  # share of listeners' votes in a clip's target, where a corpus has them
    teach: float = 2.0  # weight of the distillation from export.features.teacher; 0 for none
    unlabelled: float = 0.0  # unlabelled windows per window of the corpora
    styles: float = 0.6  # share of windows whose bands take another window's level and spread
    background: float = 0.03  # share of windows that are babble, with even targets
    balance: float = 0.5  # corpus and class are drawn in proportion to their size to this power
    average: float = 0.995  # decay of the exponential mean of the weights, which is exported
    partial: float = 0.2  # share of windows shorter than the stream's 3 s
    shortest_frames: int = 100
    least_speech_frames: int = 40

    def __post_init__(self) -> None:
        self._check_kinds()
        if self.network not in NETWORKS:
            raise ConfigError(f"network {self.network!r} is none of {', '.join(NETWORKS)}.")
        if not {"train"} <= set(self.splits) <= {"train", "dev"}:
            raise ConfigError(f"splits {', '.join(self.splits)}: train, or train and dev.")
        if not 2 <= len(set(self.labels)) == len(self.labels) <= MOST_LABELS:
            raise ConfigError(
                f"labels {', '.join(self.labels)}: give 2 to {MOST_LABELS}, each once."
            )
        if self.unlabelled and not self.teach:
            raise ConfigError("unlabelled speech is only for distillation: set teach too.")

    def _check_kinds(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if low_high := _RANGES.get(field.name):
                low, high = low_high
                kinds = (int, float) if isinstance(field.default, float) else (int,)
                wanted = f"a {'' if float in kinds else 'whole '}number from {low} to {high}"
                fits = type(value) in kinds and low <= value <= high
            elif isinstance(field.default, str):
                wanted, fits = "a text", isinstance(value, str)
            else:
                wanted = "a list of texts"
                fits = isinstance(value, tuple) and all(isinstance(v, str) for v in value)
            if not fits:
                raise ConfigError(f"{field.name} is {json.dumps(value)}: give {wanted}.")

    def to_json(self) -> str:
        """The settings as JSON, for a checkpoint."""
        return json.dumps(asdict(self))

    def wrote(self, text: str) -> bool:
        """Whether `text` is this config's `to_json`, perhaps from before a setting existed."""
        plain, own = (json.loads(config.to_json()) for config in (Config(), self))
        return bool(plain | json.loads(text) == own)


def refuse_other(
    file: Path, config: Config, data: str | None, wrote: str, heard: str | None
) -> None:
    """Refuse the file of a run that had other settings or clips.

    Args:
        file: in the run's folder.
        config: of this run.
        data: the hash of this run's clips (`export.corpora.clips.fingerprint`); None if not known.
        wrote: the config in the file, as JSON.
        heard: the hash in the file; None in one that was written before there was any.

    Raises:
        ConfigError: if they differ.
    """
    other = "" if config.wrote(wrote) else "another config"
    if not other and None not in (data, heard) and data != heard:
        other = "other clips"
    if other:
        raise ConfigError(
            f"{file} was made with {other}; remove {file.parent}, or give this run another folder."
        )


def read_config(file: Path | None, **changes: object) -> Config:
    """Settings from a JSON file, or the defaults, with those of `changes` that are not None.

    Raises:
        ConfigError: naming what cannot be used.
    """
    try:
        settings = json.loads(file.read_text()) if file else {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}; check the path.") from None
    except ValueError as error:
        raise ConfigError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f'{file} holds no JSON object: {{"network": ...}}.')
    settings |= {name: value for name, value in changes.items() if value is not None}
    known = {field.name for field in fields(Config)}
    if unknown := sorted(set(settings) - known):
        raise ConfigError(
            f"{file} sets {', '.join(unknown)}, which is no setting; known: {', '.join(known)}."
        )
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
    }
    return Config(**values)
