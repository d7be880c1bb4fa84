"""What an operator gets: metrics that Prometheus scrapes, a dashboard, an image's steps, logs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from websockets.exceptions import InvalidStatus

from livesr.serve.parent import Parent, _Child
from livesr.serve.settings import ServeSettings
from tests.helpers.server import Server, collected, serving, tell
from tests.helpers.waiting import until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOKEN = "the-token-of-operations-0123"
METRIC = re.compile(r"\blivesr_[a-z_]+")


def tool(name: str) -> str:
    """Where a program is; skips the test where it is not."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def server(tiny: Path, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    options = ("--model", str(tiny), "--token-file", str(tmp_path / "token"))
    with serving(*options, log=tmp_path / "log") as server:
        yield server


def speak(server: Server, speech: np.ndarray) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with server.connect(additional_headers=headers) as client:
        tell(client, "session.update", mode="lossless")
        client.send((speech[:100_000] * 32767).astype("<i2").tobytes())
        tell(client, "skip", samples=8000)
        tell(client, "session.end")
        return collected(client)


def exposed(server: Server) -> str:
    return httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text


def test_metrics_count_streams_readings_and_lost_sound(server: Server, speech: np.ndarray) -> None:
    told = speak(server, speech)
    with pytest.raises(InvalidStatus):
        server.connect()
    for headers in ({}, {"Origin": "https://evil.example"}):  # no voices
        assert httpx.get(f"{server.url}/metrics", headers=headers).status_code in (401, 403)
    values: dict[str, float] = {}
    for line in exposed(server).splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    assert values["livesr_streams"] == 0
    assert values["livesr_streams_opened_total"] == 1
    assert values['livesr_streams_closed_total{cause="ended"}'] == 1
    assert values['livesr_streams_refused_total{reason="token"}'] == 1
    assert 'livesr_streams_refused_total{reason="origin"}' not in values
    assert values["livesr_heard_seconds_total"] == pytest.approx(100_000 / 16000)
    assert values['livesr_lost_seconds_total{cause="skipped"}'] == pytest.approx(0.5)
    count = sum(message["type"] == "reading" for message in told)
    statuses = [v for name, v in values.items() if name.startswith("livesr_readings_total")]
    assert sum(statuses) == count
    assert values["livesr_lag_seconds_count"] == count


def test_logs_hold_no_label_no_token_and_no_session_id(server: Server, speech: np.ndarray) -> None:
    told = speak(server, speech)
    server.wait_logged("session closed")
    assert server.log is not None
    text = server.log.read_text()
    assert TOKEN not in text
    assert told[0]["session_id"] not in text
    for label in told[0]["labels"]:
        assert label not in text
    for line in text.splitlines():
        assert {"time", "level", "event"} <= set(json.loads(line))


_FAILING = """
import json, sys, msgspec
from livesr.serve import parent
from livesr.serve.logs import set_up
from livesr.serve.settings import ServeSettings
parent._EARLY_SECONDS = 0.0  # however long it takes a worker to fail
set_up()
sys.exit(parent.serve(msgspec.convert(json.loads(sys.argv[1]), ServeSettings)))
"""


@pytest.mark.parametrize("voices", [0, 4])
def test_workers_that_cannot_start_say_why_and_end_the_server(tmp_path: Path, voices: int) -> None:
    """The model is gone since the command looked."""
    model = tmp_path / "gone.onnx"
    settings = json.dumps({"port": 0, "model": str(model), "max_voices": voices})
    command = [sys.executable, "-c", _FAILING, settings]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    lines = [json.loads(line) for line in told.stderr.splitlines()]  # no traceback
    whys = [line["error"] for line in lines if line["event"] == "worker cannot start"]
    assert len(whys) == 3
    assert all(str(model) in why and "neither a bundled model nor a file" in why for why in whys)
    assert lines[-1]["event"] == "stopping"


def test_a_worker_whose_program_is_gone_is_tried_again_and_ends_the_server() -> None:
    gone = _FAILING.replace("set_up()", "sys.executable = '/no/such/python'\nset_up()")
    command = [sys.executable, "-c", gone, '{"port": 0}']
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    lines = [json.loads(line) for line in told.stderr.splitlines()]  # no traceback
    whys = [line["error"] for line in lines if line["event"] == "worker cannot start"]
    assert len(whys) == 3
    assert all("/no/such/python" in why for why in whys)


def test_a_worker_whose_parent_ends_at_once_ends_too_with_its_files(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
    handles = [one.fileno() for one in theirs]
    with subprocess.Popen(
        [sys.executable, "-m", "livesr.serve.worker", *map(str, handles)],
        pass_fds=handles,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
    ) as worker:
        for one in (*ours, *theirs):
            one.close()
        try:
            _, told = worker.communicate(timeout=30)
        finally:
            worker.kill()
    assert worker.returncode == 1
    assert "parent ended" in json.loads(told)["error"]  # no traceback
    assert not metrics.exists()


def test_a_fault_of_the_parent_s_own_does_not_leave_it_without_workers() -> None:
    async def broken(place: int) -> _Child:
        raise OverflowError("what no message holds")

    parent = Parent(ServeSettings(port=0), lambda _host, _port: None)
    parent._work = broken  # type: ignore[method-assign]
    with pytest.raises(OverflowError):
        asyncio.run(parent.run())


def test_a_reader_of_the_address_that_has_gone_is_no_error(tiny: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "livesr", "serve", "--port", "0", "--model", str(tiny)]
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file) as p:
        assert p.stdout is not None
        p.stdout.close()
        until(lambda: "worker ready" in log.read_text())
        p.terminate()
        assert p.wait(timeout=30) == 0
    assert [json.loads(line)["level"] for line in log.read_text().splitlines()] == ["info"] * 3


def test_an_address_without_voices_is_forgotten() -> None:
    parent = Parent(ServeSettings(), lambda _host, _port: None)
    child = _Child(cast(Any, None), cast(Any, None))

    async def come_and_go() -> None:
        for address in ("203.0.113.5", "203.0.113.6", "203.0.113.5"):
            await parent._told(child, "admit", {"address": address})
        for address in ("203.0.113.5", "203.0.113.6"):
            await parent._told(child, "leave", {"address": address, "extra": 0.0})

    asyncio.run(come_and_go())
    assert dict(child.voices) == {"203.0.113.5": 1}


def test_a_full_worker_comes_last_whatever_connections_the_others_have() -> None:
    parent = Parent(ServeSettings(), lambda _host, _port: None)
    full, idle, short = children = [_Child(cast(Any, None), cast(Any, None)) for _ in range(3)]
    parent._children = set(children)
    for child in children:
        child.ready, child.capacity = True, 3
    full.voices["203.0.113.5"], full.connections = 3, 3
    short.voices["203.0.113.5"], short.connections, short.extra = 1, 1, 1.5  # room for 0.5
    idle.connections = 40  # of health checks, kept alive
    assert parent._roomiest() is idle
    idle.voices["203.0.113.5"] = 3
    assert parent._roomiest() is short  # all are full


def dashboard() -> list[str]:
    panels = json.loads((DEPLOY / "grafana" / "livesr.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_is_in_the_dashboard_or_the_docs(server: Server, speech: np.ndarray) -> None:
    speak(server, speech)
    names = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for line in exposed(server).splitlines()
        if not line.startswith("#")
        for name in METRIC.findall(line)[:1]
    }
    written = set(METRIC.findall((ROOT / "docs" / "serve.md").read_text()))
    assert names <= written, names - written
    used = {re.sub(r"_bucket$", "", name) for text in dashboard() for name in METRIC.findall(text)}
    assert used <= written


@pytest.mark.slow
def test_a_real_prometheus_scrapes_a_real_server(
    server: Server, speech: np.ndarray, tmp_path: Path
) -> None:
    prometheus = tool("prometheus")
    config = (DEPLOY / "prometheus.yml").read_text()
    for ours, theirs in (
        ("/run/secrets/livesr-token", str(tmp_path / "token")),
        ("livesr:8765", server.url.removeprefix("http://")),
        ("scrape_interval: 5s", "scrape_interval: 1s"),
    ):
        assert ours in config
        config = config.replace(ours, theirs)
    (tmp_path / "prometheus.yml").write_text(config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [
            prometheus,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        speak(server, speech)
        with pytest.raises(InvalidStatus):  # counted
            server.connect()
        names = {name for text in dashboard() for name in METRIC.findall(text)}
        assert len(names) > 10
        missing = set(names)
        for _ in range(240):
            missing = {name for name in names if not _asked(address, name)}
            if not missing:
                break
            time.sleep(0.25)
        assert not missing
        assert _asked(address, 'up{job="livesr"}')[0]["value"][1] == "1"
        for expression in dashboard():
            _asked(address, expression)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _asked(address: str, expression: str) -> list[dict[str, Any]]:
    try:
        answer = httpx.get(f"http://{address}/api/v1/query", params={"query": expression})
    except httpx.TransportError:
        return []
    if answer.status_code == 503:  # it starts
        return []
    told = answer.json()
    assert told["status"] == "success", (expression, told)
    result: list[dict[str, Any]] = told["data"]["result"]
    return result


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    subprocess.run([tool("hadolint"), str(DEPLOY / "Dockerfile")], check=True)


def test_files_and_options_of_the_compose_file_exist() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    livesr = compose["services"]["livesr"]
    assert livesr["read_only"] is True
    assert (DEPLOY / livesr["build"]["context"] / livesr["build"]["dockerfile"]).is_file()
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            assert (DEPLOY / volume.split(":")[0]).is_file(), volume
    for name in ("prometheus.yml", "grafana/datasource.yml", "grafana/dashboards.yml"):
        assert yaml.safe_load((DEPLOY / name).read_text())


def _steps() -> dict[str, list[str]]:
    """The Dockerfile's instructions, by their kind, in order."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind.isupper() and kind.isalpha():
            found.setdefault(kind, []).append(rest.strip())
    return found


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_work_for_a_user_who_is_not_root(
    tmp_path: Path, tiny: Path
) -> None:
    """No engine builds images here; what the Dockerfile does, done by hand."""
    steps, source, target = _steps(), tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    for copy in steps["COPY"]:
        *names, where = copy.split()
        if not copy.startswith("--from"):
            for name in names:
                into = source / where
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, into)
                else:
                    shutil.copy(ROOT / name, into)
    build = steps["RUN"][0].replace("/opt/livesr", str(target))
    subprocess.run(build, shell=True, cwd=source, check=True, timeout=550)
    assert "useradd" in steps["RUN"][1]
    user = int(steps["USER"][0])
    assert user != 0
    private = tmp_path / "tmp"
    private.mkdir()
    (tmp_path / "token").write_text(TOKEN)
    command = [*json.loads(steps["ENTRYPOINT"][0]), *json.loads(steps["CMD"][0]), "--port", "0"]
    command[0] = str(target / "bin" / command[0])
    command = [
        word.replace("/run/secrets/livesr-token", str(tmp_path / "token")) for word in command
    ]
    if os.geteuid() == 0:
        os.chown(private, user, user)
        # It may read what root keeps (this Python may lie in root's home), and write nothing.
        read = "--inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search"
        switch = f"--reuid={user} --regid={user} --clear-groups {read} --no-new-privs"
        command = [tool("setpriv"), *switch.split(), *command]
    environment = dict(word.split("=", 1) for word in steps["ENV"][0].split())
    assert environment["PATH"] == "/opt/livesr/bin:$PATH"
    assert environment["HOME"] == "/tmp"
    environment |= {"PATH": f"{target}/bin:/usr/bin:/bin"}
    environment |= dict.fromkeys(("HOME", "TMPDIR"), str(private))
    process = subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1].replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(url + "readyz").status_code == 200
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert "livesr_capacity" in httpx.get(url + "metrics", headers=headers).text
        if os.geteuid() == 0:
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert f"Uid:\t{user}" in status
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert not list(private.iterdir())  # it leaves nothing behind
