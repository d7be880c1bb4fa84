"""A session as one HTML page that needs nothing else, to be looked at afterwards."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import replace
from errno import EISDIR
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from livesr.app.gaps import Gaps
from livesr.app.outputs import STDOUT, shown
from livesr.app.ui.closing import rounded
from livesr.app.ui.theme import CLIPPING_DBFS, FAINT_DBFS, GLYPHS
from livesr.arrays import Float64
from livesr.colours import colours_of
from livesr.errors import LivesrError
from livesr.event import Event, Item
from livesr.reading import LONGEST_TEXT, Reading, Status
from livesr.summary import Summary
from livesr.text import made_printable
from livesr.version import __version__

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_COLUMNS = 4000
_MOST_LISTED = 2000  # turning points, and events: beyond, they are counted
_MOST_REASONS = 24  # livesr gives five; a file may hold any
_MOST_PROFILES = 4  # a session has one, or two if it began without
_CELL_SECONDS, _CELLS = 0.1, 1 << 20  # of the attention timeline: 29 h, then it is coarsened
_END, _LEVEL, _SECONDS, _LOST, _SPEECH, _JUDGED, _SMOOTHED = range(7)


class Report:
    """Takes a session item by item; when closed, however the session ended, writes its page.

    Memory does not grow with the readings: a column of the page stands for one reading until
    there are 4000, then for two, then four. A column knows the seconds of every label within, the
    highest level and what was lost, so that none of them goes unseen.

    Args:
        source: the file or device, for the heading.
        model: the model's name, for the heading.
        path: the page's; a file of that name is replaced; "-" is standard output.
        sound: the recording as Ogg Opus (`livesr.app.report.sound`), for the page to play; None
            for a page without sound.

    Raises:
        LivesrError: if the page cannot be written there, on entering or on leaving.
    """

    def __init__(
        self, source: str, model: str, path: str | Path, sound: bytes | None = None
    ) -> None:
        self._source, self._model = _shown(source), _shown(model)
        self._named, self._sound = path, sound
        self._path = Path(os.path.realpath(path))
        self._streams = str(path) == STDOUT or (os.path.exists(path) and not self._path.is_file())
        self._part = self._path.with_name(f".livesr-{secrets.token_hex(8)}.part")
        self._summary, self._begin = Summary((), most_turns=_MOST_LISTED), -1.0
        self._columns: list[Float64] = []
        self._readings, self._per_column = 0, 1
        self._reasons: list[tuple[Status, str | None]] = []
        self._attention, self._cell = np.zeros(_CELLS, np.float32), _CELL_SECONDS
        self._events: list[dict[str, Any]] = []
        self._unlisted = 0
        self._gaps: list[Event] = []
        self._profiles: list[str] = []
        self._started = ""

    def __enter__(self) -> Report:
        try:
            with suppress(FileNotFoundError):
                os.stat(self._path)  # a name that cannot be is refused now, not at the end
            if self._path.is_dir() and str(self._named) != STDOUT:
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
            if not self._streams:
                self._part.touch(exist_ok=False)
        except OSError as error:
            self._refuse(error)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if not self._readings and kind is not None:
                return
            if str(self._named) == STDOUT:
                sys.stdout.write(self.page())
                sys.stdout.flush()
            elif self._streams:  # a device or a pipe: replacing it would destroy it
                with open(self._named, "w", encoding="utf-8", newline="\n") as file:
                    file.write(self.page())
            else:
                self._part.write_text(self.page(), encoding="utf-8", newline="\n")
                self._part.replace(self._path)
        except BrokenPipeError:
            pass  # its reader's wish
        except OSError as error:
            self._refuse(error)
        finally:
            self._part.unlink(missing_ok=True)

    def _refuse(self, error: OSError) -> NoReturn:
        raise LivesrError(f"{shown(self._named)} cannot be written: {error.strerror}.") from None

    def write(self, item: Item) -> None:
        """Take one reading or event, as a `Writer` does."""
        if isinstance(item, Reading):
            self.add(item)
        else:
            self.event(item)

    def event(self, event: Event) -> None:
        """Take one event."""
        if event.kind == "session":
            self._started = str(event.about.get("started") or "")
            return
        self._summary.add(event)
        if event.silence is not None and len(self._gaps) < _MOST_LISTED:
            self._gaps.append(event)
        if len(self._events) < _MOST_LISTED:
            self._events.append(replace(event, text=event.text[:LONGEST_TEXT]).to_dict())
        else:
            self._unlisted += 1

    def add(self, reading: Reading) -> None:
        """Take one reading; their ends must increase."""
        summary = self._summary
        if not self._readings:
            self._begin = summary.end = reading.start
            summary.labels = tuple(reading.smoothed)
        name = (reading.profile or "")[:LONGEST_TEXT]
        if name and name not in self._profiles and len(self._profiles) < _MOST_PROFILES:
            self._profiles.append(name)
        # What was wholly lost still has a status, so it must weigh something.
        seconds = max(1e-6, reading.end - summary.end - reading.gap)
        summary.add(reading)
        judged = seconds if reading.status in ("speech", "unsure") else 0.0
        smoothed = [judged * reading.smoothed.get(name, 0.0) for name in summary.labels]
        kinds = np.zeros(len(smoothed) + _MOST_REASONS)
        kinds[self._kind(reading)] = seconds
        speech = seconds * reading.speech
        head = (reading.end, reading.level_dbfs, seconds, reading.gap, speech, judged)
        self._append(np.array([*head, *smoothed, *kinds]))
        if judged and len(reading.attention):
            self._attend(reading)

    def _kind(self, reading: Reading) -> int:
        """Its label's place, or behind those the place of why there is none."""
        if reading.label in self._summary.labels:
            return self._summary.labels.index(reading.label)
        reason = (reading.status, reading.reason)
        if reason not in self._reasons and len(self._reasons) < _MOST_REASONS:
            self._reasons.append(reason)
        known = self._reasons.index(reason) if reason in self._reasons else _MOST_REASONS - 1
        return len(self._summary.labels) + known

    def _append(self, row: Float64) -> None:
        if self._readings % self._per_column:
            self._columns[-1] = _joined(self._columns[-1], row)
        else:
            self._columns.append(row)
        self._readings += 1
        if self._readings == _MOST_COLUMNS * self._per_column:
            pairs = zip(self._columns[::2], self._columns[1::2], strict=True)
            self._columns = [_joined(first, second) for first, second in pairs]
            self._per_column *= 2

    def _attend(self, reading: Reading) -> None:
        """Keep, for each moment, the highest attention of any window; 1 is a window's average."""
        times = np.maximum(reading.attention_times - self._begin, 0.0)
        while times.max() >= self._cell * _CELLS:
            coarse = self._attention.reshape(-1, 2).mean(axis=1)
            self._attention = np.append(coarse, np.zeros_like(coarse))
            self._cell *= 2
        relative = reading.attention * len(times)
        np.maximum.at(self._attention, (times / self._cell).astype(int), relative)

    def page(self) -> str:
        """The page so far."""
        data = self._data()
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        # Names need not be Unicode; nor may one hold what could end the element.
        text = text.encode(errors="replace").decode()
        text = re.sub(r"[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
        page = _TEMPLATE.read_text(encoding="utf-8")
        for tag in ("script", "style"):
            inline = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
            digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
            page = page.replace(f"{{{{{tag}}}}}", f"sha256-{digest}", 1)
        page = page.replace("{{media}}", "media-src data:; " if self._sound else "", 1)
        return page.replace("{{data}}", text, 1)

    def _data(self) -> dict[str, Any]:
        """All that the page shows; times in seconds, shares 0 to 1."""
        summary = self._summary
        labels = summary.labels
        return {
            "source": self._source,
            "model": self._model,
            "profiles": self._profiles,
            "started": self._started,
            "version": __version__,
            "sound": _as_address(self._sound),
            "leftOut": Gaps.of(self._gaps).left_out if self._sound else [],
            "begin": max(self._begin, 0.0),
            "end": summary.end,
            "labels": [
                [name, GLYPHS.get(name, "◆"), colour] for name, colour in colours_of(labels).items()
            ],
            "reasons": self._reasons,
            "floor": FAINT_DBFS,
            "clipping": CLIPPING_DBFS,
            "columns": [self._column(row) for row in self._columns],
            "perColumn": self._per_column,
            "attention": self._cells(),
            "cell": self._cell,
            "shares": list(summary.shares.values()),
            "percents": rounded([100 * share for share in summary.shares.values()]),
            "labelled": [summary.labelled.get(name, 0.0) for name in labels],
            **self._lasting(),
            "turns": [[at, labels.index(name)] for at, name in summary.turns],
            "turnsInAll": summary.turned,
            "events": self._events,
            "eventsInAll": len(self._events) + self._unlisted,
        }

    def _lasting(self) -> dict[str, Any]:
        """Seconds by status, paused and lost: tenths that add up."""
        summary = self._summary
        paused = min(summary.paused, summary.gaps)  # the pause may go on
        seconds: dict[str, float] = {
            "paused": paused,
            "lost": summary.lost,
            **dict(summary.seconds.items()),
        }
        tenths = rounded([10 * value for value in seconds.values()])
        found = {name: count / 10 for name, count in zip(seconds, tenths, strict=True)}
        return {"paused": found.pop("paused"), "lost": found.pop("lost"), "seconds": found}

    def _cells(self) -> str:
        """The attention timeline: a byte a cell, in tenths, as base64."""
        used = int(np.ceil((self._summary.end - self._begin) / self._cell)) if self._readings else 0
        tenths = np.minimum(np.rint(10 * self._attention[:used]), 255).astype(np.uint8)
        return base64.b64encode(tenths.tobytes()).decode()

    def _column(self, row: Float64) -> list[Any]:
        """End, kind, labels within (a bit each), level, speech, seconds lost, smoothed."""
        size = len(self._summary.labels)
        smoothed, kinds = np.split(row[_SMOOTHED:], [size])
        named, unnamed = np.split(kinds, [size])
        best = named if named.sum() >= unnamed.max() else unnamed
        kind = int(best.argmax()) + (0 if best is named else size)
        within = sum(1 << place for place in np.flatnonzero(named).tolist())
        shares = smoothed / max(row[_JUDGED], 1e-12)  # none where nothing was judged
        numbers = row[_LEVEL], row[_SPEECH] / row[_SECONDS], row[_LOST], *shares
        rounded = [round(float(number), 3) for number in numbers]
        return [round(float(row[_END]), 4), kind, within, *rounded]


def _shown(name: str) -> str:
    """Without signs that turn the direction of writing, which would show another name."""
    return made_printable(name, "\ufffd")


def _as_address(sound: bytes | None) -> str | None:
    """Sound as a data: address, which asks no network."""
    return f"data:audio/ogg;base64,{base64.b64encode(sound).decode()}" if sound else None


def _joined(first: Float64, second: Float64) -> Float64:
    """Two neighbouring columns as one: seconds add up, the later end, the higher level."""
    both = first + second
    both[_END], both[_LEVEL] = second[_END], max(first[_LEVEL], second[_LEVEL])
    return both
