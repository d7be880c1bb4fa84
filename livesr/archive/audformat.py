"""The readings as an audEERING table, which the package audformat loads."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from livesr.archive.outputs import OK, READINGS, labels_in
from livesr.archive.places import Place

FOLDER, HEADER = "audformat", "db.yaml"
_TABLE = "emotion"
_OURS = re.compile(rf"db\.{_TABLE}(_\d+)?\.parquet")
_PROBABILITY = {"dtype": "float", "minimum": 0, "maximum": 1}


def write(out: Place, rows: pa.Table, labels: Sequence[str], metadata: dict[str, str]) -> None:
    """Write the database: its header, and a table for each channel, indexed by file, start, end.

    A row is a reading. The column `channel` counts from 1; 0 is the mean of all channels. One
    table of several channels would have the same index twice, which audformat does not allow.

    Args:
        out: the archive's output folder.
        rows: of the summary, whose readings are written.
        labels: of the model.
        metadata: `Scoring.metadata`.

    Raises:
        OutputError: if it cannot be written.
    """
    place = out / FOLDER
    place.make()
    some = rows.filter(pc.greater(rows["readings"], 0))
    written = some.select(["key", "profile", "channel"]).to_pylist()
    labels = [*labels, *_own_labels(out, written, labels)]
    tables: dict[int, list[str]] = defaultdict(list)
    for row in written:
        tables[row["channel"]].append(row["key"])
    named = {
        _TABLE if len(tables) == 1 else f"{_TABLE}_{channel}": tables[channel]
        for channel in sorted(tables)
    } or {_TABLE: []}
    for name, keys in named.items():
        _write_table(out, place, name, keys, labels)
    header = _header(rows, list(named), labels, metadata)
    place.write(HEADER, json.dumps(header, indent=1).encode())
    now = {f"db.{name}.parquet" for name in named}
    for file in list(place.names()):  # of a run with other channels
        if _OURS.fullmatch(file) and file not in now:
            place.remove(file)


def _write_table(
    out: Place, place: Place, table_name: str, keys: Sequence[str], labels: Sequence[str]
) -> None:
    schema = pa.schema(
        [
            ("file", pa.large_string()),
            ("start", pa.duration("ns")),
            ("end", pa.duration("ns")),
            ("label", pa.string()),
            ("status", pa.string()),
            *((name, pa.float64()) for name in _numbers(labels)),
            ("speech", pa.float64()),
            ("channel", pa.int64()),
        ]
    )
    path = f"db.{table_name}.parquet"
    with place.writing(path) as file, pq.ParquetWriter(file, schema) as writer:
        for key in keys:
            table = _readings(out, key)
            if table is None:
                continue
            columns = {"file": table["uri"].cast(pa.large_string())}
            for name in ("start", "end"):
                columns[name] = pc.multiply(table[name], 1000).cast(pa.duration("ns"))
            for name in schema.names[3:]:
                values = table[name] if name in table.column_names else pa.nulls(len(table))
                columns[name] = values.cast(schema.field(name).type)
            writer.write_table(pa.table(columns, schema=schema))


def _readings(out: Place, key: str) -> pa.Table | None:
    data = (out / READINGS).read(f"{key}.parquet")
    return None if data is None else pq.read_table(pa.BufferReader(data))


def _own_labels(out: Place, rows: list[dict[str, str]], labels: Sequence[str]) -> list[str]:
    """Labels of profiles that are not the model's."""
    found: dict[str, None] = {}
    for row in rows:
        if row["profile"] and (table := _readings(out, row["key"])) is not None:
            found |= dict.fromkeys(labels_in(table.schema))
    return [label for label in found if label not in labels]


def _numbers(labels: Sequence[str]) -> list[str]:
    return [f"{kind}_{label}" for kind in ("p", "smoothed") for label in labels]


def _header(
    rows: pa.Table, tables: Sequence[str], labels: Sequence[str], metadata: dict[str, str]
) -> dict[str, object]:
    """The database's header. JSON is also YAML."""
    model = f"{metadata['livesr.model']} ({metadata['livesr.model_sha256'][:8]})"
    scored = sum(status == OK for status in rows["status"].to_pylist())
    columns: dict[str, dict[str, str]] = {"label": {"scheme_id": "emotion"}}
    columns["status"] = {"scheme_id": "status"}
    columns |= {name: {"scheme_id": "probability"} for name in _numbers(labels)}
    columns |= {"speech": {"scheme_id": "probability"}, "channel": {"scheme_id": "channel"}}
    kinds = ["speech", "no-speech", "unsure", "warming-up"]
    return {
        "name": "livesr",
        "source": f"livesr {metadata['livesr.version']}, model {model}",
        "usage": "other",
        "description": f"Automatic readings of {scored} recordings, not checked by people.",
        "license": metadata["livesr.licence"],
        "schemes": {
            "emotion": {"dtype": "str", "labels": list(labels)},
            "status": {"dtype": "str", "labels": kinds},
            "probability": _PROBABILITY,
            "channel": {"dtype": "int", "minimum": 0},
        },
        "tables": {name: {"type": "segmented", "columns": columns} for name in tables},
    }
