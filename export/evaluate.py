"""Evaluate a model clip by clip, through `Recognizer`.

    python -m export.evaluate --corpora SPEECH --split test

A clip is pushed into a new stream (cold), or after 30 s of other clips of its speaker, of any
emotion, and 3 s of silence (--warm). Its result is the mean of the probabilities of all readings,
each weighted by the speech in its hop. What livesr shows at the last speech (the smoothed
probabilities) is measured beside it, and how often livesr abstains: the share of clips whose last
reading with speech had no label.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from export.corpora.clips import SPLITS, Clip, CorpusError, check, in_split
from export.corpora.conditions import CONDITIONS
from export.corpora.readers import read_corpora
from export.evaluation.judging import (
    WARM_SECONDS,
    Evaluation,
    heading,
    judge_all,
    judge_info,
    score,
    some,
    table,
)
from export.evaluation.options import above_zero
from livesr.errors import LivesrError
from livesr.recognizer import Recognizer

_TOLERANCE = 0.02  # of a UAR: another processor may round one clip of 13 the other way


def main() -> None:
    """Print the table; with --check, fail where a card differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="a folder with clips.csv, or NAME=FOLDER"
    )
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--model", help="a bundled model's name or an .onnx file")
    parser.add_argument(
        "--warm", action="store_true", help="each clip after 30 s of the speaker's other clips"
    )
    parser.add_argument("--conditions", action="store_true", help="noise, lines, codecs too")
    parser.add_argument("--most", type=above_zero, help="--conditions: clips of each corpus")
    parser.add_argument("--check", type=Path, help="a model card that must hold these lines")
    options = parser.parse_args()
    warm = WARM_SECONDS if options.warm else 0.0
    try:
        Recognizer(options.model)
        info = judge_info(options.model)
        clips = in_split(read_corpora(options.corpora), options.split)
        check(clips)
        if options.check and not options.check.is_file():
            raise CorpusError(f"{options.check} is no model card: there is no such file.")
        results = judge_all(clips, Evaluation(options.model, warm=warm))
        lines = table(clips, results)
        how = "warm" if warm else "cold"
        print(f"{heading(options.split, info)}, {how}\n", flush=True)
        print("\n".join(lines), flush=True)
        if options.conditions:
            _print_conditions(clips, some(clips, options.most), options.model, warm)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    if options.check:
        check_card(options.check, lines)


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


def check_card(card: Path, lines: Sequence[str]) -> None:
    """Fail unless the card has every UAR that was printed, to within about one clip."""
    text, compared = card.read_text(encoding="utf-8"), 0
    for line in lines:
        found = re.match(r"\| ([^|]+) \| (\d+) \| (\d+) \| ([\d.]+) \|", line)
        if not found:
            continue
        corpus, speakers, count, uar = found.groups()
        row = rf"\| {re.escape(corpus)} \| {speakers} \| {count} \| ([\d.]+) \|"
        said = re.search(row, text)
        if said is None or abs(float(said[1]) - float(uar)) > _TOLERANCE:
            raise SystemExit(f"{card} differs from what was measured: {line}")
        compared += 1
    if not compared:
        raise SystemExit("Nothing was measured that a card could hold.")
    print(f"\n1 passed, 0 failed: {card} has the figures that were measured")


if __name__ == "__main__":
    main()
