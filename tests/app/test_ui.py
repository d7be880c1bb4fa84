"""Every part of the view rendered exactly, and the whole at any size."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.text import Text

from livesr.app.ui.attention import AttentionStrip, axis
from livesr.app.ui.bars import Bars
from livesr.app.ui.headline import Headline
from livesr.app.ui.history import History
from livesr.app.ui.lines import line
from livesr.app.ui.meter import Meter
from livesr.app.ui.theme import GLYPHS, HOLLOW
from livesr.app.ui.view import View
from livesr.model.metadata import LABELS
from livesr.reading import Reading

WAITS = {
    "no-speech": "nobody is speaking",
    "unsure": "too close to call",
    "warming-up": "listening",
}


def reading(
    end: float,
    status: str = "speech",
    *,
    label: str | None = "happy",
    shares: Sequence[float] = (0.1, 0.6, 0.25, 0.05),
    level: float = -20.0,
    speech: float = 0.98,
) -> Reading:
    times = np.arange(max(0, end - 3), end - 0.06, 0.02)
    weights = np.exp(-np.square((times - (end - 1)) / 0.2))
    named = dict(zip(LABELS, shares, strict=True))
    return Reading(
        start=max(0.0, end - 3),
        end=end,
        status=status,  # type: ignore[arg-type]
        label=label if status == "speech" else None,
        reason=WAITS.get(status),
        probabilities=dict(zip(LABELS, (0.2, 0.5, 0.2, 0.1), strict=True)),
        smoothed=named,
        attention=(weights / weights.sum()).astype(np.float32),
        attention_times=times,
        speech=speech,
        level_dbfs=level,
    )


def render(
    part: RenderableType, width: int, height: int | None = None, colour: str | None = None
) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        height=height or 25,
        force_terminal=True,
        color_system=colour,  # type: ignore[arg-type]
        legacy_windows=False,
        _environ={},
    )
    console.print(part, height=height, end="")
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().rstrip("\n").split("\n")]


def plain(part: RenderableType, width: int, height: int | None = None) -> list[str]:
    """Rendered without colour; what styles are left (bold, dim) is taken out."""
    return [Text.from_ansi(text).plain.rstrip() for text in render(part, width, height)]


def test_headline() -> None:
    assert plain(Headline(reading(2.0)), 40, 3) == [
        "   ╻ ╻ ┏━┓ ┏━┓ ┏━┓ ╻ ╻",
        " ● ┣━┫ ┣━┫ ┣━┛ ┣━┛ ┗┳┛  60%",
        "   ╹ ╹ ╹ ╹ ╹   ╹    ╹",
    ]
    assert plain(Headline(reading(2.0)), 40, 1) == [" ● H A P P Y  60%"]
    assert plain(Headline(None), 40, 1) == [" waiting  for the first sound"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("no-speech", " no speech  nobody is speaking"),
        ("unsure", " unsure  too close to call"),
        ("warming-up", " warming up  listening"),
    ],
)
def test_headline_without_a_label_names_no_emotion(status: str, words: str) -> None:
    assert plain(Headline(reading(2.0, status)), 50, 1) == [words]
    assert plain(Headline(reading(2.0, status)), 50, 3) == ["", words]
    for width, height in ((60, 20), (80, 24), (200, 60)):
        shown = plain(view(status=status), width, height)
        bars = next(row for row, text in enumerate(shown) if "▲ angry" in text)
        above = "\n".join(shown[:bars])
        assert words in above
        assert not any(name in above.lower() for name in LABELS)
        assert not any(glyph in above for glyph in (*GLYPHS.values(), "┣━┫"))


def test_bars() -> None:
    assert plain(Bars(reading(2.0)), 60) == [
        " ▲ angry   ███▎                               10%  now  20%",
        " ● happy   ███████████████████▊               60%  now  50%",
        " ■ neutral ████████▎                          25%  now  20%",
        " ▼ sad     █▋                                  5%  now  10%",
    ]
    assert plain(Bars(reading(2.0)), 30)[1] == " ● happy   ███████▊       60%"


def test_bars_in_colour() -> None:
    happy = render(Bars(reading(2.0)), 30, colour="truecolor")[1]
    assert happy.startswith("\x1b[1;38;2;230;159;0m ● happy")
    # Nobody spoke: nothing is claimed, so nothing is coloured.
    silent = "".join(render(Bars(reading(2.0, "no-speech")), 30, colour="truecolor"))
    assert "● happy" in silent
    assert "38;2" not in silent


def test_sixteen_colours_keep_emotions_apart() -> None:
    bars = render(Bars(reading(2.0)), 30, colour="standard")
    starts = ("\x1b[31m ▲", "\x1b[1;33m ●", "\x1b[36m ■", "\x1b[34m ▼")
    assert all(row.startswith(start) for row, start in zip(bars, starts, strict=True))


def test_meter() -> None:
    assert plain(Meter(reading(2.0, level=-30.0)), 60) == [
        "   level   ███████████▌             -30.0 dBFS  speech  98%"
    ]
    quiet = plain(Meter(reading(2.0, "no-speech", level=-120.0, speech=0.01)), 60)
    assert quiet == ["   level                           -120.0 dBFS  quiet    1%"]
    assert "CLIPS" in plain(Meter(reading(2.0, level=-0.5)), 60)[0]
    assert "CLIPS" not in plain(Meter(reading(2.0, level=-1.5)), 60)[0]


def test_attention_stands_over_the_moment_it_weighed() -> None:
    readings = [reading(0.25 * k, level=-30.0) for k in range(1, 17)]
    strip = plain(AttentionStrip(readings), 32, 4)
    assert strip == [
        "                   ▃██▄",
        "                 ▁▅████▆▂",
        " ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄",
        " -3 s      -2 s      -1 s   now",
    ]


def test_attention_of_a_young_stream_leaves_the_past_empty() -> None:
    strip = plain(AttentionStrip([reading(1.0)]), 32, 4)
    assert strip[2].startswith(" " * 21 + "▅")


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_attention_of_almost_nothing(steps: int) -> None:
    whole = reading(0.25, "warming-up")
    few = {"attention": whole.attention[:steps], "attention_times": whole.attention_times[:steps]}
    values = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    assert len(plain(AttentionStrip([Reading(**{**values, **few})]), 32, 4)) == 4


def test_axis() -> None:
    assert axis(60.0, 40, 15.0).plain == " -60 s     -45 s     -30 s     -15 s  now"
    assert axis(3.0, 5).plain == " -3 s "


def test_history() -> None:
    readings = [
        *(reading(0.5 * k, "no-speech") for k in range(1, 11)),
        *(reading(5 + 0.5 * k) for k in range(1, 11)),
        *(reading(10 + 0.5 * k, "unsure") for k in range(1, 11)),
    ]
    assert plain(History(readings, 20.0), 42, 5) == [
        "                     ■■■■■■■■■■□□□□□□□□□□",
        "                     ●●●●●●●●●●○○○○○○○○○○",
        "                     ●●●●●●●●●●○○○○○○○○○○",
        "           ··········●●●●●●●●●●○○○○○○○○○○",
        " -20 s     -15 s     -10 s     -5 s   now",
    ]


def test_history_in_colour() -> None:
    angry, happy, neutral = "213;94;0", "230;159;0", "0;158;115"
    sure = History([reading(0.5 * k) for k in range(1, 21)], 10.0)
    # 0.1 angry is 3 eighths of the foot's 0.25, happy is the rest and the row above.
    rows = render(sure, 12, 5, "truecolor")
    assert rows[3] == f" \x1b[38;2;{angry};48;2;{happy}m{'▃' * 10}\x1b[0m"
    assert rows[2] == f" \x1b[38;2;{happy}m{'█' * 10}\x1b[0m"
    assert f"38;2;{happy};48;2;{neutral}m" in render(sure, 12, 3, "truecolor")[0]
    # Too little angry for an eighth: the foot is happy's whole.
    thin = History([reading(0.5 * k, shares=(0.01, 0.9, 0.05, 0.04)) for k in range(1, 21)], 10.0)
    assert render(thin, 12, 5, "truecolor")[3] == f" \x1b[38;2;{happy}m{'█' * 10}\x1b[0m"
    unsure = History([reading(0.5 * k, "unsure") for k in range(1, 21)], 10.0)
    paler = "".join(render(unsure, 12, 5, "truecolor"))
    assert paler.count("▒") == 40
    assert not any(glyph in paler for glyph in HOLLOW.values())


def test_lines() -> None:
    assert line(reading(1.25)) == (
        "    1.25 s  happy                          "
        "angry 0.10  happy 0.60  neutral 0.25  sad 0.05  speech 0.98   -20.0 dBFS"
    )
    assert " unsure: too close to call  " in line(reading(1.25, "unsure"))
    assert " no speech  " in line(reading(1.25, "no-speech"))
    assert " warming up  " in line(reading(1.25, "warming-up"))
    # The longest that `Decision` says keeps the columns too.
    longest = dataclasses.replace(reading(1.25, "unsure"), reason="too little speech yet")
    assert " unsure: too little speech yet  angry" in line(longest)
    assert line(longest).index("angry") == line(reading(1.25)).index("angry")


def view(duration: float | None = 30.0, count: int = 60, status: str = "speech") -> View:
    shown = View("talk.wav", "acrnn-compact", duration, {"rate": "16000 Hz"}, keys="q quit")
    for k in range(count):
        shown.add(reading(0.25 * (k + 1), "warming-up" if k < 3 else status))
    return shown


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (120, 32), (200, 60)])
def test_the_whole_view(width: int, height: int) -> None:
    lines = plain(view(), width, height)
    assert len(lines) == height
    text = "\n".join(lines)
    assert "talk.wav" in lines[0]
    assert lines[0].endswith("00:15.0 / 00:30.0")
    assert lines[1].startswith(" ━━━")
    for needed in ("┣━┫ ┣━┫ ┣━┛", "▲ angry", "▼ sad", "dBFS", "-3 s", "last 3 s", "last 30 s"):
        assert needed in text
    assert lines[-1].endswith("q quit")
    assert "acrnn-compact" in lines[-1]


@given(st.integers(12, 220), st.integers(4, 70), st.integers(0, 30), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_size_fits(width: int, height: int, count: int, colour: bool, ends: bool) -> None:
    shown = view(30.0 if ends else None, count)
    rendered = render(shown, width, height, "truecolor" if colour else None)
    assert len(rendered) <= height
    assert all(Text.from_ansi(text).cell_len <= width for text in rendered)


def test_a_minute_is_kept() -> None:
    shown = view(count=1000)
    assert shown.readings[0].end == shown.readings[-1].end - 60
    assert all(b.end > a.end for a, b in pairwise(shown.readings))


def test_a_tiny_terminal_shows_the_label_first() -> None:
    assert plain(view(None), 20, 5) == [
        "  livesr    00:15.0",
        " ● H A P P Y  60%",
        " ▲ angry   ▍     10%",
        " ● happy   ██▍   60%",
        " ■ neutral █     25%",
    ]


def test_footer_leaves_out_whole_facts() -> None:
    shown = view()
    shown.facts = {"rate": "48000 Hz", "latency": "31 ms", "dropped": "7"}
    shown.keys = "q quit  r record"
    wide = " model acrnn-compact · rate 48000 Hz · latency 31 ms · dropped 7    q quit  r record"
    assert plain(shown, 85, 24)[-1] == wide
    narrow = " model acrnn-compact · rate 48000 Hz       q quit  r record"
    assert plain(shown, 60, 16)[-1] == narrow
    assert plain(shown, 60, 20)[-2:] == [
        " model acrnn-compact · rate 48000 Hz · latency 31 ms",
        " q quit  r record",
    ]


@pytest.mark.parametrize(
    ("seconds", "clock"), [(59.94, "00:59.9"), (59.97, "01:00.0"), (3599.97, "1:00:00.0")]
)
def test_clock_carries(seconds: float, clock: str) -> None:
    assert plain(view(seconds), 80, 24)[0].endswith(f"00:15.0 / {clock}")


def test_a_source_cannot_steer_the_terminal() -> None:
    shown = view()
    shown.source = "a\x1b[2J\nb\udcff.wav"
    top = render(shown, 80, 24)[0]
    assert "a?[2J?b?.wav" in top
    assert len(render(shown, 80, 24)) == 24


@pytest.mark.parametrize("colour", [None, "standard", "truecolor"])
def test_ascii_terminals(colour: str | None) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")  # raises at anything else
    console = Console(
        file=stream,
        width=60,
        height=20,
        force_terminal=True,
        color_system=colour,  # type: ignore[arg-type]
        legacy_windows=False,
        _environ={},
    )
    shown = view(status="unsure")
    for k in range(60, 100):
        shown.add(reading(0.25 * (k + 1)))
    shown.source = "café.wav"
    console.print(shown, height=20)
    stream.flush()
    lines = Text.from_ansi(buffer.getvalue().decode()).plain.splitlines()
    assert "caf?.wav" in lines[0]
    assert any("H H A P P Y  60%" in text for text in lines)
    assert any("hhhhHHHHHHHHHH" in text for text in lines)
