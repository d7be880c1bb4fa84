"""`--dry-run`: the cost of a run, estimated from a measured sample. Nothing is written."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from livesr.archive import manifest
from livesr.archive.outputs import ERROR, Readings, packed
from livesr.archive.progress import Progress, lasting
from livesr.archive.run import Archive, rows_of, survey
from livesr.archive.settings import MIX, Scoring
from livesr.archive.sound import open_sound
from livesr.errors import LivesrError
from livesr.recognizer import Recognizer

_FILES = 5
_SECONDS = 20.0  # of each


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured.

    Attributes:
        files: number of files scored.
        seconds: of sound scored.
        work: seconds of processor time.
        size: bytes of readings.
    """

    files: int
    seconds: float
    work: float
    size: int


def measure(rows: pa.Table, scoring: Scoring) -> Sample:
    """Score the beginnings of some rows of a manifest, from the longest to the shortest.

    Raises:
        LivesrError: if none of them can be scored.
    """
    files, seconds, work, size = 0, 0.0, 0.0, 0
    Recognizer(scoring.model, hop=scoring.hop)  # loading the model is not part of an hour's cost
    for row in _spread(rows).to_pylist():
        began = time.process_time()
        recognizer = Recognizer(scoring.model, hop=scoring.hop)
        readings = Readings("", "", 0, scoring.labels, scoring.attention)
        channel = None if row["channel"] == MIX else row["channel"]
        scored = 0.0
        try:
            with open_sound(row["uri"]) as sound:
                for block in sound.blocks():
                    for reading in recognizer.push(block, sound.rate, channel=channel):
                        readings.add(reading)
                    scored += len(block) / sound.rate
                    if scored >= _SECONDS:
                        break
        except (LivesrError, OSError):
            continue
        size += len(packed(readings.table()))
        work += time.process_time() - began
        files, seconds = files + 1, seconds + scored
    if not seconds:
        raise LivesrError(
            "None of the files in the sample can be scored; start a run with --limit 10 to see why."
        )
    return Sample(files, seconds, work, size)


def _spread(rows: pa.Table) -> pa.Table:
    count = min(_FILES, len(rows))
    return rows.take([round((place + 0.5) * len(rows) / count - 0.5) for place in range(count)])


def estimate(archive: Archive, price: float | None = None) -> None:
    """Print hours, cost and time of the rows that are not scored yet.

    Args:
        archive: the run.
        price: of an hour of one processor; None leaves the price out.

    Raises:
        LivesrError: if the sources cannot be read.
    """
    progress = Progress()
    with progress.working("reading the headers"):
        out, table, _ = survey(archive)
    done = rows_of(out, table)
    todo = table
    if done is not None:
        if archive.retry_failed:
            done = done.filter(pc.not_equal(done["status"], ERROR))
        todo = table.filter(pc.invert(pc.is_in(table["key"], done["key"].combine_chunks())))
    if archive.limit is not None:
        todo = todo[: archive.limit]
    unknown = todo["duration"].null_count
    hours = manifest.hours(todo)
    print(f"{len(todo)} of {len(table)} to score, {hours:.2f} hours of sound")
    if unknown:
        print(f"  {unknown} files have an unknown length or cannot be opened, and are not counted")
    if not len(todo):
        return
    with progress.working("measuring"):
        sample = measure(todo, archive.scoring)
    share = sample.work / sample.seconds
    workers = archive.workers or os.cpu_count() or 1
    work = hours * share
    print(
        f"measured on {sample.seconds:.0f} s of {sample.files} files: {3600 * share:.0f} s of "
        f"processor time an hour of sound, {1 / share:.0f} times real time"
    )
    print(f"cost: {work:.2f} processor hours" + (f", price {work * price:.2f}" if price else ""))
    busy = "1 worker" if workers == 1 else f"{workers} workers"
    print(f"time: {lasting(3600 * work / workers)} with {busy}, each on a processor of its own")
    gigabytes = sample.size / sample.seconds * 3600 * hours / 1e9
    print(f"disk: {gigabytes:.2f} GB of readings")
