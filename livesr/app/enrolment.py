"""Enrolling with the microphone: a sentence is asked for, recorded, then kept or repeated."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from livesr.arrays import Float32
from livesr.errors import AudioError, ProfileError
from livesr.files.soundfile import SoundFile
from livesr.microphone.devices import check_query, find
from livesr.microphone.listener import Listener, listen
from livesr.profile import Example, Profile

if TYPE_CHECKING:
    from types import TracebackType

_METER_CELLS = 30
_FAINT_DBFS, _LOUD_DBFS = -50.0, -1.0  # a peak below, or above, of what can be enrolled well
_FLOOR_DBFS = -60.0  # the foot of the meter
_CHECK_SECONDS = 3.0


class Enrolment:
    """A microphone and a person at a terminal.

    Args:
        device: as for `listen`.
        channel: as for `listen`.
        model: of the profile.
        seconds: recorded for each sentence.
    """

    def __init__(
        self, device: str | None, channel: int | None, model: str | Path, seconds: float
    ) -> None:
        self._device, self._channel, self._model = device, channel, model
        self._seconds = seconds
        self._folder = TemporaryDirectory(prefix="livesr-")
        self._count = 0

    def __enter__(self) -> Enrolment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._folder.cleanup()  # the sound is not kept

    @staticmethod
    def begin(profile: Profile, labels: Sequence[str], count: int) -> None:
        """Say what is to come.

        Args:
            profile: as it is so far.
            labels: to be enrolled.
            count: sentences for each.
        """
        if profile.counts:
            so_far = ", ".join(f"{number} {label}" for label, number in profile.counts.items())
            print(f"Profile {profile.name} has {so_far}; what you say now is added.")
        print(
            f"Profile {profile.name}: {count} sentences for each of {', '.join(labels)}.\n"
            "Say what you like, and sound as you really do.\n"
            "Ctrl-C ends at any time and keeps what is enrolled so far.\n"
        )

    def check_level(self) -> None:
        """Record a few words, and say whether they are too faint or too loud.

        Raises:
            DeviceError: before anything is asked, if there is no such microphone.
        """
        find(check_query(self._device))
        _ask(
            "Level check: press Return, then say a few words as you usually do "
            f"({_CHECK_SECONDS:g} s). "
        )
        _, peak = self._record(_CHECK_SECONDS)
        print(f"{_advice(peak) or 'The level is good'} (peak {round(peak)} dBFS).\n")

    def take(self, profile: Profile, label: str, number: int, count: int) -> bool:
        """Ask for a sentence until one is kept or skipped; whether one was kept.

        Args:
            profile: that gets the example.
            label: of the sentence.
            number: of the sentence, from 1.
            count: sentences of this label.
        """
        while True:
            _ask(
                f"{label}, {number} of {count}: press Return, then say a sentence that sounds "
                f"{label} ({self._seconds:g} s). "
            )
            samples, peak = self._record(self._seconds)
            before = profile.examples
            try:
                example = profile.add(label, samples, source="microphone", any_voice=True)
                if advice := _advice(peak):
                    print(f"{advice} (peak {round(peak)} dBFS).")
                print(f"{_told(example, profile)}.")
                if doubt := profile.doubt():
                    print(doubt)
                answer = None
                while answer not in ("", "r", "s"):
                    answer = _ask("Return keeps it, r repeats, s skips: ").strip().lower()
            except ProfileError as error:
                print(f"{error} Try again.")
                continue
            except (KeyboardInterrupt, EOFError):
                profile.examples = before  # nobody has said that it is to be kept
                raise
            if not answer:
                return True
            profile.pop()
            if answer == "s":
                return False

    def _record(self, seconds: float) -> tuple[Float32, float]:
        """What the microphone recorded, float32 [n] at 16 kHz, and its peak, dBFS."""
        self._count += 1
        path, peak = Path(self._folder.name) / f"{self._count}.wav", -120.0
        with listen(
            self._device,
            model=self._model,
            channel=self._channel,
            record=path,
            reconnect=False,
        ) as listener:
            until = time.monotonic() + seconds
            while listener.running and time.monotonic() < until:
                listener.items(0.05)
                peak = max(peak, listener.level()[1])
                _meter(listener, until - time.monotonic())
        _clear()
        try:
            with SoundFile(path) as sound:
                return np.concatenate(list(sound.blocks()))[:, 0], peak
        except AudioError:  # without samples it is no file that can be read
            raise AudioError("The microphone delivered nothing; see `livesr devices`.") from None


def _ask(question: str) -> str:
    """What is typed after a question. `input` may show its own on standard error, silenced here."""
    print(question, end="", flush=True)
    return input()


def _told(example: Example, profile: Profile) -> str:
    """What was recorded: how much speech, and what the model makes of it without the profile."""
    shares = np.exp(example.logs.astype(np.float64))
    shares /= shares.sum()
    best = int(shares.argmax())
    return (
        f"{example.seconds:.1f} s of speech; the model without the profile says "
        f"{profile.model_labels[best]} {shares[best]:.0%}"
    )


def _advice(peak: float) -> str:
    """What to do about a level that is not good; empty if it is."""
    if peak < _FAINT_DBFS:
        return "There is hardly any sound: turn the microphone up, or choose another with --device"
    if peak > _LOUD_DBFS:
        return "It is too loud: turn the microphone down, or move away from it"
    return ""


def _meter(listener: Listener, left: float) -> None:
    if not sys.stdout.isatty():
        return
    level, _ = listener.level()
    filled = round(_METER_CELLS * min(1.0, max(0.0, 1 - level / _FLOOR_DBFS)))
    bar = "#" * filled + "-" * (_METER_CELLS - filled)
    print(f"\r  speak  {bar}  {max(0.0, left):4.1f} s ", end="", flush=True)


def _clear() -> None:
    if sys.stdout.isatty():
        print("\r" + " " * (_METER_CELLS + 21) + "\r", end="", flush=True)
