"""The layout, read from the imports: one direction, no circle, each module in its place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import livesr

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "livesr"
CLIP = ROOT / "tests/data/banglaser.flac"

# From the ground up. A module may import what stands in its own line or above it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("version", "text", "errors", "arrays", "memory", "state", "settings", "reading", "event"),
    ("colours", "whole_file"),
    ("model",),
    ("stages",),
    ("profile", "profile_file", "recognizer", "batch", "summary", "table", "picture"),
    ("files",),
    ("microphone",),
    ("app",),
    ("serve", "archive", "client"),
    ("__init__", "__main__", "__pyinstaller"),
)
FOLDERS = {"stages", "model", "microphone", "files", "app"}
LATER_FOLDERS = {"serve", "archive", "__pyinstaller"}
EXPORT_ROOMS = ("corpora", "features", "networks", "training", "evaluation")
# What a stage must not use: input and output, threads, clocks, chance.
NOT_IN_A_STAGE = {
    *("asyncio", "datetime", "multiprocessing", "queue", "random", "socket", "sounddevice"),
    *("soundfile", "subprocess", "threading", "time"),
}


def _modules() -> dict[str, Path]:
    """Dotted name -> file of every module of livesr; a package's name stands for its __init__."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, anywhere in it; of livesr's the modules themselves."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in MODULES else module


def _place(module: str) -> str:
    """The first name below the package: a folder or a module beside them."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _layer(module: str) -> int:
    place = _place(module)
    for number, names in enumerate(LAYERS):
        if place in names:
            return number
    raise AssertionError(f"{module} has no place in LAYERS; give it one, or another folder")


GRAPH = {
    name: {found for found in _imports(path) if found.split(".")[0] == "livesr"}
    for name, path in MODULES.items()
}


def test_the_folders_are_those_drawn() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders >= FOLDERS
    assert folders - FOLDERS <= LATER_FOLDERS


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    upwards = [found for found in GRAPH[module] if _layer(found) > _layer(module)]
    assert not upwards, f"{module} imports {upwards}, which stand above it"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_the_package_itself(module: str) -> None:
    assert "livesr" not in GRAPH[module]


def test_serve_and_archive_do_not_know_each_other() -> None:
    for name, found in GRAPH.items():
        other = {"serve": "archive", "archive": "serve"}.get(_place(name))
        assert not other or other not in map(_place, found), name


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for found in sorted(GRAPH[name] & MODULES.keys()):
                walk(found, (*path, name))
            done.add(name)

    for name in MODULES:
        walk(name, ())
    assert done == MODULES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_livesr_knows_nothing_of_training(module: str) -> None:
    roots = {found.split(".")[0] for found in _imports(MODULES[module])}
    assert not roots & {"export", "tests", "torch"}


@pytest.mark.parametrize(
    "module",
    [name for name in MODULES if _place(name) in ("stages", "recognizer", "batch")],
)
def test_a_stage_does_no_input_or_output(module: str) -> None:
    roots = {found.split(".")[0] for found in _imports(MODULES[module])}
    assert not roots & NOT_IN_A_STAGE


def _loaded(code: str) -> set[str]:
    """Top-level packages that a new Python has loaded after this code."""
    code += "; import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(told.stdout.splitlines()[-1].split())


def test_importing_livesr_loads_only_what_is_used() -> None:
    for code in ("import livesr", "from livesr.__main__ import add_extras; add_extras()"):
        assert not _loaded(code) & {"numpy", "onnxruntime", "scipy", "soundfile"}
    loaded = _loaded("import livesr; livesr.Recognizer, livesr.replay, livesr.listen")
    assert "onnxruntime" in loaded
    assert not loaded & {"asyncio", "export", "matplotlib", "pandas", "ray", "rich", "sounddevice"}
    assert not loaded & {"starlette", "torch", "typer"}
    # A Recognizer opens its model while SciPy is imported; a profile needs no SciPy.
    loaded = _loaded(
        "import livesr; livesr.Recognizer, livesr.replay, livesr.listen, livesr.Profile"
    )
    assert not loaded & {"scipy", "python_speech_features"}


def test_a_first_reading_waits_only_for_what_it_needs() -> None:
    """Imports are most of the time from the start of `livesr replay` to its first line."""
    code = (
        "import json, sys\n"
        "from livesr.app import writers\n"
        "def stop(self, item):\n"
        "    modules = [*sys.modules]\n"
        "    print(*modules, file=sys.stderr)\n"
        "    raise SystemExit\n"
        "writers.JsonlWriter.write = stop\n"
        "from livesr.__main__ import main\n"
        f"sys.argv = ['livesr', 'replay', {str(CLIP)!r}, '--jsonl', '-']\n"
        "main()\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(told.stderr.split())
    assert {"livesr.recognizer", "scipy.fft"} <= loaded
    late = {"asyncio", "concurrent.futures.process", "multiprocessing", "rich", "sounddevice"}
    late |= {f"livesr.{name}" for name in ("app.many", "app.report.report", "app.speaker")}
    late |= {f"livesr.{name}" for name in ("app.on_change", "microphone.listener")}
    late -= _loaded("import typer")  # an old one imports rich itself
    assert not loaded & late


def test_a_public_name_comes_from_where_type_checkers_find_it() -> None:
    homes = {
        alias.name: str(node.module)
        for node in ast.walk(ast.parse(MODULES["livesr"].read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("livesr.")
        for alias in node.names
    }
    assert homes.pop("__version__") == "livesr.version"
    assert homes == livesr._HOMES
    assert {*homes, "__version__"} == set(livesr.__all__) <= set(dir(livesr))
    for name, module in homes.items():
        assert getattr(livesr, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="not_there"):
        getattr(livesr, "not_there")  # noqa: B009


def test_no_public_name_hides_a_module() -> None:
    code = (
        "import importlib, pkgutil, types, livesr\n"
        "for info in pkgutil.iter_modules(livesr.__path__):\n"
        "    if info.name != '__main__':\n"
        "        importlib.import_module('livesr.' + info.name)\n"
        "        found = getattr(livesr, info.name)\n"
        "        assert isinstance(found, types.ModuleType), info.name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_rooms_of_export_are_used_in_one_direction() -> None:
    """Below them are the commands, a file each, and peers; nothing imports a command."""
    for path in (ROOT / "export").rglob("*.py"):
        own = path.relative_to(ROOT).parts[1]
        for module in _imports(path):
            place = module.split(".")[1] if module.startswith("export.") else ""
            if own in EXPORT_ROOMS and place:
                assert place in EXPORT_ROOMS[: EXPORT_ROOMS.index(own) + 1], f"{path}: {module}"
            assert place in {"", own, *EXPORT_ROOMS}, f"{path} imports {module}, a command"


def test_the_tests_mirror_the_packages() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert folders - {"helpers", "end_to_end", "export"} <= FOLDERS | LATER_FOLDERS
    assert folders >= FOLDERS | {"export", "helpers", "end_to_end"}


@pytest.mark.parametrize(
    ("number", "places"),
    [
        (1, {"livesr/stages/logmel.py"}),
        (2, {"livesr/stages/deltas.py"}),
        (3, {"livesr/stages/deltas.py"}),
        (4, {"export/networks/acrnn.py", "export/networks/graph.py"}),
        (5, {"export/networks/acrnn.py", "export/networks/graph.py"}),
    ],
)
def test_one_search_finds_an_equation_of_the_paper(number: int, places: set[str]) -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("livesr", "export")
        for path in (ROOT / folder).rglob("*.py")
        if f"eq. ({number})" in path.read_text(encoding="utf-8")
    }
    assert found >= places


def test_equations_are_cited_in_one_way() -> None:
    for folder in ("livesr", "export"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.findall(r"\beqs?\.? \d|\beq\.? \([^1-5]|\bEq\.", text), path
