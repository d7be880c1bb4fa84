"""The manifest: a row for each file and channel to score, the longest first."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from livesr.app.inputs import SOUND_NAMES
from livesr.app.profiles import is_path, place
from livesr.archive.outputs import packed, summary_schema
from livesr.archive.places import OutputError, Place, foreign, local_path, opened, unreached
from livesr.archive.settings import MIX, Scoring
from livesr.archive.sound import open_sound
from livesr.errors import LivesrError
from livesr.files.recording import events_path
from livesr.profile import Profile
from livesr.settings import MOST_CHANNELS

_LISTS = {".txt", ".list", ".lst"}
_TABLES = {".csv", ".parquet", ".pq"}
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")  # more digits would be lost
_PROBES = 16  # headers that are read at the same time, because a remote store has a latency
# pyarrow can neither filter nor take rows of these.
_VIEWED = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("uri", pa.string()),
        ("channel", pa.int32()),
        ("channels", pa.int32()),
        ("duration", pa.float64()),
        ("size", pa.int64()),
        ("mtime", pa.int64()),
        ("profile", pa.string()),
        ("profile_sha256", pa.string()),
    ]
)


@dataclass(slots=True)
class Found:
    """A file of the sources, before it is opened.

    Attributes:
        uri: absolute path or URL.
        size: in bytes; None if the file does not exist, or its store does not say.
        mtime: microseconds since 1970; None as for the size.
        channel: counted from 1, if the source names one.
        carried: the source's other columns.
        source: the list or table that names it, if one does.
    """

    uri: str
    size: int | None = None
    mtime: int | None = None
    channel: int | None = None
    carried: dict[str, Any] = field(default_factory=dict)
    source: str = ""


def find(sources: Sequence[str], *, out: Place | None = None) -> tuple[list[Found], pa.Schema]:
    """Find the files of folders, globs, lists and tables, each once; and their carried columns.

    Args:
        sources: folders (with all folders below), globs, sound files, text lists (`.txt`, `.list`:
            a path or URL in each line), CSV or Parquet with a column `path`; or their URLs.
            Relative paths in a list or table are relative to it.
        out: folder of the results; files of folders and globs that lie in it are not sources.

    Raises:
        LivesrError: if a source does not exist or cannot be read, tables say different things
            of a file, or a list or table names one in `out`.
    """
    found: dict[tuple[str, int | None], Found] = {}
    carried: list[pa.Schema] = []
    for source in sources:
        with _told(source):
            files, columns = _of_source(source)
        carried.append(columns)
        for file in files:
            if out is not None and out.holds(file.uri):
                if not file.source:
                    continue
                raise LivesrError(
                    f"{file.uri}, named by {file.source}, is in OUT, {out.address}; name another "
                    "folder for OUT."
                )
            before = found.setdefault((file.uri, file.channel), file)
            if _says_more(file, before):
                found[file.uri, file.channel] = file
    if not found:
        raise LivesrError(
            f"No sound file was found in {', '.join(sources)}; livesr looks for files whose name "
            f"ends in {', '.join(sorted(SOUND_NAMES))}."
        )
    try:
        schema = pa.unify_schemas(carried, promote_options="permissive")
    except pa.ArrowException as error:
        raise LivesrError(f"The sources' columns do not fit together: {error!s:.200}") from None
    return list(found.values()), schema


def _says_more(file: Found, before: Found) -> bool:
    """Whether a source says more of the same sound than one before: a table does, not a folder.

    Raises:
        LivesrError: if tables say different things.
    """
    if before.carried and file.carried and _differ(before.carried, file.carried):
        raise LivesrError(
            f"{file.source} names {file.uri} again, with other values than {before.source}; keep "
            "one row of it."
        )
    return not before.carried and bool(file.carried)


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows carry different values; NaN, which is not equal to itself, is the same."""
    return one.keys() != other.keys() or any(
        value != other[name] and repr(value) != repr(other[name]) for name, value in one.items()
    )


def _of_source(source: str) -> tuple[Iterable[Found], pa.Schema]:
    files, path = opened(source)
    none = pa.schema([])
    shown = local_path(source) is None
    ending = os.path.splitext(path)[1].lower()
    if any(sign in path for sign in "*?[") and not files.exists(path):
        entries = files.glob(path, detail=True)
        if not entries:
            raise LivesrError(f"No file matches {source}; check the pattern.")
        hits = []
        for entry in entries.values():
            if entry["type"] == "directory":
                hits += list(_in_folder(files, entry["name"], shown))
            elif _is_sound(entry["name"]):
                hits.append(_entry(files, entry, shown))
        return hits, none
    if files.isdir(path):
        return list(_in_folder(files, path, shown)), none
    if not files.exists(path):
        raise LivesrError(f"{source} does not exist; check the path.")
    if ending in _LISTS:
        with files.open(path, "rb") as file:
            lines = file.read().decode("utf-8-sig").splitlines()
        named = [line.strip() for line in lines]
        names = [name for name in named if name and not name.startswith("#")]
        if not names:
            raise LivesrError(f"{source} names no file; write a path in each line.")
        return [replace(_stat(_beside(name, source)), source=source) for name in names], none
    if ending in _TABLES:
        with files.open(path, "rb") as file:
            table = _csv(file.read()) if ending == ".csv" else pq.read_table(file)
        return _in_table(table, source)
    return [_entry(files, files.info(path), shown)], none


@contextmanager
def _told(source: str) -> Iterator[None]:
    """What goes wrong with a source, as one of livesr's errors that names it."""
    try:
        yield
    except (pa.ArrowException, ValueError, OverflowError) as error:  # a time may be out of range
        raise LivesrError(f"{source} cannot be read: {error!s:.200}") from None
    except OSError as error:
        raise LivesrError(f"{source} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        if local_path(source) is not None or isinstance(error, LivesrError):
            raise
        raise LivesrError(unreached(source, error)) from None


def _is_sound(name: str) -> bool:
    base = name.rpartition("/")[2]
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in SOUND_NAMES


def _in_folder(files: Any, path: str, remote: bool) -> Iterator[Found]:
    for name, entry in sorted(files.find(path, detail=True).items()):
        hidden = any(part.startswith(".") for part in name[len(path) :].split("/"))
        if not hidden and _is_sound(name):
            yield _entry(files, {**entry, "name": name}, remote)


def _entry(files: Any, entry: dict[str, Any], remote: bool) -> Found:
    uri = files.unstrip_protocol(entry["name"]) if remote else os.path.abspath(entry["name"])
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise LivesrError(
            f"The name of the file {uri!a} is not UTF-8, so no table can hold it; rename it."
        ) from None
    return Found(uri, _size(entry), _mtime(entry))


def _size(entry: dict[str, Any]) -> int | None:
    size = entry.get("size")
    return None if size is None else int(size)


def _mtime(entry: dict[str, Any]) -> int | None:
    """Microseconds since 1970; each fsspec file system has its own name for it."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        when = entry.get(name)
        if isinstance(when, datetime):
            return int(when.timestamp() * 1e6)
        if isinstance(when, int | float):
            return int(when * 1e6)
    return None


def _stat(uri: str) -> Found:
    """A file that a list names; the size of a missing one is None."""
    try:
        files, path = opened(uri)
        entry = files.info(path)
    except Exception:  # each store has errors of its own; what is wrong is told when it is scored
        return Found(uri)
    return Found(uri, _size(entry), _mtime(entry))


def stat(uri: str) -> tuple[int | None, int | None]:
    """Size in bytes and time of change in microseconds of a file now; None if it is missing."""
    found = _stat(uri)
    return found.size, found.mtime


def events_of(uri: str) -> tuple[int | None, int | None] | None:
    """Size and time of change in microseconds of the events beside a recording; None without any.

    Beside a URL nothing is looked for.
    """
    path = local_path(uri)
    with suppress(OSError, ValueError):  # a name with no room for more, or that none can have
        if path and events_path(path).is_file():
            return stat(str(events_path(path)))
    return None


def _beside(name: str, source: str) -> str:
    if "://" in name or os.path.isabs(name):
        return local_path(name) or name
    local = local_path(source)
    if local is None:
        return f"{source.rpartition('/')[0]}/{name}"
    return os.path.abspath(os.path.join(os.path.dirname(local), os.path.expanduser(name)))


def _csv(data: bytes) -> pa.Table:
    """A CSV table with types by its values; paths, and numbers that are names, as 007, are text."""

    def read(types: dict[str, pa.DataType]) -> pa.Table:
        options = pyarrow.csv.ConvertOptions(column_types={"path": pa.binary(), **types})
        return pyarrow.csv.read_csv(pa.BufferReader(data), convert_options=options)

    table = read({})
    numbers = {column.name: pa.string() for column in table.schema if _is_number(column)}
    if not numbers:
        return table
    texts = read(numbers)
    for index, name in enumerate(table.column_names):
        pairs = zip(table[index].to_pylist(), texts[index].to_pylist(), strict=True)
        if name in numbers and not all(_is_written_so(value, text) for value, text in pairs):
            table = table.set_column(index, name, texts[index])
    return table


def _is_number(column: pa.Field) -> bool:
    number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    return bool(number) and column.name != "channel"


def _is_written_so(value: float | None, text: str) -> bool:
    """Whether a number is written as this text, but for zeros at a fraction's end."""
    text = text.strip()
    if value is None or str(value) == text:
        return True
    return isinstance(value, float) and _DECIMAL.fullmatch(text) is not None


def _in_table(table: pa.Table, source: str) -> tuple[list[Found], pa.Schema]:
    if "path" not in table.column_names:
        raise LivesrError(
            f"{source} has no column 'path'; its columns are {', '.join(table.column_names)}."
        )
    if twice := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise LivesrError(f"{source} has two columns {twice[0]!r}; rename one.")
    kept = [name for name in table.column_names if name not in ("path", "channel")]
    paths = [
        _path(value, f"{source}: row {number}")
        for number, value in enumerate(table["path"].to_pylist(), start=1)
    ]
    if not paths:
        raise LivesrError(f"{source} names no file; give it a row for each.")
    channels = [None] * len(paths)
    if "channel" in table.column_names:
        channels = table["channel"].cast(pa.int64()).to_pylist()
    for number, channel in enumerate(channels, start=1):
        if channel is not None and not 1 <= channel <= MOST_CHANNELS:
            raise LivesrError(
                f"{source}: row {number} names channel {channel}; channels count from 1 to "
                f"{MOST_CHANNELS}. Leave it empty for what --channel says."
            )
    columns = table.select(kept)
    with ThreadPoolExecutor(_PROBES) as pool:
        files = list(pool.map(lambda name: _stat(_beside(name, source)), paths))
    for file, channel, values in zip(files, channels, columns.to_pylist(), strict=True):
        file.channel, file.carried, file.source = channel, values, source
    viewless = [
        column.with_type(_VIEWED.get(column.type, column.type)) for column in columns.schema
    ]
    return files, pa.schema(viewless)


def _path(value: object, row: str) -> str:
    """A table's path as text.

    Raises:
        LivesrError: if there is none; the message begins with `row`.
    """
    if value is None or (isinstance(value, str | bytes) and not value.strip()):
        raise LivesrError(f"{row} has no path; give it one, or remove it.")
    if not isinstance(value, str | bytes):
        raise LivesrError(f"{row} has {value!r:.40} for a path; write paths as text.")
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        raise LivesrError(f"{row} has a path that is not UTF-8; save the table as UTF-8.") from None


@dataclass(frozen=True, slots=True)
class Header:
    """From the header of a file: seconds (infinite if it does not say) and channels."""

    seconds: float
    channels: int


def probe(uri: str) -> Header | None:
    """Read a file's header; None if it cannot be opened: its scoring will report the error."""
    try:
        with open_sound(uri) as sound:
            return Header(sound.seconds, sound.channels)
    except Exception:  # of a codec's or a store's library
        return None


def build(
    files: Sequence[Found],
    carried: pa.Schema,
    scoring: Scoring,
    channel: str | None = None,
    known: pa.Table | None = None,
    profile_by: str | None = None,
) -> pa.Table:
    """Build the manifest: a row for each file and channel; unknown lengths, then the longest first.

    Args:
        files: of `find`.
        carried: their carried columns, of `find`.
        scoring: the model and the settings.
        channel: None for the mean of all channels, a number counted from 1, or "each".
        known: an earlier manifest: headers of files that have not changed are taken from it.
        profile_by: the carried column with each voice's profile: a file's path, relative to the
            table, or a name of `livesr enrol`. A row where it is empty is scored without one.

    Returns:
        Columns key, uri, channel (0: the mean of all), channels of the file, duration in seconds
        (null: unknown), size, mtime in microseconds, the profile and its SHA-256, and the carried
        columns.

    Raises:
        LivesrError: if the channel is not a number from 1 or "each", the column does not exist, a
            carried one has a name that livesr needs or a type that cannot be copied, or tables
            say different things of a row.
        ProfileError: if a profile cannot be used.
    """
    number = _channel(channel)
    own = {*SCHEMA.names, *summary_schema(scoring.labels).names}
    if taken := [name for name in carried.names if name in own]:
        raise LivesrError(
            f"The sources have a column {taken[0]!r}, which livesr writes itself; rename it."
        )
    if profile_by is not None and profile_by not in carried.names:
        raise LivesrError(
            f"The sources have no column {profile_by!r} for --profile-by; they have "
            f"{', '.join(carried.names) or 'none'}."
        )
    profiles = _profiles(files, profile_by)
    before = _known(known)
    with ThreadPoolExecutor(_PROBES) as pool:
        headers = pool.map(
            lambda file: before.get((file.uri, file.size, file.mtime)) or probe(file.uri), files
        )
        named: dict[tuple[str, int], tuple[Found, Header | None]] = {}
        for file, header in zip(files, headers, strict=True):
            for one in _channels(file, header, number):
                first, _ = named.setdefault((file.uri, one), (file, header))
                if _says_more(file, first):
                    named[file.uri, one] = file, header
    rows = [
        _row(file, header, one, scoring, profiles.get(_profile_of(file, profile_by)))
        for (_, one), (file, header) in named.items()
    ]
    rows.sort(key=lambda row: -math.inf if row["duration"] is None else -row["duration"])
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    for column in carried:
        table = table.append_column(column, _copied(rows, column))
    return table.replace_schema_metadata(scoring.metadata())


def _copied(rows: Sequence[dict[str, Any]], column: pa.Field) -> pa.Array:
    """A carried column, with which a run can do all that it must: else OUT would be spoilt.

    Raises:
        LivesrError: if pyarrow lacks something for its type.
    """
    try:
        table = pa.Table.from_pylist(rows, schema=pa.schema([column]))
        written = pq.read_table(pa.BufferReader(packed(table)))
        written.take(pa.array([0])).filter(pa.array([True]))
    except pa.ArrowException as error:
        raise LivesrError(
            f"The sources' column {column.name!r} ({column.type}) cannot be copied: "
            f"{error!s:.100}. Leave it out, or give it another type."
        ) from None
    return table[0]


def _channel(channel: str | None) -> int | None:
    """0 for the mean of all channels, a number from 1 for one of them, None for each."""
    if channel is None:
        return MIX
    if channel == "each":
        return None
    number = int(channel[:20]) if channel.isascii() and channel.isdigit() else 0
    if not 1 <= number <= MOST_CHANNELS:
        raise LivesrError(
            f"--channel is {channel!r:.40}; give a number from 1 to {MOST_CHANNELS}, or each."
        )
    return number


def _channels(file: Found, header: Header | None, number: int | None) -> list[int]:
    if file.channel is not None:
        return [file.channel]
    if number is not None:
        return [number]
    return list(range(1, header.channels + 1)) if header else [1]


def _profile_of(file: Found, column: str | None) -> str | None:
    """Path of the profile that a column names: a path relative to its table, or a known name."""
    value = file.carried.get(column) if column else None
    if value in (None, ""):
        return None
    name = str(value)
    return _beside(name, file.source) if is_path(name) else str(place(name))


def _profiles(files: Sequence[Found], column: str | None) -> dict[str | None, tuple[str, str]]:
    """Path and SHA-256 of each profile, by its path."""
    paths = {_profile_of(file, column) for file in files} - {None}
    return {path: (path, profile_sha(Profile.load(path))) for path in sorted(filter(None, paths))}


def profile_sha(profile: Profile) -> str:
    """SHA-256 of a profile."""
    return hashlib.sha256(profile.to_bytes()).hexdigest()


def _row(
    file: Found,
    header: Header | None,
    channel: int,
    scoring: Scoring,
    profile: tuple[str, str] | None,
) -> dict[str, Any]:
    seconds = header.seconds if header and math.isfinite(header.seconds) else None
    voice, events = profile and profile[1], events_of(file.uri)
    return {
        "key": scoring.key(file.uri, file.size, file.mtime, channel, voice, events),
        "uri": file.uri,
        "channel": channel,
        "channels": header.channels if header else None,
        "duration": seconds,
        "size": file.size,
        "mtime": file.mtime,
        "profile": profile and profile[0],
        "profile_sha256": profile and profile[1],
        **file.carried,
    }


def _known(table: pa.Table | None) -> dict[tuple[str, int | None, int | None], Header]:
    """The headers in an earlier manifest, by uri, size and mtime."""
    if table is None or not set(SCHEMA.names) <= set(table.column_names):
        return {}
    rows = table.select(SCHEMA.names).filter(pc.field("channels").is_valid()).to_pylist()
    return {
        (row["uri"], row["size"], row["mtime"]): Header(
            math.inf if row["duration"] is None else row["duration"], row["channels"]
        )
        for row in rows
    }


def load(place: Place, name: str) -> pa.Table | None:
    """The manifest of an earlier run, without its carried columns; None if there is none.

    Raises:
        OutputError: if it is not livesr's, or damaged.
    """
    data = place.read(name)
    if data is None:
        return None
    with suppress(pa.ArrowException, OSError):
        file = pq.ParquetFile(pa.BufferReader(data))
        there, about = file.schema_arrow.names, file.schema_arrow.metadata or {}
        if there[:4] == SCHEMA.names[:4] and b"livesr.model_sha256" in about:
            return file.read(columns=[column for column in SCHEMA.names if column in there])
    raise OutputError(foreign(place, name))


def hours(table: pa.Table) -> float:
    """Hours of sound in a manifest; unknown lengths do not count."""
    total = pc.sum(table["duration"]).as_py()
    return float(total or 0.0) / 3600
