"""The report page of an archive: shares of the emotions, over time, by column; worst files."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from livesr.app.report.report import Report
from livesr.app.ui.theme import GLYPHS
from livesr.archive.outputs import ERROR, READINGS, REPORTS, TENTHS, labels_in
from livesr.archive.places import Place
from livesr.archive.progress import lasting
from livesr.colours import colours_of
from livesr.reading import Reading
from livesr.version import __version__

PAGE = "report.html"
_WORST = 20
_MOST_VALUES = 40  # of a column that groups the rows; a column with more gets no table
_STYLE = """
:root { --ground: #f7f6f3; --card: #fff; --ink: #1a1c20; --quiet: #5d636d; --line: #e3e1dc; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0f1114; --card: #181b20; --ink: #eceef1; --quiet: #a0a7b2; --line: #2b3038; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 56px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 10px; }
p { margin: 6px 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 22px 24px; margin-top: 20px; }
.quiet, footer { color: var(--quiet); font-size: 14px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; width: 100%; }
th, td { text-align: left; padding: 6px 16px 6px 0; border-bottom: 1px solid var(--line);
  font-weight: 400; overflow-wrap: anywhere; vertical-align: top; }
thead th { color: var(--quiet); }
td.bar { min-width: 220px; width: 40%; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { display: block; width: 100%; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: 8px 24px; padding: 0; }
footer { margin-top: 32px; max-width: 72ch; }
footer strong { color: var(--ink); display: block; }
"""


def write(
    out: Place,
    rows: pa.Table,
    carried: Sequence[str],
    labels: Sequence[str],
    *,
    of_all: bool = False,
) -> None:
    """Write the archive's page, and the pages of the worst files unless they exist.

    Args:
        out: the archive's output folder.
        rows: of the summary.
        carried: names of the columns that came from the source.
        labels: of the model.
        of_all: whether to write the pages of all files, not only of the worst.

    Raises:
        OutputError: if they cannot be written.
    """
    found = rows.to_pylist()
    worst = _worst(found)
    (out / REPORTS).make()
    pages = set((out / REPORTS).names())
    for row in found if of_all else worst:
        name = f"{row['key']}.html"
        if name not in pages and (page := _page_of(out, row)):
            (out / REPORTS).write(name, page.encode(errors="replace"))
            pages.add(name)
    out.write(PAGE, _page(out, found, worst, carried, labels, pages).encode(errors="replace"))


def _worst(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Errors first, then the files with the smallest share of time with a label."""

    def badness(row: dict[str, Any]) -> tuple[bool, float]:
        seconds = max(row["heard"], 1e-9)
        return row["status"] == ERROR, 1 - (row["speech"] - row["lost"]) / seconds

    return sorted(rows, key=badness, reverse=True)[:_WORST]


def _page_of(out: Place, row: dict[str, Any]) -> str | None:
    """A file's own page, from its readings, without attention."""
    data = (out / READINGS).read(f"{row['key']}.parquet") if row["readings"] else None
    if data is None:
        return None
    report = Report(row["uri"], row["model"], "")
    file = pq.ParquetFile(pa.BufferReader(data))
    labels = labels_in(file.schema_arrow)
    for batch in file.iter_batches(4096):
        for values in batch.to_pylist():
            report.add(reading_of(values, labels))
    return report.page()


def reading_of(values: dict[str, Any], labels: Sequence[str]) -> Reading:
    """The reading of a row of readings, without attention."""
    return Reading(
        start=values["start"] / 1e6,
        end=values["end"] / 1e6,
        status=values["status"],
        label=values["label"],
        reason=values["reason"],
        probabilities=_of_labels(values, "p", labels),
        smoothed=_of_labels(values, "smoothed", labels),
        attention=np.zeros(0, np.float32),
        attention_times=np.zeros(0),
        speech=values["speech"],
        level_dbfs=values["level_dbfs"],
        gap=values["gap"],
    )


def _of_labels(values: dict[str, Any], kind: str, labels: Sequence[str]) -> dict[str, float]:
    """By label; a profile with labels of its own leaves the model's empty."""
    found = {label: values[f"{kind}_{label}"] for label in labels}
    return {label: value for label, value in found.items() if value is not None}


def _page(
    out: Place,
    rows: list[dict[str, Any]],
    worst: list[dict[str, Any]],
    carried: Sequence[str],
    labels: Sequence[str],
    pages: set[str],
) -> str:
    models = sorted({f"{row['model']} ({row['model_sha256'][:8]})" for row in rows})
    seconds = sum(row["heard"] for row in rows)
    failed = sum(row["status"] == ERROR for row in rows)
    facts = [f"{len(rows)} scored", f"{lasting(seconds)} of sound", "model " + ", ".join(models)]
    if failed:
        facts.append(f"{failed} with errors")
    totals = _seconds(rows, labels)
    sections = [
        _section("All recordings", _table(("",), [(("all",), rows)], labels)),
        _section(
            "Over the time of a recording",
            "<p class='quiet'>Every recording is divided into ten equal parts.</p>"
            + _course(rows, labels),
        ),
    ]
    for column in carried:
        groups = _groups(rows, column)
        if groups:
            sections.append(_section(f"By {column}", _table((column,), groups, labels)))
    sections.append(_section("Files to look at first", _files(worst, pages)))
    key = "".join(
        f"<li>{_square(label, labels)} {escape(label)} {_percent(totals[label], totals)}</li>"
        for label in labels
    )
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(out.address)} · livesr archive</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(out.address)}</h1>
<p class="quiet">{escape(" · ".join(facts))}</p>
<ul>{key}</ul>
{"".join(sections)}
<footer>
<p><strong>Acted emotions are not felt ones, and a tone of voice is not a state of mind. Do not
use livesr to judge, rank, hire, police or diagnose people.</strong></p>
<p>Made by livesr {__version__}. The rows behind this page are in summary/ and readings/.</p>
</footer>
</main>
</body>
</html>
"""


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inner}</section>\n"


def _seconds(rows: Iterable[dict[str, Any]], labels: Sequence[str]) -> dict[str, float]:
    """Seconds with each label."""
    totals = dict.fromkeys(labels, 0.0)
    for row in rows:
        for label in labels:
            totals[label] += row["speech"] * (row.get(f"share_{label}") or 0.0)
    return totals


def _percent(seconds: float, totals: dict[str, float]) -> str:
    whole = sum(totals.values())
    return f"{seconds / whole:.0%}" if whole else "-"


def _square(label: str, labels: Sequence[str]) -> str:
    return (
        f"<svg width='14' height='14' viewBox='0 0 14 14' role='img' aria-label='{escape(label)}' "
        f"display='inline'><text x='7' y='12' font-size='14' text-anchor='middle' "
        f"fill='{colours_of(labels)[label]}'>{GLYPHS.get(label, '◆')}</text></svg>"
    )


def _stack(totals: dict[str, float], labels: Sequence[str]) -> str:
    """A bar that is divided by the shares of the labels."""
    whole, at, parts = sum(totals.values()), 0.0, []
    if not whole:
        return "<span class='quiet'>no time with a label</span>"
    for label, colour in colours_of(labels).items():
        width = 100 * totals[label] / whole
        parts.append(
            f"<rect x='{at:.3f}' y='0' width='{width:.3f}' height='10' "
            f"fill='{colour}'><title>{escape(label)} {width:.0f} %</title></rect>"
        )
        at += width
    return (
        f"<svg viewBox='0 0 100 10' height='18' preserveAspectRatio='none'>{''.join(parts)}</svg>"
    )


def _table(
    heads: Sequence[str],
    groups: list[tuple[tuple[str, ...], list[dict[str, Any]]]],
    labels: Sequence[str],
) -> str:
    titles = [*heads, "files", "duration", "labelled", *labels, ""]
    body = []
    for names, rows in groups:
        totals = _seconds(rows, labels)
        cells = [escape(name) for name in names]
        numbers = [
            str(len(rows)),
            lasting(sum(row["heard"] for row in rows)),
            lasting(sum(totals.values())),
            *(_percent(totals[label], totals) for label in labels),
        ]
        body.append(
            "<tr>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "".join(f"<td class='number'>{number}</td>" for number in numbers)
            + f"<td class='bar'>{_stack(totals, labels)}</td></tr>"
        )
    return _rows(titles, body)


def _rows(titles: Sequence[str], body: Iterable[str]) -> str:
    head = "".join(f"<th scope='col'>{escape(title)}</th>" for title in titles)
    return (
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _course(rows: list[dict[str, Any]], labels: Sequence[str]) -> str:
    groups = []
    for tenth in range(TENTHS):
        totals = {
            label: sum((row.get(f"course_{label}") or [0.0] * TENTHS)[tenth] for row in rows)
            for label in labels
        }
        named = f"{10 * tenth} to {10 * tenth + 10} %"
        shares = "".join(
            f"<td class='number'>{_percent(totals[label], totals)}</td>" for label in labels
        )
        groups.append(
            f"<tr><td class='number'>{named}</td>{shares}"
            f"<td class='bar'>{_stack(totals, labels)}</td></tr>"
        )
    return _rows(["part", *labels, ""], groups)


def _groups(
    rows: list[dict[str, Any]], column: str
) -> list[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """Rows by a column's value, sorted; dates by month. Empty for too many values."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        value = row.get(column)
        if isinstance(value, date | datetime):
            value = f"{value:%Y-%m}"
        if isinstance(value, list | dict):
            return []
        if isinstance(value, float) and math.isnan(value):  # each NaN would be a group
            value = None
        groups.setdefault(value, []).append(row)
    if not 1 < len(groups) <= _MOST_VALUES:
        return []
    ordered = sorted(groups.items(), key=lambda item: (item[0] is None, _order(item[0])))
    return [(("-" if value is None else str(value),), members) for value, members in ordered]


def _order(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool | int | float):
        return 0, value
    return 1, str(value)


def _files(worst: list[dict[str, Any]], pages: set[str]) -> str:
    body = []
    for row in worst:
        name = f"{row['key']}.html"
        shown = escape(row["uri"])
        if name in pages:
            shown = f"<a href='{REPORTS}/{name}'>{shown}</a>"
        if row["channel"]:
            shown += f", channel {row['channel']}"
        why = row["message"] or (
            f"{lasting(row['speech'])} of {lasting(row['heard'])} with a label"
            + (f", {lasting(row['lost'])} lost" if row["lost"] else "")
        )
        body.append(f"<tr><td>{shown}</td><td>{escape(why)}</td></tr>")
    note = (
        "<p class='quiet'>Errors first, then the files with the smallest share of labelled "
        "speech.</p>"
    )
    return note + _rows(["file", "what"], body)
