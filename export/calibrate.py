"""Probabilities that mean what they say.

When a label is given then follows from one threshold for all models
(`livesr.settings.DecisionSettings`), chosen on the risk-coverage curve of strangers, which is
printed at the end.

When a network is trained its temperature is fitted on `dev`, speakers of the corpora it knows. Who
speaks to livesr is of no corpus, and by no microphone of theirs; so what is shipped is calibrated
on predictions of its recipe for left-out corpora (`export.train --folds corpus`):

    python -m export.calibrate runs/all.onnx --corpora ../shared/speech \\
        --left-out runs/together --output models/acrnn-compact.onnx

The folder holds CORPUS/CORPUS.onnx for each corpus left out: a run, or for an ensemble, which is a
little less sure than one network, ensembles of as many runs (`export.ensemble`). The clips go
through `Recognizer`; what reached its decision is kept, so that every temperature is tried on the
very numbers a stream decides on. No clip of `test` is read.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from tqdm import tqdm

from export.corpora import Clip, CorpusError, named
from export.evaluate import LEAST_WEIGHT
from export.graph import set_metadata
from export.metrics import calibration_error
from export.readers import read_corpora
from livesr.arrays import Float64
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.recognizer import Recognizer
from livesr.settings import DecisionSettings

Hop = tuple[Float64, float]  # a reading's probabilities, and the speech in its hop
_LEASTS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


def hops(job: tuple[Clip, str]) -> list[Hop]:
    """A clip's readings, had the model the temperature 1."""
    clip, model = job
    recognizer = Recognizer(model)
    readings = recognizer.push(clip.samples()) + recognizer.finish()
    own = load_model(model).info.temperature
    shares = [np.array(list(reading.probabilities.values())) for reading in readings]
    return [
        (_cooled(row, 1 / own), reading.speech)
        for row, reading in zip(shares, readings, strict=True)
    ]


def _cooled(probabilities: Float64, temperature: float) -> Float64:
    shares: Float64 = probabilities ** (1 / temperature)
    return shares / shares.sum()


def of_clip(pairs: Sequence[Hop], temperature: float) -> Float64:
    """What is said of a clip (see `export.evaluate`), had the model this temperature."""
    rows = [_cooled(probabilities, temperature) for probabilities, _ in pairs]
    weights = [max(LEAST_WEIGHT, speech) for _, speech in pairs]
    return np.asarray(np.average(rows, axis=0, weights=weights))


def fit(pairs: Sequence[tuple[Clip, str]]) -> tuple[float, Float64]:
    """The temperature of least log loss.

    Args:
        pairs: clips, and the model file that judges each; corpora count alike.

    Returns:
        the temperature, and what is then said of each clip, [clips, labels].
    """
    with ProcessPoolExecutor() as pool:
        done = pool.map(hops, pairs, chunksize=8)
        kept = list(tqdm(done, "calibration", len(pairs), leave=False, disable=None))
    truth = np.array([clip.label for clip, _ in pairs])
    sizes = Counter(clip.corpus for clip, _ in pairs)
    weights = np.array([1 / sizes[clip.corpus] / len(sizes) for clip, _ in pairs])

    def verdicts(temperature: float) -> Float64:
        return np.stack([of_clip(one, temperature) for one in kept])

    def loss(temperature: float) -> float:
        right = verdicts(temperature)[np.arange(len(truth)), truth]
        return -float(weights @ np.log(right))

    grid = np.geomspace(0.5, 4, 32)
    temperature = float(grid[np.argmin([loss(t) for t in grid])])
    return temperature, verdicts(temperature)


def left_out(folder: Path, clips: Sequence[Clip], most: int) -> list[tuple[Clip, str]]:
    """Clips of each corpus, at most so many, and the model in `folder` trained without it."""
    found = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus and clip.split != "test"]
        order = np.random.default_rng(0).permutation(len(own))[:most]
        found += [(own[i], str(folder / corpus / f"{corpus}.onnx")) for i in order]
    return found


def written(source: Path, target: Path, temperature: float, sharpness: float = 1.0) -> None:
    """The model again, by its new file's name, with this temperature and livesr's threshold.

    `sharpness` is that of known voices (`livesr.settings.DecisionSettings`).
    """
    info = load_model(source).info
    least = DecisionSettings().least_probability
    decision = replace(info.decision, least_probability=least, known_sharpness=sharpness)
    model = onnx.load(source)
    set_metadata(model, replace(info, name=target.stem, temperature=temperature, decision=decision))
    onnx.save(model, target)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a livesr .onnx file")
    parser.add_argument("--corpora", nargs="+", required=True, help="as for export.train")
    parser.add_argument("--left-out", type=Path, required=True, help="a folder of such files")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--known-sharpness", type=float, default=1.0, help="to write down too")
    parser.add_argument("--most", type=int, default=240, help="clips of a left-out corpus")
    options = parser.parse_args()
    try:
        info = load_model(options.model).info
        clips = [c for c in read_corpora(options.corpora) if (options.left_out / c.corpus).is_dir()]
        if not clips:
            raise CorpusError(f"{options.left_out} left none of these corpora out.")
        pairs = left_out(options.left_out, clips, options.most)
        for file in sorted({file for _, file in pairs}):
            load_model(file)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    temperature, said = fit(pairs)
    written(options.model, options.output, temperature, options.known_sharpness)
    truth = np.array([clip.label for clip, _ in pairs])
    print(
        f"temperature {info.temperature:.3f} -> {temperature:.3f}, fitted on {len(pairs)} clips of "
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
