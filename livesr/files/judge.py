"""A verdict on a whole clip, and a session's readings and events read back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from livesr.errors import AudioError
from livesr.event import Event
from livesr.files.jsonl import readings_from_jsonl
from livesr.files.replay import ReplaySettings, Source, play, warn_of
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.settings import HOP_SECONDS, SAMPLE_RATE
from livesr.stages.samples import check_channel
from livesr.summary import Summary


def judge(
    path_or_samples: Source,
    sample_rate: int = SAMPLE_RATE,
    *,
    model: str | Path | None = None,
    hop: float = HOP_SECONDS,
    channel: int | None = None,
    profile: Profile | str | Path | None = None,
    adapt: bool = True,
) -> Summary:
    """A verdict on all of a clip: the mean of its readings' probabilities, by their speech.

    Args:
        path_or_samples: as the source of `replay`.
        sample_rate: of samples, in Hz.
        model: as for `Recognizer`.
        hop: as for `Recognizer`.
        channel: the only channel to use, counted from 1; None averages them.
        profile: as for `Recognizer`.
        adapt: as for `Recognizer`.

    Returns:
        The verdict: `.label` (None without speech), `.probabilities`, `.shares` of the labelled
        time, `.turning_points`, `.to_dict()`.

    Raises:
        AudioError: if the clip cannot be used.
        ModelError: if the model cannot be used.

    Warns:
        AudioWarning: as `replay` does.

    Example:
        >>> judge("talk.flac").label in ("angry", "happy", "neutral", "sad")
        True
    """
    if isinstance(channel, str):
        raise AudioError(
            f"judge gives one verdict, so channel={channel!r:.20} cannot be; give channel=1 and "
            "channel=2, or use replay(channel='each')."
        )
    check_channel(channel)
    summary = Summary()
    settings = ReplaySettings(model, hop, profile, adapt, channel)
    for item in play(path_or_samples, settings, sample_rate):
        summary.add(item)
        if isinstance(item, Event):
            warn_of(item)
    return summary


class SavedSession(NamedTuple):
    """What a session's JSON lines hold.

    Attributes:
        readings: in order of time, of each channel.
        events: in order of time.

    Example:
        >>> SavedSession(readings=[], events=[Event("mark", 1.0)]).events[0].kind
        'mark'
    """

    readings: list[Reading]
    events: list[Event]


def read_session(path: str | Path) -> SavedSession:
    """Readings and events back from JSON lines; a last line that was cut is left out.

    Args:
        path: a file that `--jsonl` wrote; it may be gzipped.

    Raises:
        LivesrError: naming the file, and the line that is not what livesr writes.

    Example:
        >>> import json, livesr
        >>> with open("talk.jsonl", "w") as file:
        ...     for reading in livesr.replay("talk.flac"):
        ...         print(json.dumps(reading.to_dict()), file=file)
        >>> readings, events = read_session("talk.jsonl")
        >>> len(readings), events
        (15, [])
    """
    items = list(readings_from_jsonl(path))
    return SavedSession(
        [item for item in items if isinstance(item, Reading)],
        [item for item in items if isinstance(item, Event)],
    )
