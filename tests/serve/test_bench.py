"""The load client prints its curve, and writes it into a page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
