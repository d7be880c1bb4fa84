"""What the docs say is so: every example runs, every command and every link exists."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.commands import commands
from tests.helpers.tiny import DATA
from tests.test_structure import MODULES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "models").glob("*.md")])
RECORDINGS = {"talk.flac": "banglaser.flac", "conversation.flac": "conversation.flac"}
NEEDS_A_MICROPHONE = ("listen(", "devices(")
SERVER = "http://localhost:8765"
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        if not name.endswith("__main__") and "__pyinstaller" not in name:
            yield from finder.find(importlib.import_module(name))
    parser = doctest.DocTestParser()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        yield parser.get_doctest(text, {}, page.name, str(page), 0)


EXAMPLES = {test.name: test for test in _examples() if test.examples}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _listens(name: str) -> bool:
    return any(w in one.source for one in EXAMPLES[name].examples for w in NEEDS_A_MICROPHONE)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.alone if _listens(n) else ()) for n in EXAMPLES],
)
def test_examples_run(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = EXAMPLES[name]
    if _listens(name):
        request.getfixturevalue("microphone")
    for copy, recording in RECORDINGS.items():
        shutil.copy(DATA / recording, tmp_path / copy)
    monkeypatch.chdir(tmp_path)
    if any(SERVER in one.source for one in test.examples):
        from tests.helpers.server import serving  # noqa: PLC0415  (needs the extra `serve`)

        server = request.getfixturevalue("stack").enter_context(serving())
        for one in test.examples:
            one.source = one.source.replace(SERVER, server.url)
    told: list[str] = []
    result = doctest.DocTestRunner(optionflags=_FLAGS).run(test, out=told.append)
    assert not result.failed, "".join(told)


def _commands(page: Path) -> Iterator[list[str]]:
    """Each `livesr ...` of a page's indented or fenced blocks, as words."""
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        found = re.match(r"(?: {4,}|\$ )(?:\S+ \| )?livesr (.*)", line)
        if found:
            yield shlex.split(re.split(r" \| | > | >> | && ", found[1])[0], comments=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_exist(page: Path) -> None:
    for words in _commands(page):
        name = next((word for word in words if not word.startswith("-")), "")
        known = {"--help", "-h"}
        for command in (commands()[""], commands()[name]):
            for parameter in command.params:
                known |= {*parameter.opts, *parameter.secondary_opts}
        unknown = [word for word in words if re.match(r"--?[a-z]", word) and word not in known]
        assert not unknown, f"livesr {name} has no {unknown}"


def _modules_run(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each `python -m X ...` of this repo, and each `export.X ...` in the text: name, options."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"(?m)^(?: {4,}|\$ ).*?python -m (.*)$", text)
    quoted = re.findall(r"`(?:[^`\n]* )?python -m ([^`]*)`|`(export\.[^`]*)`", text)
    for command in [*blocks, *map("".join, quoted)]:
        name, *words = re.split(r" #| \| | > | && ", command)[0].split()
        if name.split(".")[0] in ("export", "livesr", "tests"):
            yield name, [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def _source(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def _options(source: str) -> set[str]:
    """The options in a command's source, and those of the helpers that it names."""
    found = set(re.findall(r"\"(--?[a-z][\w-]*)\"", source))
    for helper, own in HELPERS.items():
        if re.search(rf"\b{helper}\(", source):
            found |= _options(own.partition("\n")[2])
    return found


def _helpers() -> dict[str, str]:
    source = (ROOT / "export" / "evaluation" / "options.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(source, node) or "" for node in functions}


HELPERS = _helpers()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_in_pages_exist_with_their_options(page: Path) -> None:
    for name, options in _modules_run(page.read_text(encoding="utf-8")):
        source = _source(name)
        assert source.is_file(), f"python -m {name}: no such module"
        unknown = set(options) - _options(source.read_text(encoding="utf-8"))
        assert not unknown, f"python -m {name} has no {unknown}"


def test_modules_are_found_in_blocks_and_in_text() -> None:
    text = """
    for name in a b; do
        python -m export.train --corpora A \\
            --seed 1   # --not one
    A=1 python -m pytest -q
So `python -m export.report
--most 3`, and `export.evaluate --check=x`; `export/train.py` is a file.
"""
    assert list(_modules_run(text)) == [
        ("export.train", ["--corpora", "--seed"]),
        ("export.report", ["--most"]),
        ("export.evaluate", ["--check"]),
    ]
    known = _options((ROOT / "export" / "branches.py").read_text(encoding="utf-8"))
    assert {"--corpora", "--workers"} <= known and "--no-such" not in known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)#]*)(?:#[^)]*)?\)", text):
        assert not target or (page.parent / target).exists(), target
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]*)\)", text):
        other = (page.parent / target) if target else page
        assert anchor in _anchors(other.read_text(encoding="utf-8")), f"{target}#{anchor}"


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_pages_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:livesr|export|tests|docs|examples|models)/[\w./-]+)`", text):
        assert "NAME" in name or (ROOT / name).exists(), name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 1400
