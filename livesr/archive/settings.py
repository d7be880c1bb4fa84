"""The settings of a run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from livesr.model.load import load_model
from livesr.settings import HOP_SECONDS
from livesr.version import __version__

MIX = 0  # the channel number of the mean of all channels; others count from 1


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """When the state inside a long file is saved, so that a killed run resumes there.

    Attributes:
        longer_than: seconds; a shorter file is scored again from its beginning.
        every: seconds of sound between two saved states.
    """

    longer_than: float = 3600.0
    every: float = 600.0


@dataclass(frozen=True, slots=True)
class Scoring:
    """The model and the settings that decide a file's readings; they are part of its key.

    Attributes:
        model: a bundled model's name or a path; None is the default.
        hop: seconds between readings.
        attention: whether the readings are written with their attention.
    """

    model: str | None = None
    hop: float = HOP_SECONDS
    attention: bool = False

    def key(
        self,
        uri: str,
        size: int | None,
        mtime: int | None,
        channel: int,
        profile: str | None = None,
        events: tuple[int | None, int | None] | None = None,
    ) -> str:
        """SHA-256 of everything that decides a file's readings, in hexadecimal.

        Args:
            uri: absolute path or URL.
            size: in bytes, None if unknown.
            mtime: microseconds since 1970, None if unknown.
            channel: counted from 1; 0 is the mean of all channels.
            profile: SHA-256 of the voice's profile; None without one.
            events: size and time of change of the events beside a recording; None without them.
        """
        settings: dict[str, object] = {"hop": self.hop, "attention": self.attention}
        settings["profile"] = profile
        if events is not None:  # the other files keep the keys of earlier versions
            settings["events"] = events
        values = [uri, size, mtime, channel, self.model_sha, settings]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()

    @property
    def model_sha(self) -> str:
        """SHA-256 of the model's file."""
        return load_model(self.model).identity

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions of the model, in the order of its probabilities."""
        return load_model(self.model).info.labels

    def metadata(self) -> dict[str, str]:
        """Metadata for the schema of the readings: model, version, labels, licence, hop."""
        info = load_model(self.model).info
        return {
            "livesr.model": info.name,
            "livesr.model_sha256": self.model_sha,
            "livesr.model_version": info.version,
            "livesr.version": __version__,
            "livesr.labels": json.dumps(self.labels),
            "livesr.licence": info.licence,
            "livesr.hop": repr(self.hop),
        }
