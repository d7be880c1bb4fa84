"""Whether a steady voice keeps its label, and whether a change is noticed.

    python -m export.steady --corpora SPEECH --split dev

Three measures of adaptation, taken together:

- steady: a speaker in one emotion for 150 s, clips strung together. The share of the speech from
  60 to 150 s that is shown with the right label, mean over emotions and speakers.
- cold, warm: each clip alone, and after 30 s of the speaker's other clips, mixed; the result of the
  clip, as in export.evaluate; UAR, mean over the corpora. In brackets: of what is shown when
  somebody has last spoken.
- outburst: 90 s neutral, 15 s of another emotion, 30 s neutral. The share of the outburst's speech
  that is shown with its label, the seconds until it first is, and the share of the last 25 s that
  is shown as neutral.

With --left-out, each corpus is judged by the model in this folder that was trained without it (see
`export.train_pretrained --left-out`).

With --examples N a row more: the same voices, with a profile of N clips of each emotion that are
in none of the talks, drawn at random.

What the network says is kept in --cache; another adaptation is then judged in seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from export.corpora.clips import (
    RATE,
    SPLITS,
    Clip,
    CorpusError,
    by_speaker,
    check,
    first_speakers,
    in_split,
    of_corpora,
)
from export.corpora.readers import read_corpora
from export.evaluation.judging import (
    PAUSE_SECONDS,
    WARM_SECONDS,
    clips_before,
    judges,
    result,
)
from export.evaluation.known_voices import Voice, judged_clip
from export.evaluation.metrics import mean_uar
from export.evaluation.options import (
    WINDOWS,
    add_cache,
    add_corpora,
    add_judged,
    command_parser,
    whole,
)
from export.evaluation.talks import Talk
from export.evaluation.windows import Windows, decide, judge_sounds
from livesr.arrays import Float64
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.model.metadata import LABELS
from livesr.settings import HOP_SECONDS, DecisionSettings
from livesr.stages.decision import Verdict
from livesr.stages.known_voice import KnownVoice
from livesr.stages.vad import BLOCK_SAMPLES

STEADY_SECONDS, JUDGED_FROM = 150.0, 60.0
CALM_SECONDS, OUTBURST_SECONDS, AFTER_SECONDS, SETTLING_SECONDS = 90.0, 15.0, 30.0, 5.0
_NEUTRAL = LABELS.index("neutral")


def talks(clips: Sequence[Clip]) -> tuple[list[Talk], list[Talk]]:
    """Of each speaker: one emotion throughout, and outbursts from neutral."""
    steady, outbursts = [], []
    for speaker, own in by_speaker(clips).items():
        made = partial(Talk, own[0].corpus, speaker, clips=tuple(own))
        had = sorted({clip.label for clip in own})
        steady += [made(((label, STEADY_SECONDS),)) for label in had]
        for label in had:
            if label != _NEUTRAL and _NEUTRAL in had:
                calm, again = (_NEUTRAL, CALM_SECONDS), (_NEUTRAL, AFTER_SECONDS)
                outbursts.append(made((calm, (label, OUTBURST_SECONDS), again)))
    return steady, outbursts


def strung(parts: Sequence[Windows]) -> Windows:
    """Streams one after the other, with a pause between two, as one.

    Near enough to the same clips in `warm`: only the level is not carried over.
    """
    silent = round(PAUSE_SECONDS / HOP_SECONDS)
    labels = parts[0].probabilities.shape[1]
    rest = np.zeros(int(HOP_SECONDS * RATE) // BLOCK_SAMPLES, np.bool_)
    pause = Windows(
        np.full((silent, labels), 1 / labels),
        np.zeros((silent, parts[0].context.shape[1]), np.float32),
        np.zeros((silent, parts[0].relative.shape[1])),
        np.ones(silent),
        (rest,) * silent,
        HOP_SECONDS * np.arange(1, silent + 1, dtype=np.float64),
        np.zeros(silent),
    )
    streams = [parts[0], *chain.from_iterable((pause, part) for part in parts[1:])]
    starts = np.cumsum([0.0, *(stream.ends[-1] for stream in streams[:-1])])
    return Windows(
        np.concatenate([stream.probabilities for stream in streams]),
        np.concatenate([stream.context for stream in streams]),
        np.concatenate([stream.relative for stream in streams]),
        np.concatenate([stream.distance for stream in streams]),
        tuple(chain.from_iterable(stream.speech for stream in streams)),
        np.concatenate([s.ends + start for s, start in zip(streams, starts, strict=True)]),
        np.concatenate([stream.likely for stream in streams]),
    )


def enrol(
    clips: Sequence[Clip],
    windows: Sequence[Windows],
    settings: DecisionSettings,
    examples: int,
    only: Sequence[str] = (),
) -> tuple[dict[str, KnownVoice], set[str]]:
    """A profile of each speaker, from clips drawn at random, and the keys of these clips.

    At least one clip of each emotion is left. Without examples there are no profiles.

    Args:
        clips: of all speakers.
        windows: of the clips.
        settings: of the model.
        examples: of each emotion.
        only: of the emotions, these are enrolled; empty for all.
    """
    known: dict[str, KnownVoice] = {}
    enrolled: set[str] = set()
    places: dict[str, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        places[clip.speaker].append(place)
    for speaker, own in places.items() if examples else ():
        voice = Voice([judged_clip(clips[i], windows[i], settings) for i in own], LABELS)
        rng = np.random.default_rng(0)
        drawn: list[int] = []
        for label in (k for k in voice.present if not only or LABELS[k] in only):
            of = np.flatnonzero(voice.truth == label)
            drawn += rng.permutation(of)[: min(examples, len(of) - 1)].tolist()
        if not drawn:
            continue
        known[speaker] = voice.enrol(drawn)
        enrolled.update(clips[own[i]].key for i in drawn)
    return known, enrolled


@dataclass(frozen=True, slots=True)
class Material:
    """Clips and streams with the readings that the measures need."""

    clips: list[Clip]
    windows: list[Windows]  # of the clips
    steady: list[tuple[Talk, Windows]]
    outbursts: list[tuple[Talk, Windows]]
    known: dict[str, KnownVoice]  # by speaker, from clips that are not in the others

    @classmethod
    def of(
        cls,
        clips: Sequence[Clip],
        model: str | None,
        cache: Path | None,
        examples: int = 0,
        left_out: Path | None = None,
        only: Sequence[str] = (),
    ) -> Material:
        """Corpus by corpus, so that what was computed is cached early.

        Args:
            clips: of all speakers.
            model: a bundled name or a file.
            cache: a folder to keep what the network says in.
            examples: of each emotion, that a profile of each speaker has.
            left_out: a folder of models, each without a corpus, in place of `model`, which then
                gives the settings alone.
            only: of the emotions, these are enrolled; empty for all.

        Raises:
            LivesrError: if a model cannot be used.
            CorpusError: if the labels of one are others.
        """
        all_of = cls([], [], [], [], {})
        for corpus, judge in judges(clips, model, left_out).items():
            own = [clip for clip in clips if clip.corpus == corpus]
            named = [(clip.identity, clip.samples) for clip in own]
            said = judge_sounds(named, judge, cache, f"{corpus}-clips")
            # Of `model` also for those in `left_out`, whose own were never chosen.
            settings = load_model(model).info.decision
            known, enrolled = enrol(own, said, settings, examples, only)
            all_of.known.update(known)
            rest = [i for i, clip in enumerate(own) if clip.key not in enrolled]
            own = [own[i] for i in rest]
            all_of.clips.extend(own)
            all_of.windows.extend(said[i] for i in rest)
            for kind, made, into in zip(
                ("steady", "outbursts"), talks(own), (all_of.steady, all_of.outbursts), strict=True
            ):
                sounds = [(talk.name, talk.samples) for talk in made]
                into.extend(
                    zip(made, judge_sounds(sounds, judge, cache, f"{corpus}-{kind}"), strict=True)
                )
        return all_of


@dataclass(frozen=True, slots=True)
class Measures:
    """How one adaptation does; shares by (speaker, label), NaN where nobody spoke."""

    steady: Mapping[tuple[str, int], float]
    cold: Float64  # UAR of the results, and of what was shown when somebody had last spoken, [2]
    warm: Float64  # likewise
    noticed: Mapping[tuple[str, int], float]  # share of each outburst
    delays: Sequence[float]  # seconds, of the outbursts that were noticed
    again: Mapping[tuple[str, int], float]  # share neutral after each

    def row(self) -> str:
        """Cells of a Markdown table; see HEADER."""
        steady = np.array(list(self.steady.values()))
        each = " / ".join(
            f"{np.nanmean([v for (_, k), v in self.steady.items() if k == label]):.2f}"
            for label in range(len(LABELS))
            if any(k == label for _, k in self.steady)
        )
        noticed, again = (np.nanmean(list(of.values())) for of in (self.noticed, self.again))
        cold, warm = (f"{result:.3f} ({shown:.3f})" for result, shown in (self.cold, self.warm))
        delay = f"{np.median(self.delays):.2f} s" if self.delays else "never"
        return (
            f"{np.nanmean(steady):.3f} | {np.nanmin(steady):.2f} | {each} | "
            f"{cold} | {warm} | {noticed:.3f} | "
            f"{delay} | {len(self.delays)} of {len(self.noticed)} | {again:.3f}"
        )


HEADER = (
    "steady | worst | angry / happy / neutral / sad | cold | warm | outburst shown | after | "
    "ever shown | neutral afterwards"
)


def _share(
    windows: Windows, verdicts: Sequence[Verdict], label: int, start: float, end: float
) -> float:
    """Of the readings from `start` to `end` with speech: shown with the label."""
    said = [
        verdict.label == label
        for verdict, new, at in zip(verdicts, windows.speech, windows.ends, strict=True)
        if start < at <= end and new.any()
    ]
    return float(np.mean(said)) if said else np.nan


def measure(
    material: Material, settings: DecisionSettings, known: Mapping[str, KnownVoice] | None = None
) -> Measures:
    """The three measures of one adaptation, or of known voices."""
    voices = known or {}
    steady = {}
    for talk, windows in material.steady:
        label = talk.parts[0][0]
        _, shown = decide(windows, settings, voices.get(talk.speaker))
        steady[talk.speaker, label] = _share(windows, shown, label, JUDGED_FROM, STEADY_SECONDS)
    found, again, delays = {}, {}, []
    for talk, windows in material.outbursts:
        label = talk.parts[1][0]
        _, shown = decide(windows, settings, voices.get(talk.speaker))
        ended = CALM_SECONDS + OUTBURST_SECONDS
        found[talk.speaker, label] = _share(windows, shown, label, CALM_SECONDS, ended)
        again[talk.speaker, label] = _share(
            windows, shown, _NEUTRAL, ended + SETTLING_SECONDS, ended + AFTER_SECONDS
        )
        times = [
            at - CALM_SECONDS
            for verdict, at in zip(shown, windows.ends, strict=True)
            if CALM_SECONDS < at <= ended and verdict.label == label
        ]
        delays += times[:1]
    clips, place = material.clips, {clip.key: i for i, clip in enumerate(material.clips)}
    own = by_speaker(clips)
    guesses: dict[str, list[tuple[int, int]]] = {"cold": [], "warm": []}
    for clip, windows in zip(clips, material.windows, strict=True):
        before = clips_before(clip, own[clip.speaker], WARM_SECONDS)
        stream = strung([*(material.windows[place[c.key]] for c in before), windows])
        for how, said in (("warm", stream), ("cold", windows)):
            rows, shown = decide(said, settings, voices.get(clip.speaker))
            count = len(windows.ends)
            last = shown[-count:]
            spoken = [v for v in last if v.status in ("speech", "unsure")] or last
            both = result(rows[-count:], windows.likely), spoken[-1].smoothed
            guesses[how].append((int(both[0].argmax()), int(both[1].argmax())))
    truth, corpora = [clip.label for clip in clips], [clip.corpus for clip in clips]
    if not clips:
        none = np.full(2, np.nan)
        return Measures(steady, none, none, found, delays, again)
    cold, warm = (
        np.array([mean_uar(of, truth, corpora) for of in zip(*guesses[how], strict=True)])
        for how in ("cold", "warm")
    )
    return Measures(steady, cold, warm, found, delays, again)


def main() -> None:
    parser = command_parser(__doc__)
    add_corpora(parser)
    parser.add_argument("--only", nargs="+", help="judge only these of the corpora")
    parser.add_argument("--split", choices=SPLITS, default="dev", help="judge this split")
    add_judged(parser)
    parser.add_argument(
        "--left-out",
        type=Path,
        help="judge each corpus by the model in this folder that was trained without it",
    )
    parser.add_argument(
        "--examples",
        type=whole,
        default=0,
        help="add rows for known voices, with so many examples of each emotion",
    )
    parser.add_argument(
        "--enrol",
        nargs="+",
        choices=LABELS,
        default=[],
        help="with --examples: enrol only these emotions, such as neutral",
    )
    add_cache(parser, WINDOWS, "what the network says")
    options = parser.parse_args()
    if options.enrol and not options.examples:
        parser.error("--enrol is of the examples: give --examples too")
    try:
        clips = read_corpora(options.corpora)
        clips = in_split(of_corpora(clips, options.only), options.split)
        clips = first_speakers(clips, options.speakers)
        check(clips)
        material = Material.of(
            clips,
            options.model,
            options.cache,
            options.examples,
            options.left_out,
            options.enrol,
        )
        settings = load_model(options.model).info.decision
    except (CorpusError, LivesrError) as error:
        raise SystemExit(str(error)) from None
    print(f"| adaptation | {HEADER} |\n|---" + "|---" * 9 + "|")
    for strength in (0.0, settings.adaptation):
        tried = replace(settings, adaptation=strength)
        print(f"| {strength} | {measure(material, tried).row()} |", flush=True)
        if material.known:
            found = measure(material, tried, material.known)
            print(f"| {strength}, a profile | {found.row()} |", flush=True)


if __name__ == "__main__":
    main()
