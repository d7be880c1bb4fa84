"""Write the tables into docs/performance.md, between its two marks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from export.evaluation.options import ROOT
from export.peers.timing import Table

BEGIN = "<!-- figures: written by `python -m export.peers --quick --write` -->"
END = "<!-- end of figures -->"


def write(tables: Iterable[Table], root: Path = ROOT) -> None:
    """Replace the figures of docs/performance.md; the text around them stays.

    Raises:
        ValueError: if the page does not hold both marks, once each, in order.
    """
    page = root / "docs" / "performance.md"
    text = replaced(page.read_text(), "\n\n".join(table.markdown() for table in tables))
    page.write_text(text)


def replaced(text: str, figures: str) -> str:
    """`text` with `figures` between its marks.

    Raises:
        ValueError: if `text` does not hold both marks, once each, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in before + after:
        raise ValueError(f"docs/performance.md must hold {BEGIN} and then {END}, once each")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"
