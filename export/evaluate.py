"""Evaluate models clip by clip, through `Recognizer`.

    python -m export.evaluate --corpora SPEECH --split test
    python -m export.evaluate --corpora SPEECH --model acrnn open --check CARD.md OTHER.md

A clip is pushed into a new stream (cold), or after 30 s of other clips of its speaker, of any
emotion, and 3 s of silence (--warm). Its result is the mean of the probabilities of all readings,
each weighted by the speech in its hop. What livesr shows at the last speech (the smoothed
probabilities) is measured beside it, and how often livesr abstains: the share of clips whose last
reading with speech had no label.

--check compares with a model card what was printed: each UAR and the calibration error, which may
differ by 0.02, and how many labels were given and how many of them are right, which may differ by
3 %. Another processor rounds a few clips the other way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from export.corpora.clips import SPLITS, Clip, CorpusError, check, in_split
from export.corpora.conditions import CONDITIONS
from export.corpora.readers import read_corpora
from export.evaluation.judging import (
    WARM_SECONDS,
    Evaluation,
    heading,
    judge_all,
    judge_by_each,
    judge_info,
    score,
    some,
    table,
)
from export.evaluation.options import Once, above_zero, add_corpora, command_parser
from livesr.errors import LivesrError

_TOLERANCE = 0.02  # of a UAR or an error of calibration: about one clip of a small corpus
_COUNT_TOLERANCE = 0.03  # share of a count
_FIGURE = re.compile(
    r"(\| [^|]+ \| \d+ \| \d+ \||Mean UAR [^:]*:|Expected calibration error [^:]*:) (\d+\.\d+)"
)
_COUNTS = re.compile(r"Of the (\d+) labels given (\d+) are right")


def main() -> None:
    """Print a table for each model; with --check, fail where a card differs."""
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument("--split", choices=SPLITS, default="test", help="judge this split")
    parser.add_argument(
        "--model",
        nargs="+",
        action=Once,
        help="judge by these bundled models or .onnx files; by the default model unless given",
    )
    parser.add_argument(
        "--warm", action="store_true", help="judge each clip after 30 s of its speaker's others"
    )
    parser.add_argument(
        "--conditions", action="store_true", help="judge in noise, on lines and through codecs too"
    )
    parser.add_argument(
        "--most",
        type=above_zero,
        help="with --conditions: judge there at most so many clips of each corpus",
    )
    parser.add_argument(
        "--check",
        nargs="+",
        type=Path,
        default=[],
        metavar="CARD",
        help="compare what is printed with these model cards, one for each model",
    )
    options = parser.parse_args()
    models = options.model or [None]
    if options.most and not options.conditions:
        parser.error("--most is of the conditions: give --conditions too")
    if options.check and len(options.check) != len(models):
        parser.error(f"--check takes a card for each of the {len(models)} model(s), in order")
    warm = WARM_SECONDS if options.warm else 0.0
    try:
        infos = [judge_info(model) for model in models]
        clips = in_split(read_corpora(options.corpora), options.split)
        check(clips)
        for card in options.check:
            if not card.is_file():
                raise CorpusError(f"{card} is no model card: there is no such file.")
        judged = judge_by_each(models, clips, Evaluation(warm=warm))
        tables = [table(clips, results) for results in judged]
        for model, info, lines in zip(models, infos, tables, strict=True):
            print(f"{heading(options.split, info)}, {'warm' if warm else 'cold'}\n")
            print("\n".join(lines), flush=True)
            if options.conditions:
                _print_conditions(clips, some(clips, options.most), model, warm)
            if model != models[-1]:
                print()
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    for card, lines in zip(options.check, tables, strict=False):
        print(f"\n{card}: {check_card(card, lines)} figures agree.", flush=True)


def _print_conditions(
    clips: Sequence[Clip], few: Sequence[Clip], model: str | None, warm: float
) -> None:
    print(f"\nConditions, {len(few)} clips:\n\n| condition | mean UAR |\n|---|---|")
    for name, condition in CONDITIONS.items():
        if why := condition.why_not():
            print(f"| {name} | {why} |")
            continue
        results = judge_all(few, Evaluation(model, name, warm), clips)
        print(f"| {name} | {score(few, results):.3f} |", flush=True)


def check_card(card: Path, lines: Sequence[str]) -> int:
    """How many figures of a table agree with those of a card.

    Args:
        card: the file.
        lines: of the table.

    Raises:
        SystemExit: if the card lacks one or has another, or the table has none.
    """
    told, measured = _figures(card.read_text(encoding="utf-8").splitlines()), _figures(lines)
    if not measured:
        raise SystemExit("Nothing was measured that a card could hold.")
    for name, (value, tolerance) in measured.items():
        if name not in told or abs(told[name][0] - value) > tolerance:
            said = f"says {told[name][0]:g}" if name in told else "does not have it"
            raise SystemExit(
                f"{card} differs from what was measured: {name} {value:g}; the card {said}. Write "
                "this table into the card, or find out what changed."
            )
    return len(measured)


def _figures(lines: Iterable[str]) -> dict[str, tuple[float, float]]:
    """The figures of a table by what they are of, and how far from each a card's may be."""
    found: dict[str, tuple[float, float]] = {}
    for line in lines:
        if figure := _FIGURE.match(line):
            found.setdefault(figure[1], (float(figure[2]), _TOLERANCE))
        elif counts := _COUNTS.match(line):
            for name, count in (("labels given:", int(counts[1])), ("right:", int(counts[2]))):
                found.setdefault(name, (count, max(1, _COUNT_TOLERANCE * count)))
    return found


if __name__ == "__main__":
    main()
