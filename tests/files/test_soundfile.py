"""Files of several parts, cut, never finished; pipes; media containers: all is read, or told."""

from __future__ import annotations

import gc
import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import livesr
from livesr import AudioError, AudioWarning, Event, RawFormat, Recognizer
from livesr.files.content import Content
from livesr.files.parts import layout
from livesr.files.replay import ReplaySettings, play
from livesr.files.soundfile import SoundFile
from tests.helpers import commands
from tests.helpers.media import KINDS, convert, heard_by_ffmpeg, need_ffmpeg
from tests.helpers.tiny import DATA

CLIP = DATA / "banglaser.flac"  # 3.7 s


def read_all(source: Any, **options: Any) -> tuple[np.ndarray, list[str], bool]:
    """Samples, what was said, and whether something of it was lost."""
    with SoundFile(source, **options) as sound:
        blocks = list(sound.blocks())
        texts = [finding.text for finding in sound.findings]
        return np.concatenate(blocks), texts, any(f.lost for f in sound.findings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip in every kind."""
    need_ffmpeg()
    folder = tmp_path_factory.mktemp("kinds")
    for kind in KINDS:
        convert(CLIP, folder / f"a.{kind}")
    return folder


def test_what_is_in_order_says_nothing_and_is_taken_as_it_is(folder: Path) -> None:
    for kind in KINDS:
        samples, texts, _ = read_all(folder / f"a.{kind}")
        assert texts == [], kind
        rate = SoundFile(folder / f"a.{kind}").rate
        assert len(samples) / rate == pytest.approx(heard_by_ffmpeg(folder / f"a.{kind}"), abs=0.02)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_parts_are_the_one_and_then_the_other(folder: Path, tmp_path: Path, kind: str) -> None:
    one = folder / f"a.{kind}"
    two = tmp_path / f"two.{kind}"
    two.write_bytes(one.read_bytes() * 2)
    once, twice = read_all(one)[0], read_all(two)[0]
    assert len(twice) == pytest.approx(2 * len(once), rel=0.005)
    if kind not in ("webm", "mkv", "aac", "mp2"):  # FFmpeg decodes these on, in one stream
        np.testing.assert_array_equal(twice, np.concatenate((once, once)))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("share", [0.35, 0.8])
def test_a_file_that_was_cut_is_heard_to_the_cut_and_told(
    folder: Path, tmp_path: Path, kind: str, share: float
) -> None:
    data = (folder / f"a.{kind}").read_bytes()
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(data[: int(len(data) * share)])
    if kind in ("m4a", "mp4", "3gp"):  # whose index stands at the end
        with pytest.raises(AudioError, match="its index is missing: it was cut"):
            read_all(cut)
        return
    try:
        samples, texts, lost = read_all(cut)
    except AudioError:  # a word too, where hardly a page or a cluster is left
        assert share < 0.5
        assert kind in ("mkv", "webm", "vorbis.ogg", "opus.ogg")
        return
    assert texts
    if kind != "aac":  # its frames have no count: a cut within one is damage of that one
        assert lost
    rate = SoundFile(cut).rate
    assert len(samples) / rate > heard_by_ffmpeg(cut) - 0.1


def test_parts_of_another_rate_and_channels_go_on_in_the_first_ones(
    tmp_path: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "mixed.wav"
    sf.write(tmp_path / "a.wav", speech[:32_000], 16000)
    sf.write(tmp_path / "b.wav", np.stack((speech[:88_200],) * 2, axis=1), 44100)
    path.write_bytes((tmp_path / "a.wav").read_bytes() + (tmp_path / "b.wav").read_bytes())
    samples, texts, _ = read_all(path)
    assert texts == []
    assert samples.shape == (32_000 + 32_000, 1)


def wave(rate: int, data: bytes, size: int, riff: int, before: bytes = b"") -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVE" + before + b"fmt " + form
    return head + b"data" + struct.pack("<I", size) + data


@pytest.fixture
def pcm(speech: np.ndarray) -> bytes:
    return (speech[:64_000] * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("riff", "before"),
    [(36, b""), (4088, b"JUNK" + struct.pack("<I", 4036) + bytes(4036)), (0, b""), (8, b"")],
)
def test_a_header_that_was_never_finished(
    tmp_path: Path, pcm: bytes, riff: int, before: bytes
) -> None:
    path = tmp_path / "killed.wav"
    path.write_bytes(wave(16000, pcm, 0, riff, before))
    samples, texts, lost = read_all(path)
    assert samples.tobytes() == (np.frombuffer(pcm, "<i2") / np.float32(32768)).tobytes()
    assert texts == ["its header was never finished; it is read to the end of the file"]
    assert not lost


def test_a_wav_that_is_empty_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    info = b"LIST" + struct.pack("<I", 4) + b"INFO"
    path.write_bytes(wave(16000, info, 0, 48))
    with pytest.raises(AudioError, match="holds no audio"):
        SoundFile(path)


def test_a_size_that_wrapped_at_four_gigabytes(tmp_path: Path, pcm: bytes) -> None:
    path = tmp_path / "wrapped.wav"
    path.write_bytes(wave(16000, pcm[:64_000], 64_000, 64_036))
    with path.open("r+b") as file:  # sparse: it takes no disk
        file.truncate(2**32 + 64_044)
    with SoundFile(path) as sound:
        assert sound.seconds == (2**32 + 64_000) / 32_000
        first = next(sound.blocks())
        assert [finding.text for finding in sound.findings] == [
            "it is longer than its header can say; it is read to its end"
        ]
    assert first[:, 0].tobytes() == (np.frombuffer(pcm, "<i2")[:8000] / np.float32(32768)).tobytes()


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000 - 36])
def test_a_size_that_a_pipe_could_not_know_says_nothing(
    tmp_path: Path, pcm: bytes, size: int
) -> None:
    path = tmp_path / "piped.wav"
    path.write_bytes(wave(16000, pcm, size, 0xFFFFFFFF))
    samples, texts, _ = read_all(path)
    assert len(samples) == len(pcm) // 2
    assert texts == []


def test_what_follows_and_is_no_sound_is_told(tmp_path: Path, pcm: bytes) -> None:
    path = tmp_path / "a.wav"
    whole = wave(16000, pcm, len(pcm), len(pcm) + 36)
    for more, told in (
        (b"\0" * 100, []),
        (b"TAG" + bytes(125), []),
        (b"LIST" + struct.pack("<I", 4) + b"INFO", []),
        (b"\x01\x02\x03" * 1000, ["3000 bytes follow its sound that are no sound livesr can tell"]),
    ):
        path.write_bytes(whole + more)
        samples, texts, _ = read_all(path)
        assert (len(samples), texts) == (len(pcm) // 2, told)


def test_tags_and_damage_within_an_mp3(folder: Path, tmp_path: Path) -> None:
    data = (folder / "a.mp3").read_bytes()
    tag = b"ID3\x04\0\0\0\0\x02\x00" + bytes(256)
    path = tmp_path / "tagged.mp3"
    path.write_bytes(tag + data + b"TAG" + bytes(125) + tag + data)
    once = read_all(folder / "a.mp3")[0]
    samples, texts, _ = read_all(path)
    np.testing.assert_array_equal(samples, np.concatenate((once, once)))
    assert texts == []
    path.write_bytes(data[:5000] + b"\x55" * 3000 + data[5000:])
    samples, texts, lost = read_all(path)
    assert lost
    assert "are damaged" in texts[0]
    assert len(samples) == pytest.approx(len(once), abs=4 * 1152)


@pytest.mark.parametrize("rate", ["8000", "16000", "44100"])
@pytest.mark.parametrize("channels", ["1", "2"])
def test_an_mp3_of_varying_bit_rate_without_its_length_is_read_whole(
    tmp_path: Path, rate: str, channels: str
) -> None:
    """As a stream's recorder leaves it. libmpg123 estimates the length by the first frame."""
    need_ffmpeg()
    options = ("-t", "6", "-ar", rate, "-ac", channels, "-q:a", "4", "-write_xing", "0")
    path = convert(DATA / "conversation.flac", tmp_path / "a.mp3", *options)
    with SoundFile(path) as sound:
        assert sound.seconds == pytest.approx(6, abs=0.25)
        seconds = sum(map(len, sound.blocks())) / sound.rate
        assert sound.findings == []
    assert seconds == pytest.approx(heard_by_ffmpeg(path), abs=0.1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("there", [100, 4096, 50_000])
def test_a_flac_whose_header_differs_from_its_frames_is_read_as_they_say(
    tmp_path: Path, speech: np.ndarray, there: int, channels: int
) -> None:
    path = tmp_path / "a.flac"
    samples = np.stack([speech[:there]] * channels, axis=1)
    sf.write(path, samples, 16000)
    data = bytearray(path.read_bytes())
    data[18] ^= 1  # STREAMINFO's sample rate
    data[22:26] = (there // 2).to_bytes(4, "big")  # its number of samples
    path.write_bytes(data)
    with SoundFile(path) as sound:
        assert (sound.rate, sound.seconds) == (16000, there / 16000)
        read = np.concatenate(list(sound.blocks()))
        assert sound.findings == []
    np.testing.assert_allclose(read, samples, atol=2**-15)


# ---- pipes ----


def piped(data: bytes) -> io.BufferedReader:
    """The end of a pipe through which these bytes come."""
    reading, writing = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), open(writing, "wb") as file:
            file.write(data)

    threading.Thread(target=feed, daemon=True).start()
    return open(reading, "rb")


@pytest.mark.parametrize("kind", ["wav", "flac", "au", "mp3", "opus.ogg", "webm", "w64", "m4a"])
def test_a_pipe_is_heard_as_the_file_is(folder: Path, kind: str) -> None:
    path = folder / f"a.{kind}"
    with piped(path.read_bytes()) as pipe:
        samples, texts, _ = read_all(pipe)
    np.testing.assert_array_equal(samples, read_all(path)[0])
    assert texts == []


def test_a_pipe_that_goes_on_or_ends_early_is_told(folder: Path) -> None:
    data = (folder / "a.wav").read_bytes()
    with piped(data + data) as pipe:
        assert read_all(pipe)[1] == ["more came after the sound, and was not read"]
    with piped(data[:50_000]) as pipe:
        samples, texts, lost = read_all(pipe)
    assert lost
    assert "it was cut: its header promises 3.66 s, 1.56 s are there" in texts[0]
    assert len(samples) == (50_000 - data.index(b"data") - 8) // 2


def test_a_wav_of_a_pipe_is_heard_as_it_comes(pcm: bytes) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb") as feeder:
        feeder.write(wave(16000, pcm[:32_000], 0xFFFFFFFF, 0xFFFFFFFF))
        feeder.flush()
        with SoundFile(pipe) as sound:
            blocks = sound.blocks()
            first = [next(blocks) for _ in range(20)]  # a second, while the pipe stays open
    assert sum(map(len, first)) == 16_000


@pytest.mark.parametrize(
    ("name", "dtype"), [("s16le", "<i2"), ("s16be", ">i2"), ("f32le", "<f4"), ("s32be", ">i4")]
)
def test_raw_samples(speech: np.ndarray, name: str, dtype: str) -> None:
    scale = {"i2": 2.0**15, "i4": 2.0**31, "f4": 1.0}[dtype[1:]]
    sound = np.stack((speech[:8000], -speech[:8000]), axis=1)
    whole = np.rint(sound * 2.0**15) / 2.0**15
    data = (whole * scale).astype(dtype).tobytes()
    expected = whole.astype(np.float32)
    raw = RawFormat(16000, 2, name)
    np.testing.assert_array_equal(read_all(io.BytesIO(data), raw=raw)[0], expected)
    with piped(data) as pipe:
        np.testing.assert_array_equal(read_all(pipe, raw=raw)[0], expected)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in a folder")
@pytest.mark.parametrize("how", ["cat {f} | {l} -", "{l} /dev/stdin < {f}", "{l} <(cat {f})",
                                 "mkfifo {d}/p; (cat {f} > {d}/p &) ; {l} {d}/p"])  # fmt: skip
def test_pipes_on_the_command_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, sf.read(CLIP)[0], 16000)
    command = how.format(f=path, d=tmp_path, l=f"{sys.executable} -m livesr replay --jsonl -")
    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(told.stdout.splitlines()) == 15


# ---- what replay takes, and says ----


def test_open_files_bytes_and_samples(tiny: Path) -> None:
    expected = list(livesr.replay(CLIP, model=tiny))
    samples, rate = sf.read(CLIP, dtype="float32")
    with CLIP.open("rb") as file:
        file.seek(500)
        assert list(livesr.replay(file, model=tiny)) == expected
        assert not file.closed
    assert list(livesr.replay(io.BytesIO(CLIP.read_bytes()), model=tiny)) == expected
    assert list(livesr.replay(samples, rate, model=tiny)) == expected
    for wrong, words in (
        (CLIP.read_bytes(), "give io.BytesIO"),
        (io.StringIO("RIFF"), "opened with 'rb'"),
        (b"odd", "3 bytes"),
        (io.BytesIO(), "is empty"),
    ):
        with pytest.raises(AudioError, match=words):
            list(livesr.replay(wrong, model=tiny))  # type: ignore[arg-type]


def test_a_loss_is_a_warning_of_the_api_and_an_event_of_the_stream(
    tmp_path: Path, tiny: Path
) -> None:
    path = tmp_path / "cut.wav"
    sf.write(path, sf.read(CLIP)[0], 16000)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.warns(AudioWarning, match=r"cut\.wav: it was cut"):
        readings = list(livesr.replay(path, model=tiny))
    *items, event = play(path, ReplaySettings(model=tiny))
    assert items == readings
    assert isinstance(event, Event)
    assert (event.kind, event.at) == ("file", pytest.approx(readings[-1].end))
    told = commands.livesr("replay", str(path), "--jsonl", str(tmp_path / "a.jsonl"))
    assert told.returncode == 3
    assert "livesr: " in told.stderr
    assert "it was cut" in told.stderr
    assert '"event": "file"' in (tmp_path / "a.jsonl").read_text()


def test_channels_that_cancel_each_other_out_are_told_once(
    tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "opposite.wav"
    sf.write(path, np.stack((speech[:128_000], -speech[:128_000]), axis=1), 16000)
    told = [item for item in play(path, ReplaySettings(model=tiny)) if isinstance(item, Event)]
    assert [(event.kind, "channel" in event.text) for event in told] == [("silence", True)]
    first = play(path, ReplaySettings(tiny, channel=1))
    assert not [item for item in first if isinstance(item, Event)]
    with pytest.warns(livesr.AudioWarning, match="cancel each other out") as warned:
        list(livesr.replay(path, model=tiny))
    assert len(warned) == 1


def test_a_float_file_in_the_scale_of_int16_says_how_to_scale_it(
    tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "f.wav"
    data = (speech[:32_000] * 32768).astype("<f4").tobytes()
    form = struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64_000, 4, 32)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form
    path.write_bytes(head + b"data" + struct.pack("<I", len(data)) + data)
    with pytest.raises(AudioError, match="without being scaled") as caught:
        list(livesr.replay(path, model=tiny))
    need_ffmpeg()
    command = str(caught.value).partition("Scale it: ")[2]
    subprocess.run(["bash", "-c", command + " 2>/dev/null"], check=True)
    scaled = sf.read(tmp_path / "f.wav.wav", dtype="float32")[0]
    np.testing.assert_allclose(scaled, speech[:32_000], atol=2e-4)


# ---- channels, start and end ----


def test_each_channel_is_what_it_is_alone(tmp_path: Path, tiny: Path, speech: np.ndarray) -> None:
    call = np.stack((speech[:100_000], speech[100_000:200_000]), axis=1)
    sf.write(tmp_path / "call.wav", call, 16000)
    found = list(livesr.replay(tmp_path / "call.wav", model=tiny, channel="each"))
    assert [r.end for r in found] == sorted(r.end for r in found)
    for channel in (1, 2):
        sf.write(tmp_path / "side.wav", call[:, channel - 1], 16000)
        alone = list(livesr.replay(tmp_path / "side.wav", model=tiny))
        assert [r for r in found if r.channel == channel] == alone
        assert list(livesr.replay(tmp_path / "call.wav", model=tiny, channel=channel)) == alone
    with pytest.raises(AudioError, match="has 2 channels; there is no channel 3"):
        livesr.replay(tmp_path / "call.wav", model=tiny, channel=3)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_start_and_an_end(tmp_path: Path, tiny: Path, speech: np.ndarray, rate: int) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, speech[: 8 * rate], rate, "FLOAT")
    recognizer = Recognizer(tiny)
    recognizer.reset(start=2.0)
    expected = recognizer.push(speech[2 * rate : 5 * rate], rate) + recognizer.finish()
    assert list(livesr.replay(path, model=tiny, start=2, end=5)) == expected
    for start, end in ((-1, None), (float("nan"), None), (3, 3), (0, -1)):
        with pytest.raises(AudioError):
            livesr.replay(path, model=tiny, start=start, end=end)
    with pytest.raises(AudioError, match="ends before 60 s"):
        list(livesr.replay(path, model=tiny, start=60))


def test_a_start_at_the_last_frame_of_a_block_of_many_channels(
    tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, np.repeat(speech[:32_000, None], 9, axis=1), 16000)
    with SoundFile(path) as sound:
        first = len(next(iter(sound.blocks())))
    start = (first - 1) / 16000
    mono = [r.end for r in livesr.replay(speech[:32_000], model=tiny, start=start)]
    assert [r.end for r in livesr.replay(path, model=tiny, start=start)] == mono
    assert [r.end for r in livesr.replay(path, model=tiny, start=start, channel=9)] == mono


def test_what_is_wrong_after_the_end_does_not_matter(
    tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    bad = speech[:48_000].copy()
    bad[23_000] = np.nan
    sf.write(tmp_path / "a.wav", bad, 16000, "FLOAT")
    assert [r.end for r in livesr.replay(tmp_path / "a.wav", model=tiny, end=1.25)][-1] == 1.25
    with pytest.raises(AudioError, match="NaN"):
        list(livesr.replay(tmp_path / "a.wav", model=tiny))


def test_channels_that_cancel_out_before_the_start_are_no_matter(
    tmp_path: Path, tiny: Path, speech: np.ndarray
) -> None:
    path = tmp_path / "a.wav"
    signs = np.where(np.arange(96_000) < 48_000, -1.0, 1.0)
    sf.write(path, np.stack((speech[:96_000], signs * speech[:96_000]), axis=1), 16000)
    with pytest.warns(AudioWarning, match="cancel"):
        list(livesr.replay(path, model=tiny))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(livesr.replay(path, model=tiny, start=3))


def test_a_raw_format_is_one() -> None:
    for channels, name in ((0, "s16le"), ("2", "s16le"), (1, "s17le"), (1, ["s16le"])):
        with pytest.raises(AudioError):
            RawFormat(8000, channels, name)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="give a RawFormat"):
        SoundFile(CLIP, raw="s16le")  # type: ignore[arg-type]


def test_a_file_with_a_header_is_not_read_as_bare_samples() -> None:
    with pytest.raises(AudioError, match="has a header"):
        SoundFile(CLIP, raw=RawFormat(8000))
    with pytest.raises(AudioError, match="has a header"):
        SoundFile(io.BytesIO(CLIP.read_bytes()), raw=RawFormat(8000))


def test_media_without_pyav_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = folder / "a.m4a"
    with pytest.raises(AudioError) as caught:
        SoundFile(path)
    assert f"ffmpeg -i {path} -ar 16000 -ac 1 {path}.wav" in str(caught.value)
    assert "livesr[media]" in str(caught.value)


def test_a_layout_of_anything_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for magic in (b"RIFF", b"OggS", b"fLaC", b"FORM", b"caff", b"\xff\xfb\x90\x64", b"ID3", b""):
        data = magic + rng.bytes(20_000)
        layout(Content(io.BytesIO(data)))


def test_a_text_that_is_named_as_sound_is_none(tmp_path: Path) -> None:
    """libsndfile takes what is named .au for samples, whatever is in it."""
    for name in ("a.au", "a.snd"):
        (tmp_path / name).write_text("no sound at all\n" * 100)
        with pytest.raises(AudioError, match="has no header; say what it holds"):
            SoundFile(tmp_path / name)
        raw = SoundFile(tmp_path / name, raw=RawFormat(8000, format="mulaw"))
        assert sum(map(len, raw.blocks())) == 1600


def test_a_header_that_promises_gigabytes_reserves_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        content = Content(file)
        assert content.at(1, 1 << 62) == b"bc"
        assert content.at(7, 1 << 62) == b""


@pytest.mark.parametrize(
    ("name", "data", "options", "told"),
    [
        ("page.mp3", b"<!DOCTYPE html><html></html>" * 50, {}, "format is not recognised"),
        ("a.bin", bytes(33), {"raw": RawFormat(16000, 64)}, "shorter than one sample of 64"),
    ],
)
def test_why_a_file_cannot_be_read(
    tmp_path: Path, name: str, data: bytes, options: dict[str, Any], told: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AudioError, match=told):
        read_all(tmp_path / name, **options)


def test_what_has_no_name_is_saved_before_it_is_scaled(speech: np.ndarray) -> None:
    file = io.BytesIO()
    sf.write(file, speech[:32_000] * 2**15, 16000, "FLOAT", format="WAV")
    with pytest.raises(AudioError, match="save it as FILE, then ffmpeg -i FILE -af"):
        list(livesr.replay(file))


def test_an_ogg_cut_before_its_sound_is_told_as_cut(tmp_path: Path, speech: np.ndarray) -> None:
    whole = tmp_path / "a.ogg"
    sf.write(whole, speech[:32_000], 16000, format="OGG", subtype="VORBIS")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    try:
        samples, texts, lost = read_all(whole)
    except AudioError as error:
        assert "no samples" not in str(error)
    else:
        assert len(samples) and texts and lost


@pytest.mark.parametrize("call", [livesr.replay, livesr.judge, SoundFile])
def test_an_empty_name_is_no_folder(call: Any) -> None:
    with pytest.raises(AudioError, match="file's name is empty; name a recording"):
        call("")


def test_a_replay_that_nobody_asks_for_a_reading_is_closed(tiny: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.MonkeyPatch.context() as patch:
            told: list[Any] = []
            patch.setattr(sys, "unraisablehook", told.append)
            del_me = livesr.replay(CLIP, model=tiny)
            del del_me
            gc.collect()
    assert told == []
