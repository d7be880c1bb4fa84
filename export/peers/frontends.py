"""The cost of features: livesr's streaming front end, beside other log-mels and eGeMAPS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from export.peers.timing import HOP, HOP_SECONDS, RATE, WINDOW, Table, hops, medians, ms, times
from livesr.arrays import Float32
from livesr.settings import FrontEndSettings
from livesr.stages.frontend import FrontEnd
from livesr.stages.logmel import Framer, LogMel
from livesr.stages.vad import VoiceActivity

_SETTINGS = FrontEndSettings()
_OURS = "livesr, every 250 ms"


def table(samples: Float32, quick: bool) -> Table:
    """Milliseconds per second of audio, and the ratio to livesr."""
    samples = samples[: len(samples) // HOP * HOP]
    window = "librosa, the last 3 s again every 250 ms"
    calls = {
        _OURS: livesr(samples),
        "livesr, every 250 ms, log-mel alone": log_mel(samples),
        "livesr, in one piece": livesr(samples, size=len(samples)),
        "python_speech_features, in one piece": speech_features(samples),
        "librosa, in one piece": librosa(samples),
        window: librosa(samples[:WINDOW]),
        "kaldi-native-fbank, every 250 ms, no deltas (C++)": kaldi(samples),
        "openSMILE, eGeMAPS low-level descriptors (C++)": egemaps(samples),
    }
    seconds = dict.fromkeys(calls, len(samples) / RATE) | {window: HOP_SECONDS}
    spent = medians(calls, 3 if quick else 15)
    cost = {name: spent[name] / seconds[name] for name in calls}
    return Table(
        "Features of a second of audio",
        ("front end", "time", "of livesr's"),
        [(name, ms(value), times(value / cost[_OURS])) for name, value in cost.items()],
        "Log-mels of 40 bands every 10 ms, with deltas and delta-deltas unless the row says "
        "otherwise; livesr's include the level. Only livesr and kaldi-native-fbank can stream.",
    )


def livesr(samples: Float32, size: int = HOP) -> Callable[[], object]:
    """The whole front end, hop by hop; voice activity is computed beforehand."""
    voice = VoiceActivity()
    pieces = [(hop, voice.push(hop) > 0.5) for hop in hops(samples, size)]
    front_end = FrontEnd(_SETTINGS, np.zeros(_SETTINGS.bands), np.ones(_SETTINGS.bands))

    def run() -> None:
        front_end.reset()
        for hop, speech in pieces:
            front_end.push(hop, speech)

    return run


def log_mel(samples: Float32) -> Callable[[], object]:
    """The part of livesr's front end that kaldi-native-fbank has too: frames and log-mels."""
    pieces, framer, mel = hops(samples), Framer(_SETTINGS), LogMel(_SETTINGS)

    def run() -> None:
        framer.reset()
        for hop in pieces:
            mel.push(framer.push(hop))

    return run


def speech_features(samples: Float32) -> Callable[[], object]:
    import python_speech_features as psf  # noqa: PLC0415

    def run() -> Float32:
        static = psf.logfbank(samples, RATE, nfilt=40, nfft=512, preemph=0)
        delta = psf.delta(static, 2)
        return np.stack((static, delta, psf.delta(delta, 2)), axis=-1)

    return run


def librosa(samples: Float32) -> Callable[[], object]:
    import librosa  # noqa: PLC0415

    def run() -> Float32:
        mel = librosa.feature.melspectrogram(
            y=samples,
            sr=RATE,
            n_fft=512,
            win_length=400,
            hop_length=160,
            window="hamming",
            n_mels=40,
            center=False,
        )
        static = np.log(np.maximum(mel, 1e-12))
        delta = librosa.feature.delta(static, width=5)
        return np.stack((static, delta, librosa.feature.delta(delta, width=5)), axis=-1)

    return run


def kaldi(samples: Float32) -> Callable[[], object]:
    import kaldi_native_fbank as knf  # noqa: PLC0415

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "hamming"
    options.mel_opts.num_bins = 40
    pieces = hops(samples)

    def run() -> Float32:
        fbank = knf.OnlineFbank(options)
        frames: list[Float32] = []
        for hop in pieces:
            fbank.accept_waveform(RATE, hop)
            frames += [fbank.get_frame(i) for i in range(len(frames), fbank.num_frames_ready)]
        return np.stack(frames)

    return run


def egemaps(samples: Float32, functionals: bool = False) -> Callable[[], object]:
    """Low-level descriptors, or the 88 functionals of the whole recording."""
    import opensmile  # noqa: PLC0415

    level = opensmile.FeatureLevel
    smile = opensmile.Smile(
        opensmile.FeatureSet.eGeMAPSv02,
        level.Functionals if functionals else level.LowLevelDescriptors,
        num_workers=1,
    )
    return lambda: smile.process_signal(samples, RATE)
