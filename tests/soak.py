"""Long runs: what holds for a minute must hold for a day.

    python -m tests.soak push --hours 24    # as fast as it goes
    python -m tests.soak listen --hours 2   # in real time, on the virtual microphone

Fails if a reading is missing or extra, if a position is off by one sample, if memory grows, or if a
restored state continues with other readings.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from livesr import Reading, Recognizer
from livesr.files.replay import play
from tests.helpers.virtual import VirtualMicrophone

DATA = Path(__file__).parent / "data"
RATE, HOP = 16000, 4000
RATES = (48000, 16000, 8000, 22050, 16000, 44100)  # of the runs, one after the other
LONG_GAP = 60.13  # seconds, of which hops are left out
_MOST_SLOPE = 1.0  # MB an hour of sound
_MOST_DRIFT = 0.5  # seconds
_LEAST_GROWTH = 5.0  # MB that an allocator may take in a run too short for a slope

Step = tuple[str, int, int]  # what, where in the sound, how many samples


def sound(rate: int) -> np.ndarray:
    """Speech, silence and noise, float32 [n] at `rate`."""
    speech = [
        sf.read(DATA / name, dtype="float32") for name in ("conversation.flac", "banglaser.flac")
    ]
    noise = np.random.default_rng(0).standard_normal(20 * rate).astype(np.float32)
    parts = [soxr.resample(samples, own, rate) for samples, own in speech]
    return np.concatenate([*parts, np.zeros(20 * rate, np.float32), 0.03 * noise])


def steps(seed: int, rate: int, seconds: float, length: int) -> Iterator[Step]:
    """So many seconds of sound in chunks of any size, and now and then a gap."""
    rng = np.random.default_rng(seed)
    place = pushed = 0
    minutes = 0
    while pushed < seconds * rate:
        count = int(min(rate, np.exp(rng.uniform(0, np.log(rate)))))
        yield "push", place, count
        pushed += count
        place = (place + count) % length
        if pushed > (minutes + 1) * 60 * rate:
            minutes += 1
            lost = LONG_GAP if minutes % 30 == 2 else rng.uniform(0.001, 1)
            yield "skip", 0, int(lost * rate)
    yield "skip", 0, rate // 10  # after which a position is exact at any rate


def do(recognizer: Recognizer, step: Step, samples: np.ndarray, rate: int) -> list[Reading]:
    what, place, count = step
    if what == "skip":
        return recognizer.skip(count, rate)
    chunk = samples[place : place + count]
    if len(chunk) < count:
        chunk = np.concatenate((chunk, samples[: count - len(chunk)]))
    return recognizer.push(chunk, rate)


def memory_mb(process: str = "self") -> float:
    """Of a process's own: pages of files come and go as the system likes."""
    gc.collect()
    status = Path(f"/proc/{process}/status").read_text()
    told = status.partition("RssAnon:")[2].split()
    return int(told[0]) / 1e3 if told else math.nan  # of a process that has just ended


def check(true: bool, what: str) -> None:
    if not true:
        raise SystemExit(f"soak: {what}")


class Memory:
    """Memory against hours of sound, after a while for warming up."""

    def __init__(self, hours: float, process: str = "self") -> None:
        self._hours, self._process = hours, process
        self._settled = max(hours / 10, min(hours / 3, 1 / 60))
        self._seen: list[tuple[float, float]] = []

    def look(self, hours: float) -> None:
        if hours >= self._settled and (
            not self._seen or hours - self._seen[-1][0] >= self._hours / 100
        ):
            self._seen.append((hours, memory_mb(self._process)))

    def verdict(self) -> str:
        hours, megabytes = np.array([seen for seen in self._seen if not math.isnan(seen[1])]).T
        slope = float(np.polyfit(hours, megabytes, 1)[0])
        span = float(hours[-1] - hours[0])
        check(
            slope <= _MOST_SLOPE or slope * span <= _LEAST_GROWTH,
            f"memory grows by {slope:.2f} MB an hour over {span:.2f} hours",
        )
        return f"memory {megabytes[0]:.1f} to {megabytes[-1]:.1f} MB, {slope:+.3f} MB an hour"


class Fingerprint:
    """Of readings, every bit of them, in a few bytes: a day's would not be kept."""

    def __init__(self) -> None:
        self.count, self._hash = 0, hashlib.sha256()

    def add(self, readings: list[Reading]) -> None:
        for reading in readings:
            values = [getattr(reading, field.name) for field in fields(reading)]
            for value in values:
                array = isinstance(value, np.ndarray)
                self._hash.update(value.tobytes() if array else repr(value).encode())
        self.count += len(readings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and (self.count, self._hash.digest()) == (
            other.count,
            other._hash.digest(),
        )

    __hash__ = None  # type: ignore[assignment]


def push(hours: float) -> None:
    """`hours` of sound in six runs of other rates, across the 2**31st sample."""
    sounds = {rate: sound(rate) for rate in RATES}
    began, recognizer, memory = time.monotonic(), Recognizer(), Memory(hours)
    clock = 2**31 - int(hours / 2 * 3600) * RATE  # 16 kHz samples of stream time
    seconds = hours * 3600 / len(RATES)
    kept = seconds - min(seconds / 2, 3600)  # of the last run, pushed before its state is saved
    counted, saved, last = 0, (b"", 0), Fingerprint()
    for run, rate in enumerate(RATES):
        recognizer.reset(start=clock / RATE)
        check(recognizer.position == clock, f"run {run} does not begin at {clock}")
        given = pushed = readings = jumped = 0  # samples at `rate`, or at 16 kHz the last
        due, end = clock, clock / RATE
        for number, step in enumerate(steps(run, rate, seconds, len(sounds[rate]))):
            if run == len(RATES) - 1 and not saved[0] and pushed >= kept * rate:
                saved = recognizer.state(), number
            new = do(recognizer, step, sounds[rate], rate)
            given += step[2]
            if step[0] == "skip":
                due = clock + given * RATE // rate
                check(recognizer.position == due, f"position {recognizer.position}, not {due}")
                if step[2] > 4 * rate:
                    jumped += (step[2] * RATE // rate - 4 * RATE) // HOP * HOP
            else:
                pushed += step[2]
            if saved[0]:
                last.add(new)
            readings += len(new)
            for reading in new:
                check(reading.end > end, f"a reading ends at {reading.end}, after {end}")
                end = reading.end
            memory.look((run * seconds + pushed / rate) / 3600)
        new = recognizer.finish()
        if saved[0]:
            last.add(new)
        readings, end = readings + len(new), new[-1].end if new else end
        wanted = -(-(due - clock - jumped) // HOP)
        check(readings == wanted, f"run {run}: {readings} readings where {wanted} were due")
        check(end == due / RATE, f"run {run} ends at {end}, not {due / RATE}")
        check(recognizer.position == due, f"position {recognizer.position}, not {due}")
        counted, clock = counted + readings, due
        print(f"run {run}: {rate} Hz, {readings} readings, to sample {due}", flush=True)
    check(clock > 2**31, f"sample 2**31 was not reached, but {clock}")
    state, done = saved
    fresh, again = Recognizer(), Fingerprint()
    fresh.restore(state)
    for step in islice(steps(run, rate, seconds, len(sounds[rate])), done, None):
        again.add(do(fresh, step, sounds[rate], rate))
    again.add(fresh.finish())
    check(again.count > 0 and again == last, "a restored state goes on with other readings")
    took = time.monotonic() - began
    print(f"{hours:g} hours in {took / 60:.1f} minutes: {counted} readings, none missing")
    print(f"the last {last.count} the same, bit for bit, from a restored state")
    print(memory.verdict())


def listen(hours: float) -> None:
    """The command, on the virtual microphone; then its recording, replayed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        microphone = VirtualMicrophone(folder)
        os.environ.update(microphone.environment)
        wav, record, out = folder / "a.wav", folder / "a.flac", folder / "a.jsonl"
        sf.write(wav, sound(RATE), RATE)
        microphone.up()
        try:
            late = _listen(hours, microphone, wav, record, out)
        finally:
            microphone.down()
        told = [json.loads(line) for line in out.read_text().splitlines()]
        ends = [round(item["end"] * RATE) for item in told if "end" in item]
        gaps = [round(item["seconds"] * RATE) for item in told if item.get("event") == "gap"]
        jumped = sum((gap - 4 * RATE) // HOP * HOP for gap in gaps if gap > 4 * RATE)
        wanted = -(-(ends[-1] - jumped) // HOP)
        check(len(ends) == wanted, f"{len(ends)} readings where {wanted} were due")
        part = len(late) // 10
        drift = min(late[-part:]) - min(late[:part])
        check(abs(drift) < _MOST_DRIFT, f"the clock went off by {drift:.2f} s")
        same = zip(play(record), told, strict=True)
        check(all(a.to_dict() == b for a, b in same), "the recording replays to other readings")
    print(f"{ends[-1] / RATE:.0f} s: {len(ends)} readings, none missing")
    print(
        f"{sum(gaps) / RATE:.2f} s lost in {len(gaps)} gaps; the clock went off by {drift:+.3f} s"
    )
    print("its recording replays the same")


def _listen(
    hours: float, microphone: VirtualMicrophone, wav: Path, record: Path, out: Path
) -> list[float]:
    """How late the lines came, in seconds: the wall's clock against the stream's."""
    command = [sys.executable, "-m", "livesr", "listen", "--device", "vmic"]
    options = ["--jsonl", str(out), "--record", str(record), "--seconds", str(hours * 3600)]
    late: list[float] = []
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
        while not out.exists():
            check(process.poll() is None, "listen ended")
            time.sleep(0.02)
        began, memory = time.monotonic(), Memory(hours, str(process.pid))
        player, rest = microphone.play(wav), ""
        with out.open() as lines:
            while process.poll() is None:
                if player.poll() is not None:
                    player = microphone.play(wav)
                *whole, rest = (rest + lines.read()).split("\n")
                now = time.monotonic() - began
                late += [now - item["end"] for item in map(json.loads, whole) if "end" in item]
                memory.look(now / 3600)
                time.sleep(0.05)
        player.kill()
        player.wait()
        check(process.returncode == 0, f"listen ended with status {process.returncode}")
    print(memory.verdict())
    return late


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("what", choices=["push", "listen"])
    parser.add_argument("--hours", type=float, default=0.05)
    asked = parser.parse_args()
    (push if asked.what == "push" else listen)(asked.hours)
