"""A stream that goes on: after a drain, a dropped connection, a worker that was killed."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from livesr import Recognizer
from tests.helpers.server import Server, collected, readings, serving, tell, until


def ints(speech: np.ndarray, count: int) -> np.ndarray:
    return (speech[:count] * 32767).astype("<i2")


def expected(
    model: Path, sound: np.ndarray, rate: int = 16000, hop: float = 0.25
) -> list[dict[str, Any]]:
    own = Recognizer(model, hop=hop)
    return [reading.to_dict() for reading in own.push(sound, rate) + own.finish()]


def heard_up_to(client: ClientConnection, end: float) -> list[dict[str, Any]]:
    """Messages up to the reading that ends there."""
    found: list[dict[str, Any]] = []
    while not found or found[-1].get("end") != end or found[-1]["type"] != "reading":
        found += until(client, "reading")
    return found


def cut(client: ClientConnection) -> None:
    """The network goes: a reset, with no closing handshake."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def dropped(
    server: Server, sound: np.ndarray, end: float, **options: float
) -> tuple[str, list[dict[str, Any]]]:
    """A session whose connection is cut after the reading that ends there: its id, its messages."""
    client = server.connect()
    tell(client, "session.update", mode="lossless", **options)
    session = until(client, "session.created")[-1]["session_id"]
    client.send(sound.tobytes())
    found = heard_up_to(client, end)
    cut(client)
    return session, found


def gone_on(client: ClientConnection, sound: np.ndarray, **resume: Any) -> list[dict[str, Any]]:
    """The rest of this sound, from where the session is resumed to its end: all messages."""
    tell(client, "session.update", **resume)
    found = until(client, "session.created")
    client.send(sound[found[-1]["position"] :].tobytes())
    tell(client, "session.end")
    return found + collected(client)


@pytest.mark.slow
def test_a_state_sent_at_shutdown_is_resumed_by_the_next_server(
    tiny: Path, speech: np.ndarray
) -> None:
    sound, rate = ints(speech, 150_000), 48000
    ended: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    state = None
    for count in (60_001, 120_000, len(sound)):
        with serving("--model", str(tiny), "--workers", "2") as server:
            with server.connect() as client:
                fields = {"resume": state} if state else {"sample_rate": rate, "mode": "lossless"}
                tell(client, "session.update", **fields)
                position = until(client, "session.created")[-1]["position"]
                assert position == (0 if state is None else ended[-1]["position_then"])
                client.send(sound[position:count].tobytes())
                last = count == len(sound)
                if last:
                    tell(client, "session.end")
                else:
                    tell(client, "mark", text="all of it is there")
                    found += until(client, "mark")
                    server.process.send_signal(signal.SIGTERM)
                messages = collected(client)
                assert client.close_code == (1000 if last else 1012)
                found += messages
                assert messages[-1]["type"] == "session.ended"
                ended.append({**messages[-1], "position_then": count})
                state = messages[-1]["state"]
            assert server.stop() == 0
    assert readings(found) == expected(tiny, sound, rate)
    assert [end["heard_seconds"] for end in ended] == [60_001 / rate, 120_000 / rate, 3.125]


def test_a_dropped_connection_goes_on_in_another_worker(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    sound = ints(speech, 120_000)
    with serving("--model", str(tiny), "--workers", "2", log=tmp_path / "log") as server:
        server.wait_logged("worker ready", 2)
        session, found = dropped(server, sound[:50_001], 3.0)
        worker = server.wait_logged("session closed")[0]["process"]
        os.kill(worker, signal.SIGKILL)  # the state is with the parent by now
        server.wait_logged("worker died")
        with server.connect() as client:  # a mistake does not cost the state
            tell(client, "session.update", resume=session, hop=0.5)
            (error,) = collected(client)
            assert error["code"] == "bad_resume" and "leave hop out" in error["message"]
        with server.connect() as client:
            created, *more = gone_on(client, sound, resume=session)
            assert created["session_id"] == session
            assert created["position"] <= 50_001
            found += more
        assert readings(found) == expected(tiny, sound)
        assert server.wait_logged("worker ready", 3)[2]["worker"] != worker
        with server.connect() as client:  # it was taken, once
            tell(client, "session.update", resume=session)
            (error,) = collected(client)
            assert (error["code"], client.close_code) == ("bad_resume", 1008)


def test_a_resume_takes_over_a_connection_that_is_still_open(
    tiny: Path, speech: np.ndarray
) -> None:
    sound = ints(speech, 90_000)
    with serving("--model", str(tiny), "--workers", "2") as server:
        old = server.connect()
        tell(old, "session.update", mode="lossless")
        session = until(old, "session.created")[-1]["session_id"]
        old.send(sound[:40_000].tobytes())
        found = heard_up_to(old, 2.5)
        with server.connect() as new:
            tell(new, "session.update", resume=session)
            created = until(new, "session.created")[-1]
            assert created["position"] == 40_000
            new.send(sound[40_000:].tobytes())
            tell(new, "session.end")
            found += collected(new)
        assert readings(found) == expected(tiny, sound)
        (error,) = collected(old)
        assert error["code"] == "taken_over"


def test_a_refusal_for_want_of_capacity_costs_no_state(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    """A voice with a short hop counts for several; meanwhile others have taken their places."""
    sound = ints(speech, 60_000)
    with serving("--model", str(tiny), "--max-voices", "3", log=tmp_path / "log") as server:
        session, found = dropped(server, sound[:30_000], 1.0, hop=0.1)
        server.wait_logged("session closed")
        with server.connect() as other:
            tell(other, "session.update")
            until(other, "session.created")
            with server.connect() as client:
                tell(client, "session.update", resume=session, received=found[-1]["seq"])
                (error,) = collected(client)
                assert (error["code"], client.close_code) == ("busy", 1013)
        server.wait_logged("session closed", 3)
        with server.connect() as client:
            found += gone_on(client, sound, resume=session, received=found[-1]["seq"])
        assert readings(found) == expected(tiny, sound, hop=0.1)


def test_a_resume_with_a_wrong_profile_costs_no_state(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    sound = ints(speech, 60_000)
    with serving("--model", str(tiny), log=tmp_path / "log") as server:
        session, found = dropped(server, sound[:30_000], 1.0)
        server.wait_logged("session closed")
        with server.connect() as client:
            tell(client, "session.update", resume=session, profile="?")
            (error,) = collected(client)
            assert (error["code"], client.close_code) == ("bad_configuration", 1008)
        with server.connect() as client:
            found += gone_on(client, sound, resume=session, received=found[-1]["seq"])
    assert readings(found) == expected(tiny, sound)


@pytest.mark.slow
def test_a_state_is_kept_for_as_long_as_the_settings_say(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    settings = {"model": str(tiny), "limits": {"kept_seconds": 0.3}}
    with serving(settings=settings, log=tmp_path / "log") as server:
        client = server.connect()
        client.send(ints(speech, 9_000).tobytes())
        session = until(client, "reading")[0]["session_id"]
        cut(client)
        server.wait_logged("session closed")
        time.sleep(1.0)
        with server.connect() as client:
            tell(client, "session.update", resume=session)
            (error,) = collected(client)
            assert error["code"] == "bad_resume"
            assert "0.3 s" in error["message"]


def test_a_client_that_closes_its_connection_leaves_no_state(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    with serving("--model", str(tiny), log=tmp_path / "log") as server:
        with server.connect() as client:
            client.send(ints(speech, 9_000).tobytes())
            session = until(client, "reading")[0]["session_id"]
        assert server.wait_logged("session closed")[0]["cause"] == "left"
        with server.connect() as client:
            tell(client, "session.update", resume=session)
            assert collected(client)[0]["code"] == "bad_resume"


@pytest.mark.slow
def test_a_client_that_closes_while_readings_are_sent_has_left(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    with serving("--model", str(tiny), log=tmp_path / "log") as server:
        for _ in range(25):
            with server.connect() as client:
                tell(client, "session.update", hop=0.02)
                client.send(ints(speech, 8_000).tobytes())
                until(client, "reading")
        ends = server.wait_logged("session closed", 25)
        assert [end["cause"] for end in ends] == ["left"] * 25


@pytest.mark.slow
def test_a_killed_worker_takes_only_its_own_voices(
    tiny: Path, speech: np.ndarray, tmp_path: Path
) -> None:
    sound = ints(speech, 100_000)
    with serving("--model", str(tiny), "--workers", "2", log=tmp_path / "log") as server:
        server.wait_logged("worker ready", 2)
        clients = [server.connect() for _ in range(4)]
        for client in clients:
            tell(client, "session.update", mode="lossless")
            until(client, "session.created")
            client.send(sound[:50_000].tobytes())
        os.kill(server.workers()[0], signal.SIGKILL)
        found: list[list[dict[str, Any]]] = []
        lost = []

        def go_on(client: ClientConnection) -> None:
            try:
                client.send(sound[50_000:].tobytes())
                tell(client, "session.end")
                messages = collected(client)
            except ConnectionClosed:
                lost.append(client)
                return
            (found if client.close_code == 1000 else lost).append(messages)  # type: ignore[arg-type]

        threads = [threading.Thread(target=go_on, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(found), len(lost)) == (2, 2)
        for messages in found:
            assert readings(messages) == expected(tiny, sound)
        server.wait_logged("worker ready", 3)
        with server.connect() as client:  # its slots are free again
            tell(client, "session.update")
            until(client, "session.created")
        told = httpx.get(f"{server.url}/metrics").text
        assert "livesr_worker_restarts_total 1.0" in told


@pytest.mark.slow
def test_a_parent_that_is_killed_takes_its_workers_and_its_files(
    tiny: Path, tmp_path: Path
) -> None:
    server = Server("--model", str(tiny), "--workers", "2", TMPDIR=str(tmp_path))
    workers = server.workers()
    assert list(tmp_path.iterdir())  # the metrics
    server.process.kill()
    server.stop()
    for _ in range(100):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert not list(tmp_path.iterdir())
            return
        time.sleep(0.1)
    raise AssertionError("they live on")


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_server_with_status_0(tiny: Path, number: int) -> None:
    server = Server("--model", str(tiny))
    server.process.send_signal(number)
    assert server.process.wait(timeout=30) == 0
    server.stop()
