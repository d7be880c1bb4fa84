"""What a server is told when it starts, and the bounds that it keeps."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a session and of a server; those of a session are told in `session.created`.

    Attributes:
        message_bytes: longest message, in bytes.
        resume_bytes: longest `session.update` with `resume`, in bytes.
        wait_seconds: in mode "live", how long a whole hop may wait to be heard; one that waited
            longer is dropped, and marked as a gap.
        again_seconds: then hops are dropped until the oldest waited no longer than this.
        queue_seconds: sound taken from a connection and not yet heard; more is left to TCP.
        outbox: messages that wait for a slow reader; in mode "live" more of them push out the
            oldest readings, in mode "lossless" the server hears no more until they are read.
        slow_seconds: how long a reader may take none at all before it is disconnected.
        idle_seconds: how long a client may send nothing.
        handshake_seconds: how long a connection may take to say what it wants.
        kept_seconds: how long the state of a dropped connection is kept, in memory.
        kept_bytes: of all those states; beyond it the oldest goes.
        replay_bytes: longest file for `/v1/replay`.
        lag_seconds: measured lag above which no new voice is let in.
    """

    message_bytes: int = 1 << 20
    resume_bytes: int = 8 << 20
    wait_seconds: float = 2.0
    again_seconds: float = 1.0
    queue_seconds: float = 4.0
    outbox: int = 64
    slow_seconds: float = 15.0
    idle_seconds: float = 60.0
    handshake_seconds: float = 10.0
    kept_seconds: float = 60.0
    kept_bytes: int = 256 << 20
    replay_bytes: int = 64 << 20
    lag_seconds: float = 0.5


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `livesr serve` was told.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        model: bundled model's name or path of an .onnx file; None is the default.
        workers: processes that hear, one a core.
        tokens: any of them lets a client in; empty lets everyone in.
        origins: web origins that may connect, beside the server's own page.
        tls_cert: path of a PEM certificate chain; empty for none.
        tls_key: path of its key.
        profile_dir: directory of profiles; empty for none.
        max_voices: at once, on all workers; 0 measures what the machine can do.
        per_address: voices at once from one address that is not loopback; 0 for no bound.
        limits: of sessions.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    model: str | None = None
    workers: int = 1
    tokens: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    profile_dir: str = ""
    max_voices: int = 0
    per_address: int = 0
    limits: Limits = Limits()
