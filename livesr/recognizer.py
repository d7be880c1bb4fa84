"""`Recognizer`: samples in, readings out. No input or output, no thread, no clock.

But for one: while the first Recognizer of a process is made, a thread opens its model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from livesr.arrays import Bool, Float32, Float64
from livesr.errors import AudioError, LivesrError, ModelError, ProfileError
from livesr.model.load import load_model, opening
from livesr.profile import Profile, as_profile, check_label, empty_profile, taught
from livesr.reading import Reading
from livesr.settings import HOP_SECONDS, MOST_CHANNELS, SAMPLE_RATE
from livesr.stages.adaptation import Adaptation
from livesr.stages.decision import Decision
from livesr.stages.evidence import Evidence, distance_factor, tempered
from livesr.stages.highpass import HighPass
from livesr.stages.hops import HopCutter
from livesr.stages.model_stream import ModelStream
from livesr.stages.resample import InputResampler
from livesr.stages.samples import as_mono, check_gap, check_rate, shaped
from livesr.stages.vad import BLOCK_SAMPLES, VoiceActivity
from livesr.state import UNREADABLE, State, pack, unpack

_SILENT_DBFS = -120.0
_LEAST_TAUGHT_SECONDS = 1.0  # of speech in the window
CORRECTIONS = "corrections"  # the profile of a voice of which nothing was known
_BLOCK_SECONDS = BLOCK_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Hop:
    """A hop before the network.

    Attributes:
        samples: float32 [n] at 16 kHz, after the high-pass.
        speech: probability of speech of each block that it completed, float32 [blocks].
        spoken: whether each of them is speech, bool [blocks].
        features: the frames that it completed, as `FrontEnd` gives them, float32 [m, ...].
    """

    samples: Float32
    speech: Float32
    spoken: Bool
    features: Float32


class Recognizer:
    """Takes one voice's stream and says, every hop, which emotion it carries.

    Hops are counted from the stream's first sample, so readings are bit for bit the same however
    the samples were cut. Recognizers share the model and nothing else: each may run in another
    thread, but one Recognizer belongs to one thread at a time.

    The way of a sample: resample -> hop -> high-pass -> voice activity -> log-mel, eq. (1)
    -> level -> standardise -> deltas, eq. (2) and eq. (3) -> network with attention, eq. (4) and
    eq. (5) -> a profile's classifier, if there is one -> evidence -> adaptation -> distance from
    the training clips -> decision -> `Reading`.

    Args:
        model: name of a bundled model or path of a livesr .onnx file; None is the default.
        hop: seconds between readings, a multiple of 0.01 from 0.02 to 3.
        profile: of the voice, or its file; then `model=None` is the profile's model. It is not
            changed: corrections go into a copy, `profile`.
        adapt: take out what the voice always sounds like; see `livesr.stages.adaptation`. A
            profile with examples of all labels, or of all but one, knows that already, and
            nothing more is.

    Attributes:
        labels: what is judged, in the order of a reading's probabilities: the model's emotions,
            or a profile's own words.
        hop: seconds between readings.

    Raises:
        ModelError: if the model cannot be used.
        ProfileError: if the profile cannot be used, or is one of another model.
        LivesrError: if the hop is not one of those.

    Example:
        >>> import numpy as np
        >>> recognizer = Recognizer()
        >>> [reading.status for reading in recognizer.push(np.zeros(8000, np.float32))]
        ['warming-up', 'warming-up']
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        hop: float = HOP_SECONDS,
        profile: Profile | str | Path | None = None,
        adapt: bool = True,
    ) -> None:
        given = None if profile is None else as_profile(profile).copy()
        if given is not None and model is None:
            model = given.model
        with opening(model):
            # Late: SciPy takes longer to import than a model to open, so both are done at once.
            import livesr.stages.frontend  # noqa: F401, PLC0415
        if not isinstance(adapt, (bool, np.bool_)):
            raise LivesrError(f"adapt is {adapt!r:.60}; give True or False.")
        self._model = load_model(model)
        self.labels: tuple[str, ...] = self._model.info.labels
        self._adapt = bool(adapt)
        self._threshold = np.float32(self._model.info.decision.speech_threshold)
        self._make_stages(hop)
        self._use(given)
        self.reset()

    def _make_stages(self, hop: float) -> None:
        from livesr.stages.frontend import FrontEnd  # noqa: PLC0415  (see __init__)

        info = self._model.info
        self._resampler = InputResampler(SAMPLE_RATE)
        self._cutter = HopCutter(hop, info.front_end, self._model.window_seconds)
        self.hop = self._cutter.hop_samples / SAMPLE_RATE
        self._high_pass = HighPass()
        self._vad = VoiceActivity()
        self._front_end = FrontEnd(info.front_end, info.mean, info.deviation, info.encoder)
        self._network = ModelStream(self._model)
        self._evidence = Evidence(info.decision, _BLOCK_SECONDS)
        self._make_decision()

    def _use(self, profile: Profile | None, taught_examples: int = 0) -> None:
        """Judge by this profile from now on."""
        if profile is not None:
            profile.check_model(self._model)
        # All of it before anything is changed: a profile that cannot be used changes nothing.
        sharpness = self._model.info.decision.known_sharpness
        known = profile.known_voice(sharpness) if profile is not None else None
        labels = profile.judged if profile is not None else self._model.info.labels
        self._profile, self._known, self._taught = profile, known, taught_examples
        if labels != self.labels:
            self.labels = labels
            self._make_decision()

    def _make_decision(self) -> None:
        settings = self._model.info.decision
        self._adaptation = Adaptation(settings, len(self.labels), self.hop)
        self._decision = Decision(settings, len(self.labels), _BLOCK_SECONDS)

    def __repr__(self) -> str:
        return (
            f"Recognizer({self._model.info.name!r}, labels={'/'.join(self.labels)}, "
            f"hop={self.hop:g} s, position={self.position / SAMPLE_RATE:.2f} s)"
        )

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(
            "A Recognizer cannot be copied or pickled. Save its stream with state() and "
            "continue it in another Recognizer with restore()."
        )

    def reset(self, *, start: float = 0.0) -> None:
        """Forget the stream: what follows is a new one.

        Args:
            start: seconds of stream time at which the next one begins, to a 16 kHz sample.

        Raises:
            AudioError: if it cannot be a time. Nothing is forgotten then.

        Example:
            >>> import numpy as np
            >>> recognizer = Recognizer()
            >>> recognizer.reset(start=60)
            >>> recognizer.push(np.zeros(4000))[0].end
            60.25
        """
        self._cutter.reset(start)
        for stage in (
            self._resampler,
            self._high_pass,
            self._vad,
            self._front_end,
            self._network,
            self._evidence,
            self._adaptation,
            self._decision,
        ):
            stage.reset()
        self._speech = 0.0
        self._channels = 0  # of the newest samples that had an axis of them
        self._finished = False
        self._failed = False

    @property
    def profile(self) -> Profile | None:
        """What is known of the voice, corrections included; a copy. None where nothing is."""
        return self._profile.copy() if self._profile is not None else None

    def teach(self, label: str) -> None:
        """Correct: what was said in the last 3 s was this. Counts from the next reading on.

        It becomes an example in `profile`. `reset()` keeps it.

        Args:
            label: one of `labels`.

        Raises:
            ProfileError: if it is not, there was less than 1 s of speech in the last 3 s, or the
                profile is full. Nothing is changed then.
            ModelError: if the network has failed.

        Example:
            >>> import soundfile
            >>> recognizer = Recognizer()
            >>> _ = recognizer.push(*soundfile.read("talk.flac"))
            >>> recognizer.teach("happy")
            >>> recognizer.profile.counts
            {'happy': 1}
            >>> recognizer.untaught()
            >>> recognizer.profile is None
            True
        """
        self._refuse_failed()
        label = check_label(label)
        if label not in self.labels:
            raise ProfileError(
                f"{label!r:.60} is not judged here; correct to one of {', '.join(self.labels)}."
            )
        spoken = self._decision.spoken_seconds
        if spoken < _LEAST_TAUGHT_SECONDS:
            raise ProfileError(
                f"There were {spoken:.1f} s of speech in the last 3 s, a correction needs "
                f"{_LEAST_TAUGHT_SECONDS:g}; correct while you speak, or just after."
            )
        network, at = self._network, self.position / SAMPLE_RATE
        profile = self.profile or empty_profile(self._model, CORRECTIONS)
        profile.append(taught(label, network.context, network.probabilities, spoken, at))
        self._use(profile, self._taught + 1)

    def untaught(self) -> None:
        """Take the last correction back.

        Raises:
            ProfileError: if there is none.
        """
        if not self._taught or self._profile is None:
            raise ProfileError("There is no correction to take back.")
        profile = self._profile.copy()
        profile.pop()
        empty = not profile.examples and profile.name == CORRECTIONS
        self._use(None if empty else profile, self._taught - 1)

    @property
    def position(self) -> int:
        """Stream time of the newest sample that readings can use, in 16 kHz samples.

        At other rates than 16 kHz, the resampler keeps what was pushed last (0.12 s at most).
        """
        return self._cutter.now

    @property
    def due(self) -> int:
        """Stream time at which the next reading ends, in 16 kHz samples."""
        return self._cutter.due

    def push(
        self, samples: ArrayLike, sample_rate: int = SAMPLE_RATE, *, channel: int | None = None
    ) -> list[Reading]:
        """Take some samples.

        Args:
            samples: float32 in [-1, 1] or int16 (float64 and int32 too), [n] or
                [n, channels]; or bytes: int16, little-endian, mono. Any n, also 0.
            sample_rate: in Hz, 8000 to 192000; the same for the whole stream.
            channel: the only channel to use, counted from 1; None averages all.

        Returns:
            The readings that came due, oldest first; often none.

        Raises:
            AudioError: if the samples or the rate cannot be used. The stream is then as if
                they had not been given.
            ModelError: if the network fails. The stream then has to be `reset()`.

        Example:
            >>> import numpy as np
            >>> recognizer = Recognizer()
            >>> packets = [np.zeros(960, np.int16)] * 25  # 20 ms each at 48 kHz
            >>> [reading.end for packet in packets for reading in recognizer.push(packet, 48000)]
            [0.25]
        """
        return self._read(self._hops(samples, sample_rate, channel))

    def skip(self, count: int, sample_rate: int = SAMPLE_RATE) -> list[Reading]:
        """Go on after `count` samples that were lost: a dropped packet, a muted microphone.

        The clock moves by them, and their readings are marked. They count as silence. Of a long
        gap only the first seconds do, a little more than the window; then the clock moves on by
        whole hops without readings.

        Args:
            count: samples at `sample_rate`, 0 or more.
            sample_rate: as for `push`.

        Returns:
            The readings that came due, oldest first.

        Raises:
            AudioError: if the count or the rate cannot be used.
            ModelError: as for `push`.

        Example:
            >>> [(reading.end, reading.gap) for reading in Recognizer().skip(12000, 48000)]
            [(0.25, 0.25)]
        """
        count = check_gap(count)
        rate = self._checked(sample_rate)
        if not count:
            return []  # what the resampler holds back is no gap
        with _own_arithmetic():
            held_back = self._resampler.skip(count, rate)
        readings = self._read(self._cut(held_back))
        target = self._cutter.start + self._resampler.passed
        lost = max(0, target - self.position)
        silence = self.silence_of(lost)
        readings += self._read(self._cut(np.zeros(silence, np.float32), lost=True))
        self._cutter.jump(lost - silence)
        return readings

    def silence_of(self, lost: int) -> int:
        """How many of `lost` 16 kHz samples count as silence; the others are whole hops."""
        return self._cutter.silence_of(lost)

    def finish(self) -> list[Reading]:
        """End the stream: a last reading for what is left of a hop, or of a long gap, if anything.

        After it, `reset()` begins a new stream; calling it twice gives nothing more.

        Raises:
            ModelError: as for `push`, where the network fails now; after that it gives nothing.

        Example:
            >>> import numpy as np
            >>> recognizer = Recognizer()
            >>> [reading.end for reading in recognizer.push(np.zeros(5600)) + recognizer.finish()]
            [0.25, 0.35]
        """
        if self._finished or self._failed:
            return []
        with _own_arithmetic():
            held_back = self._resampler.finish()
        readings = self._read(self._cut(held_back))
        self._finished = True
        rest = self._cutter.finish()
        if len(rest) or self._cutter.lost:  # also for the end of a long gap
            with self._failing():
                hop = self._prepare(rest)
                self._network.push(hop.features)
                self._network.push(self._front_end.finish())
                self._network.finish()
                readings.append(self._reading(hop))
        return readings

    def state(self) -> bytes:
        """All that the stream keeps in memory, to continue it elsewhere with `restore`.

        It holds some seconds of a voice: protect it like a recording. After `finish` it holds the
        clock and the profile alone, so that nothing can be taught from it.

        Raises:
            ModelError: if the network has failed.

        Example:
            >>> import numpy as np
            >>> recognizer = Recognizer()
            >>> _ = recognizer.push(np.zeros(6000))
            >>> elsewhere = Recognizer()
            >>> elsewhere.restore(recognizer.state())
            >>> elsewhere.push(np.zeros(2000)) == recognizer.push(np.zeros(2000))
            True
        """
        self._refuse_failed()
        own = {
            "model": self._model.identity,
            "model_name": self._model.info.name,
            "hop_samples": self._cutter.hop_samples,
            "speech": self._speech,
            "finished": self._finished,
            "adapt": self._adapt,
            "profile": self._profile.state() if self._profile is not None else None,
            "taught": self._taught,
            "channels": self._channels,
            "cutter": self._cutter.state(),
        }
        return pack(own if self._finished else own | self._stage_states())

    def restore(self, state: bytes) -> None:
        """Continue the stream whose `state()` this is, with identical readings.

        Raises:
            ModelError: if the bytes are not a state, or one of another model or hop. The
                stream is then as before.

        Example:
            >>> recognizer = Recognizer()
            >>> recognizer.restore(Recognizer().state())
            >>> recognizer.position
            0
        """
        saved = unpack(state)
        before = vars(self).copy()
        try:
            self._check_same(saved)
            self._make_stages(self.hop)  # the old ones stay as they are, for `before`
            self._restore(saved)
        except UNREADABLE as error:
            vars(self).update(before)
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"The saved state cannot be used ({error!r:.200}); save it again with state()."
            ) from None

    def _check_same(self, saved: State) -> None:
        """Check that a state is of a Recognizer with this model and hop."""
        about = {
            "model": (
                f"{saved.get('model_name')!s:.80} ({str(saved.get('model'))[:8]})",
                f"{self._model.info.name} ({self._model.identity[:8]})",
                saved.get("model") == self._model.identity,
            ),
            "hop": (
                f"{saved.get('hop_samples')!s:.80} samples",
                f"{self._cutter.hop_samples} samples",
                saved.get("hop_samples") == self._cutter.hop_samples,
            ),
            "adaptation": (
                "off" if saved.get("adapt") is False else "on",
                "on" if self._adapt else "off",
                saved.get("adapt") is self._adapt,
            ),
        }
        for what, (theirs, ours, same) in about.items():
            if not same:
                raise ModelError(
                    f"This state was saved with the {what} {theirs}, this Recognizer has {ours}; "
                    "make a Recognizer like the one that saved it."
                )

    def _restore(self, saved: State) -> None:
        position, speech, finished = saved["cutter"]["position"], saved["speech"], saved["finished"]
        channels = saved.get("channels", 0)  # 0.2.0's first states have none
        if (
            type(finished) is not bool
            or not (type(speech) is float and 0 <= speech <= 1)
            or not (type(channels) is int and 0 <= channels <= MOST_CHANNELS)
        ):
            raise ModelError("The saved state cannot be used; save it again with state().")
        profile = None if saved["profile"] is None else Profile.from_state(saved["profile"])
        count = len(profile.examples) if profile is not None else 0
        if type(saved["taught"]) is not int or not 0 <= saved["taught"] <= count:
            raise ModelError("The saved state cannot be used; save it again with state().")
        self._use(profile, saved["taught"])
        if finished:
            self.reset()
            position = 0  # the last reading may cover less than a hop
        else:
            frames = self._front_end.given(position)
            hops = position // self._cutter.hop_samples
            self._resampler.restore(saved["resampler"], position)
            self._high_pass.restore(saved["high_pass"], position)
            self._vad.restore(saved["vad"], position)
            self._front_end.restore(saved["front_end"], position)
            self._network.restore(saved["network"], frames)
            self._evidence.restore(saved["evidence"], position // BLOCK_SAMPLES)
            self._adaptation.restore(saved["adaptation"], hops)
            self._decision.restore(saved["decision"], position // BLOCK_SAMPLES)
        self._cutter.restore(saved["cutter"], position)
        self._speech, self._finished, self._failed = speech, finished, False
        self._channels = channels

    def _stage_states(self) -> State:
        return {
            "resampler": self._resampler.state(),
            "high_pass": self._high_pass.state(),
            "vad": self._vad.state(),
            "front_end": self._front_end.state(),
            "network": self._network.state(),
            "evidence": self._evidence.state(),
            "adaptation": self._adaptation.state(),
            "decision": self._decision.state(),
        }

    def _checked(self, sample_rate: int) -> int:
        rate = check_rate(sample_rate)
        if self._finished:
            raise AudioError("This stream is finished; call reset() before pushing another.")
        self._refuse_failed()
        self._resampler.check(rate)
        return rate

    def _refuse_failed(self) -> None:
        if self._failed:
            raise ModelError("The network failed in this stream; call reset() to begin another.")

    def _hops(
        self, samples: ArrayLike, sample_rate: int, channel: int | None = None
    ) -> Iterator[Hop]:
        """The hops that samples complete, before the network; see `livesr.batch`.

        Whoever takes a hop pushes its features to the network and gives it to `_reading` before
        taking the next. The samples are checked at once; nothing else is done before the first
        hop is asked for.

        Raises:
            AudioError: as `push`.
        """
        array = shaped(samples, self._channels)
        with _own_arithmetic():
            mono = as_mono(array, channel, self._channels)
        rate = self._checked(sample_rate)
        channels = array.shape[1] if array.ndim == 2 and array.size else self._channels
        return self._resampled(mono, rate, channels)

    def _resampled(self, mono: Float32, rate: int, channels: int) -> Iterator[Hop]:
        self._channels = channels
        yield from self._cut(self._resampler.push(mono, rate))

    def _cut(self, samples: Float32, lost: bool = False) -> Iterator[Hop]:
        return map(self._prepare, self._cutter.push(samples, lost))

    def _prepare(self, samples: Float32) -> Hop:
        samples = self._high_pass.push(samples)
        speech = self._vad.push(samples)
        spoken = speech > self._threshold
        return Hop(samples, speech, spoken, self._front_end.push(samples, spoken))

    def _read(self, hops: Iterator[Hop]) -> list[Reading]:
        readings = []
        with self._failing():
            for hop in hops:
                self._network.push(hop.features)
                readings.append(self._reading(hop))
        return readings

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """An error in the midst of a hop leaves stages that disagree: only `reset` helps then."""
        try:
            with _own_arithmetic():
                yield
        except BaseException:
            self._failed = True
            raise

    def _reading(self, hop: Hop) -> Reading:
        """The reading of a hop whose features the network has taken; see `hops`."""
        samples, speech, spoken = hop.samples, hop.speech, hop.spoken
        if len(speech):
            self._speech = float(speech.mean())
        cutter = self._cutter
        lost, missing = cutter.cover(len(samples))
        end = (cutter.ahead + cutter.position) / SAMPLE_RATE
        probabilities = self._evidence.push(self._judged(), spoken)
        spoken_seconds = float(np.count_nonzero(spoken)) * _BLOCK_SECONDS
        adapted = self._adaptation.push(
            probabilities, spoken_seconds, self._relative(), self._evidence.factor
        )
        if self._adapt and not (self._known and self._known.complete):
            probabilities = adapted
        # A profile's examples are as far as its windows: its classifier allows for that.
        if self._known is None:
            settings = self._model.info.decision
            probabilities = tempered(
                probabilities, distance_factor(self._network.distance, settings)
            )
        verdict = self._decision.push(
            probabilities, spoken, cutter.position / SAMPLE_RATE, missing=missing
        )
        return Reading(
            start=max(cutter.start / SAMPLE_RATE, end - self._model.window_seconds),
            end=end,
            status=verdict.status,
            label=None if verdict.label is None else self.labels[verdict.label],
            reason=verdict.reason,
            probabilities=dict(zip(self.labels, probabilities.tolist(), strict=True)),
            smoothed=dict(zip(self.labels, verdict.smoothed.tolist(), strict=True)),
            attention=self._network.attention.copy(),
            attention_times=self._network.attention_times + cutter.ahead / SAMPLE_RATE,
            speech=self._speech,
            level_dbfs=_level_dbfs(samples),
            gap=lost / SAMPLE_RATE,
            profile=self._profile.name if self._profile is not None else None,
        )

    def _relative(self) -> Float64 | None:
        """The model's relative logits, float64 [labels], where they are of what is judged."""
        found = self._network.relative
        if found is None or self.labels != self._model.info.labels:
            return None
        return found.astype(np.float64)

    def _judged(self) -> Float64:
        """Probabilities of the window, float64 [labels]: the network's, or the known voice's."""
        network = self._network
        if self._known is None:
            probabilities = network.probabilities.astype(np.float64)
            return np.asarray(probabilities / probabilities.sum())
        if not network.attention.size:  # no sound yet
            return np.full(len(self.labels), 1 / len(self.labels))
        return self._known.push(
            network.context.astype(np.float64), network.probabilities.astype(np.float64)
        )


def _own_arithmetic() -> np.errstate:
    """Small numbers become 0, also where the program has made that an error for its own."""
    return np.errstate(all="ignore")


def _level_dbfs(samples: Float32) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(_SILENT_DBFS, 10 * math.log10(power)) if power else _SILENT_DBFS
