"""`Profile`: what livesr knows of one voice, and how it is kept."""

from __future__ import annotations

import math
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from livesr.arrays import Array, Float32, Float64
from livesr.errors import ModelError, ProfileError
from livesr.model.load import Model, load_model
from livesr.model.metadata import LABELS
from livesr.reading import LONGEST_LABEL, MOST_LABELS
from livesr.settings import SAMPLE_RATE
from livesr.stages.highpass import HighPass
from livesr.stages.known_voice import LEAST_PROBABILITY, KnownVoice
from livesr.stages.model_stream import ModelStream
from livesr.stages.resample import InputResampler
from livesr.stages.samples import as_mono, check_rate
from livesr.stages.vad import BLOCK_SAMPLES, VoiceActivity
from livesr.state import UNREADABLE, State, pack, unpack
from livesr.text import made_printable, printable
from livesr.whole_file import write_whole

SUFFIX = ".livesr-profile"
MOST_EXAMPLES = 400
LEAST_SPEECH_SECONDS = 0.5  # in an example
LONGEST_SECONDS = 600.0  # of sound in an example
_LONGEST_SOURCE = 120
_LONGEST_NAME = 100
_LARGEST_BYTES = 4 * 2**20
_HOP_SAMPLES = SAMPLE_RATE // 4
_HIGHEST_PITCH = 1000.0  # Hz, in a file
# Mean difference in pitch between two examples of one label, in semitones, by the number of labels
# with two examples or more; `export.profiles --voices` measures both.
_FARTHEST_SEMITONES = 12.0  # one pair counts no more: an octave may be an error of the estimate
# More is refused: about one real voice in a hundred. One label alone says too little.
_ANOTHER_VOICE = (math.inf, 9.5, 8.0, 6.5)
_DOUBTFUL = (9.0, 7.5, 7.0, 6.0)  # more is warned of: about one real voice in fifteen


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One labelled piece of a voice, as vectors; its sound is not kept and cannot be had back.

    Attributes:
        label: what it was.
        context: c of eq. (5), mean over its speech, float16 [context size].
        logs: log-probabilities as the network gave them, the same mean, float16 [labels].
        seconds: of speech.
        source: where it is from, in a few words.
        pitch: its median fundamental frequency, in Hz; 0 where it is not known, as in
            corrections and in files of earlier versions.
    """

    label: str
    context: Array
    logs: Array
    seconds: float
    source: str = ""
    pitch: float = 0.0

    def same(self, other: Example) -> bool:
        """Whether it is of the same sound, with the same label."""
        return self.label == other.label and all(
            np.array_equal(own, theirs)
            for own, theirs in ((self.context, other.context), (self.logs, other.logs))
        )


@dataclass(frozen=True, slots=True)
class Expectation:
    """How good a profile expects to be: each example judged by a fit without it.

    Attributes:
        uar: mean over the labels of the share judged rightly.
        error: one standard error of it.
        examples: how many were judged.
        chance: what guessing would have.
    """

    uar: float
    error: float
    examples: int
    chance: float

    def __str__(self) -> str:
        return (
            f"expects to be right in {self.uar:.0%}, give or take {100 * self.error:.0f} points "
            f"(standard error; guessing: {self.chance:.0%}), on its {self.examples} examples"
        )


class Profile:
    """What livesr knows of one voice: labelled examples, as vectors, never sound.

    Labels are the model's, or words of your own: as soon as one is not the model's, the labels
    that are judged are exactly the profile's.

    Args:
        model: name of a bundled model or path of a livesr .onnx file; None is the default.
        name: what readings call it.

    Attributes:
        name: as given; once it was loaded or saved, the file's name without the ending.
        examples: in the order in which they were added.
        created: when the first example was added, or it was first saved, ISO 8601, UTC.
        changed: when `add` or `remove` last changed it, or `add_to_file` its file.

    Raises:
        ModelError: if the model cannot be used.

    Example:
        >>> import livesr
        >>> profile = livesr.Profile(name="me")
        >>> profile
        Profile('me', no examples, model acrnn-whisper)
    """

    def __init__(self, model: str | Path | None = None, *, name: str = "profile") -> None:
        self._begin(load_model(model), name)

    def _begin(self, model: Model, name: str) -> None:
        if not isinstance(name, str):
            raise ProfileError(f"A profile's name is a text, not {name!r:.60}.")
        self.model, self.identity = model.reference, model.identity
        self.model_labels = model.info.labels
        self._context_size = model.context_size
        self.name = _shown(name)
        self.examples: tuple[Example, ...] = ()
        self.created = self.changed = ""

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {label}" for label, count in self.counts.items())
        return f"Profile({self.name!r}, {counts or 'no examples'}, model {self.model})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it has examples of, in the order in which they came."""
        return tuple(self.counts)

    @property
    def counts(self) -> dict[str, int]:
        """label -> how many examples."""
        return dict(Counter(example.label for example in self.examples))

    @property
    def judged(self) -> tuple[str, ...]:
        """The labels that a Recognizer with this profile judges."""
        own = any(label not in self.model_labels for label in self.labels)
        return self.labels if own else self.model_labels

    def add(
        self,
        label: str,
        samples: ArrayLike,
        sample_rate: int = SAMPLE_RATE,
        source: str = "",
        *,
        any_voice: bool = False,
    ) -> Example:
        """Add one example.

        Args:
            label: what it is: one of the model's labels or a word of your own.
            samples: as for `Recognizer.push`, [n] or [n, channels]; a sentence or two.
            sample_rate: in Hz, 8000 to 192000.
            source: where it is from, in a few words.
            any_voice: take it even if its pitch says that it is another person's.

        Raises:
            ProfileError: if the label cannot be one, there are too many, there is less than half a
                second of speech, or the examples are plainly of two voices; see `doubt`. The
                profile is then as before.
            AudioError: if the samples or the rate cannot be used.
            ModelError: if the profile's model cannot be had any more.

        Example:
            >>> import soundfile
            >>> profile = Profile()
            >>> profile.add("happy", *soundfile.read("talk.flac")).label
            'happy'
        """
        from livesr.stages.pitch import pitch  # noqa: PLC0415  (SciPy: only where a voice is added)

        label = check_label(label)
        if not isinstance(source, str):
            raise ProfileError(f"A source is a text, not {source!r:.60}.")
        self.check_room(label)  # before the model hears it all
        model = self.load_model()
        with np.errstate(all="ignore"):  # a program may have made underflows errors
            sound = _resampled(samples, sample_rate)
            context, logs, seconds = summary(model, sound)
            height = pitch(HighPass().push(sound))
        example = Example(
            label,
            _half(context),
            _half(logs),
            seconds,
            made_printable(source)[:_LONGEST_SOURCE],
            height,
        )
        before = two_voices(self.examples)
        if not any_voice and (apart := two_voices((*self.examples, example))) > before:
            raise ProfileError(
                f"With this one the examples are of two voices: those of one label are {apart:.0f} "
                f"semitones apart in pitch (this one: {height:.0f} Hz). Enrol one person in a "
                "profile; if it is one, say so (--any-voice, any_voice=True)."
            )
        self.append(example)
        self._touch()
        return example

    def doubt(self) -> str:
        """Why the examples may be of two voices; empty where nothing says so.

        Examples of one label are compared by their pitch. Two people of like pitch are not told
        apart, nor is who spoke all examples of a label.

        Example:
            >>> Profile().doubt()
            ''
        """
        if apart := doubtful(self.examples):
            return (
                f"Examples of one label are {apart:.0f} semitones apart in pitch: are all of one "
                "voice?"
            )
        return ""

    def append(self, example: Example) -> None:
        """Add an example that was made elsewhere, with the same model. Reads no clock.

        Raises:
            ProfileError: as `add`.
        """
        _check(example, self._context_size, len(self.model_labels))
        self.check_room(example.label)
        self.examples += (example,)

    def check_room(self, label: str) -> None:
        """Refuse one more example of a label where there is no room for it.

        Raises:
            ProfileError: if there is none.
        """
        if len(self.examples) >= MOST_EXAMPLES:
            raise ProfileError(
                f"{self.name} holds {MOST_EXAMPLES} examples, as many as a profile may; "
                "remove some first (`livesr profiles NAME --remove`)."
            )
        if label not in self.labels and len(self.labels) >= MOST_LABELS:
            raise ProfileError(
                f"{self.name} holds {MOST_LABELS} labels, as many as it may; remove one first "
                "(`livesr profiles NAME --remove --label LABEL`)."
            )

    def remove(self, label: str, number: int | None = None) -> None:
        """Forget examples.

        Args:
            label: of which label.
            number: which of them, from 1; None is all of them.

        Raises:
            ProfileError: if there is none.
        """
        label = check_label(label)
        places = [i for i, example in enumerate(self.examples) if example.label == label]
        if number is not None:
            whole = isinstance(number, (int, np.integer)) and number >= 1
            places = places[number - 1 : number] if whole else []
        if not places:
            which = "such example" if number is None else f"example {number!r:.20}"
            raise ProfileError(
                f"{self.name} has no {which} of {label[:LONGEST_LABEL]!r}; it has "
                f"{', '.join(f'{n} {label}' for label, n in self.counts.items()) or 'none'}."
            )
        self.examples = tuple(e for i, e in enumerate(self.examples) if i not in places)
        self._touch()

    def pop(self) -> Example:
        """Forget the newest example.

        Raises:
            ProfileError: if there is none.
        """
        if not self.examples:
            raise ProfileError(f"{self.name} has no examples.")
        last, self.examples = self.examples[-1], self.examples[:-1]
        return last

    def _touch(self) -> None:
        # The only clock here; a Recognizer never comes by: `append` and `pop` do without.
        self.changed = f"{np.datetime64('now')}Z"
        self.created = self.created or self.changed

    def copy(self) -> Profile:
        """Another with the same examples."""
        return Profile.from_state(self.state())

    def load_model(self) -> Model:
        """The model that the examples were made with.

        Raises:
            ModelError: if it cannot be had.
            ProfileError: if what bears its name is another now.
        """
        model = load_model(self.model)
        self.check_model(model)
        return model

    def check_model(self, model: Model) -> None:
        """Refuse any model but the one that the examples were made with.

        Raises:
            ProfileError: naming both; or if it says other things of the model than are true.
        """
        if model.identity != self.identity:
            raise ProfileError(
                f"The profile {self.name} was made with the model {self.model} "
                f"({self.identity[:8]}), not with {model.source} ({model.identity[:8]}): its "
                "vectors say nothing to another. Use that model, or enrol again with this one."
            )
        if (self.model_labels, self._context_size) != (model.info.labels, model.context_size):
            raise ProfileError(
                f"The profile {self.name} has other labels or vectors than its model "
                f"{model.source}; enrol again."
            )

    def known_voice(self, sharpness: float = 1.0) -> KnownVoice | None:
        """The classifier of its examples; None where they change nothing.

        Without examples they do not; nor do those of one label, where the model's labels are not
        angry, happy, neutral and sad.

        Args:
            sharpness: of the model's decision settings.

        Raises:
            ProfileError: if its labels are words of your own and there is only one.
        """
        return self._fit(self.examples, sharpness)

    def _fit(self, examples: Sequence[Example], sharpness: float = 1.0) -> KnownVoice | None:
        labels = self.judged
        if len(labels) < 2:
            raise ProfileError(
                f"{self.name} has examples of {labels[0]!r} alone, which leaves nothing to tell "
                "apart; add examples of another label."
            )
        if not examples or (len({e.label for e in examples}) < 2 and labels != LABELS):
            return None
        return KnownVoice(
            np.stack([example.context for example in examples]).astype(np.float64),
            np.stack([example.logs for example in examples]).astype(np.float64),
            [labels.index(example.label) for example in examples],
            labels,
            self.model_labels,
            sharpness,
        )

    def expectation(self) -> Expectation | None:
        """How good it expects to be; None where fewer than two labels have two examples."""
        counts = self.counts
        kept = [label for label in self.labels if counts[label] > 1]
        if len(kept) < 2:
            return None
        right: dict[str, list[bool]] = {label: [] for label in kept}
        labels = self.judged
        for place, example in enumerate(self.examples):
            if example.label in right:
                voice = self._fit(self.examples[:place] + self.examples[place + 1 :])
                assert voice is not None
                logs = example.logs.astype(np.float64)
                shares = voice.push(example.context.astype(np.float64), np.exp(logs))
                right[example.label].append(labels[int(shares.argmax())] == example.label)
        # Rule of succession: two right out of two are no certainty.
        rates = {k: (sum(v) + 1) / (len(v) + 2) for k, v in right.items()}
        variance = sum(p * (1 - p) / len(right[k]) for k, p in rates.items()) / len(kept) ** 2
        uar = float(np.mean([np.mean(v) for v in right.values()]))
        judged = sum(map(len, right.values()))
        return Expectation(uar, float(np.sqrt(variance)), judged, 1 / len(labels))

    def state(self) -> State:
        """All of it, as plain values and arrays."""
        size, labels = self._context_size, len(self.model_labels)
        contexts = [example.context for example in self.examples]
        logs = [example.logs for example in self.examples]
        return {
            "name": self.name,
            "model": self.model,
            "identity": self.identity,
            "model_labels": list(self.model_labels),
            "created": self.created,
            "changed": self.changed,
            "labels": [example.label for example in self.examples],
            "seconds": [example.seconds for example in self.examples],
            "sources": [example.source for example in self.examples],
            "pitches": [example.pitch for example in self.examples],
            "context": np.array(contexts, np.float16).reshape(len(contexts), size),
            "logs": np.array(logs, np.float16).reshape(len(logs), labels),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Profile:
        """The inverse of `state`.

        Raises:
            ProfileError: if it is not what `state` gives.
        """
        profile = cls.__new__(cls)
        try:
            for name in ("name", "model", "identity", "created", "changed"):
                if not isinstance(state[name], str) or len(state[name]) > 4096:
                    raise ValueError(name)
                setattr(profile, name, made_printable(state[name]))
            profile.name = _shown(profile.name)
            profile.model_labels = tuple(map(check_label, state["model_labels"]))
            if len(set(profile.model_labels)) < len(profile.model_labels):
                raise ValueError("a label that is there twice")
            contexts, logs = state["context"], state["logs"]
            labels, seconds, sources = state["labels"], state["seconds"], state["sources"]
            pitches = state.get("pitches", [0.0] * len(labels))  # 0.2.0 wrote none
            rows = list(zip(labels, contexts, logs, seconds, sources, pitches, strict=True))
            if len(rows) > MOST_EXAMPLES or not 2 <= len(profile.model_labels) <= MOST_LABELS:
                raise ValueError("too many examples or labels")
            if not all(type(number) in (int, float) for number in (*seconds, *pitches)):
                raise ValueError("a length or a pitch that is no number")
            if logs.shape[1] != len(profile.model_labels):
                raise ValueError("vectors of other labels")
            profile._context_size = int(contexts.shape[1])
            profile.examples = tuple(
                Example(label, context.copy(), row.copy(), float(spoken), source, float(height))
                for label, context, row, spoken, source, height in rows
            )
            for example in profile.examples:
                _check(example, profile._context_size, len(profile.model_labels))
            if len(profile.labels) > MOST_LABELS:
                raise ValueError("too many labels")
        except UNREADABLE as error:
            raise ProfileError(f"It is no profile of livesr's ({error!s:.200}).") from None
        return profile

    def to_bytes(self) -> bytes:
        """As in a file; see docs/profiles.md for the format."""
        return pack(self.state(), "profile")

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "This") -> Profile:
        """The inverse of `to_bytes`.

        Raises:
            ProfileError: if it is not, naming `what`.
        """
        try:
            return cls.from_state(unpack(data, "profile"))
        except (ModelError, ProfileError) as error:
            raise ProfileError(f"{what} cannot be used as a profile: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write it to a file, whole or not at all.

        Raises:
            ProfileError: if it cannot be written; what was there before is as it was.
        """
        if not self.changed:
            self._touch()
        try:
            _check_named(path)
            path = Path(path)
            write_whole(path, self.to_bytes(), private=True)
        except (OSError, TypeError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ProfileError(
                f"{path} cannot be written ({why}); the profile there, if any, is as "
                "it was. Save it elsewhere, or make room."
            ) from None
        self.name = _shown(path.name.removesuffix(SUFFIX))

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Read a file that `save` wrote.

        Raises:
            ProfileError: if it cannot be read, or is not one.

        Example:
            >>> Profile(name="me").save("me.livesr-profile")
            >>> Profile.load("me.livesr-profile").name
            'me'
        """
        try:
            _check_named(path)
            path = Path(path)
            if not stat.S_ISREG(path.stat().st_mode):  # a device may never end, a pipe never begin
                raise ProfileError(f"The profile {path} is not a file.")
            with path.open("rb") as file:
                data = file.read(_LARGEST_BYTES + 1)
            if len(data) > _LARGEST_BYTES:
                raise ProfileError(f"{path} is too large to be a profile of livesr's.")
        except FileNotFoundError:
            raise ProfileError(
                f"There is no file {path}. Give the path of a profile (`livesr profiles NAME` "
                "shows it); `livesr enrol NAME` makes one."
            ) from None
        except (OSError, TypeError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ProfileError(
                f"The profile {path} cannot be read ({why}); make one with `livesr enrol`."
            ) from None
        profile = cls.from_bytes(data, str(path))
        profile.name = _shown(path.name.removesuffix(SUFFIX))
        return profile


def check_label(label: object) -> str:
    """A label, if it can be one, in Unicode's composed form: what looks alike is one label.

    Raises:
        ProfileError: if it cannot.
    """
    if isinstance(label, str) and len(label) <= 4 * LONGEST_LABEL:
        composed = unicodedata.normalize("NFC", label)
        if printable(composed, LONGEST_LABEL) and composed == composed.strip():
            return composed
    raise ProfileError(
        f"{label!r:.60} cannot be a label; give a word of 1 to {LONGEST_LABEL} printable "
        "characters."
    )


def _check_named(path: object) -> None:
    """Refuse an empty path, which `Path` takes for the folder one is in.

    Raises:
        ProfileError: if it is.
    """
    if path == "":
        raise ProfileError("The name of the profile's file is empty; name one.")


def _shown(name: str) -> str:
    """A profile's name as readings bear it; a file's may be longer, or nothing but its ending."""
    return made_printable(name)[:_LONGEST_NAME] or "profile"


def _check(example: Example, size: int, labels: int) -> None:
    check_label(example.label)
    for values, length in ((example.context, size), (example.logs, labels)):
        if not (
            isinstance(values, np.ndarray)
            and values.shape == (length,)
            and values.dtype == np.float16
            and np.isfinite(values).all()
        ):
            raise ProfileError("An example's vectors are not those of the profile's model.")
    source = example.source
    if not (
        isinstance(source, str)
        and len(source) <= _LONGEST_SOURCE
        and made_printable(source) == source
    ):
        raise ProfileError("An example's source cannot be.")
    if not 0 <= example.seconds <= LONGEST_SECONDS:
        raise ProfileError("An example's length cannot be.")
    if not 0 <= example.pitch <= _HIGHEST_PITCH:
        raise ProfileError("An example's pitch cannot be.")


def two_voices(examples: Iterable[Example]) -> float:
    """How far examples of one label are apart in pitch, in semitones; 0 if not plainly too far."""
    return _apart(examples, _ANOTHER_VOICE)


def doubtful(examples: Iterable[Example]) -> float:
    """The same with a lower limit; 0 if nothing says that there are two voices."""
    return _apart(examples, _DOUBTFUL)


def _apart(examples: Iterable[Example], limits: Sequence[float]) -> float:
    """Mean over pairs of examples of a label, then over labels, if it is above the limit."""
    pitches: dict[str, list[float]] = {}
    for example in examples:
        if example.pitch:
            pitches.setdefault(example.label, []).append(12 * np.log2(example.pitch))
    means = []
    for of in pitches.values():
        if len(of) > 1:
            pairs = np.abs(np.subtract.outer(of, of))[np.triu_indices(len(of), 1)]
            means.append(float(np.minimum(pairs, _FARTHEST_SEMITONES).mean()))
    if not means:
        return 0.0
    apart = float(np.mean(means))
    return apart if apart > limits[min(len(means), len(limits)) - 1] else 0.0


def _resampled(samples: ArrayLike, sample_rate: int) -> Float32:
    """At 16 kHz, mono.

    Raises:
        ProfileError: if it is too long.
        AudioError: if the samples or the rate cannot be used.
    """
    mono, rate = as_mono(samples), check_rate(sample_rate)
    if len(mono) > LONGEST_SECONDS * rate:
        raise ProfileError(
            f"An example takes {LONGEST_SECONDS:.0f} s at most; give a sentence or two."
        )
    resampler = InputResampler(SAMPLE_RATE)
    return np.concatenate((resampler.push(mono, rate), resampler.finish()))


def summary(model: Model, sound: Float32) -> tuple[Float32, Float64, float]:
    """c of eq. (5) and the log-probabilities, means over the speech of a sound, and its seconds.

    A reading every 250 ms, as a Recognizer would give it; each weighs by the square of the
    speech in its window, as it does in the decision.

    Args:
        model: that listens.
        sound: float32 [n] at 16 kHz, mono.

    Raises:
        ProfileError: if there is too little speech.
    """
    # As in `Recognizer`, SciPy is imported with the first sound, not with every profile.
    from livesr.stages.frontend import FrontEnd  # noqa: PLC0415

    settings = model.info.decision
    high_pass, vad = HighPass(), VoiceActivity()
    info = model.info
    front_end = FrontEnd(info.front_end, info.mean, info.deviation, info.encoder)
    network = ModelStream(model)
    recent = np.zeros(0, np.bool_)
    blocks = round(model.window_seconds * SAMPLE_RATE / BLOCK_SAMPLES)
    weights, contexts, logs, seconds = [], [], [], 0.0
    for start in range(0, len(sound), _HOP_SAMPLES):
        hop = high_pass.push(sound[start : start + _HOP_SAMPLES])
        spoken = vad.push(hop) > np.float32(settings.speech_threshold)
        network.push(front_end.push(hop, spoken))
        if start + _HOP_SAMPLES >= len(sound):
            network.push(front_end.finish())
            network.finish()
        recent = np.concatenate((recent, spoken))[-blocks:]
        seconds += float(np.count_nonzero(spoken)) * BLOCK_SAMPLES / SAMPLE_RATE
        weights.append(float(np.count_nonzero(recent)) ** 2 if spoken.any() else 0.0)
        contexts.append(network.context)
        logs.append(log_probabilities(network.probabilities))
    if seconds < LEAST_SPEECH_SECONDS:
        raise ProfileError(
            f"There are {seconds:.1f} s of speech in it, an example needs {LEAST_SPEECH_SECONDS}; "
            "speak up, or speak longer."
        )
    shares = np.array(weights) / sum(weights)
    context = (shares @ np.stack(contexts)).astype(np.float32)
    return context, shares @ np.stack(logs), seconds


def log_probabilities(probabilities: Float32) -> Float64:
    """Of a network's probabilities [labels], float64 [labels]; none is minus infinity."""
    shares = probabilities.astype(np.float64)
    logs: Float64 = np.log(np.maximum(shares / shares.sum(), LEAST_PROBABILITY))
    return logs


def empty_profile(model: Model, name: str) -> Profile:
    """One for a model that is loaded already; the model's file may be gone by now."""
    profile = Profile.__new__(Profile)
    profile._begin(model, name)
    return profile


def as_profile(profile: Profile | str | Path) -> Profile:
    """A profile, or the file of one."""
    return profile if isinstance(profile, Profile) else Profile.load(profile)


def taught(
    label: str, context: Float32, probabilities: Float32, seconds: float, at: float
) -> Example:
    """An example of a stream's last seconds."""
    logs = log_probabilities(probabilities)
    return Example(label, _half(context), _half(logs), seconds, f"corrected at {at:.2f} s")


def _half(values: Array) -> Array:
    return values.astype(np.float16)
