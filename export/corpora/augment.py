"""Augmentation: the difference between a studio and a laptop microphone, added to clips.

Every function works on float32 [n] at 16 kHz and draws from the generator that it is given.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pedalboard
import soundfile as sf
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from export.corpora.clips import RATE
from livesr.arrays import Float32


def trimmed(samples: Float32) -> Float32:
    """Cut the quiet ends off, except for a tenth of a second."""
    loud = np.flatnonzero(np.abs(samples) > 0.03 * np.abs(samples).max(initial=1e-9))
    return samples[max(0, loud[0] - 1600) : loud[-1] + 1600] if len(loud) else samples


def speed(samples: Float32, rng: np.random.Generator) -> Float32:
    """Change tempo, pitch and formants together, by up to 12 %."""
    return soxr.resample(samples, RATE, RATE * rng.uniform(0.88, 1.12))


def voice(samples: Float32, rng: np.random.Generator) -> Float32:
    """Change the pitch by up to 3 semitones and the tempo by up to 15 %; formants stay."""
    shifted = pedalboard.time_stretch(
        samples,
        RATE,
        rng.uniform(0.87, 1.15),
        rng.uniform(-3, 3),
        high_quality=False,
        preserve_formants=True,
    )
    return np.asarray(shifted[0], np.float32)


def room(samples: Float32, rng: np.random.Generator) -> Float32:
    """Add a room: direct sound and a decaying diffuse tail, RT60 of 0.15 to 0.7 s."""
    seconds = rng.uniform(0.15, 0.7)
    time = np.arange(int(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: int(0.002 * RATE)] = 0
    ratio = 10 ** (rng.uniform(-3, 12) / 10)  # direct to reverberant energy
    response = tail / np.sqrt(np.square(tail).sum() * ratio)
    response[0] = 1
    wet = fftconvolve(samples, response)[: len(samples)]
    return wet.astype(np.float32)


def band_limit(samples: Float32, rng: np.random.Generator) -> Float32:
    """Limit the band, as a telephone or a laptop's small microphone does."""
    if rng.random() < 0.5:
        low, high = rng.uniform(200, 350), rng.uniform(3200, 4000)
    else:
        low, high = rng.uniform(60, 250), rng.uniform(4500, 7800)
    return band_pass(samples, low, high)


def band_pass(samples: Float32, low: float, high: float) -> Float32:
    """Fourth-order Butterworth between two frequencies in Hz."""
    sos = butter(4, (low, high), "bandpass", fs=RATE, output="sos")
    return sosfilt(sos, samples).astype(np.float32)


def coloured_noise(count: int, rng: np.random.Generator) -> Float32:
    """Unit-power noise with a spectrum of 1/f**0 to 1/f**2, sometimes with mains hum."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    slope = rng.uniform(0, 2)
    spectrum *= np.maximum(np.arange(len(spectrum)), 20 * count / RATE) ** (-slope / 2)
    noise = np.fft.irfft(spectrum, count)
    noise /= noise.std() + 1e-9
    if rng.random() < 0.2:
        time = np.arange(count) / RATE
        mains = rng.choice([50, 60])
        hum = sum(np.sin(2 * np.pi * mains * k * time) / k for k in range(1, 6))
        noise += rng.uniform(0.3, 2) * hum
    return (noise / noise.std()).astype(np.float32)


def babble(count: int, voices: Sequence[Float32], rng: np.random.Generator) -> Float32:
    """A mix of other speakers' clips with unit power, each repeated from a random place."""
    mix = np.zeros(count, np.float32)
    for voice in voices:
        if len(voice):
            turned = np.roll(voice, int(rng.integers(len(voice))))
            mix += np.resize(turned, count) / (turned.std() + 1e-6)
    return mix / (mix.std() + 1e-9)


def add_noise(samples: Float32, noise: Float32, snr_db: float) -> Float32:
    """Add `noise` (unit power) to `samples`; the ratio is relative to their louder parts."""
    blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    power = np.square(blocks).mean(1)
    active = power[power > power.max(initial=0) * 1e-3]
    level = np.sqrt(active.mean()) if len(active) else 1e-4
    return samples + noise * np.float32(level * 10 ** (-snr_db / 20))


def tilt(samples: Float32, rng: np.random.Generator) -> Float32:
    """Apply a microphone's colour: a smooth random frequency response, up to about 6 dB."""
    spectrum = np.fft.rfft(samples)
    place = np.linspace(0, np.pi, len(spectrum))
    decibels = sum(rng.normal(0, 4 / k) * np.cos(k * place) for k in range(1, 5))
    shaped = np.fft.irfft(spectrum * 10 ** (decibels / 20), len(samples))
    return shaped.astype(np.float32)


def gain(samples: Float32, rng: np.random.Generator) -> Float32:
    """Change the gain by -20 to +20 dB; a fifth of the loud results are clipped."""
    louder = samples * np.float32(10 ** (rng.uniform(-20, 20) / 20))
    peak = float(np.abs(louder).max(initial=1e-9))
    if peak > 1 and rng.random() < 0.8:
        louder /= np.float32(peak)
    return np.clip(louder, -1, 1)


def hum(samples: Float32, rng: np.random.Generator) -> Float32:
    """Add mains hum with up to 11 harmonics, -45 to -16 dBFS."""
    time = np.arange(len(samples)) / RATE
    mains = rng.choice([50, 60]) * rng.uniform(0.998, 1.002)
    added = np.zeros(len(samples))
    for k in range(1, int(rng.integers(2, 12))):
        height = rng.uniform(0, 1) / k ** rng.uniform(0.3, 1.2)
        added += height * np.sin(2 * np.pi * mains * k * time + rng.uniform(0, 2 * np.pi))
    added *= 10 ** (rng.uniform(-45, -16) / 20) / (added.std() + 1e-9)
    return (samples + added).astype(np.float32)


def offset(samples: Float32, rng: np.random.Generator) -> Float32:
    """Add a constant, up to 0.15 either way: a cheap sound card's."""
    return samples + np.float32(rng.uniform(-0.15, 0.15))


def mu_law(samples: Float32) -> Float32:
    """What a telephone line leaves (ITU-T G.711): 8 kHz, 8 bits on a logarithmic scale."""
    line = soxr.resample(samples, RATE, RATE // 2).clip(-1, 1)
    steps = np.round(np.sign(line) * np.log1p(255 * np.abs(line)) / np.log(256) * 127) / 127
    decoded = (np.sign(steps) * (256 ** np.abs(steps) - 1) / 255).astype(np.float32)
    return as_long(soxr.resample(decoded, RATE // 2, RATE), len(samples))


def gsm(samples: Float32) -> Float32:
    """What the first mobile telephones left (GSM full rate): 8 kHz, 13 kbit/s."""
    return as_long(pedalboard.GSMFullRateCompressor()(samples, RATE), len(samples))


def coded(samples: Float32, kind: tuple[str, str], compression: float | None) -> Float32:
    """What a lossy codec leaves.

    Args:
        samples: float32 [n].
        kind: format and subtype of libsndfile, as ("OGG", "OPUS").
        compression: 0, the best, to 1; None for libsndfile's own choice.
    """
    file = io.BytesIO()
    sf.write(
        file, samples.clip(-1, 1), RATE, kind[1], format=kind[0], compression_level=compression
    )
    file.seek(0)
    return as_long(sf.read(file, dtype="float32")[0], len(samples))


def codec(samples: Float32, rng: np.random.Generator) -> Float32:
    """One of the codecs that calls and recordings pass through."""
    kind = int(rng.integers(7))
    if kind == 0:
        return mu_law(samples)
    if kind == 1:
        return gsm(samples)
    kinds = (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), *(("OGG", "OPUS"),) * 3)
    return coded(samples, kinds[kind - 2], float(rng.uniform(0.5, 1)))


def as_long(samples: Float32, count: int) -> Float32:
    """Cut, or continued with silence, to `count` samples."""
    cut = samples[:count]
    return np.pad(cut, (0, count - len(cut))).astype(np.float32)
