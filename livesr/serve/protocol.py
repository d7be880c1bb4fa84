"""The messages of `/v1/stream`, subprotocol `livesr.v1`: types that check what arrives.

Every text message is a JSON object whose `type` says which of these it is; sound goes as binary
messages. `livesr.serve.schemas` makes the JSON Schema and AsyncAPI documents from these classes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from livesr.errors import LivesrError
from livesr.settings import HOP_SECONDS, MOST_CHANNELS, SAMPLE_RATE
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
CLOSE_GOING = 1012  # the server restarts: resume elsewhere
CLOSE_POLICY = 1008
CLOSE_TOO_LARGE = 1009
CLOSE_BUSY = 1013
CLOSE_BROKEN = 1011
CLOSE_DONE = 1000

Rate = Annotated[int, Meta(ge=RATES[0], le=RATES[1], description="samples a second, in Hz")]
Channels = Annotated[int, Meta(ge=1, le=MOST_CHANNELS, description="interleaved in the sound")]


class SessionUpdate(Struct, tag="session.update", forbid_unknown_fields=True, kw_only=True):
    """Client: how the session is to be; once, before any sound. Without it: the defaults.

    Attributes:
        sample_rate: of the sound that the client sends, in Hz.
        channels: interleaved in it.
        encoding: of a sample: 16-bit or float32 little-endian, or G.711.
        mode: "live" drops what waits longer than 2 s and says so; "lossless" drops nothing and
            reads no faster than it hears.
        channel: hear this one alone, counted from 1; without it all are mixed.
        hop: seconds between readings, a multiple of 0.01 from 0.02 to 3.
        attention: whether readings carry attention and its times.
        profile: a known voice: a name in the server's profile directory, where corrections are
            then kept, or a profile in base64.
        resume: `state` of a `session.ended`, or `session_id` of a connection that was dropped
            less than a minute ago. What the state was heard with goes on; fields given beside
            it must agree.
        received: with a `session_id` to resume: `seq` of the last reading that came, -1 for none;
            what was sent after it and never came is sent again.
    """

    sample_rate: Rate = SAMPLE_RATE
    channels: Channels = 1
    encoding: Encoding = "s16le"
    mode: Mode = "live"
    channel: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] | None = None
    hop: Annotated[float, Meta(ge=0.02, le=3.0)] = HOP_SECONDS
    attention: bool = True
    profile: str | None = None
    resume: Annotated[str, Meta(min_length=1)] | None = None
    received: Annotated[int, Meta(ge=-1)] | None = None


class Skip(Struct, tag="skip", forbid_unknown_fields=True):
    """Client: so many samples (a channel) were lost or muted; the clock moves by them."""

    samples: Annotated[int, Meta(ge=0, le=10**13)]


class Reset(Struct, tag="reset", forbid_unknown_fields=True):
    """Client: from here on another voice is heard; the clock goes on."""


class Mark(Struct, tag="mark", forbid_unknown_fields=True):
    """Client: note this here. The server answers with the stream time of it."""

    text: Annotated[str, Meta(max_length=200)]


class Teach(Struct, tag="teach", forbid_unknown_fields=True):
    """Client: what was just heard sounded so."""

    label: Annotated[str, Meta(min_length=1, max_length=40)]


class SessionEnd(Struct, tag="session.end", forbid_unknown_fields=True):
    """Client: no more sound comes. The rest is read, then `session.ended` comes."""


class SessionLimits(Struct, frozen=True):
    """Bounds that a client should know; see `livesr.serve.settings.Limits`."""

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
        position: how many of the client's samples (a channel) were taken: it sends from there.
        model: its name.
        model_sha256: of the model's file.
        labels: the emotions, in the order of the probabilities.
        licence: of the model.
        version: of livesr.
        window: seconds that a reading looks back.
        hop: seconds between readings.
        limits: bounds of a session.
        notice: what a person who is heard must be told.
    """

    session_id: str
    position: int
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
    """Server: a reading, as `Reading.to_dict` gives it, with two values of the session.

    Attributes:
        seq: counts the session's readings from 0, also those that a slow reader never got.
        lag_ms: from the arrival of the last sample that it needed to its sending.
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
    """Server: somebody began to speak; `at` in seconds of stream time, to a hop."""

    at: float


class UtteranceEnd(Struct, tag="utterance.end", kw_only=True):
    """Server: 0.6 s or more without speech.

    Attributes:
        start: stream time in seconds, to a hop.
        end: of its last hop with speech.
        seconds: from start to end.
        label: the emotion shown longest in it; None if none was.
        probabilities: mean over its readings; sums to 1.
    """

    start: float
    end: float
    seconds: float
    label: str | None
    probabilities: dict[str, float]


class Gap(Struct, tag="gap", kw_only=True):
    """Server: sound was not heard.

    Attributes:
        at: stream time in seconds at which it begins.
        seconds: how long.
        samples: of the client's, a channel.
        cause: "too slow" (the server dropped it) or "skipped" (the client said so).
    """

    at: float
    seconds: float
    samples: int
    cause: Literal["too slow", "skipped"]


class Marked(Struct, tag="mark", kw_only=True):
    """Server: a mark's place; `at` in seconds of stream time."""

    at: float
    text: str


class ErrorMessage(Struct, tag="error", kw_only=True):
    """Server: what was wrong and the next step; after a fatal one the connection closes."""

    code: Code
    message: str
    fatal: bool = False


class ProfileMessage(Struct, tag="profile"):
    """Server: after `teach`, the profile as it now is; keep it, the server may not.

    Attributes:
        data: base64, for `profile` of the next session.
        labels: what is judged from the next reading on.
    """

    data: str
    labels: list[str]


class SessionEnded(Struct, tag="session.ended", kw_only=True):
    """Server: the last message of a session that ended well, or of a server that restarts.

    Attributes:
        readings: how many there were.
        heard_seconds: of sound.
        lost_seconds: not heard, whatever the cause.
        state: base64; with it, `resume` goes on as if the session had not ended.
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
    """A message that cannot be followed; `code` is that of the `error` it is answered with."""

    def __init__(self, code: Code, message: str, *, fatal: bool = False, close: int = 0) -> None:
        super().__init__(message)
        self.code: Code = code
        self.close = close or (CLOSE_POLICY if fatal else 0)

    def told(self) -> ErrorMessage:
        """The message for the client."""
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
            f"This message is not one of livesr.v1 ({error!s:.200}); see /v1/schema.json.",
        ) from None


def encode(message: Any) -> str:
    """A server's message as text; floats keep every bit."""
    return _encoder.encode(message).decode()
