"""What pyproject.toml says of the package; `make test-least test-sdist test-frozen` try it."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from livesr.__pyinstaller import get_hook_dirs
from tests.minimums import minimums

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_licence_expression_names_every_model_s_licence() -> None:
    table = (ROOT / "models" / "LICENSES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+\.onnx)` \| (\S+) \|", table, re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in (ROOT / "models").glob("*.onnx")}
    assert {licence for _, licence in rows} <= set(PROJECT["license"].split(" AND "))


def test_every_dependency_declares_its_least_version() -> None:
    pinned = {line.partition("==")[0] for line in minimums()}
    assert pinned >= {re.split(r"[<>=!~ ]", line)[0] for line in PROJECT["dependencies"]}


def test_pyinstaller_finds_the_hook() -> None:
    hooks = importlib.metadata.entry_points(group="pyinstaller40", name="hook-dirs")
    ours = [hook for hook in hooks if hook.module == "livesr.__pyinstaller"]
    assert ours and {hook.load() for hook in ours} == {get_hook_dirs}
    assert (Path(get_hook_dirs()[0]) / "hook-livesr.py").is_file()
