"""Garbage: in messages, in frames, in states. Who speaks properly meanwhile misses nothing.

A few hundred cases here; LIVESR_FUZZ=20000 for the long run.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from livesr import Recognizer
from tests.helpers.server import Server, collected, readings, serving, tell
from tests.serve.test_limits import frame, upgrade

CASES = int(os.environ.get("LIVESR_FUZZ", "300"))
_TYPES = (
    *("session.update", "skip", "reset", "mark", "teach", "session.end", "reading", "", "error"),
)
_KEYS = ("samples", "text", "label", "sample_rate", "encoding", "hop", "resume", "received", "x")


def value(rng: random.Random, depth: int = 0) -> Any:
    return rng.choice(
        (
            lambda: rng.choice((None, True, False, 0, -1, 1, 2**63, 10**400, 1e308, 0.25)),
            lambda: "".join(chr(rng.randrange(1, 0xD7FF)) for _ in range(rng.randrange(30))),
            lambda: base64.b64encode(rng.randbytes(rng.randrange(200))).decode(),
            lambda: rng.randrange(-(10**6), 10**6),
            lambda: [value(rng, depth + 1) for _ in range(rng.randrange(4))] if depth < 4 else [],
            lambda: {rng.choice(_KEYS): value(rng, depth + 1)} if depth < 4 else {},
        )
    )()


def garbage(rng: random.Random) -> bytes:
    """One message, as frames: mostly bad, some of them well-formed."""
    kind = rng.random()
    if kind < 0.45:
        message = {"type": rng.choice(_TYPES)}
        message |= {rng.choice(_KEYS): value(rng) for _ in range(rng.randrange(4))}
        return frame(1, json.dumps(message).encode())
    if kind < 0.6:
        text = json.dumps({"type": rng.choice(_TYPES)}).encode()
        place = rng.randrange(len(text))
        return frame(1, text[:place] + rng.randbytes(rng.randrange(4)) + text[place:])
    if kind < 0.85:
        return frame(2, rng.randbytes(rng.randrange(4000)))
    if kind < 0.93:
        return frame(rng.choice((0, 8, 9, 10, 3, 11)), rng.randbytes(rng.randrange(130)))
    return rng.randbytes(rng.randrange(1, 200))


def attack(server: Server, rng: random.Random, count: int) -> int:
    """Connections of a few messages each, until so many were sent."""
    host, port = server.url.removeprefix("http://").split(":")
    sent = 0
    while sent < count:
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            try:
                raw.sendall(upgrade(host))
                answer = raw.recv(1 << 12)
                if b" 101 " not in answer:
                    assert b" 503 " in answer, answer
                    time.sleep(0.05)
                    continue
                for _ in range(rng.randrange(1, 30)):
                    raw.sendall(garbage(rng))
                    sent += 1
                raw.settimeout(0.01)
                while raw.recv(1 << 16):
                    pass
            except OSError:
                pass
    return sent


@pytest.mark.slow
def test_random_messages_do_not_disturb_another_voice(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    sound = (np.tile(speech, 2) * 32767).astype("<i2")[:600_000]
    with serving("--model", str(tiny), "--max-voices", "40", log=tmp_path / "log") as server:
        (worker,) = server.workers()
        attack(server, random.Random(0), 30)
        time.sleep(0.5)
        before = len(os.listdir(f"/proc/{worker}/fd"))
        found: list[dict[str, Any]] = []

        def speak() -> None:
            with server.connect() as client:
                tell(client, "session.update", mode="lossless")
                data = sound.tobytes()
                for start in range(0, len(data), 30_000):
                    client.send(data[start : start + 30_000])
                tell(client, "session.end")
                found.extend(collected(client))

        speaker = threading.Thread(target=speak)
        speaker.start()
        attackers = [
            threading.Thread(target=attack, args=(server, random.Random(seed), CASES // 2))
            for seed in (1, 2)
        ]
        for thread in attackers:
            thread.start()
        for thread in (*attackers, speaker):
            thread.join()
        own = Recognizer(tiny)
        assert readings(found) == [r.to_dict() for r in own.push(sound) + own.finish()]
        for _ in range(200):
            exposed = httpx.get(f"{server.url}/metrics").text
            after = len(os.listdir(f"/proc/{worker}/fd"))
            if "livesr_streams 0.0" in exposed and after <= before:
                break
            time.sleep(0.1)
        assert "livesr_streams 0.0" in exposed
        assert after <= before
        assert server.workers() == [worker]  # the same: it never died
        assert not server.logged("session failed")
        assert not server.logged("a voice failed")
        assert server.log is not None
        assert "Traceback" not in server.log.read_text()
