"""One file and channel of an archive after the other, to readings and a summary row each."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from livesr.app.report.report import Report
from livesr.archive.manifest import profile_sha, stat
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
from livesr.archive.report import reading_of
from livesr.archive.settings import MIX, Scoring
from livesr.archive.sound import open_sound
from livesr.errors import AudioError, AudioWarning, ModelError, ProfileError
from livesr.event import Item
from livesr.files.recording import RATE, events_path
from livesr.files.replay import play
from livesr.model.load import DEFAULT
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.stages.samples import Mixdown
from livesr.summary import Summary

Told = Callable[[str, float], None]  # a key, and seconds of it that are heard
_TELL_SECONDS = 2.0
LONG_SECONDS = 3600.0  # a file that is longer is gone on with inside after a kill
STATE_SECONDS = 600.0  # of sound, between two states of it
_STATE, _FRAMES, _SUMMARY = b"livesr.state", b"livesr.frames", b"livesr.summary"


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
        self._model = scoring.model or DEFAULT  # not a profile's
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
            notes=heard.notes,
            error=error,
        )
        if len(table):
            about = {key.encode(): value.encode() for key, value in self._metadata.items()}
            if page:
                self._pages.write(f"{row['key']}.html", page.page().encode(errors="replace"))
            self._readings.write(name, packed(table, {**about, **carrying(told)}))
        if _long(row):
            self._states.remove(name)
        return told

    def _hear(self, row: dict[str, Any], heard: _Heard, page: Report | None) -> None:
        uri = row["uri"]
        if (now := stat(uri)) != (row["size"], row["mtime"]):
            change = "is no longer there" if now[0] is None else "has changed since the run began"
            raise AudioError(f"{uri} {change}; give the same command again.")
        path = local_path(uri)
        channel = None if row["channel"] == MIX else row["channel"]
        if path and events_path(path).is_file():  # `listen` recorded it: gaps and resets count
            hop, profile = self._scoring.hop, self._profile(row)
            items = play(path, model=self._model, hop=hop, channel=channel, profile=profile)
            for item in items:
                self._take(row, item, heard, page)
            return
        with open_sound(uri) as sound:
            recognizer = Recognizer(self._model, hop=self._scoring.hop, profile=self._profile(row))
            mixdown = Mixdown(sound.rate) if channel is None and sound.channels > 1 else None
            gone = self._resumed(row, heard, recognizer, page)
            frames, kept = 0, recognizer.position
            for block in sound.blocks():
                fresh = block[max(0, gone - frames) :]  # decoded once more, and not heard again
                frames += len(block)
                if mixdown and mixdown.loses(block):
                    heard.notes.append(Mixdown.words(sound.channels))
                if not len(fresh):
                    continue
                try:
                    readings = recognizer.push(fresh, sound.rate, channel=channel)
                except AudioError as error:
                    at = (frames - len(fresh)) / sound.rate
                    raise AudioError(f"{uri}, after {at:.2f} s: {error}") from None
                for reading in readings:
                    self._take(row, reading, heard, page)
                if _long(row) and recognizer.position - kept >= STATE_SECONDS * RATE:
                    kept = recognizer.position
                    self._keep(row, heard, recognizer, frames)
            for reading in recognizer.finish():
                self._take(row, reading, heard, page)
            heard.notes += [found.text for found in sound.findings if not found.lost]
            if lost := [found.text for found in sound.findings if found.lost]:
                raise AudioWarning(f"{uri}: {'; '.join(lost)}")

    def _profile(self, row: dict[str, Any]) -> Profile | None:
        """What is known of the voice, as it was when the run began."""
        if row["profile"] is None:
            return None
        profile = Profile.load(row["profile"])
        if profile_sha(profile) != row["profile_sha256"]:
            raise ProfileError(
                f"The profile {row['profile']} has changed since the run began; give the same "
                "command again."
            )
        return profile

    def _take(self, row: dict[str, Any], item: Item, heard: _Heard, page: Report | None) -> None:
        if page:
            page.write(item)
        if isinstance(item, Reading):
            heard.readings.add(item)
            heard.summary.add(item)
            self._tell(row["key"], item.end)
        elif item.kind == "note":
            heard.notes.append(item.text)
        elif item.kind == "file":
            raise AudioWarning(item.text)

    def _keep(
        self, row: dict[str, Any], heard: _Heard, recognizer: Recognizer, frames: int
    ) -> None:
        """Keep the stream and what it has said, for whoever goes on after a kill."""
        about = {
            _STATE: base64.b64encode(recognizer.state()),
            _FRAMES: str(frames).encode(),
            _SUMMARY: json.dumps(asdict(heard.summary)).encode(),
        }
        self._states.write(f"{row['key']}.parquet", packed(heard.readings.table(), about))

    def _resumed(
        self, row: dict[str, Any], heard: _Heard, recognizer: Recognizer, page: Report | None
    ) -> int:
        """Take up what a killed worker kept; frames of the file that are heard already."""
        data = self._states.read(f"{row['key']}.parquet") if _long(row) else None
        if data is None:
            return 0
        try:
            table = pq.read_table(pa.BufferReader(data))
            about = table.schema.metadata
            summary = json.loads(about[_SUMMARY])
            summary["turns"] = [(at, label) for at, label in summary["turns"]]
            recognizer.restore(base64.b64decode(about[_STATE]))
            heard.readings.take(table.replace_schema_metadata(None))
            heard.summary, frames = Summary(**summary), int(about[_FRAMES])
        except (ModelError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return 0  # of another version, or damaged: from the beginning then
        if page:
            for told in table.to_pylist():
                page.add(reading_of(told, heard.readings.labels))
        return frames

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
        self.notes: list[str] = []


def _long(row: dict[str, Any]) -> bool:
    return row["duration"] is None or row["duration"] > LONG_SECONDS
