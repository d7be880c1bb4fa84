"""Everything livesr raises on purpose.

Each message is one sentence or two: what was wrong, where, and the next step.
"""


class LivesrError(Exception):
    """Base of every error livesr raises on purpose."""


class AudioError(LivesrError):
    """Samples or a sound file that cannot be heard as given."""


class DeviceError(LivesrError):
    """A microphone that cannot be opened or has gone."""


class ModelError(LivesrError):
    """A model file, or a saved state, that does not fit."""
