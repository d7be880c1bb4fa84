"""Probabilities that mean what they say.

When a label is given then follows from one threshold for all models
(`livesr.settings.DecisionSettings`), chosen on the risk-coverage curve of strangers, which is
printed at the end.

When a network is trained its temperature is fitted on `dev`, speakers of the corpora it knows. Who
speaks to livesr is of no corpus, and by no microphone of theirs; so what is shipped is calibrated
on what models of its recipe make of corpora that they never heard (`export.train --folds corpus`):

    python -m export.calibrate runs/all.onnx --corpora ../shared/speech \\
        --left-out runs/together --output models/acrnn-compact.onnx

The folder holds CORPUS/CORPUS.onnx for each corpus left out: a run, or for an ensemble, which is a
little less sure than one network, ensembles of as many runs (`export.ensemble`). The clips go
through `Recognizer`; what reached its decision is kept, so that every temperature is tried on the
very numbers a stream decides on. No clip of `test` is heard.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tqdm import tqdm

from export.corpora import Clip, CorpusError, named
from export.graph import tell
from export.metrics import calibration_error
from export.readers import read_corpora
from livesr.arrays import Bool, Float64
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.recognizer import Recognizer
from livesr.settings import DecisionSettings
from livesr.stages.decision import Decision, Verdict
from livesr.stages.vad import BLOCK_SAMPLES

Hop = tuple[Float64, Bool, float]  # what `Decision.push` takes
_BLOCK_SECONDS = BLOCK_SAMPLES / 16000
_LEASTS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


class _Kept(Decision):
    """A decision that keeps what it was asked."""

    def __init__(self, *arguments: Any) -> None:
        self.hops: list[Hop] = []
        super().__init__(*arguments)

    def push(
        self, probabilities: Float64, speech: Bool, end_seconds: float, missing: bool = False
    ) -> Verdict:
        self.hops.append((probabilities, speech, end_seconds))
        return super().push(probabilities, speech, end_seconds, missing)


def hops(job: tuple[Clip, str]) -> list[Hop]:
    """What reaches the decision of a clip's stream through a model, had it the temperature 1."""
    clip, model = job
    recognizer = Recognizer(model)
    kept = _Kept(DecisionSettings(), len(recognizer.labels), _BLOCK_SECONDS)
    recognizer._decision = kept
    recognizer.push(clip.samples())
    recognizer.finish()
    own = load_model(model).info.temperature
    return [(_cooled(shares, 1 / own), speech, end) for shares, speech, end in kept.hops]


def _cooled(probabilities: Float64, temperature: float) -> Float64:
    shares: Float64 = probabilities ** (1 / temperature)
    return shares / shares.sum()


def last_spoken(heard: Sequence[Hop], temperature: float, settings: DecisionSettings) -> Float64:
    """The smoothed probabilities when somebody had last spoken, had the model this temperature."""
    decision = Decision(settings, len(heard[0][0]), _BLOCK_SECONDS)
    found: Float64 = heard[-1][0]
    for probabilities, speech, end in heard:
        verdict = decision.push(_cooled(probabilities, temperature), speech, end)
        if verdict.status in ("speech", "unsure"):
            found = verdict.smoothed
    return found


def fit(heard: Sequence[tuple[Clip, str]], settings: DecisionSettings) -> tuple[float, Float64]:
    """The temperature of least log loss.

    Args:
        heard: clips, and the livesr file that hears each; corpora count alike.
        settings: of the decision.

    Returns:
        the temperature, and what is then said of each clip, [clips, labels].
    """
    with ProcessPoolExecutor() as pool:
        done = pool.map(hops, heard, chunksize=8)
        kept = list(tqdm(done, "calibration", len(heard), leave=False, disable=None))
    truth = np.array([clip.label for clip, _ in heard])
    sizes = Counter(clip.corpus for clip, _ in heard)
    weights = np.array([1 / sizes[clip.corpus] / len(sizes) for clip, _ in heard])

    def verdicts(temperature: float) -> Float64:
        return np.stack([last_spoken(one, temperature, settings) for one in kept])

    def loss(temperature: float) -> float:
        right = verdicts(temperature)[np.arange(len(truth)), truth]
        return -float(weights @ np.log(right))

    grid = np.geomspace(0.5, 4, 32)
    temperature = float(grid[np.argmin([loss(t) for t in grid])])
    return temperature, verdicts(temperature)


def left_out(folder: Path, clips: Sequence[Clip], most: int) -> list[tuple[Clip, str]]:
    """Clips of each corpus, at most so many, and the model in `folder` that never heard it."""
    found = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus and clip.split != "test"]
        order = np.random.default_rng(0).permutation(len(own))[:most]
        found += [(own[i], str(folder / corpus / f"{corpus}.onnx")) for i in order]
    return found


def written(source: Path, target: Path, temperature: float) -> None:
    """The model again, by its new file's name, with this temperature and livesr's threshold."""
    info = load_model(source).info
    least = DecisionSettings().least_probability
    decision = replace(info.decision, least_probability=least)
    model = onnx.load(source)
    tell(model, replace(info, name=target.stem, temperature=temperature, decision=decision))
    onnx.save(model, target)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a livesr .onnx file")
    parser.add_argument("--corpora", nargs="+", required=True, help="as for export.train")
    parser.add_argument("--left-out", type=Path, required=True, help="a folder of such files")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--most", type=int, default=240, help="clips of a left-out corpus")
    options = parser.parse_args()
    try:
        info = load_model(options.model).info
        clips = [c for c in read_corpora(options.corpora) if (options.left_out / c.corpus).is_dir()]
        if not clips:
            raise CorpusError(f"{options.left_out} left none of these corpora out.")
        heard = left_out(options.left_out, clips, options.most)
        for file in sorted({file for _, file in heard}):
            load_model(file)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    temperature, said = fit(heard, info.decision)
    written(options.model, options.output, temperature)
    truth = np.array([clip.label for clip, _ in heard])
    print(
        f"temperature {info.temperature:.3f} -> {temperature:.3f}, fitted on {len(heard)} clips of "
        f"{named(clips)}, each left out: calibration error "
        f"{calibration_error(said, truth.tolist()):.3f}; wrote {options.output}\n"
    )
    print("| a label from | of their clips | right |\n|---|---|---|")
    for least in _LEASTS:
        sure = said.max(1) >= least
        right = (said.argmax(1) == truth)[sure].sum() / max(1, sure.sum())
        print(f"| {least:.2f} | {sure.mean():.0%} | {right:.0%} |")


if __name__ == "__main__":
    main()
