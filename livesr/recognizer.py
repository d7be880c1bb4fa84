"""`Recognizer`: samples in, readings out. No input or output, no thread, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livesr.arrays import Bool, Float32
from livesr.errors import AudioError, LivesrError, ModelError
from livesr.model.load import load_model
from livesr.reading import Reading
from livesr.saved import check, check_fits
from livesr.stages.adaptation import Adaptation
from livesr.stages.decision import Decision
from livesr.stages.frontend import FrontEnd
from livesr.stages.hops import HopCutter
from livesr.stages.model_stream import ModelStream
from livesr.stages.resample import InputResampler
from livesr.stages.samples import as_mono, check_gap, check_rate
from livesr.stages.stage import Stage
from livesr.stages.vad import BLOCK_SAMPLES, VoiceActivity
from livesr.state import State, pack, unpack
from livesr.version import __version__

_SILENT_DBFS = -120.0


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
        self._inlet = InputResampler(self._rate)
        self._grid = HopCutter(hop, info.front_end)
        self.labels: tuple[str, ...] = info.labels
        self.hop = self._grid.hop_samples / self._rate
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
        self._grid.reset(start)
        self._inlet.reset()
        for stage in self._stages().values():
            stage.reset()
        self._speech = 0.0
        self._finished = False

    @property
    def position(self) -> int:
        """Stream time of the newest sample heard or skipped, in 16 kHz samples."""
        return self._grid.now

    @property
    def due(self) -> int:
        """Stream time at which the next reading ends, in 16 kHz samples."""
        return self._grid.due

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
        count = check_gap(count)
        readings = self._hear(self._inlet.skip(count, self._checked(sample_rate)))
        target = self._grid.start + self._inlet.passed
        lost = max(0, target - self.position)
        silence = self.silence_of(lost)
        readings += self._hear(np.zeros(silence, np.float32), lost=True)
        self._grid.jump(lost - silence)
        return readings

    def silence_of(self, lost: int) -> int:
        """How many of `lost` 16 kHz samples are heard as silence; the others are whole hops."""
        return self._grid.silence_of(lost)

    def finish(self) -> list[Reading]:
        """End the stream: a last reading for what is left of a hop, if anything is.

        After it, `reset()` begins a new stream; calling it twice gives nothing more.
        """
        if self._finished:
            return []
        readings = self._hear(self._inlet.finish())
        self._finished = True
        rest = self._grid.finish()
        if len(rest):
            hop = self._hop(rest)
            self.network.push(hop.features)
            self.network.push(self.front_end.finish())
            readings.append(self.read(hop))
        return readings

    def hops(self, samples: Any, sample_rate: int) -> Iterator[Hop]:
        """`push` in parts, for `livesr.batch`: of each hop, what comes before the network.

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
        self._inlet.check(rate)
        return rate

    def state(self) -> bytes:
        """All that the stream has left in memory, to continue it elsewhere with `restore`."""
        own = {
            "livesr": __version__,
            "model": self._model.identity,
            "model_name": self._model.info.name,
            "hop_samples": self._grid.hop_samples,
            "speech": self._speech,
            "finished": self._finished,
        }
        stages = {name: stage.state() for name, stage in self._stages().items()}
        return pack({**own, **self._inlet.state(), **self._grid.state(), **stages})

    def restore(self, state: bytes) -> None:
        """Continue the stream whose `state()` this is, with identical readings.

        Raises:
            ModelError: if the bytes are not a state, or one of another model or hop. The
                stream is then as before.
        """
        saved = unpack(state)
        before = unpack(self.state())
        check_fits(saved, before)
        try:
            self._take(saved)
        except (KeyError, TypeError, ValueError, AttributeError, LivesrError) as error:
            self._take(before)
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"The saved state cannot be taken up ({error!r:.200}); save it again with state()."
            ) from None

    def _take(self, saved: State) -> None:
        check(
            saved,
            hop=self._grid.hop_samples,
            hops=self.adaptation.hops,
            blocks=self.decision.blocks,
            labels=len(self.labels),
            steps=self._model.steps,
        )
        for part in (self._inlet, self._grid):
            part.restore({name: saved[name] for name in part.state()})
        for name, stage in self._stages().items():
            stage.restore(saved[name])
        self._speech = float(saved["speech"])
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
        yield from self._cut(self._inlet.push(mono, rate))

    def _hear(self, samples: Float32, lost: bool = False) -> list[Reading]:
        return self._heard(self._cut(samples, lost))

    def _heard(self, hops: Iterator[Hop]) -> list[Reading]:
        readings = []
        for hop in hops:
            self.network.push(hop.features)
            readings.append(self.read(hop))
        return readings

    def _cut(self, samples: Float32, lost: bool = False) -> Iterator[Hop]:
        return map(self._hop, self._grid.push(samples, lost))

    def _hop(self, samples: Float32) -> Hop:
        speech = self.voice.push(samples)
        spoken = speech > self._threshold
        return Hop(samples, speech, spoken, self.front_end.push(samples, spoken, BLOCK_SAMPLES))

    def read(self, hop: Hop) -> Reading:
        """The reading of a hop whose features the network has heard; see `hops`."""
        samples, speech, spoken = hop.samples, hop.speech, hop.spoken
        if len(speech):
            self._speech = float(speech.mean())
        grid = self._grid
        gap = grid.cover(len(samples)) / self._rate
        end = (grid.ahead + grid.position) / self._rate
        probabilities = self.network.probabilities.astype(np.float64)
        probabilities /= probabilities.sum()
        spoken_seconds = float(np.count_nonzero(spoken)) * BLOCK_SAMPLES / self._rate
        probabilities = self.adaptation.push(probabilities, spoken_seconds)
        verdict = self.decision.push(probabilities, spoken, grid.position / self._rate)
        reason = verdict.reason
        if reason and gap >= self.hop:
            reason = "the sound is missing"
        return Reading(
            start=max(grid.start / self._rate, end - self._model.window_seconds),
            end=end,
            status=verdict.status,
            label=None if verdict.label is None else self.labels[verdict.label],
            reason=reason,
            probabilities=dict(zip(self.labels, probabilities.tolist(), strict=True)),
            smoothed=dict(zip(self.labels, verdict.smoothed.tolist(), strict=True)),
            attention=self.network.attention.copy(),
            attention_times=self.network.attention_times + grid.ahead / self._rate,
            speech=self._speech,
            level_dbfs=_level_dbfs(samples),
            gap=gap,
        )


def _level_dbfs(samples: Float32) -> float:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(_SILENT_DBFS, 10 * math.log10(power)) if power else _SILENT_DBFS
