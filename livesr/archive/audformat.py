"""The readings as an audEERING table, which the package audformat loads."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from livesr.archive.outputs import OK, READINGS, labels_in
from livesr.archive.places import Place

FOLDER = "audformat"
_TABLE = "emotion"
_PROBABILITY = {"dtype": "float", "minimum": 0, "maximum": 1}


def write(out: Place, rows: pa.Table, labels: Sequence[str], metadata: dict[str, str]) -> None:
    """Write the database's header and its only table, with the index (file, start, end).

    A row is a reading. The column `channel` counts from 1; 0 is the mean of all channels.

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
    written = rows.filter(pc.greater(rows["readings"], 0)).select(["key", "profile"]).to_pylist()
    labels = [*labels, *_own_labels(out, written, labels)]
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
    with place.writing(f"db.{_TABLE}.parquet") as file, pq.ParquetWriter(file, schema) as writer:
        for row in written:
            table = _readings(out, row["key"])
            if table is None:
                continue
            columns = {"file": table["uri"].cast(pa.large_string())}
            for name in ("start", "end"):
                columns[name] = pc.multiply(table[name], 1000).cast(pa.duration("ns"))
            for name in schema.names[3:]:
                values = table[name] if name in table.column_names else pa.nulls(len(table))
                columns[name] = values.cast(schema.field(name).type)
            writer.write_table(pa.table(columns, schema=schema))
    header = _header(rows, labels, metadata)
    place.write("db.yaml", json.dumps(header, indent=1).encode())


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


def _header(rows: pa.Table, labels: Sequence[str], metadata: dict[str, str]) -> dict[str, object]:
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
        "tables": {_TABLE: {"type": "segmented", "columns": columns}},
    }
