"""Conditions: what a microphone, a room, other sound or a line does to a clip, by name.

`evaluate`, `report` and `profiles` share them. A condition draws from the generator of its clip, so
that a clip is disturbed in the same way in every evaluation.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import soxr

from export.corpora import augment
from export.corpora.clips import RATE, Clip, CorpusError
from livesr.arrays import Array, Float32

# Only for AMR: one who trains and judges clips as recorded does without PyAV.
av: Any = import_module("av") if find_spec("av") else None
_BABBLE_VOICES = 6
_PACKET = RATE // 50  # 20 ms, as RTP packets of most codecs hold
_AMR_RATE, _AMR_FRAME = 8000, 160


@dataclass(frozen=True, slots=True)
class Condition:
    """One disturbance.

    Attributes:
        alter: float32 [n] at 16 kHz and a generator -> float32 [n]; with `voices`, also a list of
            that many other sounds.
        voices: how many clips of other speakers it mixes in.
        why_not: says why it cannot be made on this machine, "" where it can.
    """

    alter: Callable[..., Float32]
    voices: int = 0
    why_not: Callable[[], str] = str

    def __call__(
        self, samples: Float32, rng: np.random.Generator, others: Sequence[Float32] = ()
    ) -> Float32:
        """The disturbed sound, as long as it was.

        Raises:
            CorpusError: if it takes clips of other speakers and there are none.
        """
        if not self.voices:
            return self.alter(samples, rng)
        if not others:
            raise CorpusError("babble is mixed from clips of other speakers; here are none.")
        return self.alter(samples, rng, others)


def generator(clip: Clip) -> np.random.Generator:
    """A random generator for this clip: the same in every evaluation."""
    return np.random.default_rng(zlib.crc32(clip.path.name.encode()))


def sound(clip: Clip, condition: str, among: Sequence[Clip] = ()) -> Float32:
    """A clip as it sounds in a condition; babble is mixed from other speakers of `among`."""
    found = CONDITIONS[condition]
    others = voices(clip, among, found.voices)
    return found(clip.samples(), generator(clip), [other.samples() for other in others])


def voices(clip: Clip, among: Sequence[Clip], count: int) -> list[Clip]:
    """So many clips of other speakers, drawn at random; fewer where there are fewer."""
    if not count:
        return []
    others = [other for other in among if other.speaker != clip.speaker]
    drawn = generator(clip).permutation(len(others))[:count]
    return [others[i] for i in drawn]


def _gain(decibels: float, samples: Float32, _rng: np.random.Generator) -> Float32:
    return samples * np.float32(10 ** (decibels / 20))


def _noise(snr_db: float, samples: Float32, rng: np.random.Generator) -> Float32:
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    return augment.add_noise(samples, noise, snr_db)


def _telephone(samples: Float32, _rng: np.random.Generator) -> Float32:
    return augment.band_pass(samples, 300, 3400)


def _offset(height: float, samples: Float32, _rng: np.random.Generator) -> Float32:
    return samples + np.float32(height)


def _mains(count: int) -> Float32:
    """Unit-power hum of 50 Hz with four harmonics."""
    time = np.arange(count) / RATE
    wave = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 6))
    return np.asarray(wave / np.std(wave), np.float32)


def _hum(samples: Float32, _rng: np.random.Generator) -> Float32:
    """-20 dBFS, however loud the voice is."""
    return samples + np.float32(0.1) * _mains(len(samples))


def _hum_at(snr_db: float, samples: Float32, _rng: np.random.Generator) -> Float32:
    return augment.add_noise(samples, _mains(len(samples)), snr_db)


def _babble(
    snr_db: float, samples: Float32, rng: np.random.Generator, others: Sequence[Float32]
) -> Float32:
    return augment.add_noise(samples, augment.babble(len(samples), others, rng), snr_db)


def music(count: int, rng: np.random.Generator) -> Float32:
    """Unit-power music: four chords over and over, a bass, and a drum on every beat.

    Key, tempo, chords and the colour of the notes are drawn at random.

    Example:
        >>> music(16000, np.random.default_rng(1)).shape
        (16000,)
    """
    beat = round(RATE * 60 / rng.uniform(80, 130))
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    degrees = rng.choice([0, 2, 4, 5, 7, 9], 4, replace=False)
    colour = rng.uniform(0.7, 1.6)  # how fast harmonics fall off
    time = np.arange(2 * beat) / RATE
    mixed = np.zeros(count + 2 * beat)
    for number, at in enumerate(range(0, count, beat)):
        degree = degrees[number // 4 % 4]  # a chord stands for four beats
        third = 3 if degree in (2, 4, 9) else 4  # minor where the major key has it so
        notes = [degree, degree + third, degree + 7, degree - 12]
        mixed[at : at + 2 * beat] += sum(
            np.exp(-2.5 * time) * np.sin(2 * np.pi * k * root * 2 ** (note / 12) * time) / k**colour
            for note in notes
            for k in range(1, 7)
        )
        snare = rng.standard_normal(2 * beat) * np.exp(-40 * time)
        drum = np.sin(2 * np.pi * 60 * time) * np.exp(-12 * time)
        mixed[at : at + 2 * beat] += snare if number % 2 else 3 * drum
    mixed = mixed[:count]
    return (mixed / np.sqrt(np.square(mixed).mean() + 1e-9)).astype(np.float32)


def _music(snr_db: float, samples: Float32, rng: np.random.Generator) -> Float32:
    return augment.add_noise(samples, music(len(samples), rng), snr_db)


def _mu_law(samples: Float32, _rng: np.random.Generator) -> Float32:
    return augment.mu_law(samples)


def _gsm(samples: Float32, _rng: np.random.Generator) -> Float32:
    return augment.gsm(samples)


def _opus(kilobits: float | None, samples: Float32, _rng: np.random.Generator) -> Float32:
    """Through Opus and back. libsndfile's compression of 0 is 256 kbit/s, of 1 is 6."""
    compression = None if kilobits is None else (256 - kilobits) / 250
    return augment.coded(samples, ("OGG", "OPUS"), compression)


def _no_amr() -> str:
    if av is None:
        return "PyAV is not installed"
    try:
        av.codec.Codec("amr_nb", "w")
    except av.codec.codec.UnknownCodecError:
        return "this ffmpeg (PyAV's) has no encoder for AMR"
    return ""


def _amr(bits: int, samples: Float32, _rng: np.random.Generator) -> Float32:
    """Through AMR narrow-band, the codec of mobile telephones, and back."""
    line = soxr.resample(samples, RATE, _AMR_RATE).clip(-1, 1)
    line = np.pad(line, (0, -len(line) % _AMR_FRAME))
    encoder = av.CodecContext.create("amr_nb", "w")
    encoder.sample_rate, encoder.layout, encoder.format = _AMR_RATE, "mono", "s16"
    encoder.bit_rate = bits
    decoder = av.CodecContext.create("amrnb", "r")
    decoder.sample_rate, decoder.layout = _AMR_RATE, "mono"
    parts = []
    for start in range(0, len(line), _AMR_FRAME):
        whole = np.round(line[start : start + _AMR_FRAME] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], "s16", "mono")
        frame.sample_rate, frame.pts = _AMR_RATE, start
        parts += [out for packet in encoder.encode(frame) for out in decoder.decode(packet)]
    parts += [out for packet in encoder.encode(None) for out in decoder.decode(packet)]
    decoded = np.concatenate([part.to_ndarray()[0] for part in parts]).astype(np.float32)
    return augment.as_long(soxr.resample(decoded, _AMR_RATE, RATE), len(samples))


def _lost(share: float, repeat: bool, samples: Float32, rng: np.random.Generator) -> Float32:
    """Packets of 20 ms are lost one by one; silence or the last that came stands for each."""
    packets = np.pad(samples, (0, -len(samples) % _PACKET)).reshape(-1, _PACKET)
    came: Array = rng.random(len(packets)) >= share
    if repeat:
        last = np.maximum.accumulate(np.where(came, np.arange(len(packets)), -1))
        received = np.where(last[:, None] >= 0, packets[last], 0)
    else:
        received = np.where(came[:, None], packets, 0)
    return received.ravel()[: len(samples)].astype(np.float32)


def _clipped(share: float, samples: Float32, _rng: np.random.Generator) -> Float32:
    """All that is higher than this share of the clip's peak is cut off."""
    most = np.float32(share * float(np.abs(samples).max(initial=0)))
    return samples.clip(-most, most)


AS_RECORDED = "as recorded"
_SNRS_DB = (20, 10, 5, 0)
CONDITIONS: dict[str, Condition] = {
    AS_RECORDED: Condition(partial(_gain, 0.0)),
    **{f"gain {gain:+d} dB": Condition(partial(_gain, float(gain))) for gain in (-40, -20, 20)},
    "white noise, 10 dB": Condition(partial(_noise, 10.0)),
    **{f"babble, {snr} dB": Condition(partial(_babble, snr), _BABBLE_VOICES) for snr in _SNRS_DB},
    **{f"music, {snr} dB": Condition(partial(_music, snr)) for snr in _SNRS_DB},
    **{f"hum, {snr} dB": Condition(partial(_hum_at, snr)) for snr in _SNRS_DB},
    "hum, -20 dBFS": Condition(_hum),
    "a DC offset of 0.1": Condition(partial(_offset, 0.1)),
    "a DC offset of -0.3": Condition(partial(_offset, -0.3)),
    **{f"clipped at {share} of the peak": Condition(partial(_clipped, share))
       for share in (0.5, 0.25, 0.1)},
    "telephone band": Condition(_telephone),
    "a room": Condition(augment.room),
    "mu-law": Condition(_mu_law),
    "Opus": Condition(partial(_opus, None)),
    **{f"Opus, {rate} kbit/s": Condition(partial(_opus, rate)) for rate in (24, 8)},
    "GSM": Condition(_gsm),
    **{f"AMR, {bits / 1000} kbit/s": Condition(partial(_amr, bits), why_not=_no_amr)
       for bits in (12200, 4750)},
    **{f"packet loss of {share} %, {how}": Condition(partial(_lost, share / 100, how != "silence"))
       for share in (5, 20) for how in ("silence", "repetition")},
}  # fmt: skip
