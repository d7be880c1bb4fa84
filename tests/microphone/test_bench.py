"""`livesr bench --microphone` on a real stream; no test depends on what it measures."""

from __future__ import annotations

import pytest

from livesr.app.bench_microphone import run
from tests.helpers.virtual import VirtualMicrophone


@pytest.mark.slow
def test_a_row_for_the_model_and_one_for_the_paper_s_widths(
    microphone: VirtualMicrophone, capsys: pytest.CaptureFixture[str]
) -> None:
    run("vmic", "acrnn-compact", seconds=1.0, load=1)
    told, head, *rows = capsys.readouterr().out.splitlines()
    assert told == "1 s each at four readings a second, 1 busy processes beside"
    assert head.split()[:4] == ["network", "p50", "p95", "p99"]
    assert [row.split()[0] for row in rows] == ["acrnn-compact", "acrnn"]
    assert all(row.count(" ms") == 3 for row in rows)
