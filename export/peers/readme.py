"""The figures, written down: the README's between two marks, all of them in docs/figures.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from export.peers.timing import ROOT, Table

BEGIN = "<!-- figures: written by `python -m export.peers --readme` -->"
END = "<!-- end of figures -->"
SHORT = ("readings", "features", "voices", "startup")
_HEAD = (
    "# What livesr costs\n\nFrom one run of `python -m export.peers`, one thread; medians of "
    "processor time. The ratios travel, the milliseconds are yours to measure."
)


def write(tables: Mapping[str, Table], root: Path = ROOT) -> None:
    """Replace what both files say.

    Raises:
        ValueError: if the README's marks are not there once each, in order.
    """
    path = root / "README.md"
    text = replaced(path.read_text(), "\n\n".join(tables[name].markdown() for name in SHORT))
    every = "\n\n".join([_HEAD, *(table.markdown() for table in tables.values())])
    path.write_text(text)
    (root / "docs/figures.md").write_text(every + "\n")


def replaced(text: str, figures: str) -> str:
    """`text` with `figures` between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in before + after:
        raise ValueError(f"README.md must hold {BEGIN} and then {END}, once each")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"
