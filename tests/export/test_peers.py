"""The arithmetic, tables and page of the figures; no test here depends on a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.peers import arithmetic, frontends, growth, page, precision, readings, startup
from export.peers.counting import kernel_times, multiply_adds
from export.peers.timing import HOP, Table, core, hops, medians, times
from livesr.model.load import load_model
from tests.helpers.tiny import TINY

TABLE = Table("Things", ("what", "time"), [("one", "1 ms"), ("two", "2 ms")], "A note.")


def test_a_table_is_markdown() -> None:
    assert TABLE.markdown() == (
        "**Things**\n\n| what | time |\n| --- | --: |\n| one | 1 ms |\n| two | 2 ms |\n\nA note."
    )


def test_every_call_is_made_and_timed() -> None:
    made = []
    found = medians({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, rounds=1)
    assert list(found) == ["a", "b"]
    assert all(value >= 0 for value in found.values())
    assert {*made} == {"a", "b"}


def test_ratios_are_short() -> None:
    assert [times(value) for value in (0.123, 1.0, 4.44, 248.2)] == ["0.12", "1.00", "4.4", "248"]
    assert [core(value) for value in (1.35, 311.0)] == ["0.54 %", "124 %"]
    assert core(0.94, hop_seconds=0.02) == "4.7 %"


def test_multiply_adds_are_those_of_the_sizes(tiny: Path) -> None:
    feed = arithmetic.network_feed(tiny)
    found = multiply_adds(tiny, feed)
    frames, taps = feed["features"].shape[1], 5 * 2
    first, second, third = TINY.maps
    steps, window, hidden = frames // 2, TINY.steps, 2 * TINY.cells
    maps = frames * 40 * first * 3 + steps * 20 * (first * second + second * third)
    assert found["Conv"] == taps * maps
    flagged = TINY.linear + 1  # see export.networks.graph
    assert found["LSTM"] == window * 2 * 4 * TINY.cells * (flagged + TINY.cells)
    linear = steps * 20 * third * TINY.linear
    attention = 2 * window * hidden
    assert found["all else"] == linear + attention + hidden * TINY.dense + TINY.dense * 4
    assert set(kernel_times(tiny, feed, runs=2)) == set(found)


def test_stages_of_a_reading(tiny: Path, speech: np.ndarray) -> None:
    found = arithmetic.stages(speech[: 8 * HOP], tiny, rounds=1)
    assert {"voice activity", "features", "network", "decision", "all else"} < set(found)


def test_features_are_the_peers(speech: np.ndarray) -> None:
    psf = frontends.speech_features(speech)()
    assert isinstance(psf, np.ndarray)
    assert psf.shape[1:] == (40, 3)
    for make in (frontends.livesr, frontends.log_mel):
        make(speech[: 4 * HOP])()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("peer", "package", "shape"),
    [
        (frontends.librosa, "librosa", (40, 97, 3)),
        (frontends.kaldi, "kaldi_native_fbank", (98, 40)),
        (frontends.egemaps, "opensmile", None),
        (readings.wav2vec2, "transformers", None),
    ],
)
def test_peers_run(speech: np.ndarray, peer, package: str, shape: tuple[int, ...] | None) -> None:
    pytest.importorskip(package)
    found = peer(speech[: 4 * HOP])()
    assert shape is None or found.shape == shape


def test_a_reading_either_way(tiny: Path, speech: np.ndarray) -> None:
    found: Any = readings.hop_by_hop(tiny, speech)()
    (reading,) = found
    assert len(reading.attention) == load_model(tiny).steps
    readings.again(tiny, speech[:48_000])()


def test_each_voice_gets_sound_of_its_own(speech: np.ndarray) -> None:
    turns = growth.said(speech, 5)
    assert [[len(hop) for hop in turn] for turn in turns] == [[HOP] * 5] * 4


@pytest.mark.slow
def test_windows_of_other_lengths(speech: np.ndarray) -> None:
    told = growth.windows(speech[: 44 * HOP], quick=True)
    assert [row[0] for row in told.rows] == ["1 s", "2 s", "3 s", "5 s", "10 s"]


def test_fewer_bits_are_measured_on_the_inputs_of_a_stream(speech: np.ndarray) -> None:
    feeds, found = precision.feeds_of(speech[: 10 * HOP])
    assert len(feeds) == len(found) == len(hops(speech[: 10 * HOP]))
    model = load_model("acrnn-compact")
    again = [precision.run(model, feed)["probabilities"][0] for feed in feeds]
    np.testing.assert_array_equal(found, again)


def test_what_livesr_needs_is_what_it_imports() -> None:
    needed = startup.closure(["livesr"])
    assert {"livesr", "numpy", "onnxruntime", "scipy", "soxr"} < set(needed)
    assert not {"torch", "librosa", "pytest"} & set(needed)
    assert startup.installed_bytes("numpy") > 1e6


def test_the_page_has_its_figures_between_the_marks(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    file = tmp_path / "docs" / "performance.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    for _ in range(2):  # the second time over figures of its own
        page.write([TABLE, TABLE], tmp_path)
        text = file.read_text()
        assert text.startswith(f"before\n{page.BEGIN}\n\n**Things**")
        assert text.endswith(f"A note.\n\n{page.END}\nafter\n")
        assert text.count("**Things**") == 2
        assert "old" not in text


@pytest.mark.parametrize("text", ["", f"{page.BEGIN}", f"{page.END} {page.BEGIN}"])
def test_a_page_without_its_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        page.replaced(text, "figures")


def test_the_page_of_the_repo_has_its_marks() -> None:
    page.replaced((Path(__file__).parents[2] / "docs" / "performance.md").read_text(), "figures")
