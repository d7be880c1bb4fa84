"""The settings and the limits of a server."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a session and of a server; `session.created` contains those of a session.

    Attributes:
        message_bytes: longest message, in bytes.
        resume_bytes: longest `session.update` with `resume`, in bytes.
        second_bytes: most bytes of a second of sound (rate x channels x bytes of a sample). It
            bounds the memory that the seconds below, and a long hop, may take.
        wait_seconds: in mode "live", how long a complete hop may wait to be processed; one that
            waits longer is dropped and marked as a gap.
        again_seconds: then hops are dropped until the oldest has waited no longer than this.
        queue_seconds: sound read from a connection and not yet processed; the rest waits in TCP.
        outbox: messages that wait for a slow reader. In mode "live" the oldest readings are dropped
            beyond that; in mode "lossless" the server processes no more sound until they are read.
        ping_seconds: how often a client is pinged, so that proxies keep its connection open.
        slow_seconds: how long a client may read nothing before it is disconnected.
        idle_seconds: how long a client may send nothing before it is disconnected.
        handshake_seconds: how long the head of a request may take.
        kept_seconds: how long the state of a dropped connection is kept, in memory.
        kept_bytes: of all those states; beyond that the oldest are removed.
        sending_seconds: how long a file for `/v1/replay` may take to arrive.
        replay_bytes: largest file for `/v1/replay`.
        lag_seconds: measured lag above which no new voice is admitted.
    """

    message_bytes: int = 1 << 20
    resume_bytes: int = 8 << 20
    second_bytes: int = 4 << 20
    wait_seconds: float = 2.0
    again_seconds: float = 1.0
    queue_seconds: float = 4.0
    outbox: int = 64
    ping_seconds: float = 20.0
    slow_seconds: float = 15.0
    idle_seconds: float = 60.0
    handshake_seconds: float = 10.0
    kept_seconds: float = 60.0
    kept_bytes: int = 256 << 20
    sending_seconds: float = 600.0
    replay_bytes: int = 64 << 20
    lag_seconds: float = 0.5


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `livesr serve`.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        model: bundled model's name or path of an .onnx file; None is the default.
        workers: worker processes, one for each core.
        tokens: a client needs one of them; empty: no token is needed.
        origins: web origins that may connect, in addition to the server's own page.
        tls_cert: path of a PEM certificate chain; empty for none.
        tls_key: path of its key.
        profile_dir: directory of profiles; empty for none.
        max_voices: at the same time, on all workers; 0 measures the capacity.
        per_address: voices at the same time from one address other than loopback; 0: any number.
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
