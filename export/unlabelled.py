"""Unlabelled speech for distillation: it widens the range of voices, rooms and languages.

Distillation from `export.teacher` needs no labels, and the emotional corpora cover few languages
and rooms. `make voices` fetches the telephone prompts of an Italian and a Russian voice, recorded
for Asterisk (Carlo Flora 2012 and Maxim Topal 2010, both CC-BY-3.0), from Debian's packages, and
runs:

    python -m export.unlabelled RAW .cache/voices    # RAW/VOICE/**.g722, or wav, flac, ogg, mp3
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile as sf

from export.augment import trimmed
from export.corpora import RATE, Clip, CorpusError
from livesr.arrays import Float32
from livesr.stages.vad import VoiceActivity

NAMES = {"asterisk-it": "CC-BY-3.0", "asterisk-ru": "CC-BY-3.0"}  # and their licences
_KINDS = (".g722", ".wav", ".flac", ".ogg", ".mp3")
_ENOUGH, _MOST, _SHORTEST = 7 * RATE // 2, 6 * RATE, RATE // 4  # samples of a clip, and of a piece
_RMS = 0.05
_SPEECH = 0.4  # share of a clip


def read_voices(folder: Path) -> list[Clip]:
    """The clips that `main` wrote, without emotions.

    Raises:
        CorpusError: if there are none, or one of a voice whose licence is not known.
    """
    clips = []
    for file in sorted(folder.glob("*/*.flac")):
        voice = file.parent.name
        if voice not in NAMES:
            raise CorpusError(f"{file.parent}: the licence of {voice} is not in export.unlabelled.")
        clips.append(Clip(file, voice, voice, "", "", NAMES[voice], "train", file.name))
    if not clips:
        raise CorpusError(f"{folder} holds no voices: run `make voices`.")
    return clips


def decoded(file: Path) -> Float32:
    """A sound file, float32 [n] at 16 kHz, mono.

    Raises:
        CorpusError: if it cannot be decoded.
    """
    try:
        with av.open(str(file), format="g722" if file.suffix == ".g722" else None) as container:
            resampler = av.AudioResampler("flt", "mono", RATE)
            frames = [*container.decode(audio=0), None]  # None: the rest that the resampler holds
            parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    except (av.FFmpegError, IndexError) as error:
        raise CorpusError(f"{file} cannot be decoded: {error}") from None
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def cut(pieces: Iterator[Float32], rng: np.random.Generator) -> Iterator[Float32]:
    """Join and cut words and sentences of one voice to clips of some seconds."""
    joined: list[Float32] = []
    for piece in pieces:
        rest = trimmed(piece) if len(piece) else piece
        if len(rest) < _SHORTEST or np.abs(rest).max() < 0.01:
            continue
        rest = rest * np.float32(_RMS / np.sqrt(np.square(rest).mean()))
        while len(rest) > _MOST:
            yield rest[: 5 * RATE]
            rest = rest[5 * RATE :]
        joined += [rest, np.zeros(int(rng.uniform(0.05, 0.4) * RATE), np.float32)]
        if sum(map(len, joined)) > _ENOUGH:
            yield np.concatenate(joined)
            joined = []
    if joined:
        yield np.concatenate(joined)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("raw", type=Path, help="a folder of sound files for each voice")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    try:
        for folder in sorted(path for path in options.raw.iterdir() if path.is_dir()):
            files = sorted(file for file in folder.rglob("*") if file.suffix in _KINDS)
            kept, count, seconds = options.output / folder.name, 0, 0.0
            kept.mkdir(parents=True, exist_ok=True)
            for clip in cut(map(decoded, files), np.random.default_rng(0)):
                peak = max(1.0, float(np.abs(clip).max()) / 0.99)
                if (VoiceActivity().push(clip) > 0.5).mean() < _SPEECH:
                    continue
                sf.write(kept / f"{count:04d}.flac", clip / peak, RATE)
                count, seconds = count + 1, seconds + len(clip) / RATE
            print(f"{folder.name}: {len(files)} files, {seconds / 60:.1f} minutes")
    except (CorpusError, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
