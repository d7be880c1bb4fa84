"""Probabilities that mean what they say, and when not to say a label.

Both are fitted on `dev` when a network was trained. With models of `export.train --folds corpus`
at hand, a model's temperature is fitted anew, on what those make of the corpora they never
heard: a stranger at another microphone is what livesr is for, and of them `dev` knows little.

    python -m export.calibrate runs/acrnn-compact-seed1/acrnn-compact.onnx \\
        --corpora ../shared/speech --left-out runs/left-seed1 --output models/acrnn-compact.onnx

A model that was trained on `dev` too, once all was chosen, has no clips left to be calibrated on:
what was fitted for the one like it that had not heard them is written into it (--refit).

Corpora that none of those left out, as a model for free use leaves some alone, are not heard. The
clips go through `Recognizer`; what reached its decision is kept, so that every temperature
and threshold is tried on the very numbers a stream decides on. No clip of `test` is heard.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tqdm import tqdm

from export.config import Config
from export.corpora import Clip, CorpusError, named
from export.graph import tell
from export.readers import read_corpora
from livesr.decision import Decision, DecisionSettings, Verdict
from livesr.errors import LivesrError
from livesr.model import load_model
from livesr.recognizer import Recognizer
from livesr.stage import Bool, Float64
from livesr.voice import BLOCK_SAMPLES

Hop = tuple[Float64, Bool, float]  # what `Decision.push` takes
_BLOCK_SECONDS = BLOCK_SAMPLES / 16000


class _Kept(Decision):
    """A decision that keeps what it was asked."""

    def __init__(self, *arguments: Any) -> None:
        self.hops: list[Hop] = []
        super().__init__(*arguments)

    def push(self, probabilities: Float64, speech: Bool, end_seconds: float) -> Verdict:
        self.hops.append((probabilities, speech, end_seconds))
        return super().push(probabilities, speech, end_seconds)


def hops(job: tuple[Clip, str]) -> list[Hop]:
    """What reached the decision of a clip's stream through a model."""
    clip, model = job
    recognizer = Recognizer(model)
    kept = _Kept(DecisionSettings(), len(recognizer.labels), _BLOCK_SECONDS)
    recognizer.decision = kept
    recognizer.push(clip.samples())
    recognizer.finish()
    return kept.hops


def last_spoken(heard: Sequence[Hop], temperature: float, settings: DecisionSettings) -> Float64:
    """The smoothed probabilities when somebody had last spoken, had the model this temperature."""
    decision = Decision(settings, len(heard[0][0]), _BLOCK_SECONDS)
    found: Float64 = heard[-1][0]
    for probabilities, speech, end in heard:
        cooled = probabilities ** (1 / temperature)
        verdict = decision.push(cooled / cooled.sum(), speech, end)
        if verdict.status in ("speech", "unsure"):
            found = verdict.smoothed
    return found


def fit(
    heard: Sequence[tuple[Clip, str]], coverage: float, settings: DecisionSettings
) -> tuple[float, DecisionSettings]:
    """The temperature of least log loss, and the threshold.

    Args:
        heard: clips, and the livesr file that hears each; the corpora of each file count alike.
        coverage: share of the first file's clips that shall get a label: where on the
            risk-coverage curve the model stands.
        settings: the decision but for its threshold.

    Returns:
        the temperature, by which the files' own is to be multiplied, and the settings with
        their `least_probability`.
    """
    with ProcessPoolExecutor() as pool:
        done = pool.map(hops, heard, chunksize=8)
        kept = list(tqdm(done, "calibration", len(heard), leave=False, disable=None))
    truth = np.array([clip.label for clip, _ in heard])
    groups = np.array([f"{file} {clip.corpus}" for clip, file in heard])
    own = np.array([file == heard[0][1] for _, file in heard])

    def verdicts(temperature: float) -> Float64:
        return np.stack([last_spoken(one, temperature, settings) for one in kept])

    def loss(temperature: float) -> float:
        right = np.log(verdicts(temperature)[np.arange(len(truth)), truth])
        return -float(np.mean([right[groups == group].mean() for group in np.unique(groups)]))

    grid = np.geomspace(0.5, 3, 28)
    temperature = float(grid[np.argmin([loss(t) for t in grid])])
    confidence = verdicts(temperature).max(1)[own]
    least = float(np.quantile(confidence, 1 - coverage))
    return temperature, replace(settings, least_probability=round(least, 3))


def left_out(folder: Path, clips: Sequence[Clip], most: int) -> list[tuple[Clip, str]]:
    """Clips of each corpus, at most so many, and the model in `folder` that never heard it."""
    found = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus and clip.split != "test"]
        order = np.random.default_rng(0).permutation(len(own))[:most]
        found += [(own[i], str(folder / corpus / f"{corpus}.onnx")) for i in order]
    return found


def written(source: Path, target: Path, temperature: float, decision: DecisionSettings) -> None:
    """The model again, by its new file's name, with this temperature and decision."""
    info = replace(load_model(source).info, name=target.stem, temperature=temperature)
    model = onnx.load(source)
    tell(model, replace(info, decision=decision))
    onnx.save(model, target)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a livesr .onnx file")
    parser.add_argument("--corpora", nargs="+", required=True, help="as for export.train")
    parser.add_argument("--left-out", type=Path, required=True, help="a run of --folds corpus")
    parser.add_argument("--refit", type=Path, help="like the model, but trained on dev too")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--coverage", type=float, default=Config().coverage)
    parser.add_argument("--most", type=int, default=240, help="clips of a left-out corpus")
    options = parser.parse_args()
    try:
        info = load_model(options.model).info
        clips = [c for c in read_corpora(options.corpora) if (options.left_out / c.corpus).is_dir()]
        if not clips:
            raise CorpusError(f"{options.left_out} left none of these corpora out.")
        heard = [(clip, str(options.model)) for clip in clips if clip.split == "dev"]
        heard += left_out(options.left_out, clips, options.most)
        source = options.refit or options.model
        for file in sorted({source, *(Path(file) for _, file in heard)}):
            load_model(file)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    factor, decision = fit(heard, options.coverage, info.decision)
    temperature = info.temperature * factor
    written(source, options.output, temperature, decision)
    print(
        f"temperature {info.temperature:.3f} -> {temperature:.3f}, "
        f"a label from {decision.least_probability} on, fitted on {named(clips)}; "
        f"wrote {options.output}"
    )


if __name__ == "__main__":
    main()
