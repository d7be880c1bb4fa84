"""Train the network that stands on a pretrained encoder, and export it.

    python -m export.train_pretrained --corpora SPEECH SPEECH-MORE --seed 2
    python -m export.train_pretrained --corpora ... --left-out runs/left

The second leaves each corpus out in turn, writes FOLDER/CORPUS/CORPUS.onnx, as `export.calibrate`
wants them, and prints the UAR on the train and dev speakers of each corpus left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from export.corpora.clips import (
    Clip,
    CorpusError,
    check,
    in_split,
    leave_one_corpus_out,
    named,
    of_corpora,
)
from export.corpora.licences import licence
from export.corpora.readers import read_corpora
from export.evaluation.judging import Evaluation, file_without, judge_all, score
from export.evaluation.options import (
    ROOT,
    Once,
    above_zero,
    add_corpora,
    add_mels,
    add_threads,
    command_parser,
    new_file,
    new_folder,
    whole,
)
from export.features.encoder import encoder_weights
from export.features.steps import heard
from export.networks.head import Head
from export.networks.pretrained_graph import build_pretrained
from export.training.pretrained import Recipe, Trained, train
from export.training.probe import Probe
from livesr.errors import LivesrError
from livesr.model.metadata import LABELS, ModelInfo
from livesr.settings import EncoderSettings

ENCODER_LICENCES = (
    "; encoder: Whisper tiny (MIT) as trained further in Smart Turn 3.2 (BSD-2-Clause)"
)


def joined(network: Head, probe: Probe, share: float) -> dict[str, np.ndarray]:
    """The weights of both as the graph takes them; the probe has so large a share of the logits."""
    found = network.weights()
    found["output.weight"] *= 1 - share
    found["output.bias"] = (1 - share) * found["output.bias"] + share * probe.bias
    return found | {
        "probe.mean": probe.mean,
        "probe.scale": 1 / probe.deviation,
        "probe.weight": share * probe.weight,
        "directions.weight": probe.directions,
        "directions.bias": probe.origin,
        "relative.weight": probe.relative,
        "relative.bias": probe.relative_bias,
        "components.weight": probe.components,
        "corpora": probe.corpora,
    }


def export(trained: Trained, file: Path, clips: Sequence[Clip], recipe: Recipe) -> Path:
    """Write the network as a livesr file of its name, with the temperature 1."""
    bands = 40
    splits = " and ".join(sorted({clip.split for clip in clips}, reverse=True))
    info = ModelInfo(
        name=file.stem,
        labels=LABELS,
        mean=np.zeros(bands),
        deviation=np.ones(bands),
        temperature=1.0,
        training_data=f"{named(clips)} ({splits} split)" + ENCODER_LICENCES,
        licence=licence(clips),
        version=f"7-seed{recipe.seed}",
        encoder=EncoderSettings(),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    head = joined(trained.head, trained.probe, recipe.probe)
    graph = build_pretrained(trained.head.widths, trained.encoder.weights(), head, info)
    onnx.save(graph, file)
    return file


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument(
        "--train-on",
        nargs="+",
        action=Once,
        help="train on these of the corpora; on all unless given",
    )
    parser.add_argument(
        "--seed", type=whole, default=Recipe().seed, help="start from this seed of all chance"
    )
    parser.add_argument(
        "--epochs",
        type=above_zero,
        default=Recipe().epochs,
        help="train for so many epochs on the frozen encoder",
    )
    parser.add_argument(
        "--tuning-batches",
        type=whole,
        default=Recipe().tuning_batches,
        help="then fine-tune the encoder too, for so many batches; 0 leaves it frozen",
    )
    parser.add_argument(
        "--left-out",
        type=new_folder,
        help="leave each corpus out in turn, and write the models to this folder",
    )
    parser.add_argument(
        "--only", nargs="+", action=Once, help="leave out only these of the corpora"
    )
    parser.add_argument(
        "--output",
        type=new_file,
        help="write this .onnx file; runs/acrnn-whisper.onnx unless given",
    )
    add_mels(parser)
    add_threads(parser, torch.get_num_threads())
    options = parser.parse_args()
    if options.only and not options.left_out:
        parser.error("--only is of the corpora to leave out: give --left-out too")
    if options.output and options.left_out:
        parser.error("--left-out names the files that it writes: give it or --output")
    torch.set_num_threads(options.threads)
    recipe = Recipe(seed=options.seed, epochs=options.epochs, tuning_batches=options.tuning_batches)
    try:
        clips = in_split(read_corpora(options.corpora), "train", "dev")
        clips = of_corpora(clips, options.train_on)
        of_corpora(clips, options.only)
        encoder_weights()  # which may be missing
        check(clips)
        licence(clips)
        corpora = sorted({clip.corpus for clip in clips})
        if options.left_out:
            leave_one_corpus_out(clips)  # refuses corpora of which none can be left out
        recorded = heard(clips, None, options.cache, workers=options.workers)
        scenes = heard(clips, 1, options.cache, workers=options.workers)
        if not options.left_out:
            target = options.output or ROOT / "runs" / "acrnn-whisper.onnx"
            file = export(train(recorded, scenes, recipe), target, clips, recipe)
            print(f"wrote {file}; export.calibrate gives it a temperature")
            return
        for out in options.only or corpora:
            parts = [[one for one in part if one.clip.corpus != out] for part in (recorded, scenes)]
            rest = [clip for clip in clips if clip.corpus != out]
            file = file_without(options.left_out, out)
            export(train(parts[0], parts[1], recipe), file, rest, recipe)
            left = [clip for clip in clips if clip.corpus == out]
            print(f"without {out}: UAR {score(left, judge_all(left, Evaluation(str(file)))):.3f}")
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
