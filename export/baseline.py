"""A classic baseline on the same clips: eGeMAPSv02 functionals and an SVM (RBF, C = 1).

    pip install -e '.[train,baseline]'
    python -m export.baseline --corpora SPEECH

The 88 functionals of a whole clip (Eyben et al. 2016) are standardised over the training clips. The
SVM is trained on the `train` split and tested on `test`; then each corpus is left out in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.corpora.clips import Clip, CorpusError, check, in_split, leave_one_corpus_out
from export.corpora.readers import read_corpora
from export.evaluation.functionals import functionals
from export.evaluation.metrics import mean_uar, tables, uar
from export.evaluation.options import add_cache, add_corpora, command_parser
from livesr.arrays import Array


def guesses(features: Array, labels: Array, train: Array, test: Array) -> Array:
    """The SVM's labels for the clips at `test`, trained on those at `train`."""
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from sklearn.svm import SVC  # noqa: PLC0415

    machine = make_pipeline(StandardScaler(), SVC(C=1.0))
    found: Array = machine.fit(features[train], labels[train]).predict(features[test])
    return found


def rows(clips: Sequence[Clip], folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """UAR on `test`, and with each corpus left out whole, by corpus."""
    features = functionals(clips, folder)
    labels = np.array([clip.label for clip in clips])
    corpora = np.array([clip.corpus for clip in clips])
    place = {clip.key: i for i, clip in enumerate(clips)}

    def at(fold: Sequence[Clip], *splits: str) -> Array:
        return np.array([place[clip.key] for clip in fold if clip.split in splits])

    test = at(in_split(clips, "test"), "test")
    guess = guesses(features, labels, at(clips, "train"), test)
    tested = tables(labels[test], guess, corpora[test])
    own = {corpus: uar(counts) for corpus, counts in tested.items()}
    out = {}
    for corpus, fold in leave_one_corpus_out(clips).items():
        strange = at(fold, "test")
        guess = guesses(features, labels, at(fold, "train", "dev"), strange)
        out[corpus] = mean_uar(guess, labels[strange], corpora[strange])
    return own, out


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    add_cache(parser)
    options = parser.parse_args()
    try:
        clips = read_corpora(options.corpora)
        check(clips)
        own, out = rows(clips, options.cache)
    except CorpusError as error:
        raise SystemExit(str(error)) from None
    except ImportError as error:
        raise SystemExit(f"{error}; pip install -e '.[train,baseline]' first.") from None
    print("eGeMAPSv02 + SVM, UAR of 4 labels (chance 0.250)\n")
    print("| corpus | `test` split | the corpus left out |\n|---|---|---|")
    for corpus in out:
        print(f"| {corpus} | {own.get(corpus, np.nan):.3f} | {out[corpus]:.3f} |")
    print(f"| mean | {np.mean(list(own.values())):.3f} | {np.mean(list(out.values())):.3f} |")


if __name__ == "__main__":
    main()
