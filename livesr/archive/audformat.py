"""The readings as an audEERING table: a database that the package audformat loads."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from livesr.archive.outputs import OK, READINGS
from livesr.archive.places import Place

FOLDER = "audformat"
_TABLE = "emotion"
_PROBABILITY = {"dtype": "float", "minimum": 0, "maximum": 1}


def write(out: Place, rows: pa.Table, labels: Sequence[str], metadata: dict[str, str]) -> None:
    """Write the database's header and its one table, with the index (file, start, end).

    A row is a reading. Of files heard channel by channel the column `channel` tells which.

    Args:
        out: of the archive.
        rows: of the summary, whose readings are written.
        labels: of the model.
        metadata: `Scoring.metadata`.

    Raises:
        OutputError: if it cannot be written.
    """
    place = out / FOLDER
    place.make()
    numbers = [f"{kind}_{label}" for kind in ("p", "smoothed") for label in labels]
    schema = pa.schema(
        [
            ("file", pa.large_string()),
            ("start", pa.duration("ns")),
            ("end", pa.duration("ns")),
            ("label", pa.string()),
            ("status", pa.string()),
            *((name, pa.float64()) for name in numbers),
            ("speech", pa.float64()),
            ("channel", pa.int64()),
        ]
    )
    name = f"db.{_TABLE}.parquet"
    with place.writing(name) as file, pq.ParquetWriter(file, schema) as writer:
        kept = ["uri", "start", "end", "label", "status", *numbers, "speech", "channel"]
        for row in rows.select(["key", "readings"]).to_pylist():
            data = (out / READINGS).read(f"{row['key']}.parquet") if row["readings"] else None
            if data is None:
                continue
            table = pq.read_table(pa.BufferReader(data), columns=kept).select(kept)
            table = table.rename_columns(["file", *kept[1:]])
            for number, time in ((1, "start"), (2, "end")):
                nanoseconds = pc.multiply(table[time], 1000)
                table = table.set_column(number, time, nanoseconds.cast(pa.duration("ns")))
            writer.write_table(table.cast(schema))
    place.write("db.yaml", json.dumps(_header(rows, labels, metadata), indent=1).encode())


def _header(rows: pa.Table, labels: Sequence[str], metadata: dict[str, str]) -> dict[str, object]:
    """Of the database. JSON is YAML."""
    model = f"{metadata['livesr.model']} ({metadata['livesr.model_sha256'][:8]})"
    scored = sum(status == OK for status in rows["status"].to_pylist())
    numbers = [f"{kind}_{label}" for kind in ("p", "smoothed") for label in labels]
    columns: dict[str, dict[str, str]] = {"label": {"scheme_id": "emotion"}}
    columns["status"] = {"scheme_id": "status"}
    columns |= {name: {"scheme_id": "probability"} for name in numbers}
    columns |= {"speech": {"scheme_id": "probability"}, "channel": {"scheme_id": "channel"}}
    kinds = ["speech", "no-speech", "unsure", "warming-up"]
    return {
        "name": "livesr",
        "source": f"livesr {metadata['livesr.version']}, model {model}",
        "usage": "other",
        "description": f"Readings of {scored} recordings by a machine; nobody has checked them.",
        "license": metadata["livesr.licence"],
        "schemes": {
            "emotion": {"dtype": "str", "labels": list(labels)},
            "status": {"dtype": "str", "labels": kinds},
            "probability": _PROBABILITY,
            "channel": {"dtype": "int", "minimum": 0},
        },
        "tables": {_TABLE: {"type": "segmented", "columns": columns}},
    }
