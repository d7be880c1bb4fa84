"""Who may come in, and what the command refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.helpers.commands import livesr
from tests.helpers.server import PROTOCOLS, Server, serving, tell, until

TOKEN = "a-token-of-the-test-0123456789"


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(f"# ours\n{TOKEN}\nanother-token-0123456789\n")
    options = ("--token-file", str(file), "--origin", "https://app.example")
    with serving("--model", str(tiny), *options) as server:
        yield server


def status_of(server: Server, **options: Any) -> int:
    """101 if it lets this client in."""
    try:
        with server.connect(**options) as socket:
            tell(socket, "session.update")
            until(socket, "session.created")
            assert socket.subprotocol in (None, "livesr.v1")
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({}, 401),
        ({"additional_headers": {"Authorization": f"Bearer {TOKEN}"}}, 101),
        ({"additional_headers": {"Authorization": f"bearer {TOKEN}"}}, 101),
        ({"additional_headers": {"Authorization": "Bearer another-token-0123456789"}}, 101),
        ({"additional_headers": {"Authorization": f"Bearer {TOKEN}x"}}, 401),
        ({"additional_headers": {"Authorization": f"Basic {TOKEN}"}}, 401),
        ({"additional_headers": {"Authorization": "Bearer \u00e4"}}, 401),
        ({"subprotocols": [*PROTOCOLS, f"livesr.token.{TOKEN}"]}, 101),
        ({"subprotocols": [f"livesr.token.{TOKEN}"]}, 101),
        ({"subprotocols": [*PROTOCOLS, "livesr.token."]}, 401),
        ({"subprotocols": ["chat", f"livesr.token.{TOKEN}"]}, 400),
    ],
)
def test_a_connection_needs_a_known_token(
    guarded: Server, how: dict[str, Any], status: int
) -> None:
    assert status_of(guarded, **how) == status


def test_refusals_leave_no_error_in_the_log(tiny: Path, tmp_path: Path) -> None:
    """Whoever has no token could fill it."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    options = ("--token-file", str(tmp_path / "token"), "--max-voices", "1")
    ours = {"Authorization": f"Bearer {TOKEN}"}
    with serving("--model", str(tiny), *options, log=tmp_path / "log") as server:
        assert status_of(server) == 401
        assert status_of(server, origin="https://evil.example") == 403
        assert status_of(server, additional_headers=ours, subprotocols=["chat"]) == 400
        with server.connect(additional_headers=ours):
            assert status_of(server, additional_headers=ours) == 503
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert told
    assert not [line for line in told if line["level"] == "error"]


def test_a_token_in_the_address_does_not_count(guarded: Server) -> None:
    guarded_url, guarded.ws = guarded.ws, f"{guarded.ws}?token={TOKEN}"
    try:
        assert status_of(guarded) == 401
    finally:
        guarded.ws = guarded_url


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://app.example", 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("own", 101),
        ("http://[", 403),
    ],
)
def test_only_allowed_origins_may_connect(guarded: Server, origin: Any, status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    origin = guarded.url if origin == "own" else origin
    assert status_of(guarded, additional_headers=headers, origin=origin) == status


def test_a_name_that_resolves_to_loopback_is_not_our_page(guarded: Server) -> None:
    """DNS rebinding: the page and the Host header are both of evil.example."""
    host = guarded.url.removeprefix("http://").replace("127.0.0.1", "evil.example")
    headers = {
        "Host": host,
        "Origin": f"http://{host}",
        "Authorization": f"Bearer {TOKEN}",
    }
    assert httpx.get(f"{guarded.url}/metrics", headers=headers).status_code == 403


def test_metrics_want_the_token_and_health_does_not(guarded: Server) -> None:
    assert httpx.get(f"{guarded.url}/metrics").status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{guarded.url}/metrics", headers=headers).status_code == 200
    assert httpx.get(f"{guarded.url}/healthz").json()["status"] == "ok"
    assert httpx.get(f"{guarded.url}/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--token-file", "missing"], "cannot be read"),
        (["--token-file", "short"], "Token 1"),
        (["--token-file", "empty"], "holds no token"),
        (["--tls-cert", "short"], "go together"),
        (["--tls-cert", "missing", "--tls-key", "short"], "not a file"),
        (["--tls-cert", "short", "--tls-key", "short"], "certificate"),
        (["--profile-dir", "missing"], "not a directory"),
        (["--model", "missing"], "neither a bundled model nor a file"),
        (["--origin", "example.org"], "https://example.org"),
        (["--idle-timeout", "inf"], "--idle-timeout is inf"),
    ],
)
def test_wrong_options_of_the_command_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    (tmp_path / "short").write_text("secret\n")
    (tmp_path / "empty").write_text("\n# nothing\n")
    monkeypatch.chdir(tmp_path)
    told = livesr("serve", "--port", "0", *options)
    assert (told.returncode, told.stdout) == (2, "")
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options", [("--idle-timeout", "nan"), ("--max-voices", "9" * 26), ("--per-address", "9" * 26)]
)
def test_numbers_without_a_bound_are_refused(options: tuple[str, str]) -> None:
    told = livesr("serve", "--port", "0", *options)
    assert (told.returncode, told.stdout) == (2, "")
    assert options[0] in told.stderr


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "the key.pem"
    wanted = "openssl req -x509 -newkey rsa:2048 -days 1 -subj /CN=localhost -passout pass:word"
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*wanted.split(), *files], check=True, capture_output=True)
    told = livesr("serve", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key))
    assert (told.returncode, told.stdout) == (2, "")
    assert "is encrypted, and a server has nobody to ask for its passphrase" in told.stderr
    assert f"openssl pkey -in '{key}' -out NEW" in told.stderr


def test_an_address_that_is_not_this_machine_s() -> None:
    command = [sys.executable, "-m", "livesr", "serve", "--port", "0", "--host", "192.0.2.1"]
    told = subprocess.run(
        [*command, "--no-auth"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert "cannot be listened on" in told.stderr
    assert len(told.stderr.splitlines()) == 1
