"""What a few examples of a voice bring: the curves and tables of known voices.

    python -m export.profiles --corpora SPEECH --others SPEECH-MORE

Of each speaker some clips of each emotion, drawn at random, are enrolled and the others judged, as
in `export.evaluate`. UAR, mean over draws and speakers; a speaker counts where two clips of each
emotion are left to judge. Beside it the same where no sentence that was enrolled is judged. Own
words are all emotions of the speakers whose other emotions `other-emotions.csv` in --others holds.
--conditions: enrolled as recorded and judged in another condition, and the other way round.

What the network says is kept in --cache: the command can be rerun for another classifier in a
minute, and for another model in a quarter of an hour.

--left-out: instead, how the constants of the classifier were chosen. Of each corpus, `train` and
`dev` speakers are judged by the model in this folder that was trained without it (see
`export.train_pretrained --left-out`). A row for each choice: UAR, mean of the corpora, and the
calibration error.

--voices: instead, how often a profile refuses or doubts examples of one voice, and of two that take
turns, each label by both. No network is asked.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from export.corpora.clips import (
    SPLITS,
    Clip,
    CorpusError,
    check,
    first_speakers,
    in_split,
    read_clips,
)
from export.corpora.conditions import AS_RECORDED, sound
from export.corpora.readers import read_corpora
from export.evaluation.choices import choices
from export.evaluation.curves import COUNTS, check_enough, curve
from export.evaluation.judging import judges
from export.evaluation.known_voices import Judged, Voice, judged_clip, voices_of
from export.evaluation.options import (
    WINDOWS,
    above_zero,
    add_cache,
    add_corpora,
    add_judged,
    command_parser,
    refuse_beside,
)
from export.evaluation.two_voices import two_voice_table
from export.evaluation.windows import Sound, judge_sounds
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.model.metadata import LABELS

_OTHERS = "other-emotions.csv"
_DAY_EXAMPLES = 2  # of each emotion, in another condition
OTHER_DAYS = ("telephone band", "a room", "white noise, 10 dB", "Opus", "gain -20 dB")


def listen(
    clips: Sequence[Clip],
    model: str | None,
    cache: Path | None,
    what: str,
    condition: str = "",
    left_out: Path | None = None,
) -> list[Judged]:
    """All clips, corpus by corpus; each by the model in `left_out` that never heard it."""
    found: list[Judged] = []
    for corpus, judge in judges(clips, model, left_out).items():
        settings = load_model(judge).info.decision
        own = [clip for clip in clips if clip.corpus == corpus]
        named: list[tuple[str, Sound]]
        if condition:
            named = [
                (f"{clip.identity} {condition}", partial(sound, clip, condition)) for clip in own
            ]
        else:
            named = [(clip.identity, clip.samples) for clip in own]
        windows = judge_sounds(named, judge, cache, f"{corpus}-{what}")
        found += [judged_clip(clip, one, settings) for clip, one in zip(own, windows, strict=True)]
    return found


def table(voices: Sequence[Voice], draws: int, only: Sequence[str] = ()) -> Iterator[str]:
    """UAR by examples of each emotion, or of these alone; a row a corpus.

    Raises:
        CorpusError: if no speaker has enough clips.
    """
    check_enough(voices, COUNTS[0], only)
    curves = {count: curve(voices, count, draws, only=only) for count in COUNTS}
    corpora = sorted({voice.clips[0].clip.corpus for voice in voices})
    own_words = any(voice.labels != LABELS for voice in voices)
    start = "chance" if own_words else "no profile"
    yield f"| held-out speakers | {start} | " + " | ".join(map(str, COUNTS)) + " |"
    yield "|---" * (len(COUNTS) + 2) + "|"
    cells: dict[str, list[str]] = {corpus: [] for corpus in corpora}
    for corpus in corpora:
        if own_words:
            of = [v for v in voices if v.clips[0].clip.corpus == corpus]
            cells[corpus].append(f"{np.mean([1 / len(v.labels) for v in of]):.3f}")
        else:
            cells[corpus].append(f"{curves[1].corpora(curves[1].before).get(corpus, np.nan):.3f}")
        for found in curves.values():
            scores, apart = found.corpora(found.scores), found.corpora(found.apart)
            cell = f"{scores[corpus]:.3f}" if corpus in scores else "-"
            cells[corpus].append(cell + (f" ({apart[corpus]:.3f})" if corpus in apart else ""))
        yield f"| {corpus} | " + " | ".join(cells[corpus]) + " |"
    best = [
        {**curves[2].corpora(curves[2].scores), **curves[3].corpora(curves[3].scores)}.get(c)
        for c in corpora
    ]
    known = [score for score in best if score is not None]
    yield ""
    yield f"With 3 examples (2 where there are no more), mean of the corpora: {np.mean(known):.3f}"
    yield "In brackets: no sentence that was enrolled is judged."
    for count, found in curves.items():
        if not found.truth:
            continue
        line = f"{count} of each: calibration error {found.error:.3f}"
        if not own_words:
            line += f"; speakers: {found.losers()}"
        yield line


def other_days(
    clips: Sequence[Clip], model: str | None, cache: Path | None, draws: int, count: int
) -> Iterator[str]:
    """Enrolled in one condition and judged in another, and both in the same.

    Raises:
        CorpusError: if no speaker has enough clips.
    """
    clean = voices_of(listen(clips, model, cache, "day", AS_RECORDED))
    check_enough(clean, count)
    yield f"| {count} of each | same | enrolled as recorded | judged as recorded | loss |"
    yield "|---|---|---|---|---|"
    losses = []
    for condition in OTHER_DAYS:
        there = voices_of(listen(clips, model, cache, "day", condition))
        scores = [
            float(np.mean(list(found.corpora(found.scores).values())))
            for found in (
                curve(there, count, draws),
                curve(there, count, draws, clean),
                curve(clean, count, draws, there),
                curve(clean, count, draws),
            )
        ]
        same, onward, back, recorded = scores
        losses += [same - onward, recorded - back]
        yield (
            f"| {condition} | {same:.3f} | {onward:.3f} | {back:.3f} (of {recorded:.3f}) | "
            f"{100 * np.mean(losses[-2:]):.1f} points |"
        )
    yield f"\nMean loss against enrolment in the same condition: {100 * np.mean(losses):.1f} points"


def _parser() -> ArgumentParser:
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument(
        "--others", type=Path, help=f"judge words of one's own too, of {_OTHERS} in this folder"
    )
    parser.add_argument("--split", choices=SPLITS, help="judge this split; test unless given")
    add_judged(parser)
    parser.add_argument(
        "--draws", type=above_zero, default=10, help="draw examples so often for each speaker"
    )
    parser.add_argument(
        "--enrol",
        nargs="+",
        choices=LABELS,
        default=[],
        help="enrol only these emotions, such as neutral",
    )
    parser.add_argument(
        "--left-out",
        type=Path,
        help="show the choice of constants, each corpus by the model in this folder without it",
    )
    parser.add_argument(
        "--conditions", action="store_true", help="enrol in one condition, and judge in another"
    )
    parser.add_argument(
        "--voices", action="store_true", help="count how often two voices in a profile are noticed"
    )
    add_cache(parser, WINDOWS, "what the network says")
    return parser


def told(options: Namespace) -> Iterator[str]:
    """The tables that were asked for, line by line.

    Raises:
        CorpusError: if the clips cannot be used, or no speaker has enough.
        LivesrError: if a model cannot be used.
    """
    splits = ("train", "dev") if options.left_out else (options.split or "test",)
    clips = first_speakers(in_split(read_corpora(options.corpora), *splits), options.speakers)
    others = _others(clips, options.others, splits) if options.others else []
    check([*clips, *others])
    model, cache, draws = options.model, options.cache, options.draws
    if options.voices:
        for each in (2, 3):
            yield from two_voice_table(clips, draws, each)
        return
    if options.conditions:
        yield from other_days(clips, model, cache, draws, _DAY_EXAMPLES)
        return
    said = listen(clips, model, cache, "clips", left_out=options.left_out)
    kept = {clip.speaker for clip in others}
    words = [one for one in said if one.clip.speaker in kept]
    words += listen(others, model, cache, "others", left_out=options.left_out)
    if options.left_out:
        yield from choices(said, words, draws)
        return
    yield from table(voices_of(said), draws, options.enrol)
    if words:
        yield "\nWords of the speaker's own:\n"
        yield from table(voices_of(words, None), draws)


def _others(clips: Sequence[Clip], folder: Path, splits: Sequence[str]) -> list[Clip]:
    """Clips of other emotions of the speakers of `clips`."""
    who = {clip.speaker for clip in clips}
    found = in_split(read_clips(folder, _OTHERS, None), *splits)
    return [clip for clip in found if clip.speaker in who]


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    refuse_beside(parser, options, "voices", "model", "others", "enrol", "conditions", "left_out")
    refuse_beside(parser, options, "conditions", "left_out", "others", "enrol")
    refuse_beside(parser, options, "left_out", "split", "enrol", "model")
    try:
        for line in told(options):
            print(line, flush=True)
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
