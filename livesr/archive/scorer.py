"""One file and channel of an archive after the other, to readings and a summary row each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from livesr.app.report.report import Report
from livesr.archive.manifest import stat
from livesr.archive.outputs import (
    READINGS,
    REPORTS,
    STATES,
    Readings,
    carrying,
    packed,
    summary_in,
    summary_row,
    summary_schema,
)
from livesr.archive.places import OutputError, Place, local_path
from livesr.archive.settings import MIX, Scoring
from livesr.errors import AudioError, ModelError
from livesr.files.replay import play
from livesr.reading import Reading
from livesr.summary import Summary

Told = Callable[[str, float], None]  # a key, and seconds of it that are heard
_TELL_SECONDS = 2.0


class Scorer:
    """Scores batches of a manifest; one lives in each of Ray's workers.

    Args:
        out: of the archive.
        scoring: what with.
        identity: SHA-256 that the model has where the run was started.
        carried: columns of the manifest that go into the summary as they are.
        reports: whether to write a page for each file.
        told: is called every two seconds or so.

    Raises:
        ModelError: if the model is not here, or is another one here.
    """

    def __init__(
        self,
        out: Place,
        scoring: Scoring,
        identity: str,
        carried: pa.Schema,
        *,
        reports: bool = False,
        told: Told = lambda _key, _seconds: None,
    ) -> None:
        if scoring.model_sha != identity:
            raise ModelError(
                f"The model {scoring.model!r} on this machine is {scoring.model_sha[:8]}, where "
                f"the run was started it is {identity[:8]}; install the same on every machine."
            )
        self._scoring, self._reports, self._told = scoring, reports, told
        self._readings, self._states, self._pages = out / READINGS, out / STATES, out / REPORTS
        for place in (self._readings, self._states, *([self._pages] if reports else [])):
            place.make()
        self._metadata = scoring.metadata()
        self._labels: tuple[str, ...] = tuple(json.loads(self._metadata["livesr.labels"]))
        self._own = summary_schema(self._labels)
        self._carried = carried
        self._schema = pa.schema([*self._own, *carried])
        self._said = time.monotonic()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The summary rows of a batch of the manifest; its readings are then written."""
        rows = [self._row(row) for row in batch.to_pylist()]
        return pa.Table.from_pylist(rows, schema=self._schema)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        name = f"{row['key']}.parquet"
        # A worker may be killed after the readings and before Ray has written the summary.
        told = summary_in(self._readings.read(name), self._own)
        told = told or self._scored(row, name)
        self._tell(row["key"], row["duration"] or told["heard"], at_once=True)
        return {**told, **{field: row[field] for field in self._carried.names}}

    def _scored(self, row: dict[str, Any], name: str) -> dict[str, Any]:
        heard = _Heard(row, self._labels, self._scoring.attention)
        page = Report(row["uri"], self._metadata["livesr.model"], "") if self._reports else None
        error: Exception | None = None
        began = time.monotonic()
        try:
            self._hear(row, heard, page)
        except OutputError:
            raise
        except Exception as found:  # whatever it is: of one file, and the others go on
            error = found
        table = heard.readings.table()
        told = summary_row(
            row,
            self._labels,
            heard.summary,
            table,
            self._metadata,
            seconds=time.monotonic() - began,
            error=error,
        )
        if len(table):
            about = {key.encode(): value.encode() for key, value in self._metadata.items()}
            if page:
                self._pages.write(f"{row['key']}.html", page.page().encode(errors="replace"))
            self._readings.write(name, packed(table, {**about, **carrying(told)}))
        return told

    def _hear(self, row: dict[str, Any], heard: _Heard, page: Report | None) -> None:
        uri = row["uri"]
        if (now := stat(uri)) != (row["size"], row["mtime"]):
            change = "is no longer there" if now[0] is None else "has changed since the run began"
            raise AudioError(f"{uri} {change}; give the same command again.")
        path = local_path(uri)
        if path is None or row["channel"] != MIX:
            raise NotImplementedError
        seconds = 0.0
        for item in play(path, model=self._scoring.model, hop=self._scoring.hop):
            if page:
                page.write(item)
            if isinstance(item, Reading):
                heard.add(item)
                seconds = item.end
                self._tell(row["key"], seconds)

    def _tell(self, key: str, seconds: float, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now >= self._said + _TELL_SECONDS:
            self._said = now
            self._told(key, seconds)


class _Heard:
    """What has been heard of one row."""

    def __init__(self, row: dict[str, Any], labels: tuple[str, ...], attention: bool) -> None:
        self.readings = Readings(row["key"], row["uri"], row["channel"], labels, attention)
        self.summary = Summary(labels)

    def add(self, reading: Reading) -> None:
        self.readings.add(reading)
        self.summary.add(reading)
