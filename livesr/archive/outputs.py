"""What a run writes: a file of readings and a summary row for each row of the manifest."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from livesr.archive.places import OutputError, Place, foreign
from livesr.reading import Reading
from livesr.summary import Summary

READINGS, SUMMARY, REPORTS = "readings", "summary", "reports"
STATES, CHECKPOINT, PASSES = ".states", ".checkpoint", ".passes"
MANIFEST = "manifest.parquet"
OK, ERROR = "ok", "error"
TENTHS = 10  # of a file, for the emotions over its time
_SUMMARY_KEY = b"livesr.summary"
_TERMS = pa.dictionary(pa.int32(), pa.string())
_SUFFIX = ".parquet"
_PENDING = ".pending.parquet"  # of a checkpoint, while Ray writes the file that it is about


def micros(seconds: float) -> int:
    """Seconds as whole microseconds."""
    return round(seconds * 1e6)


def readings_schema(labels: Sequence[str], attention: bool = False) -> pa.Schema:
    """Schema of a file of readings: times in microseconds of stream time, the rest as `Reading`."""
    numbers = [f"{kind}_{label}" for kind in ("p", "smoothed") for label in labels]
    fields = [
        ("key", _TERMS),
        ("uri", _TERMS),
        ("channel", pa.int32()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("status", _TERMS),
        ("label", _TERMS),
        ("reason", _TERMS),
        *((name, pa.float64()) for name in numbers),
        ("speech", pa.float64()),
        ("level_dbfs", pa.float64()),
        ("gap", pa.float64()),
    ]
    if attention:
        fields += [
            ("attention", pa.list_(pa.float32())),
            ("attention_times", pa.list_(pa.float64())),
        ]
    return pa.schema(fields)


def labels_in(schema: pa.Schema) -> list[str]:
    """The labels that have columns in a file of readings."""
    return [name.removeprefix("p_") for name in schema.names if name.startswith("p_")]


class Readings:
    """The readings of one file and channel, as columns.

    Args:
        key: of the manifest.
        uri: of the manifest.
        channel: of the manifest.
        labels: of the model. A profile's own labels get columns when a reading has them.
        attention: whether to write the attention.

    Attributes:
        labels: the labels that have columns.
    """

    def __init__(
        self, key: str, uri: str, channel: int, labels: Sequence[str], attention: bool = False
    ) -> None:
        self._row, self._attention = (key, uri, channel), attention
        self.labels = list(labels)
        self._tables: list[pa.Table] = []
        self._waiting: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Add one reading."""
        self.labels += [label for label in reading.smoothed if label not in self.labels]
        self._waiting.append(reading)
        if len(self._waiting) >= 2048:
            self._fold()

    def _fold(self) -> None:
        """Turn the readings into columns, which take a hundredth of the memory."""
        readings, self._waiting = self._waiting, []
        if not readings:
            return
        columns: dict[str, Any] = {
            name: [value] * len(readings)
            for name, value in zip(("key", "uri", "channel"), self._row, strict=True)
        }
        for name in ("start", "end"):
            columns[name] = [micros(getattr(reading, name)) for reading in readings]
        for name in ("status", "label", "reason"):
            columns[name] = [getattr(reading, name) for reading in readings]
        for label in self.labels:
            columns[f"p_{label}"] = [reading.probabilities.get(label) for reading in readings]
            columns[f"smoothed_{label}"] = [reading.smoothed.get(label) for reading in readings]
        for name in ("speech", "level_dbfs", "gap"):
            columns[name] = [getattr(reading, name) for reading in readings]
        if self._attention:
            columns["attention"] = [reading.attention for reading in readings]
            columns["attention_times"] = [reading.attention_times for reading in readings]
        schema = readings_schema(self.labels, self._attention)
        self._tables.append(pa.table(columns, schema=schema))

    def table(self) -> pa.Table:
        """All readings so far."""
        self._fold()
        if not self._tables:
            return readings_schema(self.labels, self._attention).empty_table()
        if len(self._tables) > 1:
            whole = pa.concat_tables(self._tables, promote_options="default").unify_dictionaries()
            self._tables = [whole.combine_chunks()]
        return self._tables[0]

    def take(self, table: pa.Table) -> None:
        """Continue after the readings that a killed worker saved."""
        self.labels = labels_in(table.schema)
        schema = readings_schema(self.labels, self._attention)
        self._tables, self._waiting = [table.cast(schema)], []


def packed(table: pa.Table, about: dict[bytes, bytes] | None = None) -> bytes:
    """A table as the bytes of a Parquet file, with this metadata in its schema."""
    sink = pa.BufferOutputStream()
    metadata = {**(table.schema.metadata or {}), **(about or {})}
    # Numbers hardly repeat: dictionaries of their columns take several times the table's memory.
    words = [field.name for field in table.schema if _repeats(field.type)]
    whole = table.replace_schema_metadata(metadata)
    pq.write_table(whole, sink, compression="zstd", use_dictionary=words or False)
    return bytes(sink.getvalue())


def _repeats(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_string(kind))


def summary_schema(labels: Sequence[str]) -> pa.Schema:
    """Schema of the summary, without the carried columns; seconds are float64."""
    turn = pa.struct([("at", pa.int64()), ("label", pa.string())])
    return pa.schema(
        [
            ("key", pa.string()),
            ("uri", pa.string()),
            ("channel", pa.int32()),
            ("status", pa.string()),
            ("error", pa.string()),
            ("message", pa.string()),
            ("note", pa.string()),
            ("profile", pa.string()),
            ("size", pa.int64()),
            ("mtime", pa.int64()),
            ("duration", pa.float64()),
            ("heard", pa.float64()),
            ("speech", pa.float64()),
            ("no_speech", pa.float64()),
            ("unsure", pa.float64()),
            ("warming_up", pa.float64()),
            ("lost", pa.float64()),
            ("readings", pa.int64()),
            *((f"share_{label}", pa.float64()) for label in labels),
            ("turns", pa.int64()),
            ("turning_points", pa.list_(turn)),
            *((f"course_{label}", pa.list_(pa.float64())) for label in labels),
            ("model", pa.string()),
            ("model_sha256", pa.string()),
            ("version", pa.string()),
            ("hop", pa.float64()),
            ("seconds", pa.float64()),
            ("scored", pa.timestamp("us", tz="UTC")),
        ]
    )


def summary_row(
    manifest_row: dict[str, Any],
    labels: Sequence[str],
    summary: Summary,
    table: pa.Table,
    metadata: dict[str, str],
    *,
    seconds: float,
    notes: Sequence[str] = (),
    error: Exception | None = None,
) -> dict[str, Any]:
    """The summary row of one file and channel.

    Args:
        manifest_row: its row of the manifest.
        labels: of the model.
        summary: of all its readings.
        table: of all its readings.
        metadata: `Scoring.metadata`.
        seconds: that the scoring took.
        notes: remarks on the file.
        error: what ended the scoring early; None if the whole file was scored.
    """
    shares = summary.shares
    course = _course(table, labels)
    spent = summary.seconds
    return {
        **{name: manifest_row[name] for name in ("key", "uri", "channel", "profile")},
        **{name: manifest_row[name] for name in ("size", "mtime", "duration")},
        "status": ERROR if error else OK,
        "error": type(error).__name__ if error else None,
        "message": str(error)[:1000] if error else None,
        "note": "; ".join(notes)[:1000] or None,
        "heard": summary.end,
        "speech": spent.get("speech", 0.0),
        "no_speech": spent.get("no-speech", 0.0),
        "unsure": spent.get("unsure", 0.0),
        "warming_up": spent.get("warming-up", 0.0),
        "lost": summary.gaps,  # a part of what was heard, pauses too
        "readings": len(table),
        **{f"share_{label}": shares[label] for label in labels},
        "turns": summary.turned,
        "turning_points": [{"at": micros(at), "label": label} for at, label in summary.turns],
        **{f"course_{label}": values for label, values in course.items()},
        "model": metadata["livesr.model"],
        "model_sha256": metadata["livesr.model_sha256"],
        "version": metadata["livesr.version"],
        "hop": float(metadata["livesr.hop"]),
        "seconds": seconds,
        "scored": datetime.now(UTC),
    }


def _course(table: pa.Table, labels: Sequence[str]) -> dict[str, list[float]]:
    """Seconds with each label, in each tenth of the file."""
    course = {label: [0.0] * TENTHS for label in labels}
    ends = table["end"].to_pylist()
    whole, before = max(1, ends[-1] if ends else 1), 0
    for end, label in zip(ends, table["label"].to_pylist(), strict=True):
        if label in course:
            course[label][min(TENTHS - 1, (end - 1) * TENTHS // whole)] += (end - before) / 1e6
        before = end
    return course


def summary_in(data: bytes | None, schema: pa.Schema) -> dict[str, Any] | None:
    """The summary row in the metadata of a complete file of readings; None if it has none."""
    if data is None:
        return None
    try:
        found = (pq.read_schema(pa.BufferReader(data)).metadata or {}).get(_SUMMARY_KEY)
        row = json.loads(found) if found else None
    except (pa.ArrowInvalid, OSError, ValueError):
        return None
    if not isinstance(row, dict) or row.get("status") != OK:
        return None
    row["scored"] = datetime.fromisoformat(row["scored"])
    return {name: row.get(name) for name in schema.names}


def carrying(row: dict[str, Any]) -> dict[bytes, bytes]:
    """The summary row as metadata for the schema of its file of readings."""
    return {_SUMMARY_KEY: json.dumps(row, default=datetime.isoformat).encode()}


def read_summary(out: Place, labels: Sequence[str]) -> pa.Table | None:
    """All rows of the summary without the carried columns, whose types may differ by file.

    None if there are none. Damaged files are skipped.

    Args:
        out: the archive's output folder.
        labels: of the model. The shares of another model's labels are left out; columns that an
            earlier livesr did not write are empty.
    """
    own = summary_schema(labels)
    found = _tables(out / SUMMARY, own.names, all_needed=False)
    tables = [table for _, table in found if table is not None]
    if not tables:
        return None
    return pa.concat_tables([own.empty_table(), *tables], promote_options="permissive")


def with_carried(rows: pa.Table, carried: pa.Table) -> pa.Table:
    """The rows of the summary that are also in `carried`, with its columns beside their own.

    Args:
        rows: of the summary.
        carried: the manifest's column of keys and then its carried ones.
    """
    place = pc.index_in(rows["key"], carried["key"].combine_chunks())
    rows, place = rows.filter(place.is_valid()), place.drop_null()
    for name in carried.column_names[1:]:
        rows = rows.append_column(carried.field(name), carried[name].take(place))
    return rows


def carry(out: Place, carried: pa.Table, labels: Sequence[str]) -> None:
    """Write what the sources say now into the rows that are done.

    Rows that are not in the manifest stay as they are. They move to a file of their own, because
    a column may have another type there; after a kill they are in both, which `settle` mends.

    Args:
        out: the archive's output folder.
        carried: as for `with_carried`.
        labels: of the model.

    Raises:
        OutputError: if the summary cannot be written.
    """
    summary, own = out / SUMMARY, summary_schema(labels).names
    carried = pq.read_table(pa.BufferReader(packed(carried)))  # Parquet has no times in seconds
    for name, table in _tables(summary):
        if table is None:
            continue
        known = pc.is_in(table["key"], carried["key"].combine_chunks())
        before, others = table.filter(known), table.filter(pc.invert(known))
        kept = before.select([column for column in before.column_names if column in own])
        now = with_carried(kept, carried)
        # A NaN is not equal to itself, but its bytes are.
        if not len(before) or now.equals(before) or packed(now) == packed(before):
            continue
        if len(others):
            summary.write(f"{secrets.token_hex(8)}{_SUFFIX}", packed(others))
        summary.write(name, packed(now))


def _tables(
    place: Place, columns: list[str] | None = None, *, all_needed: bool = True
) -> Iterable[tuple[str, pa.Table | None]]:
    """Each file and its table, of these columns only; None for a damaged file.

    Raises:
        OutputError: if a file lacks one of the columns, and all are needed.
    """
    for name in sorted(place.names()):
        if not name.endswith(_SUFFIX) or name.startswith("."):
            continue
        table = None
        with suppress(pa.ArrowInvalid, OSError):
            if (data := place.read(name)) is not None:
                file = pq.ParquetFile(pa.BufferReader(data))
                there = set(file.schema_arrow.names)
                if all_needed and not set(columns or ()) <= there:
                    raise OutputError(foreign(place, name))
                wanted = columns and [name for name in columns if name in there]
                table = file.read(columns=wanted)
        yield name, table


def settle(out: Place, again: set[str] | None = None) -> set[str]:
    """Make summary and checkpoint consistent, however the last run ended.

    A row is done when it is in both. Ray writes the checkpoint of a summary file as pending, then
    the file, then renames the checkpoint. After a kill, a row may be in one of them only, or a
    file may be incomplete; such rows are removed. Every file is replaced or removed in one step,
    so this function may be killed too.

    Args:
        out: the archive's output folder.
        again: keys to remove from both, so that they are scored again.

    Returns:
        The keys that are done.

    Raises:
        OutputError: if a table there is another program's; then nothing was changed.
    """
    summary, checkpoint = out / SUMMARY, out / CHECKPOINT
    # Other programs' tables may have keys too.
    rows = list(_tables(summary, ["key", "model_sha256"]))
    checks = list(_tables(checkpoint, ["key"]))
    written = {key for _, table in rows if table is not None for key in _keys(table)}
    committed = {
        key
        for name, table in checks
        if table is not None and not name.endswith(_PENDING)
        for key in _keys(table)
    }
    done = (written & committed) - (again or set())
    # Checkpoint first: a row without a checkpoint is scored again; a checkpoint without a row
    # would hide the missing row.
    for name, table in checks:
        _keep(checkpoint, name, None if name.endswith(_PENDING) else table, done)
    seen: set[str] = set()
    for name, table in rows:
        own = done - seen
        _keep(summary, name, table, own)
        seen |= own & set(_keys(table)) if table is not None else set()
    return done


def _keys(table: pa.Table) -> list[str]:
    keys: list[str] = table["key"].to_pylist()
    return keys


def _keep(place: Place, name: str, table: pa.Table | None, keys: set[str]) -> None:
    """Keep only the rows of `keys` in a file; nothing is written if those are all rows.

    Args:
        place: folder of the file.
        name: of the file.
        table: its column of keys; None to remove the file.
        keys: of the rows to keep.
    """
    wanted = pa.array(sorted(keys), pa.string())
    kept = 0 if table is None else pc.sum(pc.is_in(table["key"], wanted)).as_py() or 0
    if table is None or not kept:
        place.remove(name)
    elif kept < len(table):
        whole = pq.read_table(pa.BufferReader(place.read(name)))
        place.write(name, packed(whole.filter(pc.is_in(whole["key"], wanted))))
