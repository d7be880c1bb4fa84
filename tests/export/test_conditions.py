"""What conditions do to sound."""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
import pytest

from export.corpora.clips import CorpusError
from export.corpora.conditions import CONDITIONS, music

PACKET = 320


@pytest.fixture
def altered(speech: np.ndarray) -> Callable[..., np.ndarray]:
    def made(name: str, samples: np.ndarray = speech[:32000]) -> np.ndarray:
        return CONDITIONS[name](samples, np.random.default_rng(1), [speech[40000:60000]])

    return made


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_gives_sound_of_the_same_length_and_the_same_again(
    altered: Callable[..., np.ndarray], speech: np.ndarray, name: str
) -> None:
    if why := CONDITIONS[name].why_not():
        pytest.skip(why)
    clip = speech[:32001]  # no whole number of packets
    once, again = altered(name, clip), altered(name, clip)
    assert (once.shape, once.dtype) == (clip.shape, np.float32)
    assert np.isfinite(once).all()
    np.testing.assert_array_equal(once, again)
    assert np.array_equal(once, clip) == (name == "as recorded")


def test_hum_and_offset_are_as_high_as_named(
    altered: Callable[..., np.ndarray], speech: np.ndarray
) -> None:
    clip = speech[:32000]
    assert 20 * np.log10((altered("hum, -20 dBFS") - clip).std()) == pytest.approx(-20, abs=0.1)
    np.testing.assert_allclose(altered("a DC offset of 0.1") - clip, 0.1, atol=1e-6)


@pytest.mark.parametrize("kind", ["babble", "music", "hum"])
def test_a_ratio_falls_by_what_is_named(
    altered: Callable[..., np.ndarray], speech: np.ndarray, kind: str
) -> None:
    clip = speech[:32000]
    added = {snr: altered(f"{kind}, {snr} dB") - clip for snr in (20, 0)}
    assert 20 * np.log10(added[0].std() / added[20].std()) == pytest.approx(20, abs=0.1)
    blocks = np.square(clip.reshape(-1, 320)).mean(1)
    active = blocks[blocks > blocks.max() * 1e-3].mean()
    assert np.square(added[0]).mean() == pytest.approx(active, rel=0.05)


def test_babble_needs_others(speech: np.ndarray) -> None:
    with pytest.raises(CorpusError, match="other speakers"):
        CONDITIONS["babble, 10 dB"](speech[:16000], np.random.default_rng(1))


def test_lost_packets_are_silent_or_the_last_that_came(altered: Callable[..., np.ndarray]) -> None:
    whole = np.repeat(np.arange(1, 1001, dtype=np.float32), PACKET)
    silent = altered("packet loss of 20 %, silence", whole)[::PACKET]
    repeated = altered("packet loss of 20 %, repetition", whole)[::PACKET]
    lost = silent == 0
    assert 0.15 < lost.mean() < 0.25
    last = 0.0
    for number, (gone, packet) in enumerate(zip(lost, repeated, strict=True), start=1):
        last = last if gone else float(number)
        assert packet == last


def test_clipping_cuts_at_a_share_of_the_peak(altered: Callable[..., np.ndarray]) -> None:
    tone = np.sin(np.arange(32000)).astype(np.float32)
    assert np.abs(altered("clipped at 0.25 of the peak", tone)).max() == pytest.approx(0.25, 1e-4)


def test_narrow_lines_keep_nothing_above_4_khz(altered: Callable[..., np.ndarray]) -> None:
    for name in ("mu-law", "GSM", "AMR, 12.2 kbit/s"):
        if CONDITIONS[name].why_not():
            continue
        power = np.square(np.abs(np.fft.rfft(altered(name))))
        high = len(power) * 9 // 16  # 4.5 of 8 kHz
        assert power[high:].sum() < 1e-3 * power.sum(), name


def test_music_is_drawn_by_its_seed() -> None:
    made = [music(48000, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert np.corrcoef(made[0], made[2])[0, 1] < 0.5
    assert made[0].std() == pytest.approx(1, abs=1e-3)


def test_an_ffmpeg_without_amr_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise av.codec.codec.UnknownCodecError

    monkeypatch.setattr(av.codec, "Codec", absent)
    assert "no encoder for AMR" in CONDITIONS["AMR, 12.2 kbit/s"].why_not()
