"""What livesr costs on this machine: `livesr bench`.

One process, one thread, one run: timings on shared machines drift, so every table has medians and
the ratios within it. The audio is synthetic (a buzz with syllables, and noise), because the cost
does not depend on what is said.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from rich.table import Table

from livesr.app.console import PlainConsole
from livesr.arrays import Float32
from livesr.errors import LivesrError
from livesr.files.replay import replay
from livesr.model.load import PAPER, STEP_FRAMES, load_model
from livesr.recognizer import Recognizer
from livesr.settings import SAMPLE_RATE
from livesr.stages.model_stream import ModelStream
from livesr.stages.resample import Resampler

_DEVICE_RATE, _HOP_FRAMES = 48000, 25


def run(model: str | Path | None = None, *, quick: bool = False) -> None:
    """Print every table; about two minutes, or a quarter of one with `quick`."""
    scale = 0.1 if quick else 1.0
    console = PlainConsole(width=100)
    console.print(f"hop 250 ms, one thread, {'quick run' if quick else 'full run'}")
    console.print(_network_table(model, repeats=int(200 * scale)))
    console.print(_stage_table(model, seconds=120 * scale))
    console.print(_whole_table(model, scale))


def _network_table(model: str | Path | None, repeats: int) -> Table:
    table = _table("The network: a hop of new frames, or the whole window again", "ms")
    for name in dict.fromkeys((model, PAPER)):
        loaded = load_model(name)
        shape = (400, *loaded.frame_shape)
        features = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        hop = features[:_HOP_FRAMES]
        window = features[: loaded.steps * STEP_FRAMES]
        running, hops, windows = ModelStream(loaded), [], []
        running.push(window)
        for turn in range(repeats):  # in turn, so that drift hits both alike
            hops.append(_timed(partial(running.push, hop)))
            if turn % 5 == 0:
                windows.append(_timed(partial(ModelStream(loaded).push, window)))
        cost, again = _median(hops), _median(windows)
        _row(table, f"{loaded.info.name}, incremental", cost)
        _row(table, f"{loaded.info.name}, whole window", again, f"{again / cost:.1f} times dearer")
    return table


def _stage_table(model: str | Path | None, seconds: float) -> Table:
    found = stage_times(model, _buzz(seconds, _DEVICE_RATE), time.perf_counter)
    table = _table("A hop of 250 ms, stage by stage", "ms")
    total = found.pop("all")
    for name, spent in found.items():
        _row(table, name, spent)
    _row(table, "everything together", total, f"{total / 250:.1%} of a core at 4 per second")
    return table


def stage_times(
    model: str | Path | None, audio: Float32, clock: Callable[[], float]
) -> dict[str, float]:
    """The cost of each stage of a real Recognizer, per hop of 250 ms, timed from outside.

    Args:
        model: as for `Recognizer`.
        audio: float32 [n] at 48 kHz, which a resampler brings to the Recognizer's rate.
        clock: returns seconds, of the wall or of the processor.

    Returns:
        Median milliseconds of the resampler, of every stage, and of "all": the resampler's and
        a whole push's.
    """
    recognizer, resampler = Recognizer(model), Resampler(_DEVICE_RATE, SAMPLE_RATE)
    parts: dict[str, Any] = {
        "resample from 48 kHz": resampler,
        "high-pass": recognizer._high_pass,
        "voice activity": recognizer._vad,
        "features": recognizer._front_end,
        "network": recognizer._network,
        "evidence": recognizer._evidence,
        "adaptation": recognizer._adaptation,
        "decision": recognizer._decision,
        "all": recognizer,
    }
    spent: dict[str, list[float]] = {name: [] for name in parts}
    for name, part in parts.items():
        part.push = _recorded(part.push, spent[name], clock)
    for start in range(0, len(audio), _DEVICE_RATE // 4):
        recognizer.push(resampler.push(audio[start : start + _DEVICE_RATE // 4]))
    found = {name: _median(times) for name, times in spent.items()}
    found["all"] += found["resample from 48 kHz"]
    return found


def _whole_table(model: str | Path | None, scale: float) -> Table:
    table = _table("As a whole", "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ten-minutes.wav"
        seconds = 600 * scale
        sf.write(path, _buzz(seconds, SAMPLE_RATE), SAMPLE_RATE)
        took = min(_timed(lambda: list(replay(path, model=model))) for _ in range(3)) / 1e3
        table.add_row(
            f"replay of {seconds / 60:.0f} min at 16 kHz",
            f"{took:.2f} s",
            f"{seconds / took:.0f} times real time",
        )
        command = [sys.executable, "-m", "livesr", "replay", str(path), "--jsonl", "-"]
        if model is not None:
            command += ["--model", str(model)]
        starts = sorted(first_line_seconds(command) for _ in range(5))
        table.add_row("cold start to first reading", f"{starts[2]:.2f} s", "median of 5 processes")
    hours, name = 2 * scale, None if model is None else str(model)
    code = f"from livesr.app.bench import soak; soak({name!r}, {hours})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    early, late = (float(value) for value in told.stdout.split())
    table.add_row(
        f"resident memory after 5 min of a {hours:.1f}-hour stream", f"{early:.0f} MB", ""
    )
    table.add_row("and at its end", f"{late:.0f} MB", f"{late - early:+.1f} MB")
    return table


def soak(model: str | None, hours: float) -> None:
    """Push synthetic audio; print resident MB after 5 minutes of it and at the end."""
    recognizer = Recognizer(model)
    minute = _buzz(60, SAMPLE_RATE)
    early = 0.0
    for passed in range(max(6, int(hours * 60))):
        for start in range(0, len(minute), 1600):
            recognizer.push(minute[start : start + 1600])
        if passed == 4:
            early = resident_mb()
    print(early, resident_mb())


def resident_mb() -> float:
    """Resident MB of this process now; NaN on systems other than Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * PAGESIZE / 1e6


def first_line_seconds(command: list[str]) -> float:
    """Seconds by the clock from the start of a process to the line of its first reading.

    Raises:
        LivesrError: if its first line is no reading.
    """
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.perf_counter() - began
        process.kill()
    if b'"probabilities"' not in line:
        raise LivesrError(
            f"`{' '.join(command)}` printed no reading, so its start cannot be timed; "
            "run it to see why."
        )
    return took


def _buzz(seconds: float, rate: int) -> Float32:
    time_ = np.arange(int(seconds * rate)) / rate
    pitch = 140 + 30 * np.sin(2 * np.pi * 0.4 * time_)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_), 0, 1) * (
        np.sin(2 * np.pi * 0.15 * time_) > -0.5
    )
    noise = np.random.default_rng(0).standard_normal(len(time_))
    return np.asarray(0.1 * voice * syllables + 0.003 * noise, np.float32)


def _recorded(
    call: Callable[..., Any], spent: list[float], clock: Callable[[], float]
) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = clock()
        result = call(*arguments, **named)
        spent.append((clock() - began) * 1e3)
        return result

    return timed


def _timed(call: Callable[[], Any]) -> float:
    """Milliseconds that one call takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def _median(times: list[float]) -> float:
    return float(np.median(times))


def _table(title: str, unit: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column("what", min_width=54)
    table.add_column(unit, justify="right", min_width=10)
    table.add_column("note")
    return table


def _row(table: Table, name: str, milliseconds: float, note: str = "") -> None:
    table.add_row(name, f"{milliseconds:.2f} ms", note)
