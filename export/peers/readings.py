"""The cost of one reading at four per second: all of livesr, beside other ways to judge 3 s."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from export.peers.frontends import egemaps
from export.peers.timing import HOP_SECONDS, RATE, WINDOW, Table, core, hops, medians, ms, times
from livesr.arrays import Float32
from livesr.model.load import DEFAULT, PAPER, load_model
from livesr.recognizer import Recognizer
from livesr.stages.frontend import FrontEnd
from livesr.stages.model_stream import ModelStream
from livesr.stages.vad import VoiceActivity

_COMPACT, _PAPER = "livesr, acrnn-compact", "livesr, the paper's widths"


def table(samples: Float32, quick: bool) -> Table:
    """Milliseconds per reading, and the ratio to livesr's two sizes."""
    window = samples[:WINDOW]
    calls = {
        _COMPACT: hop_by_hop("acrnn-compact", samples),
        f"livesr, {DEFAULT} (the default)": hop_by_hop(DEFAULT, samples),
        _PAPER: hop_by_hop(PAPER, samples),
        "acrnn-compact, the whole window again": again("acrnn-compact", window),
        "the paper's widths, the whole window again": again(PAPER, window),
        "openSMILE, eGeMAPS functionals of the window": egemaps(window, functionals=True),
        "a network of wav2vec2-base's size on the window": wav2vec2(window),
    }
    cost = medians(calls, 3 if quick else 15)
    return Table(
        "A reading, every 250 ms",
        ("what", "time", "of acrnn-compact's", "of the paper's widths'", "of a core"),
        [
            (
                name,
                ms(value),
                times(value / cost[_COMPACT]),
                times(value / cost[_PAPER]),
                core(value),
            )
            for name, value in cost.items()
        ],
        "livesr's rows contain everything from samples to reading, voice activity included. The "
        "weights of wav2vec2 (`transformers`' defaults, in torch) are random.",
    )


def hop_by_hop(
    model: str | Path | None, samples: Float32, hop: float = HOP_SECONDS
) -> Callable[[], object]:
    """One reading per call, from one hop of new samples; the stream's window is full."""
    recognizer = Recognizer(model, hop=hop)
    seconds = load_model(model).window_seconds
    coming = cycle(hops(samples, round(hop * RATE)))
    for _ in range(round(seconds / hop) + 1):
        recognizer.push(next(coming))
    return lambda: recognizer.push(next(coming))


def again(model: str | Path | None, window: Float32) -> Callable[[], object]:
    """One reading per call without state: everything is computed from the whole window."""
    loaded = load_model(model)
    info = loaded.info
    voice, network = VoiceActivity(), ModelStream(loaded)
    front_end = FrontEnd(info.front_end, info.mean, info.deviation)

    def run() -> None:
        for stage in (voice, front_end, network):
            stage.reset()
        speech = voice.push(window) > info.decision.speech_threshold
        network.push(front_end.push(window, speech))

    return run


def wav2vec2(window: Float32) -> Callable[[], object]:
    import torch  # noqa: PLC0415
    from transformers import Wav2Vec2Config, Wav2Vec2Model  # noqa: PLC0415

    network = Wav2Vec2Model(Wav2Vec2Config()).eval()
    batch = torch.from_numpy(window)[None]

    def run() -> object:
        with torch.inference_mode():
            return network(batch).last_hidden_state

    return run
