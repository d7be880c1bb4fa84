"""Probabilities that mean what they say.

When a label is given then follows from one threshold for all models
(`livesr.settings.DecisionSettings`), chosen on the risk-coverage curve of strangers, which is
printed at the end. So is what the settings of `livesr.stages.evidence` cost and bring.

When a network is trained its temperature is fitted on `dev`, speakers of the corpora it knows. Who
speaks to livesr is of no corpus, and by no microphone of theirs; so what is shipped is calibrated
on predictions of its recipe for left-out corpora (`export.train --folds corpus`):

    python -m export.calibrate runs/acrnn-compact-seed1/acrnn-compact.onnx \\
        --corpora SPEECH --left-out runs/left --output models/acrnn-compact.onnx

The folder holds CORPUS/CORPUS.onnx for each corpus left out. What reaches the decision of a stream
is kept, so that every temperature is tried on the very numbers it decides on. A model that gives a
window's distance from its training clips gets the usual distance of strangers too. No clip of
`test` is read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx

from export.corpora.clips import CorpusError, check, in_split, labelled, named
from export.corpora.readers import read_corpora
from export.evaluation.calibration import Calibration, left_out
from export.evaluation.judging import judge_info
from export.evaluation.metrics import calibration_error
from export.evaluation.options import above_zero, add_corpora, command_parser, factor, new_file
from export.networks.graph import set_metadata
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.settings import DecisionSettings

_LEASTS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


def written(
    source: Path,
    target: Path,
    temperature: float,
    known_sharpness: float | None = None,
    usual_distance: float = 1.0,
) -> None:
    """The model again, by its new file's name, with this temperature and livesr's threshold.

    `known_sharpness`, which stays where it is None, and `usual_distance` are those of
    `livesr.settings.DecisionSettings`.
    """
    info = load_model(source).info
    usual = DecisionSettings()
    if known_sharpness is None:
        known_sharpness = info.decision.known_sharpness
    decision = replace(
        info.decision,
        least_probability=usual.least_probability,
        half_evidence_seconds=usual.half_evidence_seconds,
        distance_power=usual.distance_power,
        usual_distance=usual_distance,
        known_sharpness=known_sharpness,
    )
    model = onnx.load(source)
    set_metadata(model, replace(info, name=target.stem, temperature=temperature, decision=decision))
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("model", type=Path, help="give this livesr .onnx file a temperature")
    add_corpora(parser)
    parser.add_argument(
        "--left-out",
        type=Path,
        required=True,
        help="judge each corpus by CORPUS/CORPUS.onnx in this folder, trained without that corpus",
    )
    parser.add_argument("--output", type=new_file, required=True, help="write this .onnx file")
    parser.add_argument(
        "--known-sharpness",
        type=factor,
        help="store this known_sharpness in the model, a factor from 0 to 100; unless given, it "
        "stays as it is",
    )
    parser.add_argument(
        "--only-distance",
        action="store_true",
        help="keep the model's temperature, and fit the usual distance of strangers alone",
    )
    parser.add_argument(
        "--most",
        type=above_zero,
        default=240,
        help="judge at most so many clips of each corpus left out",
    )
    options = parser.parse_args()
    try:
        model = load_model(options.model)
        info, measures = model.info, model.distances
        if options.only_distance and not measures:
            raise CorpusError(f"{options.model} gives no distances; leave --only-distance out.")
        if options.output.resolve().is_relative_to(options.left_out.resolve()):
            raise CorpusError(f"{options.output} is among the models of --left-out; name another.")
        clips = [c for c in read_corpora(options.corpora) if (options.left_out / c.corpus).is_dir()]
        if not clips:
            raise CorpusError(f"{options.left_out} left none of these corpora out.")
        clips = labelled(in_split(clips, "train", "dev"), info.labels)
        check(clips)
        pairs = left_out(options.left_out, clips, options.most)
        for file in sorted({file for _, file in pairs}):
            judge_info(file, info.labels)
            if measures and not load_model(file).distances:
                raise CorpusError(
                    f"{file} gives no distances from its training clips, and {options.model} does; "
                    "train it again with `python -m export.train_pretrained`."
                )
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    calibration = Calibration(pairs)
    temperature, changed, distance = info.temperature, "kept", 1.0
    # With a profile the temperature counts and the distance does not: it is fitted without.
    if not options.only_distance:
        temperature, said, _ = calibration.fit(DecisionSettings(distance_power=0))
        changed = f"{info.temperature:.3f} -> {temperature:.3f}"
    if measures:
        distance, said = calibration.usual_distance(temperature)
        changed += f", usual distance {distance:.2f}"
    written(options.model, options.output, temperature, options.known_sharpness, distance)
    truth = calibration.truth
    print(
        f"temperature {changed}, fitted on {len(pairs)} clips of "
        f"{named(clips)}, each left out: calibration error "
        f"{calibration_error(said, truth.tolist()):.3f}; wrote {options.output}\n"
    )
    print("| a label from | of their clips | right |\n|---|---|---|")
    for least in _LEASTS:
        sure = said.max(1) >= least
        right = (said.argmax(1) == truth)[sure].sum() / max(1, sure.sum())
        print(f"| {least:.2f} | {sure.mean():.0%} | {right:.0%} |")
    print("\nhalf: `half_evidence_seconds`; UAR of the corpora left out\n")
    for line in calibration.by_evidence():
        print(line)
    if measures:
        print("\npower: `distance_power`; calibration error of the corpora left out\n")
        for line in calibration.by_distance():
            print(line)


if __name__ == "__main__":
    main()
