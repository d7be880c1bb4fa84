"""Replace a part of a Markdown page that is between two marks: how benches write their figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from livesr.errors import LivesrError


def replace_part(page: Path, part: str, lines: Sequence[str]) -> None:
    """Replace the lines between the two marks `<!-- part -->` of a page.

    Args:
        page: a Markdown file in UTF-8.
        part: text of the marks.
        lines: to put there.

    Raises:
        LivesrError: if the page does not have the mark exactly twice.
    """
    mark = f"<!-- {part} -->"
    parts = page.read_text(encoding="utf-8").split(mark)
    if len(parts) != 3:
        raise LivesrError(f"{page} must have the mark {mark} twice.")
    between = "\n".join(["", *lines, ""])
    page.write_text(mark.join([parts[0], between, parts[2]]), encoding="utf-8")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> list[str]:
    """Lines of a Markdown table; columns of numbers are aligned to the right."""
    below = ["--:" if numbers else "---"] * len(heads)
    return [f"| {' | '.join(cells)} |" for cells in (heads, below, *rows)]
