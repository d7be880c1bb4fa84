"""The report page: what is in it, that nothing gets out of its data, and that browsers draw it."""

from __future__ import annotations

import base64
import errno
import hashlib
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import livesr
from livesr import Event, LivesrError, Reading
from livesr.app.gaps import Gaps
from livesr.app.report import report
from livesr.app.report.report import Report
from livesr.app.ui.theme import GLYPHS
from livesr.colours import COLOURS
from livesr.event import PAUSED, Item
from livesr.files.jsonl import readings_from_jsonl
from livesr.model.metadata import LABELS
from tests.helpers.browser import chromium
from tests.helpers.tiny import DATA

CLIP = DATA / "conversation.flac"
HOSTILE = (
    "</script><img src=x onerror=\"document.documentElement.dataset.pwned='1'\">"
    "<!--\u2028{{data}}\ud800&amp;\u202e'"
)
SHOWN = "".join(sign if sign.isprintable() else "\ufffd" for sign in HOSTILE)
END, KIND, WITHIN, LEVEL, SPEECH, LOST, SMOOTHED = range(7)
WHY = {
    "no-speech": "nobody is speaking",
    "unsure": "too close to call",
    "warming-up": "listening",
}


def reading(end: float, said: str = "sad", **changes: Any) -> Reading:
    """One that says a label, or has a status."""
    status = "speech" if said in LABELS else said
    values = {
        "start": max(0.0, end - 3),
        "end": end,
        "status": status,
        "label": said if said in LABELS else None,
        "reason": WHY.get(status),
        "probabilities": dict.fromkeys(LABELS, 0.25),
        "smoothed": {name: 0.7 if name == said else 0.1 for name in LABELS},
        "attention": np.zeros(0, np.float32),
        "attention_times": np.zeros(0),
        "speech": 0.9,
        "level_dbfs": -20.0,
    }
    return Reading(**{**values, **changes})


def session() -> list[Item]:
    """A bit of everything."""
    said = ["warming-up"] * 4 + ["sad"] * 8 + ["unsure"] * 2 + ["angry"] * 8 + ["no-speech"] * 6
    items: list[Item] = [reading((n + 1) / 4, name) for n, name in enumerate(said)]
    items.insert(7, Event("mark", 1.6))
    items += [
        Event("gap", 7.0, 12.5, "the computer was busy"),
        reading(19.75, "no-speech", gap=12.5, reason="the sound is missing"),
        Event("reset", 19.8),
        reading(20.0, "happy", level_dbfs=-0.5),
        reading(20.25, "neutral"),
        Event("device", 20.25, text="the microphone has gone"),
    ]
    return items


def made(items: Iterable[Item], path: Path, source: str = "talk.flac", model: str = "tiny") -> str:
    with Report(source, model, path) as page:
        for item in items:
            page.write(item)
    return path.read_text(encoding="utf-8")


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def columns_of(items: Iterable[Reading]) -> list[list[float]]:
    page = Report("talk.flac", "tiny", "unused.html")
    for item in items:
        page.add(item)
    columns: list[list[float]] = data_of(page.page())["columns"]
    return columns


def test_the_page_shows_the_readings(tmp_path: Path) -> None:
    data = data_of(made(session(), tmp_path / "a.html"))
    assert (data["source"], data["model"], data["version"]) == (
        "talk.flac",
        "tiny",
        livesr.__version__,
    )
    assert (data["begin"], data["end"], data["lost"]) == (0, 20.25, 12.5)
    assert data["labels"] == [[name, GLYPHS[name], COLOURS[name]] for name in LABELS]
    assert data["turns"] == [[1.25, 3], [3.75, 0], [20.0, 1], [20.25, 2]]
    assert data["seconds"]["unsure"] == 0.5
    assert sum(data["shares"]) == pytest.approx(1)
    assert [event["event"] for event in data["events"]] == ["mark", "gap", "reset", "device"]
    columns = data["columns"]
    assert columns[4] == [1.25, 3, 0b1000, -20, 0.9, 0, 0.1, 0.1, 0.1, 0.7]
    unsure = data["reasons"][columns[12][KIND] - len(LABELS)]
    assert unsure == ["unsure", "too close to call"]
    assert sum(column[LOST] for column in columns) == 12.5


def test_the_page_names_the_profile_and_when_the_session_began(tmp_path: Path) -> None:
    began = "2026-11-26T10:00:00+00:00"
    items: list[Item] = [
        Event("session", 0.0, about={"started": began, "model": "tiny"}),
        reading(0.25, profile=None),
        Event("teach", 0.25, text="sad"),
        reading(0.5, profile="corrections"),
        *(reading(0.5 + n / 4, profile=f"{n}") for n in range(1, 9)),
    ]
    data = data_of(made(items, tmp_path / "a.html"))
    assert data["started"] == began
    assert data["profiles"] == ["corrections", "1", "2", "3"]  # a file may hold any number
    assert [event["event"] for event in data["events"]] == ["teach"]
    assert data_of(made([reading(0.25)], tmp_path / "b.html"))["profiles"] == []


def test_a_recording_of_speech(tmp_path: Path) -> None:
    whole = list(livesr.replay(CLIP))
    data = data_of(made(whole, tmp_path / "a.html"))
    assert [column[END] for column in data["columns"]] == [round(r.end, 4) for r in whole]
    for column, item in zip(data["columns"], whole, strict=True):
        assert column[KIND] == LABELS.index(item.label) if item.label else column[KIND] >= 4
        assert column[LEVEL] == pytest.approx(item.level_dbfs, abs=1e-3)
        if item.status in ("speech", "unsure"):
            assert column[SMOOTHED:] == pytest.approx(list(item.smoothed.values()), abs=1e-3)


def test_attention_is_the_highest_of_any_window() -> None:
    page = Report("a", "b", "unused.html")
    times = np.arange(0.01, 1.0, 0.02)
    for end, peak in ((1.0, 0.5), (1.25, 0.2)):
        weights = np.full(50, (1 - peak) / 49, np.float32)
        weights[22] = peak  # at 0.45 s
        page.add(reading(end, attention=weights, attention_times=times))
    peaked = np.zeros(50, np.float32)
    peaked[40] = 1
    page.add(reading(1.5, "no-speech", attention=peaked, attention_times=times))  # decided nothing
    tenths = list(base64.b64decode(data_of(page.page())["attention"]))
    assert len(tenths) == 15
    assert tenths[4] == 250
    assert tenths[8] == round(10 * 50 * 0.8 / 49)
    assert tenths[12] == 0


def test_attention_over_a_long_time_is_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_CELLS", 16)
    page = Report("a", "b", "unused.html")
    one, time = np.ones(1, np.float32), np.ones(1)
    for end in (0.5, 10.0, 1e8):
        page.add(reading(end, attention=one, attention_times=time * (end - 0.1)))
    data = data_of(page.page())
    assert len(base64.b64decode(data["attention"])) <= 16
    assert data["cell"] * 16 >= 1e8


@given(
    said=st.lists(st.sampled_from([*LABELS, *WHY]), min_size=1, max_size=100),
    seed=st.integers(0, 9),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_columns_of_many_readings_hide_nothing(
    monkeypatch: pytest.MonkeyPatch, said: list[str], seed: int
) -> None:
    monkeypatch.setattr(report, "_MOST_COLUMNS", 8)
    levels = np.random.default_rng(seed).uniform(-60, 0, len(said)).round(3)
    readings = [
        reading((n + 1) / 4, name, level_dbfs=float(level), gap=0.125 * (n % 3 == 0))
        for n, (name, level) in enumerate(zip(said, levels, strict=True))
    ]
    columns = columns_of(readings)
    assert len(columns) <= 8
    assert len(columns) >= min(4, len(said))
    first = 0
    for column in columns:
        group = [item for item in readings[first:] if item.end <= column[END]]
        first += len(group)
        assert group[-1].end == column[END]
        assert column[LEVEL] == max(item.level_dbfs for item in group)
        assert column[LOST] == pytest.approx(sum(item.gap for item in group))
        within = {LABELS.index(item.label) for item in group if item.label}
        assert {n for n in range(4) if int(column[WITHIN]) >> n & 1} == within
        judged = [item for item in group if item.status in ("speech", "unsure")]
        if judged:
            lasted = [0.25 - item.gap for item in judged]
            sad = np.average([item.smoothed["sad"] for item in judged], weights=lasted)
            assert column[SMOOTHED + 3] == pytest.approx(sad, abs=1e-3)
    assert first == len(readings)


def test_a_column_shows_what_most_of_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_MOST_COLUMNS", 2)
    said = ["sad", "angry", "angry", "unsure"]
    columns = columns_of(reading((n + 1) / 4, name) for n, name in enumerate(said))
    assert len(columns) == 1
    assert (columns[0][KIND], columns[0][WITHIN]) == (0, 0b1001)


def test_hours_make_a_small_page(tmp_path: Path) -> None:
    said = [*LABELS, *WHY]
    readings = (reading((n + 1) / 4, said[n // 5 % 7]) for n in range(30_000))
    page = made(readings, tmp_path / "a.html")
    data = data_of(page)
    assert 2000 <= len(data["columns"]) <= 4000
    assert len(page) < 1e6
    assert len(data["turns"]) == 2000 < data["turnsInAll"]


def test_events_beyond_what_is_listed_are_counted() -> None:
    page = Report("a", "b", "unused.html")
    for number in range(2003):
        page.event(Event("mark", number))
    data = data_of(page.page())
    assert (len(data["events"]), data["eventsInAll"]) == (2000, 2003)


def test_a_long_text_is_cut() -> None:
    page = Report("a", "b", "unused.html")
    page.event(Event("mark", 0.1, text="so" * 100_000))
    assert data_of(page.page())["events"][0]["text"] == "so" * 100


def test_labels_that_a_terminal_would_obey(tmp_path: Path) -> None:
    shares = {"calm\x1b[2J": 1.0}
    values = reading(0.25, "unsure", smoothed=shares, probabilities=shares).to_dict()
    (tmp_path / "a.jsonl").write_text(json.dumps(values))
    with pytest.raises(LivesrError, match="a label that cannot be shown"):
        list(readings_from_jsonl(tmp_path / "a.jsonl"))


def test_texts_reach_a_terminal_that_can_only_ascii(tmp_path: Path) -> None:
    event = Event("device", 0.1, text="Mikrofon f\u00fcr \x1b[2Jalle has gone")
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines_of([event, reading(0.25)]))
    done = subprocess.run(
        [sys.executable, "-m", "livesr", "replay", str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert b"Mikrofon f?r ?[2Jalle has gone" in done.stdout
    assert b"\x1b" not in done.stdout


def test_a_file_of_other_labels_and_any_reasons(tmp_path: Path) -> None:
    shares = {"calm": 0.6, "</style>": 0.4}
    items = [
        reading((n + 1) / 4, "unsure", smoothed=shares, probabilities=shares, reason=f"because {n}")
        for n in range(40)
    ]
    items.append(reading(20, "calm", status="speech", label="calm", smoothed=shares))
    data = data_of(made(items, tmp_path / "a.html"))
    assert [label[0] for label in data["labels"]] == list(shares)
    assert len(data["reasons"]) == 24
    assert data["columns"][-1][KIND] == 0


def test_nothing_from_outside_leaves_the_data(tmp_path: Path) -> None:
    items: list[Item] = [
        Event("device", 0.1, text=HOSTILE),
        reading(0.25, "unsure", reason=HOSTILE, smoothed={HOSTILE: 1.0}),
    ]
    page = made(items, tmp_path / "a.html", source=HOSTILE, model=HOSTILE)
    plain = made([], tmp_path / "b.html")
    outside = re.compile(r'(id="data">).*?(</script>)', re.DOTALL)
    assert outside.sub(r"\1\2", page) == outside.sub(r"\1\2", plain)
    data = data_of(page)
    assert data["source"] == data["model"] == SHOWN
    assert data["labels"][0][0] == HOSTILE.replace("\ud800", "?")
    assert "\u2028" not in page


def test_the_page_may_run_its_own_script_and_reach_nothing(tmp_path: Path) -> None:
    page = made(session(), tmp_path / "a.html")
    found = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', page)
    assert found
    policy = found[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        inline = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?:|url\(|@import|\bsrc=|href=|innerHTML|\bon\w+=\"", page)


@pytest.mark.parametrize("error", [KeyboardInterrupt, LivesrError, SystemExit])
def test_a_run_ended_early_leaves_a_whole_page(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    with pytest.raises(error), Report("talk.flac", "tiny", path) as page:
        page.add(reading(0.25))
        assert path.read_text() == "old"
        raise error
    assert len(data_of(path.read_text())["columns"]) == 1
    assert path.read_text().endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_without_readings_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    with pytest.raises(LivesrError), Report("talk.flac", "tiny", path):
        raise LivesrError("no such file")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "a.html")
    made([reading(0.25)], tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert "data" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no/a.html", "No such file or directory"),
        ("", "Is a directory"),
        ("file/a.html", "Not a directory"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LivesrError, match=why) as told, Report("a", "b", tmp_path / name):
        pytest.fail("it was opened")
    assert str(tmp_path / name) in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(LivesrError, match=r"a\.html cannot be written: No space left on device\."),
        Report("a", "b", tmp_path / "a.html") as page,
    ):
        page.add(reading(0.25))
    assert list(tmp_path.iterdir()) == []


def lines_of(items: Iterable[Item]) -> bytes:
    return b"".join(json.dumps(item.to_dict()).encode() + b"\n" for item in items)


def told(items: Iterable[Item]) -> list[dict[str, Any]]:
    return [item.to_dict() for item in items]


def test_a_session_comes_back_from_its_jsonl(tmp_path: Path) -> None:
    whole = [*livesr.replay(CLIP)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines_of(whole))
    back = list(readings_from_jsonl(path))
    assert told(back) == told(whole)
    assert made(back, tmp_path / "a.html") == made(whole, tmp_path / "b.html")
    path.write_bytes(b"\xef\xbb\xbf" + lines_of(session()).replace(b"\n", b"\r\n\r\n"))
    assert told(readings_from_jsonl(path)) == told(session())


def test_readings_of_before_there_were_gaps(tmp_path: Path) -> None:
    values = reading(0.25).to_dict()
    del values["gap"]
    (tmp_path / "a.jsonl").write_text(json.dumps(values))
    assert told(readings_from_jsonl(tmp_path / "a.jsonl")) == told([reading(0.25)])


@given(st.integers(0, 1 << 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_last_line_cut_short_is_left_out(tmp_path: Path, cut: int) -> None:
    items = session()
    *_, last = whole = lines_of(items).splitlines(keepends=True)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(whole[:-1]) + last[: cut % (len(last) - 1)])
    assert told(readings_from_jsonl(path)) == told(items[:-1])


GOOD = reading(0.5).to_dict()


def test_an_event_of_a_later_livesr_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"event": "party", "at": 0}\n' + lines_of([reading(0.25)]))
    assert len(list(readings_from_jsonl(path))) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"readings", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"\x00" * 2_000_000, "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"1" * 10_000, "no JSON"),
        (b"[1]", "no JSON object"),
        (b"{}", "a reading without start"),
        ({"start": None}, "no number"),
        ({"end": "0.5"}, "no number"),
        ({"end": True}, "no number"),
        ({"end": float("nan")}, "no number"),
        ({"end": 0.25}, "do not increase"),
        ({"end": 0.1}, "do not increase"),
        ({"end": 1e9}, "time that cannot be"),
        ({"end": 10**400}, "a number that cannot be"),
        ({"start": -1}, "time that cannot be"),
        ({"level_dbfs": float("inf")}, "no number"),
        ({"level_dbfs": 1e30}, "level"),
        ({"speech": 1.5}, "probability"),
        ({"gap": -0.1}, "gap"),
        ({"gap": []}, "no number"),
        ({"status": "asleep"}, "status"),
        ({"status": []}, "status"),
        ({"status": "unsure"}, "status"),
        ({"label": None}, "status"),
        ({"label": "bored"}, "status"),
        ({"label": ["sad"]}, "status"),
        ({"reason": 3}, "reason"),
        ({"reason": "\x1b[2J"}, "reason"),
        ({"reason": "so" * 200}, "reason"),
        (
            {"smoothed": {"a\x1b[2J": 1.0}, "probabilities": {"a\x1b[2J": 1.0}},
            "a label that cannot be shown",
        ),
        (
            {"smoothed": {"glad": 1.0}, "probabilities": {"glad": 1.0}, "label": "glad"},
            "other labels than before",
        ),
        ({"smoothed": {}}, "no probabilities"),
        ({"smoothed": [0.25] * 4}, "no probabilities"),
        ({"smoothed": {"sad": 1.0}}, "other labels"),
        ({"smoothed": dict.fromkeys(LABELS)}, "no number"),
        ({"probabilities": dict.fromkeys(LABELS, -0.5)}, "probability"),
        ({"attention": [1.0]}, "attention"),
        ({"attention": [float("nan")], "attention_times": [0.1]}, "attention"),
        ({"attention": [1e300], "attention_times": [0.1]}, "attention"),
        ({"attention": [0.5], "attention_times": [1e9]}, "attention"),
        ({"attention": [[1.0]], "attention_times": [[0.1]]}, "attention"),
        ({"attention": None, "attention_times": None}, "attention"),
        ({"attention": "all"}, "could not convert"),
        (b'{"event": 7, "at": 1}', "no such event"),
        (b'{"event": "mark"}', "an event without at"),
        (b'{"event": "mark", "at": NaN}', "no such event"),
        (b'{"event": "mark", "at": 1e300}', "time that cannot be"),
        (b'{"event": "gap", "at": 1, "seconds": {}}', "float"),
    ],
)
def test_a_line_that_is_no_reading_is_named(
    tmp_path: Path, line: bytes | dict[str, Any], why: str
) -> None:
    path = tmp_path / "a.jsonl"
    text = json.dumps({**GOOD, **line}).encode() if isinstance(line, dict) else line
    path.write_bytes(lines_of([reading(0.25)]) + text + b"\n")
    with pytest.raises(LivesrError) as error:
        list(readings_from_jsonl(path))
    message = str(error.value)
    assert message.startswith(f"{path}, line 2, is not what livesr writes (")
    assert why in message
    assert message.endswith("; give a file that --jsonl wrote.")
    assert len(message) < 400


@pytest.mark.parametrize("text", [b"", b"\n", b'{"event": "mark", "at": 1}\n'])
def test_a_file_without_readings(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(text)
    with pytest.raises(LivesrError, match=r"a\.jsonl holds no readings"):
        list(readings_from_jsonl(tmp_path / "a.jsonl"))


def test_a_sound_file_is_not_a_session() -> None:
    with pytest.raises(LivesrError, match="line 1, is not what livesr writes"):
        list(readings_from_jsonl(CLIP))


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_a_file_that_cannot_be_opened_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(LivesrError, match=r"cannot be read: .*; check the path"):
        readings_from_jsonl(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(
    key=st.sampled_from([*GOOD, "event"]),
    value=JSON | st.sampled_from([*LABELS, *WHY, "mark", 0.5, 0]),
    junk=st.binary(max_size=40),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
def test_any_line_makes_a_page_or_a_sentence(
    tmp_path: Path, key: str, value: Any, junk: bytes
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        lines_of([reading(0.25)]) + json.dumps({**GOOD, key: value}).encode() + b"\n" + junk
    )
    page = Report("a", "b", "unused.html")
    try:
        for item in readings_from_jsonl(path):
            page.write(item)
    except LivesrError as error:
        assert str(path) in str(error)
    data_of(page.page())


# ---- in a browser ----


@pytest.fixture(scope="session", name="chromium")
def _chromium() -> str:
    """The command of a Chromium."""
    return chromium()


def browse(chromium: str, page: Path, *options: str) -> tuple[str, str]:
    """What Chromium prints, and its log."""
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            f"--user-data-dir={page.parent / 'profile'}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [text for text in done.stderr.splitlines() if "CONSOLE" in text]
    assert not console, console
    return done.stdout, done.stderr


def asked(
    chromium: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    items: Iterable[Item],
    script: str,
    *options: str,
    source: str = "talk.flac",
) -> Any:
    """What `script`, run at the end of the page's own, returns."""
    template = report._TEMPLATE.read_text(encoding="utf-8")
    ends = 'root.dataset.ready = "1";\n'
    assert template.count(ends) == 1
    probe = tmp_path / "template.html"
    answer = f"{ends}root.dataset.answer = JSON.stringify((() => {{ {script} }})());\n"
    probe.write_text(template.replace(ends, answer), encoding="utf-8")
    monkeypatch.setattr(report, "_TEMPLATE", probe)
    made(items, tmp_path / "a.html", source=source)
    shown, _ = browse(chromium, tmp_path / "a.html", "--dump-dom", *options)
    opening = shown[: shown.index("<head>")]
    assert 'data-ready="1"' in opening
    assert "data-error" not in opening
    assert "data-pwned" not in opening
    found = re.search(r'data-answer="([^"]*)"', opening)
    assert found
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_a_browser_draws_it(chromium: str, tmp_path: Path, width: int, scheme: int) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    made(session(), page)
    options = (f"--window-size={width},1600", f"--blink-settings=preferredColorScheme={scheme}")
    browse(chromium, page, f"--screenshot={picture}", *options)
    assert picture.stat().st_size > 30_000  # an empty page takes a few thousand


def test_all_emotions_are_in_the_picture_and_nothing_overflows(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
      const pixels = base.getContext("2d").getImageData(0, 0, base.width, base.height).data;
      const seen = new Set();
      for (let at = 0; at < pixels.length; at += 4)
        seen.add((pixels[at] << 16) + (pixels[at + 1] << 8) + pixels[at + 2]);
      return {
        colours: labels.map(([, , colour]) => seen.has(parseInt(colour.slice(1), 16))),
        overflow: root.scrollWidth - innerWidth,
        heading: byId("source").textContent,
        story: byId("story").innerText,
        key: byId("key").innerText,
        turns: byId("turns").children.length,
        events: [...byId("events").children].map((item) => item.textContent),
        facts: byId("facts").textContent,
      };
    """
    size = "--window-size=420,1600"
    items = [
        Event("session", 0.0, about={"started": "2026-11-26T10:00:00+00:00"}),
        *session(),
        Event("teach", 20.25, text="sad"),
        reading(20.5, profile="me"),
    ]
    answer = asked(chromium, monkeypatch, tmp_path, items, script, size, source="x" * 300 + HOSTILE)
    assert re.search(r"^20\.5 s · model tiny · profile me · began .*2026", answer["facts"])
    assert answer["colours"] == [True] * 4
    assert answer["overflow"] <= 0
    assert answer["heading"] == "x" * 300 + SHOWN
    assert "Of the time with a label, 48% sounded sad, 42% angry, " in answer["story"]
    assert "12.5 s lost" in answer["story"]
    for words in ("faint: unsure", "empty: no speech", "sound lost", "clipping", "mark"):
        assert words in answer["key"]
    assert answer["turns"] == 5
    assert "Ccorrection: sad0:20.3" in answer["events"]
    assert answer["events"][1] == "G12.5 s sound lost: the computer was busy0:07.0"


def test_numbers_add_up_and_a_pause_is_no_loss(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["angry", "happy", "sad", "angry", "happy", "sad", "unsure"]
    items: list[Reading | Event] = [reading((n + 1) / 12, name) for n, name in enumerate(names)]
    items += [Event("gap", 0.6, 2.0, PAUSED), reading(3.0, "sad", gap=2.25)]
    script = """
      dispatchEvent(new ErrorEvent("error", { message: "once it is drawn" }));
      return {
        story: byId("story").innerText,
        shares: [...document.querySelectorAll("#shares b")].map((one) => one.textContent),
        events: [...byId("events").children].map((item) => item.textContent),
        trouble: byId("trouble").hidden,
      };
    """
    answer = asked(chromium, monkeypatch, tmp_path, items, script)
    assert sum(int(share.removesuffix("%")) for share in answer["shares"]) == 100
    tenths = [float(found) for found in re.findall(r"([\d.]+) s", answer["story"])]
    assert tenths[0] == 3.0
    assert sum(tenths[1:]) == pytest.approx(3.0)
    assert "2.0 s paused" in answer["story"]
    assert "0.3 s lost" in answer["story"] or "0.2 s lost" in answer["story"]
    assert answer["events"] == ["G2.0 s paused0:00.6"]
    assert answer["trouble"]


def test_the_cursor_and_the_zoom(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["no-speech"] * 40 + ["sad"] * 400 + ["unsure"] * 200 + ["happy"] * 200
    items = [reading((n + 1) / 4, name) for n, name in enumerate(said)]
    script = """
      const told = () => chart.getAttribute("aria-valuetext");
      const key = (name) => chart.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
      const answer = { first: told(), whole: whole() };
      key("ArrowLeft");
      answer.left = told();
      key("End");
      answer.end = told();
      key("Home");
      byId("turns").children[1].firstChild.click();
      answer.turn = told();
      answer.near = [...view];
      answer.current = byId("turns").querySelector("[aria-current]").textContent;
      key("Home");
      answer.followed = view[0];
      byId("whole").click();
      answer.back = whole();
      const box = chart.getBoundingClientRect();
      const point = (kind, time) => chart.dispatchEvent(new PointerEvent(kind, {
        clientX: box.left + across(time), clientY: box.top + 60, pointerType: "mouse",
        pointerId: 1 }));
      chart.setPointerCapture = () => {};
      point("pointermove", 130);
      answer.pointed = told();
      point("pointerdown", 50);
      point("pointermove", 90);
      point("pointerup", 90);
      answer.dragged = view.map(Math.round);
      chart.dispatchEvent(new WheelEvent("wheel", { deltaY: 40, ctrlKey: true }));
      answer.wheeled = view[1] - view[0];
      chart.dispatchEvent(new MouseEvent("dblclick"));
      answer.again = whole();
      return answer;
    """
    answer = asked(chromium, monkeypatch, tmp_path, items, script)
    assert answer["first"].startswith("0:10.25, sad, angry 10%, happy 10%, neutral 10%, sad 70%, ")
    assert answer["whole"] is answer["back"] is answer["again"] is True
    assert answer["left"].startswith("0:10.00, no speech, nobody is speaking, Loudness ")
    assert answer["end"].startswith("3:30.00, happy")
    assert answer["turn"].startswith("2:40.25, happy")
    assert answer["near"] == [150.25, 170.25]
    assert answer["current"] == "●happy2:40.25"
    assert answer["followed"] == 0
    assert "unsure, too close to call, angry 10%" in answer["pointed"]
    assert answer["dragged"] == [50, 90]
    assert answer["wheeled"] == pytest.approx(40 * np.exp(0.4))


@pytest.mark.parametrize("items", [[], [reading(0.25, "warming-up")]], ids=["none", "one"])
def test_next_to_nothing(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: list[Item]
) -> None:
    story = asked(chromium, monkeypatch, tmp_path, items, 'return byId("story").textContent;')
    assert story.startswith("No moment got a label" if items else "There are no readings.")


def test_the_sound_of_a_recording_leaves_out_most_of_a_long_gap(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items: list[Item] = [
        *(reading((n + 1) / 4) for n in range(40)),
        Event("gap", 10.0, 60.0, "paused", silence=3.0),
        *(reading(70 + (n + 1) / 4) for n in range(40)),
        Event("gap", 80.0, 2.0, "lost", silence=2.0),  # short: all of it is there
        reading(82.25),
    ]
    script = "return [9, 10, 40, 67, 70, 82].map((at) => [toSound(at), toStream(toSound(at))]);"
    monkeypatch.setattr(report.Report, "_data", _with_sound(report.Report._data))
    answer = asked(chromium, monkeypatch, tmp_path, items, script)
    assert answer == [[9, 9], [10, 67], [10, 67], [10, 67], [13, 70], [25, 82]]
    gaps = Gaps.of(item for item in items if isinstance(item, Event))
    times = [9.0, 10.0, 40.0, 67.0, 70.0, 82.0]
    assert [[gaps.to_sound(at), gaps.to_stream(gaps.to_sound(at))] for at in times] == answer
    assert gaps.seconds == 57


def _with_sound(data: Callable[[Report], dict[str, Any]]) -> Callable[[Report], dict[str, Any]]:
    """A page's data as with sound, but none that the browser has to decode."""

    def changed(page: Report) -> dict[str, Any]:
        return data(page) | {"leftOut": Gaps.of(page._gaps).left_out}

    return changed


def test_memory_does_not_grow_with_turning_points(tmp_path: Path) -> None:
    page = Report("a", "b", tmp_path / "a.html")
    kept = []
    for begin in (0, 10_000):
        for number in range(begin, begin + 10_000):
            label = ("angry", "sad")[number % 2]
            page.add(reading((number + 1) / 4, label))
        kept.append(len(page._summary.turns))
    assert kept == [2000, 2000]
    assert data_of(page.page())["turnsInAll"] == 20_000
