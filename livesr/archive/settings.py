"""What an archive is scored with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from livesr.model.load import load_model
from livesr.settings import HOP_SECONDS
from livesr.version import __version__

MIX = 0  # the channel of a file heard as one, its channels averaged; others count from 1


@dataclass(frozen=True, slots=True)
class Scoring:
    """What decides the readings of a file, and so is part of its key.

    Attributes:
        model: a bundled model's name or a path; None is the default.
        hop: seconds between readings.
        attention: whether readings keep it; it does not change the others, but what is written.
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
    ) -> str:
        """SHA-256 of all that decides a file's readings, in hexadecimal.

        Args:
            uri: absolute path or URL.
            size: in bytes, None if it is not known.
            mtime: microseconds since 1970, None if it is not known.
            channel: counted from 1; 0 is all of them averaged.
            profile: SHA-256 of the voice's profile; None where nothing is known of it.
        """
        settings = {"hop": self.hop, "attention": self.attention, "profile": profile}
        told = [uri, size, mtime, channel, self.model_sha, settings]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode(errors="replace")).hexdigest()

    @property
    def model_sha(self) -> str:
        """SHA-256 of the model's file."""
        return load_model(self.model).identity

    @property
    def labels(self) -> tuple[str, ...]:
        """What readings may say."""
        return load_model(self.model).info.labels

    def metadata(self) -> dict[str, str]:
        """What the readings' schema says of itself."""
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
