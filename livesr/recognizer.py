"""`Recognizer`: samples in, readings out. No input or output, no thread, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import livesr
from livesr.adaptation import Adaptation
from livesr.audio import as_mono, check_rate, in_words
from livesr.decision import Decision
from livesr.errors import AudioError, LivesrError, ModelError
from livesr.frontend import FrontEnd
from livesr.model import ModelStream, load_model
from livesr.reading import MOST_SECONDS, Reading
from livesr.resample import Resampler
from livesr.saved import check
from livesr.stage import Bool, Float32, Stage, State, pack, unpack
from livesr.voice import BLOCK_SAMPLES, VoiceActivity

_LONGEST_GAP = 10**13  # samples: so much at 96 kHz
_SILENT_DBFS = -120.0
_LONGEST_SILENCE_SECONDS = 4  # in place of a gap: more than a window, so that it holds no more


@dataclass(frozen=True, slots=True)
class Hop:
    """A hop's 16 kHz samples [n], voice activity and verdicts [blocks], features [m, bands, 3]."""

    samples: Float32
    speech: Float32
    spoken: Bool
    features: Float32


class Recognizer:
    """Hears one voice's stream and says, every hop, which emotion it carries.

    All work is done on a grid of hops counted from the stream's first sample, so readings are
    bit for bit the same however the samples were cut. Recognizers share the model and nothing
    else: each may run in its own thread, but one Recognizer belongs to one thread at a time.

    Args:
        model: name of a bundled model or path of a livesr .onnx file; None is the default.
        hop: seconds between readings, a multiple of 0.01 from 0.02 to 3.

    Raises:
        ModelError: if the model cannot be used.
        LivesrError: if the hop is not one of those.
    """

    def __init__(self, model: str | Path | None = None, *, hop: float = 0.25) -> None:
        self._model = load_model(model)
        info = self._model.info
        self._rate = info.front_end.sample_rate
        self._hop_samples = _hop_samples(hop, info.front_end.shift_samples, self._rate)
        self.labels: tuple[str, ...] = info.labels
        self.hop = self._hop_samples / self._rate
        self.voice = VoiceActivity()
        self.front_end = FrontEnd(info.front_end, info.mean, info.deviation)
        self.network = ModelStream(self._model)
        self.adaptation = Adaptation(info.decision, len(info.labels), self.hop)
        self.decision = Decision(info.decision, len(info.labels), BLOCK_SAMPLES / self._rate)
        self._threshold = np.float32(info.decision.speech_threshold)
        self.reset()

    def reset(self, *, start: float = 0.0) -> None:
        """Forget the stream: what follows is heard as by a new Recognizer.

        Args:
            start: seconds of stream time at which the next one begins, to a 16 kHz sample.

        Raises:
            AudioError: if it cannot be a time. Nothing is forgotten then.
        """
        if not (isinstance(start, (int, float)) and 0 <= start <= MOST_SECONDS):
            raise AudioError(
                f"A stream cannot start at {in_words(start)} s; give 0 to {MOST_SECONDS:.0f} s."
            )
        for stage in self._stages().values():
            stage.reset()
        self._resampler: Resampler | None = None
        self._input_rate = 0
        self._input = 0  # samples pushed or skipped, at the input's rate
        self._waiting: Float32 = np.zeros(0, np.float32)  # 16 kHz, less than a hop
        self._position = 0  # 16 kHz samples that readings have covered
        self._start = round(start * self._rate)  # 16 kHz samples of stream time before the first
        self._jumped = 0  # of them that long gaps moved the clock by, unheard
        self._lost = 0  # of them since the last reading that were not heard
        self._speech = 0.0
        self._finished = False

    @property
    def position(self) -> int:
        """Stream time of the newest sample heard or skipped, in 16 kHz samples."""
        return self._start + self._jumped + self._position + len(self._waiting)

    @property
    def due(self) -> int:
        """Stream time at which the next reading ends, in 16 kHz samples."""
        return self.position - len(self._waiting) + self._hop_samples

    def push(self, samples: Any, sample_rate: int = 16000) -> list[Reading]:
        """Hear some samples.

        Args:
            samples: float32 in [-1, 1] or int16 (float64 and int32 too), [n] or
                [n, channels]; channels are averaged. Any n, also 0.
            sample_rate: in Hz, 8000 to 192000; the same for the whole stream.

        Returns:
            The readings that came due, oldest first; often none.

        Raises:
            AudioError: if the samples or the rate cannot be heard. The stream is then as if
                they had not been given.
        """
        return self._heard(self.hops(samples, sample_rate))

    def skip(self, count: int, sample_rate: int = 16000) -> list[Reading]:
        """Go on after `count` samples that were lost: a dropped packet, a muted microphone.

        The clock moves by them, and their readings are marked. They are heard as silence; of a
        long gap only 4 s are, and the clock moves on by whole hops without readings.

        Args:
            count: samples at `sample_rate`, 0 or more.
            sample_rate: as for `push`.

        Returns:
            The readings that came due, oldest first.

        Raises:
            AudioError: if the count or the rate cannot be.
        """
        whole = isinstance(count, (int, np.integer)) and not isinstance(count, bool)
        if not whole or not 0 <= count <= _LONGEST_GAP:
            raise AudioError(
                f"A gap of {in_words(count)} samples cannot be; "
                f"give a whole number, 0 to {_LONGEST_GAP}."
            )
        resampler = self._opened(self._checked(sample_rate))
        readings = self._hear(resampler.finish()) if count else []
        self._input += int(count)
        target = self._start + self._input * self._rate // self._input_rate
        lost = max(0, target - self.position)
        silence = self.silence_of(lost)
        readings += self._hear(np.zeros(silence, np.float32), lost=True)
        self._jumped += lost - silence
        self._lost += lost - silence
        return readings

    def silence_of(self, lost: int) -> int:
        """How many of `lost` 16 kHz samples are heard as silence; the others are whole hops."""
        most = _LONGEST_SILENCE_SECONDS * self._rate
        return lost if lost <= most else most + (lost - most) % self._hop_samples

    def finish(self) -> list[Reading]:
        """End the stream: a last reading for what is left of a hop, if anything is.

        After it, `reset()` begins a new stream; calling it twice gives nothing more.
        """
        if self._finished:
            return []
        readings = self._hear(self._resampler.finish()) if self._resampler else []
        self._finished = True
        if len(self._waiting):
            hop = self._hop(self._waiting)
            self.network.push(hop.features)
            self.network.push(self.front_end.finish())
            readings.append(self.read(hop))
            self._waiting = self._waiting[:0]
        return readings

    def hops(self, samples: Any, sample_rate: int) -> Iterator[Hop]:
        """`push` in parts, for `livesr.many`: of each hop, what comes before the network.

        Whoever takes a hop pushes its features to `network` and gives it to `read` before
        taking the next. Nothing is heard before the first is asked for.

        Raises:
            AudioError: as `push`, at once.
        """
        return self._hops(as_mono(samples), self._checked(sample_rate))

    def _checked(self, sample_rate: int) -> int:
        rate = check_rate(sample_rate)
        if self._finished:
            raise AudioError("This stream is finished; call reset() before pushing another.")
        if self._resampler is not None and rate != self._input_rate:
            raise AudioError(
                f"This stream runs at {self._input_rate} Hz and cannot go on at {rate} Hz; "
                "call reset(), or use another Recognizer."
            )
        return rate

    def _opened(self, rate: int) -> Resampler:
        if self._resampler is None:
            self._input_rate, self._resampler = rate, Resampler(rate, self._rate)
        return self._resampler

    def state(self) -> bytes:
        """All that the stream has left in memory, to continue it elsewhere with `restore`."""
        own = {
            "livesr": livesr.__version__,
            "model": self._model.identity,
            "model_name": self._model.info.name,
            "hop_samples": self._hop_samples,
            "input_rate": self._input_rate,
            "waiting": self._waiting,
            "position": self._position,
            "input": self._input,
            "start": self._start,
            "jumped": self._jumped,
            "lost": self._lost,
            "speech": self._speech,
            "finished": self._finished,
            "resampler": self._resampler.state() if self._resampler else {},
        }
        return pack({**own, **{name: stage.state() for name, stage in self._stages().items()}})

    def restore(self, state: bytes) -> None:
        """Continue the stream whose `state()` this is, with identical readings.

        Raises:
            ModelError: if the bytes are not a state, or one of another model or hop. The
                stream is then as before.
        """
        saved = unpack(state)
        before = unpack(self.state())
        self._check_fits(saved)
        try:
            self._take(saved)
        except (KeyError, TypeError, ValueError, AttributeError, LivesrError) as error:
            self._take(before)
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"The saved state cannot be taken up ({error!r:.200}); save it again with state()."
            ) from None

    def _check_fits(self, saved: State) -> None:
        name = f"{saved.get('model_name')!s:.80} ({str(saved.get('model'))[:8]})"
        own = f"{self._model.info.name} ({self._model.identity[:8]})"
        version = livesr.__version__
        for what, fits, theirs, ours in (
            ("version", saved.get("livesr") == version, f"{saved.get('livesr')!s:.80}", version),
            ("model", saved.get("model") == self._model.identity, name, own),
            (
                "hop",
                saved.get("hop_samples") == self._hop_samples,
                f"{saved.get('hop_samples')!s:.80} samples",
                f"{self._hop_samples} samples",
            ),
        ):
            if not fits:
                raise ModelError(
                    f"This state was saved with the {what} {theirs}, this Recognizer has "
                    f"{ours}; make a Recognizer like the one that saved it."
                )

    def _take(self, saved: State) -> None:
        check(
            saved,
            hop=self._hop_samples,
            hops=self.adaptation.hops,
            blocks=self.decision.blocks,
            labels=len(self.labels),
            steps=self._model.steps,
        )
        waiting, rate = saved["waiting"], saved["input_rate"]
        if waiting.dtype != np.float32 or waiting.ndim != 1 or len(waiting) >= self._hop_samples:
            raise ModelError("The saved state holds samples that cannot be; save it again.")
        for name, stage in self._stages().items():
            stage.restore(saved[name])
        self._resampler, self._input_rate = None, 0
        if rate:
            rate = check_rate(rate)
            resampler = Resampler(rate, self._rate)
            resampler.restore(saved["resampler"])
            self._input_rate, self._resampler = rate, resampler
        self._waiting = waiting
        self._position, self._input = int(saved["position"]), int(saved["input"])
        self._start, self._jumped = int(saved["start"]), int(saved["jumped"])
        self._lost, self._speech = int(saved["lost"]), float(saved["speech"])
        self._finished = bool(saved["finished"])

    def _stages(self) -> dict[str, Stage]:
        return {
            "voice": self.voice,
            "front_end": self.front_end,
            "network": self.network,
            "adaptation": self.adaptation,
            "decision": self.decision,
        }

    def _hops(self, mono: Float32, rate: int) -> Iterator[Hop]:
        resampler = self._opened(rate)
        self._input += len(mono)
        yield from self._cut(resampler.push(mono))

    def _hear(self, samples: Float32, lost: bool = False) -> list[Reading]:
        return self._heard(self._cut(samples, lost))

    def _heard(self, hops: Iterator[Hop]) -> list[Reading]:
        readings = []
        for hop in hops:
            self.network.push(hop.features)
            readings.append(self.read(hop))
        return readings

    def _cut(self, samples: Float32, lost: bool = False) -> Iterator[Hop]:
        while len(self._waiting) + len(samples) >= self._hop_samples:
            room = self._hop_samples - len(self._waiting)
            self._lost += room if lost else 0
            yield self._hop(np.concatenate((self._waiting, samples[:room])))
            self._waiting, samples = self._waiting[:0], samples[room:]
        self._lost += len(samples) if lost else 0
        self._waiting = np.concatenate((self._waiting, samples))

    def _hop(self, samples: Float32) -> Hop:
        speech = self.voice.push(samples)
        spoken = speech > self._threshold
        return Hop(samples, speech, spoken, self.front_end.push(samples, spoken, BLOCK_SAMPLES))

    def read(self, hop: Hop) -> Reading:
        """The reading of a hop whose features the network has heard; see `hops`."""
        samples, speech, spoken = hop.samples, hop.speech, hop.spoken
        if len(speech):
            self._speech = float(speech.mean())
        self._position += len(samples)
        begin = self._start + self._jumped  # of the clock, against the samples heard
        end = (begin + self._position) / self._rate
        gap, self._lost = self._lost / self._rate, 0
        probabilities = self.network.probabilities.astype(np.float64)
        probabilities /= probabilities.sum()
        spoken_seconds = float(np.count_nonzero(spoken)) * BLOCK_SAMPLES / self._rate
        probabilities = self.adaptation.push(probabilities, spoken_seconds)
        verdict = self.decision.push(probabilities, spoken, self._position / self._rate)
        reason = verdict.reason
        if reason and gap >= self.hop:
            reason = "the sound is missing"
        return Reading(
            start=max(self._start / self._rate, end - self._model.window_seconds),
            end=end,
            status=verdict.status,
            label=None if verdict.label is None else self.labels[verdict.label],
            reason=reason,
            probabilities=dict(zip(self.labels, probabilities.tolist(), strict=True)),
            smoothed=dict(zip(self.labels, verdict.smoothed.tolist(), strict=True)),
            attention=self.network.attention.copy(),
            attention_times=self.network.attention_times + begin / self._rate,
            speech=self._speech,
            level_dbfs=_level_dbfs(samples),
            gap=gap,
        )


def _hop_samples(hop: float, shift_samples: int, rate: int) -> int:
    """The hop in samples: a whole number of frame shifts."""
    if isinstance(hop, (int, float)) and 0.02 <= hop <= 3.0:
        shifts = round(hop * rate / shift_samples)
        if math.isclose(shifts * shift_samples / rate, hop, rel_tol=1e-9):
            return shifts * shift_samples
    raise LivesrError(
        f"A hop of {in_words(hop)} s cannot be used; give a multiple of 0.01 s, 0.02 to 3 s."
    )


def _level_dbfs(samples: Float32) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(_SILENT_DBFS, 10 * math.log10(power)) if power else _SILENT_DBFS
