"""`plot`: what the picture shows is what the readings say."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from matplotlib.colors import to_hex

import livesr
from livesr import Event, LivesrError
from livesr.picture import plot
from tests.helpers.tiny import DATA
from tests.test_reading import reading


def test_lines_areas_waveform_and_attention(tmp_path: Path) -> None:
    samples, rate = sf.read(DATA / "conversation.flac", dtype="float32")
    readings = list(livesr.replay(DATA / "conversation.flac", model="acrnn-compact"))
    figure = plot([Event("mark", 1.0), *readings], samples, rate)
    above, below, attention = figure.axes
    ends = [item.end for item in readings]
    lines = {str(line.get_label()): line for line in above.get_lines()}
    assert sorted(lines) == sorted(readings[0].smoothed)
    for label, line in lines.items():
        np.testing.assert_array_equal(line.get_xdata(), ends)
        np.testing.assert_array_equal(line.get_ydata(), [r.smoothed[label] for r in readings])
    # An area behind each reading with a label, in the colour of its line.
    labelled = [item for item in readings if item.label]
    assert len(above.patches) == len(labelled) > 10
    areas: Any = above.patches
    for area, item in zip(areas, labelled, strict=True):
        assert area.get_x() + area.get_width() == pytest.approx(item.end)
        assert to_hex(area.get_facecolor()) == to_hex(lines[str(item.label)].get_color())
    outline: Any = below.collections[0].get_paths()[0].vertices
    assert outline[:, 1].max() == pytest.approx(samples.max(), rel=0.02)
    assert outline[:, 0].max() == pytest.approx(len(samples) / rate, rel=0.02)
    assert below.get_ylabel() == "waveform"
    assert attention.get_ylabel() == "attention"
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 20_000


def test_attention_is_relative_to_a_window_s_average() -> None:
    short = reading(attention=np.full(2, 0.5, np.float32), attention_times=np.array([0.1, 0.2]))
    uneven = np.array([0.1, 0.8, 0.1], np.float32)
    long = dataclasses.replace(reading(), attention=uneven)  # at 0.5, 1.5 and 2.5 s
    shown: Any = plot([short, long]).axes[2].collections[0].get_paths()[0].vertices
    for at, height in ((0.1, 1.0), (0.5, 0.3), (1.5, 2.4)):
        assert max(y for x, y in shown if abs(x - at) < 0.05) == pytest.approx(height)


def test_a_part_of_a_stream_is_drawn_where_it_is(tiny: Path, speech: np.ndarray) -> None:
    recognizer = livesr.Recognizer(tiny)
    recognizer.reset(start=4e7)
    _, below, attention = plot(recognizer.push(speech[:48_000]), speech[:48_000]).axes
    for axes in (below, attention):
        corners: Any = axes.collections[0].get_paths()[0].vertices
        assert corners[:, 0].min() == pytest.approx(4e7, abs=0.1)
        assert corners[:, 0].max() == pytest.approx(4e7 + 3, abs=0.1)


def test_labels_are_no_formulas(tmp_path: Path) -> None:
    shares = {"_calm": 0.5, r"$\bad$": 0.5}
    figure = plot([dataclasses.replace(reading(), label="_calm", smoothed=shares)])
    figure.savefig(tmp_path / "a.png")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["_calm", r"\$\bad\$"]
    with pytest.raises(LivesrError, match="several streams"):
        plot([reading(), dataclasses.replace(reading(), smoothed=shares)])
    with pytest.raises(LivesrError, match="several streams"):
        plot([dataclasses.replace(reading(), channel=n) for n in (1, 2)])


def test_without_samples_there_is_no_waveform() -> None:
    below = plot([reading()]).axes[1]
    assert not below.collections
    assert below.get_ylabel() == ""


def test_own_words_have_colours_of_their_own() -> None:
    words = {f"word {number}": 1 / 6 for number in range(6)}
    item = reading("word 0", smoothed=words, probabilities=words)
    assert len(plot([item]).axes[0].get_lines()) == 6


def test_what_cannot_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for nothing in ([], [Event("mark", 0.0)]):
        with pytest.raises(LivesrError, match="no readings to plot"):
            plot(nothing)
    with pytest.raises(livesr.AudioError):
        plot([reading()], np.array([np.nan]), 16000)
    with pytest.raises(livesr.AudioError):
        plot([reading()], np.zeros(100), 100)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(LivesrError, match="pip install matplotlib"):
        plot([reading()])
