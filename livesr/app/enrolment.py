"""Enrolling by the microphone: a sentence is asked for, heard, told of, and kept or repeated."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from livesr.arrays import Float32
from livesr.errors import AudioError, ProfileError
from livesr.files.soundfile import SoundFile
from livesr.microphone.listener import Listener, listen
from livesr.profile import Profile

if TYPE_CHECKING:
    from types import TracebackType

_METER_CELLS = 30
_FAINT_DBFS, _LOUD_DBFS = -50.0, -3.0  # a peak below, or above, of what can be enrolled well
_CHECK_SECONDS = 3.0


class Enrolment:
    """A microphone and a person at a terminal.

    Args:
        device: as for `listen`.
        channel: as for `listen`.
        model: of the profile.
        seconds: that each sentence is listened to.
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

    def check_level(self) -> None:
        """Say a word; too faint or too loud is told."""
        input("Say a few words as you usually do, to check the level. Return begins. ")
        _, peak = self._hear(_CHECK_SECONDS)
        if peak < _FAINT_DBFS:
            print(f"Hardly anything was heard ({peak:.0f} dBFS at most): turn the microphone up.")
        elif peak > _LOUD_DBFS:
            print(f"It is too loud ({peak:.0f} dBFS at most): turn the microphone down.")
        else:
            print(f"The level is good ({peak:.0f} dBFS at most).")

    def take(self, profile: Profile, label: str, number: int, count: int) -> bool:
        """Ask for a sentence until one is accepted or left out; whether one was enrolled."""
        while True:
            input(f"[{label}, {number} of {count}] Say a sentence as if {label}. Return begins. ")
            samples, _ = self._hear(self._seconds)
            try:
                example = profile.add(label, samples, source="microphone")
            except ProfileError as error:
                print(f"{error} Once more.")
                continue
            answer = input(
                f"{example.seconds:.1f} s of speech heard. Return keeps it, "
                "r repeats it, s leaves it out: "
            )
            if answer.strip().lower() not in ("r", "s"):
                return True
            profile.pop()
            if answer.strip().lower() == "s":
                return False

    def _hear(self, seconds: float) -> tuple[Float32, float]:
        """What the microphone heard, float32 [n] at 16 kHz, and its peak, dBFS."""
        self._count += 1
        path = Path(self._folder.name) / f"{self._count}.flac"
        peak = -120.0
        listener = listen(self._device, channel=self._channel, model=self._model, record=path)
        with listener:
            until = time.monotonic() + seconds
            while time.monotonic() < until and listener.running:
                time.sleep(0.05)
                listener.items(0)
                peak = max(peak, listener.level()[1])
                _meter(listener, until - time.monotonic())
        _clear()
        with SoundFile(path) as sound:
            blocks = list(sound.blocks())
        if not blocks:
            raise AudioError("The microphone delivered nothing; see `livesr devices`.")
        return np.concatenate(blocks)[:, 0], peak


def _meter(listener: Listener, left: float) -> None:
    if not sys.stdout.isatty():
        return
    level, _ = listener.level()
    filled = round(_METER_CELLS * min(1.0, max(0.0, (level + 60) / 60)))
    bar = "#" * filled + "-" * (_METER_CELLS - filled)
    print(f"\r  {bar}  {max(0.0, left):4.1f} s ", end="", flush=True)


def _clear() -> None:
    if sys.stdout.isatty():
        print("\r" + " " * (_METER_CELLS + 14) + "\r", end="", flush=True)
