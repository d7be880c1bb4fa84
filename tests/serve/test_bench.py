"""The load client prints its curve, and writes it into a page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from livesr.serve import bench

_OPTIONS = ["--voices", "1", "3", "--seconds", "3", "--packet", "0.1", "--max-voices", "2"]


@pytest.mark.slow
def test_the_load_curve_is_printed_and_written_into_the_page(tiny: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    mark = f"<!-- load curve: {tiny} -->\n"
    page.write_text(f"before\n{mark}{mark}after\n")
    told = subprocess.run(
        [
            *(sys.executable, "-m", "livesr.serve.bench", "--model", str(tiny)),
            *(*_OPTIONS, "--write", str(page)),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    title, head, one, three = told.stdout.splitlines()
    assert "capacity 2 voices" in title
    assert "p95" in head
    assert re.match(r" +1 +0 +\d+ ms", one)
    assert re.match(r" +3 +1 +\d+ ms", three)  # one of them was refused
    assert "0.00 s (0.0%)" in one
    assert re.search(r"\n\| 3 \| 1 \| \d+ ms \|", page.read_text())


_TALKS = """#!{python}
import sys
print("server http://127.0.0.1:1/", flush=True)
sys.stderr.write('no JSON\\n{{"event": "worker ready", "capacity": 3}}\\n')
for number in range(5000):
    print('{{"event": "session ended", "number": %d}}' % number, file=sys.stderr)
"""


def _pretend(monkeypatch: pytest.MonkeyPatch, path: Path, script: str) -> None:
    path.write_text(script.format(python=sys.executable))
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_log_that_nobody_reads_holds_no_server_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, tmp_path / "talks", _TALKS)
    server = bench.Server([], None)
    try:
        assert server.capacity == 3
        assert server.process.wait(timeout=30) == 0  # a full pipe would hold it up for ever
        with pytest.raises(SystemExit, match="has ended") as told:
            server.processes()
        assert "4979" not in str(told.value)
        assert all(str(number) in str(told.value) for number in range(4980, 5000))
    finally:
        server.process.kill()


@pytest.mark.parametrize("said", ["", "server http://127.0.0.1:1/"])
def test_a_server_that_does_not_start_is_told_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    begin = f"#!{{python}}\nprint({said!r}, end='', flush=True)\n"
    script = f"{begin}raise SystemExit('no such model')\n"
    _pretend(monkeypatch, tmp_path / "fails", script)
    with pytest.raises(SystemExit, match="no such model"):
        bench.Server([], None)
