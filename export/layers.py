"""Which layers of the pretrained encoder tell emotions of strangers: a linear probe on each.

    python -m export.layers --corpora SPEECH SPEECH-MORE

The encoder is frozen and streamed as in livesr. Each corpus is left out in turn: the probe
(`export/training/probe.py`) is fitted on the other corpora's train and dev clips as recorded, and
judges that corpus's. A clip's result is the probe's, of the whole clip. UAR; `test` is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from export.corpora.clips import CorpusError
from export.corpora.readers import read_to_leave_out
from export.evaluation.judging import some
from export.evaluation.metrics import confusion, uar
from export.evaluation.options import above_zero, add_corpora, add_mels, command_parser
from export.features.encoder import VALUES, Encoder
from export.features.steps import Encoded, encode_all, heard
from export.training.pretrained import Recipe
from export.training.probe import fit, statistics
from livesr.errors import LivesrError

LAYERS = {
    "first layer": slice(0, VALUES),
    "second layer": slice(VALUES, 2 * VALUES),
    "both": slice(0, 2 * VALUES),
}


def left_out(clips: Sequence[Encoded]) -> dict[str, float]:
    """UAR on each corpus of a probe that is fitted on the others."""
    found = {}
    for corpus in sorted({one.clip.corpus for one in clips}):
        known = [one for one in clips if one.clip.corpus != corpus]
        strange = [one for one in clips if one.clip.corpus == corpus]
        probe = fit(known, [], Recipe().balance, 0.0)
        rows = np.stack([statistics(one, probe.mean, probe.deviation) for one in strange])
        truth = [one.clip.label for one in strange]
        found[corpus] = uar(confusion(truth, probe.logits(rows).argmax(1).tolist()))
    return found


def table(clips: Sequence[Encoded]) -> Iterator[str]:
    """A row for each choice of layers, a column for each corpus left out, and their mean."""
    corpora = sorted({one.clip.corpus for one in clips})
    yield "| a probe on | " + " | ".join(corpora) + " | mean |"
    yield "|---" * (len(corpora) + 2) + "|"
    for name, values in LAYERS.items():
        found = left_out([replace(one, steps=one.steps[:, values]) for one in clips])
        cells = [f"{found[corpus]:.3f}" for corpus in corpora]
        yield f"| {name} | {' | '.join(cells)} | {np.mean(list(found.values())):.3f} |"


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument(
        "--most",
        type=above_zero,
        help="use at most so many clips of each split of a corpus; all unless given",
    )
    add_mels(parser)
    options = parser.parse_args()
    try:
        clips = read_to_leave_out(options.corpora)
        chosen = {clip.key for clip in some(clips, options.most)}
        listened = heard(clips, None, options.cache, workers=options.workers)
        encoded = encode_all(Encoder(), [one for one in listened if one.clip.key in chosen])
        print(f"{len(encoded)} clips, {len({one.clip.speaker for one in encoded})} speakers\n")
        for line in table(encoded):
            print(line, flush=True)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
