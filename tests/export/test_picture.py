"""The pictures of README and docs are made by one command, from the program itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from export.picture import draw_all

_DOCS = Path(__file__).parents[2] / "docs"


def _words(svg: str) -> set[str]:
    """What a drawn screen says; its numbers may differ on another machine."""
    return set(re.findall(r"[a-z]{3,}", re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL)))


@pytest.mark.slow
def test_one_command_draws_all_pictures(tmp_path: Path) -> None:
    draw_all(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert {"view.svg", "legend.svg", "plot.png"} <= made
    assert ("report.png" in made) == any(map(shutil.which, ("chromium", "google-chrome")))
    for name in made:
        assert (tmp_path / name).stat().st_size > 10_000
    for name in ("view.svg", "legend.svg"):
        drawn = (tmp_path / name).read_text(encoding="utf-8")
        assert "url(http" not in drawn and "@font-face" not in drawn
        # What the docs show is what the program shows now.
        assert _words(drawn) == _words((_DOCS / name).read_text(encoding="utf-8")), "make picture"
