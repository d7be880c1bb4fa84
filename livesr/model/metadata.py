"""The description that a model file carries: labels, front end, training data, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from livesr.arrays import Float64
from livesr.errors import ModelError
from livesr.reading import LONGEST_LABEL, LONGEST_TEXT, MOST_LABELS
from livesr.settings import DecisionSettings, EncoderSettings, FrontEndSettings
from livesr.text import printable

METADATA_KEY = "livesr"
FORMAT = 1
LABELS = ("angry", "happy", "neutral", "sad")
_KIND = "emotion"
_LARGEST = 1000.0  # of log-mels and of their deviations; the least deviation is its inverse


@dataclass(frozen=True, slots=True, eq=False)
class ModelInfo:
    """The description that a model file carries; `export.networks.graph` describes the graph.

    Equal to itself alone: it holds arrays.

    Example:
        >>> import livesr
        >>> livesr.models()["open"].labels
        ('angry', 'happy', 'neutral', 'sad')
    """

    name: str
    labels: tuple[str, ...]
    mean: Float64 = field(repr=False)  # of the levelled log-mels over the training set, [bands]
    deviation: Float64 = field(repr=False)
    temperature: float
    training_data: str
    licence: str
    version: str
    front_end: FrontEndSettings = field(default_factory=FrontEndSettings)
    decision: DecisionSettings = field(default_factory=DecisionSettings)
    encoder: EncoderSettings | None = None  # of a network that has a pretrained one

    def to_metadata(self) -> dict[str, Any]:
        """The JSON object stored in the file."""
        encoder = {"encoder": self.encoder.to_dict()} if self.encoder else {}
        return {
            "format": FORMAT,
            "kind": _KIND,
            "name": self.name,
            "labels": list(self.labels),
            "standardisation": {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()},
            "temperature": self.temperature,
            "training_data": self.training_data,
            "licence": self.licence,
            "version": self.version,
            "front_end": self.front_end.to_dict(),
            "decision": self.decision.to_dict(),
            **encoder,
        }

    @classmethod
    def from_metadata(cls, source: str, text: str | None) -> ModelInfo:
        """Read and check what `to_metadata` wrote.

        Raises:
            ModelError: naming what the file says and what livesr needs.
        """
        if text is None:
            raise ModelError(
                f"{source} is an ONNX file but not a livesr model: it has no {METADATA_KEY!r} "
                "metadata. Export it with `python -m export.train`."
            )
        try:
            about = json.loads(text)
            if not isinstance(about, dict):
                raise ValueError("no JSON object")  # noqa: TRY004  (of a file, not of a caller)
            encoder, ours = about.get("encoder"), EncoderSettings().to_dict()
            for what, theirs, needed in (
                ("format", about["format"], FORMAT),
                ("kind", about["kind"], _KIND),
                *_differences("front end", dict(about["front_end"]), FrontEndSettings().to_dict()),
                *_differences("encoder", dict(encoder or ours), ours),
            ):
                if theirs != needed:
                    raise ModelError(
                        f"{source} does not fit this livesr: its {what} is {theirs!r:.200}, "
                        f"livesr needs {needed!r}. Use a model exported for this version."
                    )
            labels = about["labels"]
            if not (
                isinstance(labels, list)
                and all(printable(name, LONGEST_LABEL) for name in labels)
                and 2 <= len(set(labels)) == len(labels) <= MOST_LABELS
            ):
                raise ValueError("labels")
            bands = FrontEndSettings().bands
            mean, deviation = (
                np.asarray(about["standardisation"][part], np.float64)
                for part in ("mean", "deviation")
            )
            if not (
                mean.shape == deviation.shape == (bands,)
                and (np.abs(mean) <= _LARGEST).all()
                and (deviation >= 1 / _LARGEST).all()
                and (deviation <= _LARGEST).all()
            ):
                raise ValueError("standardisation")
            if not printable(about["name"], LONGEST_TEXT):
                raise ValueError("name")
            return cls(
                name=about["name"],
                labels=tuple(labels),
                mean=mean,
                deviation=deviation,
                temperature=float(about["temperature"]),
                training_data=str(about["training_data"]),
                licence=str(about["licence"]),
                version=str(about["version"]),
                decision=DecisionSettings(**about["decision"]),
                encoder=None if encoder is None else EncoderSettings(),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ModelError(
                f"{source} has livesr metadata that cannot be read ({error!r:.200}). "
                "Export the model again."
            ) from None


def _differences(
    of: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [(f"{of}'s {name}", theirs.get(name), ours.get(name)) for name in names]
