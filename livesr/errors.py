"""The errors that livesr raises on purpose.

Each message is one or two sentences: what was wrong, where, and what to do next.
"""

from __future__ import annotations

from livesr.text import made_printable


class LivesrError(Exception):
    """The base of every error that livesr raises on purpose.

    Example:
        >>> import livesr
        >>> try:
        ...     livesr.Recognizer(hop=0.333)
        ... except livesr.LivesrError as error:
        ...     print(error)
        A hop of 0.333 s cannot be used; give a multiple of 0.01 s, 0.02 to 3 s.
    """

    def __str__(self) -> str:
        return made_printable(super().__str__())  # it may hold the name of a stranger's file


class AudioError(LivesrError):
    """Samples or a sound file that cannot be used as given.

    Example:
        >>> import livesr
        >>> try:
        ...     livesr.Recognizer().push([0.0], sample_rate=44100.5)
        ... except livesr.AudioError as error:
        ...     print(error)
        A sample rate of 44100.5 Hz is not supported; use a whole number from 8000 to 192000.
    """


class DeviceError(LivesrError):
    """A microphone that cannot be opened or has gone away.

    Example:
        >>> import livesr
        >>> try:
        ...     livesr.listen("no such microphone").start()
        ... except livesr.DeviceError as error:
        ...     print("not found")
        not found
    """


class ModelError(LivesrError):
    """A model file or a saved state that does not fit.

    Example:
        >>> import livesr
        >>> try:
        ...     livesr.Recognizer().restore(b"not a state")
        ... except livesr.ModelError as error:
        ...     print(error)
        These bytes are not a livesr state; pass what Recognizer.state() gave.
    """


class ProfileError(LivesrError):
    """A profile, a label or an example that cannot be used.

    Example:
        >>> import livesr
        >>> try:
        ...     livesr.Profile().remove("angry")
        ... except livesr.ProfileError as error:
        ...     print(error)
        profile has no such example of 'angry'; it has none.
    """


class AudioWarning(UserWarning):
    """Not all sound of a file could be used; the readings that were given stand.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("error", AudioWarning)  # to make it an error
    """
