"""Score the files of an archive one by one: readings and a summary row for each."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from livesr.app.report.report import Report
from livesr.archive.manifest import events_of, profile_sha, stat
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
from livesr.archive.settings import MIX, Checkpoints, Scoring
from livesr.archive.sound import open_sound
from livesr.errors import AudioError, AudioWarning, ModelError, ProfileError
from livesr.event import Item
from livesr.files.recording import events_path
from livesr.files.replay import ReplaySettings, Saving, play
from livesr.memory import return_memory
from livesr.model.load import DEFAULT
from livesr.profile import Profile
from livesr.reading import Reading
from livesr.recognizer import Recognizer
from livesr.settings import SAMPLE_RATE
from livesr.stages.samples import Mixdown
from livesr.summary import Summary

OnProgress = Callable[[str, float], None]  # a key, and how many seconds of it are scored
_PROGRESS_SECONDS = 2.0
_STATE, _FRAMES, _SUMMARY, _NOTES = (
    *(b"livesr.state", b"livesr.frames"),
    *(b"livesr.summary", b"livesr.notes"),
)


class Scorer:
    """Scores batches of a manifest; one lives in each of Ray's workers.

    Args:
        out: the archive's output folder.
        scoring: the model and the settings.
        identity: SHA-256 of the model on the machine that started the run.
        carried: columns of the manifest that are copied into the summary.
        reports: whether to write a page for each file.
        checkpoints: when the state inside a long file is saved.
        on_progress: is called about every two seconds.

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
        checkpoints: Checkpoints | None = None,
        on_progress: OnProgress = lambda _key, _seconds: None,
    ) -> None:
        if scoring.model_sha != identity:
            raise ModelError(
                f"The model {scoring.model!r} on this machine is {scoring.model_sha[:8]}, where "
                f"the run was started it is {identity[:8]}; install the same on every machine."
            )
        self._scoring, self._reports = scoring, reports
        self._checkpoints = checkpoints or Checkpoints()
        self._on_progress = on_progress
        self._model = scoring.model or DEFAULT  # not the profile's model
        self._readings, self._states, self._pages = out / READINGS, out / STATES, out / REPORTS
        for place in (self._readings, self._states, *([self._pages] if reports else [])):
            place.make()
        self._metadata = scoring.metadata()
        self._labels: tuple[str, ...] = tuple(json.loads(self._metadata["livesr.labels"]))
        self._own = summary_schema(self._labels)
        self._carried = carried
        self._schema = pa.schema([*self._own, *carried])
        self._reported = time.monotonic()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score a batch of the manifest, write its readings, and return its summary rows."""
        rows = [self._row(row) for row in batch.to_pylist()]
        return pa.Table.from_pylist(rows, schema=self._schema)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        name = f"{row['key']}.parquet"
        # A worker may be killed after the readings and before Ray has written the summary.
        summary = summary_in(self._readings.read(name), self._own) or self._scored(row, name)
        self._progress(row["key"], row["duration"] or summary["heard"], at_once=True)
        return {**summary, **{field: row[field] for field in self._carried.names}}

    def _scored(self, row: dict[str, Any], name: str) -> dict[str, Any]:
        results = _Results(row, self._labels, self._scoring.attention)
        page = Report(row["uri"], self._metadata["livesr.model"], "") if self._reports else None
        error: Exception | None = None
        began = time.monotonic()
        try:
            self._score(row, results, page)
        except OutputError:
            raise
        except Exception as found:  # of this file alone: the others are still scored
            error = found
        table = results.readings.table()
        summary = summary_row(
            row,
            self._labels,
            results.summary,
            table,
            self._metadata,
            seconds=time.monotonic() - began,
            notes=results.notes,
            error=error,
        )
        if len(table):
            about = {key.encode(): value.encode() for key, value in self._metadata.items()}
            if page:
                self._pages.write(f"{row['key']}.html", page.page().encode(errors="replace"))
            self._readings.write(name, packed(table, {**about, **carrying(summary)}))
        else:  # those of a try before, which got further
            self._readings.remove(name)
        if self._is_long(row):
            self._states.remove(name)
        return summary

    def _score(self, row: dict[str, Any], results: _Results, page: Report | None) -> None:
        uri = row["uri"]
        if (now := stat(uri)) != (row["size"], row["mtime"]):
            change = "is no longer there" if now[0] is None else "has changed since the run began"
            raise AudioError(f"{uri} {change}; give the same command again.")
        path, events = local_path(uri), events_of(uri)
        channel = None if row["channel"] == MIX else row["channel"]
        key = self._scoring.key(uri, *now, row["channel"], row["profile_sha256"], events)
        if key != row["key"]:
            raise AudioError(
                f"{events_path(path or uri)} has changed since the run began; give the same "
                "command again."
            )
        if path and events:  # recorded by `listen`: it has gaps and resets
            self._replay(path, row, results, page, channel)
            return
        with open_sound(uri) as sound:
            recognizer = Recognizer(self._model, hop=self._scoring.hop, profile=self._profile(row))
            mixdown = Mixdown(sound.rate) if channel is None and sound.channels > 1 else None
            done = self._resumed(row, results, page, recognizer.restore)
            frames, saved = 0, recognizer.position
            for block in sound.blocks():
                fresh = block[max(0, done - frames) :]  # decoded again, but not scored again
                frames += len(block)
                if mixdown and mixdown.loses(block):
                    results.notes.append(Mixdown.words(sound.channels))
                if not len(fresh):
                    continue
                try:
                    readings = recognizer.push(fresh, sound.rate, channel=channel)
                except AudioError as error:
                    at = (frames - len(fresh)) / sound.rate
                    raise AudioError(f"{uri}, after {at:.2f} s: {error}") from None
                for reading in readings:
                    self._take(row, reading, results, page)
                if self._is_due(row, recognizer.position - saved):
                    saved = recognizer.position
                    self._save_state(row, results, recognizer.state(), frames)
            for reading in recognizer.finish():
                self._take(row, reading, results, page)
            results.notes += [found.text for found in sound.findings if not found.lost]
            if lost := [found.text for found in sound.findings if found.lost]:
                raise AudioWarning(f"{uri}: {'; '.join(lost)}")

    def _replay(
        self,
        path: str,
        row: dict[str, Any],
        results: _Results,
        page: Report | None,
        channel: int | None,
    ) -> None:
        """A recording with the events beside it."""
        settings = ReplaySettings(
            self._model, self._scoring.hop, self._profile(row), channel=channel
        )
        newest = 0

        def at_block(position: int, state: Callable[[], bytes]) -> None:
            nonlocal newest
            if self._is_due(row, position - newest) and not page:  # a page has events too
                newest = position
                self._save_state(row, results, state(), notes=results.notes)

        begun: list[Iterator[Item]] = []
        if not page:
            self._resumed(
                row,
                results,
                page,
                lambda state: begun.append(play(path, settings, saving=Saving(state, at_block))),
            )
            newest = round(results.summary.end * SAMPLE_RATE)
        for item in begun[0] if begun else play(path, settings, saving=Saving(None, at_block)):
            self._take(row, item, results, page)

    def _profile(self, row: dict[str, Any]) -> Profile | None:
        """The voice's profile, which must be as it was when the run began."""
        if row["profile"] is None:
            return None
        profile = Profile.load(row["profile"])
        if profile_sha(profile) != row["profile_sha256"]:
            raise ProfileError(
                f"The profile {row['profile']} has changed since the run began; give the same "
                "command again."
            )
        return profile

    def _take(
        self, row: dict[str, Any], item: Item, results: _Results, page: Report | None
    ) -> None:
        if page:
            page.write(item)
        if isinstance(item, Reading):
            results.readings.add(item)
            results.summary.add(item)
            self._progress(row["key"], item.end)
        elif item.kind == "note":
            results.notes.append(item.text)
        elif item.kind == "file":
            raise AudioWarning(item.text)

    def _save_state(
        self,
        row: dict[str, Any],
        results: _Results,
        state: bytes,
        frames: int = 0,
        notes: Sequence[str] = (),
    ) -> None:
        """Save the stream's state and its readings, so that a killed run resumes here."""
        about = {
            _STATE: base64.b64encode(state),
            _FRAMES: str(frames).encode(),
            _NOTES: json.dumps(notes).encode(),
            _SUMMARY: json.dumps(asdict(results.summary)).encode(),
        }
        self._states.write(f"{row['key']}.parquet", packed(results.readings.table(), about))
        # Each save makes several copies of all readings so far, which the allocators would keep.
        pa.default_memory_pool().release_unused()
        return_memory()

    def _resumed(
        self,
        row: dict[str, Any],
        results: _Results,
        page: Report | None,
        restore: Callable[[bytes], None],
    ) -> int:
        """Restore what a killed worker saved; returns the frames that are already scored."""
        data = self._states.read(f"{row['key']}.parquet") if self._is_long(row) else None
        if data is None:
            return 0
        try:
            table = pq.read_table(pa.BufferReader(data))
            about = table.schema.metadata
            summary = json.loads(about[_SUMMARY])
            summary["turns"] = [(at, label) for at, label in summary["turns"]]
            notes = [str(note) for note in json.loads(about[_NOTES])]
            whole, frames = Summary(**summary), int(about[_FRAMES])
            restore(base64.b64decode(about[_STATE]))
            results.readings.take(table.replace_schema_metadata(None))
            results.summary, results.notes = whole, notes
        except (ModelError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return 0  # damaged, or of another version: the file is scored from its beginning
        if page:
            for saved in table.to_pylist():
                page.add(reading_of(saved, results.readings.labels))
        return frames

    def _progress(self, key: str, seconds: float, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now >= self._reported + _PROGRESS_SECONDS:
            self._reported = now
            self._on_progress(key, seconds)

    def _is_due(self, row: dict[str, Any], since: int) -> bool:
        """Whether to save the state, so many samples at 16 kHz after the last time."""
        return self._is_long(row) and since >= self._checkpoints.every * SAMPLE_RATE

    def _is_long(self, row: dict[str, Any]) -> bool:
        return row["duration"] is None or row["duration"] > self._checkpoints.longer_than


class _Results:
    """The readings, their summary and the notes of one row."""

    def __init__(self, row: dict[str, Any], labels: tuple[str, ...], attention: bool) -> None:
        self.readings = Readings(row["key"], row["uri"], row["channel"], labels, attention)
        self.summary = Summary(labels)
        self.notes: list[str] = []
