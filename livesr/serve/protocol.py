"""The messages of `/v1/stream`, subprotocol `livesr.v1`, as types that validate them.

Every text message is a JSON object; its `type` names one of these classes. Binary messages are
sound. `livesr.serve.schemas` generates the JSON Schema and AsyncAPI documents from these classes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from livesr.errors import LivesrError
from livesr.settings import HOP_SECONDS, LONGEST_MARK, MOST_CHANNELS, SAMPLE_RATE
from livesr.stages.samples import RATES

SUBPROTOCOL = "livesr.v1"
TOKEN_PREFIX = "livesr.token."

Encoding = Literal["s16le", "f32le", "mulaw", "alaw"]
Mode = Literal["live", "lossless"]
Code = Literal[
    "bad_message",
    "bad_samples",
    "channels_cancel",
    "late_configuration",
    "too_large",
    "bad_configuration",
    "bad_resume",
    "cannot_teach",
    "cannot_keep",
    "busy",
    "idle",
    "slow_reader",
    "taken_over",
    "internal",
]
CLOSE_GOING = 1012  # the server restarts: connect again and resume
CLOSE_POLICY = 1008
CLOSE_TOO_LARGE = 1009
CLOSE_BUSY = 1013
CLOSE_BROKEN = 1011
CLOSE_DONE = 1000

Rate = Annotated[int, Meta(ge=RATES[0], le=RATES[1], description="samples a second, in Hz")]
Channel = Annotated[int, Meta(ge=1, le=MOST_CHANNELS)]
Channels = Annotated[Channel, Meta(description="interleaved in the sound")]


class SessionUpdate(Struct, tag="session.update", forbid_unknown_fields=True, kw_only=True):
    """Client: configuration of the session, once, before any sound. Without it: the defaults.

    Attributes:
        sample_rate: of the sound that the client sends, in Hz.
        channels: interleaved in it.
        encoding: of a sample: 16-bit or float32 little-endian, or G.711.
        mode: "live" drops sound that waits longer than 2 s, with a `gap`; "lossless" drops nothing
            and reads from the connection no faster than it processes.
        channel: process this channel only, counted from 1; without it, the mean of all channels.
        hop: seconds between readings, a multiple of 0.01 from 0.02 to 3.
        attention: whether readings contain attention and its times.
        profile: of a known voice: a name in the server's profile directory, where corrections are
            then saved, or a profile in base64.
        resume: `state` of a `session.ended`, or `session_id` of a connection that dropped less
            than a minute ago. The configuration of that session applies; other fields must be
            the same.
        received: with a `session_id` to resume: `seq` of the last reading that was received, -1
            for none. The server sends the later messages again.
    """

    sample_rate: Rate = SAMPLE_RATE
    channels: Channels = 1
    encoding: Encoding = "s16le"
    mode: Mode = "live"
    channel: Channel | None = None
    hop: Annotated[float, Meta(ge=0.02, le=3.0)] = HOP_SECONDS
    attention: bool = True
    profile: str | None = None
    resume: Annotated[str, Meta(min_length=1)] | None = None
    received: Annotated[int, Meta(ge=-1)] | None = None


class Skip(Struct, tag="skip", forbid_unknown_fields=True):
    """Client: so many samples of each channel were lost or muted; stream time advances by them.

    It may advance to 50,000,000 s, half of what a stream can have.
    """

    samples: Annotated[int, Meta(ge=0, le=10**13)]


class Reset(Struct, tag="reset", forbid_unknown_fields=True):
    """Client: from here on, another person speaks; stream time continues."""


class Mark(Struct, tag="mark", forbid_unknown_fields=True):
    """Client: set a mark. The server answers with its stream time."""

    text: Annotated[str, Meta(max_length=LONGEST_MARK)]


class Teach(Struct, tag="teach", forbid_unknown_fields=True):
    """Client: correct the label of the speech just before."""

    label: Annotated[str, Meta(min_length=1, max_length=40)]


class SessionEnd(Struct, tag="session.end", forbid_unknown_fields=True):
    """Client: end of sound. The server processes the rest and sends `session.ended`."""


class SessionLimits(Struct, frozen=True):
    """Limits that a client should know; see `livesr.serve.settings.Limits`."""

    message_bytes: int
    resume_bytes: int
    wait_seconds: float
    queue_seconds: float
    idle_seconds: float
    kept_seconds: float


class SessionCreated(Struct, tag="session.created", kw_only=True):
    """Server: answers the first `session.update` or the first sound.

    Attributes:
        session_id: to resume within a minute after a dropped connection; keep it secret.
        position: number of the client's samples (of each channel) that were taken; continue
            sending from there.
        sample_rate: of the sound that the session takes, in Hz.
        channels: interleaved in it.
        encoding: of a sample.
        model: its name.
        model_sha256: of the model's file.
        labels: the emotions, in the order of the probabilities.
        licence: of the model.
        version: of livesr.
        window: seconds that a reading looks back.
        hop: seconds between readings.
        limits: of a session.
        notice: information for the people whose voices are analysed.
    """

    session_id: str
    position: int
    sample_rate: int
    channels: int
    encoding: Encoding
    model: str
    model_sha256: str
    labels: list[str]
    licence: str
    version: str
    window: float
    hop: float
    limits: SessionLimits
    notice: str


class ReadingMessage(Struct, tag="reading", kw_only=True):
    """Server: a reading, with the fields of `Reading.to_dict` and two of the session.

    Attributes:
        seq: counts the session's readings from 0, including those dropped for a slow reader.
        lag_ms: milliseconds from the arrival of its last sample to its sending.
    """

    seq: int
    lag_ms: float
    start: float
    end: float
    status: Literal["speech", "no-speech", "unsure", "warming-up"]
    label: str | None
    reason: str | None
    probabilities: dict[str, float]
    smoothed: dict[str, float]
    speech: float
    level_dbfs: float
    gap: float
    channel: int | None = None
    profile: str | None = None
    attention: list[float] | None = None
    attention_times: list[float] | None = None


class UtteranceStart(Struct, tag="utterance.start"):
    """Server: speech begins; `at` in seconds of stream time, with a resolution of one hop."""

    at: float


class UtteranceEnd(Struct, tag="utterance.end", kw_only=True):
    """Server: 0.6 s or more without speech, after an utterance.

    Attributes:
        start: stream time in seconds, with a resolution of one hop.
        end: end of its last hop with speech.
        seconds: from start to end.
        label: the label with the longest time in it; None without a label.
        probabilities: mean over its readings; sums to 1.
    """

    start: float
    end: float
    seconds: float
    label: str | None
    probabilities: dict[str, float]


class Gap(Struct, tag="gap", kw_only=True):
    """Server: sound is missing.

    Attributes:
        at: stream time in seconds at which it begins.
        seconds: its duration.
        samples: its length in the client's samples of each channel.
        cause: "too slow" (the server dropped it) or "skipped" (a `skip` of the client).
    """

    at: float
    seconds: float
    samples: int
    cause: Literal["too slow", "skipped"]


class Marked(Struct, tag="mark", kw_only=True):
    """Server: the place of a mark; `at` in seconds of stream time."""

    at: float
    text: str


class ErrorMessage(Struct, tag="error", kw_only=True):
    """Server: what was wrong, and the next step. After a fatal error the connection closes."""

    code: Code
    message: str
    fatal: bool = False


class ProfileMessage(Struct, tag="profile"):
    """Server: the profile after a `teach`. The client should keep it.

    Attributes:
        data: base64, for `profile` of the next session.
        labels: the labels from the next reading on.
    """

    data: str
    labels: list[str]


class SessionEnded(Struct, tag="session.ended", kw_only=True):
    """Server: the last message of a session that ended normally, or because the server restarts.

    Attributes:
        readings: their number.
        heard_seconds: seconds of sound that were processed.
        lost_seconds: seconds of sound that were lost, for any cause.
        state: base64, for `resume`, which continues as if the session had not ended.
    """

    readings: int
    heard_seconds: float
    lost_seconds: float
    state: str


ClientMessage = SessionUpdate | Skip | Reset | Mark | Teach | SessionEnd
ServerMessage = (
    SessionCreated
    | ReadingMessage
    | UtteranceStart
    | UtteranceEnd
    | Gap
    | Marked
    | ErrorMessage
    | ProfileMessage
    | SessionEnded
)

_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_encoder = msgspec.json.Encoder()


class ProtocolError(LivesrError):
    """An invalid message; `code` is that of the `error` in the answer."""

    def __init__(self, code: Code, message: str, *, fatal: bool = False, close: int = 0) -> None:
        super().__init__(message)
        self.code: Code = code
        self.close = close or (CLOSE_POLICY if fatal else 0)

    def answer(self) -> ErrorMessage:
        """The message to the client."""
        return ErrorMessage(code=self.code, message=str(self), fatal=bool(self.close))


def parse(text: str | bytes) -> ClientMessage:
    """A client's text message.

    Raises:
        ProtocolError: naming the field and what is wrong with it.

    Example:
        >>> parse('{"type": "skip", "samples": 160}')
        Skip(samples=160)
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(
            "bad_message",
            f"This is not a message of livesr.v1 ({error!s:.200}); see /v1/schema.json.",
        ) from None


def encode(message: Any) -> str:
    """A server's message as text; floats keep every bit."""
    return _encoder.encode(message).decode()
