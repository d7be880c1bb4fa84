"""The command line: `livesr replay | models | bench`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.live import Live

import livesr
from livesr.errors import LivesrError
from livesr.metadata import LABELS
from livesr.model import DEFAULT, bundled, load_model
from livesr.reading import Reading
from livesr.replay import SoundFile, replay
from livesr.summary import Summary
from livesr.ui.view import View
from livesr.writers import STDOUT, CsvWriter, JsonlWriter, LineWriter, Writer

USER_ERROR = 2
_FRAME_SECONDS = 1 / 15

app = typer.Typer(
    help="How a voice sounds, live: angry, happy, neutral or sad, and how sure that is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A bundled model's name or an .onnx file.", metavar="NAME|PATH"),
]


def main() -> None:
    """Entry point: a user's mistake is one line and status 2, never a traceback."""
    with _tidy_end():
        app()


@contextmanager
def _tidy_end() -> Iterator[None]:
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, _terminated)
    try:
        yield
    except LivesrError as error:
        print(f"livesr: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    # As an exception, so that files are closed and the terminal restored on the way out.
    sys.exit(128 + number)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        print(f"livesr {livesr.__version__}")
        raise typer.Exit


@app.command("replay")
def replay_command(
    file: Annotated[Path, typer.Argument(help="A recording: wav, flac, ogg, mp3 …")],
    jsonl: Annotated[
        str | None, typer.Option(help="Write readings as JSON lines; - is standard output.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="Write readings as CSV; - is standard output.")
    ] = None,
    pace: Annotated[bool, typer.Option("--pace", help="In real time, as if live.")] = False,
    model: ModelOption = None,
    hop: Annotated[float, typer.Option(help="Seconds between readings.")] = 0.25,
) -> None:
    """Hear a recording: what a live stream of it would have said, bit for bit."""
    if jsonl == STDOUT and csv == STDOUT:
        raise LivesrError(
            "Standard output can take --jsonl or --csv, not both; name a file for one."
        )
    with SoundFile(file) as sound:
        seconds, rate = sound.seconds, sound.rate
    view = View(
        source=file.name, model=model or DEFAULT, duration=seconds, facts={"rate": f"{rate} Hz"}
    )
    readings = replay(file, model=model, hop=hop, pace=pace)
    summary = Summary(LABELS)
    with ExitStack() as stack:
        writers: list[Writer] = []
        if jsonl:
            writers.append(stack.enter_context(JsonlWriter(jsonl)))
        if csv:
            writers.append(stack.enter_context(CsvWriter(csv)))
        try:
            with _shown(view, quiet=STDOUT in (jsonl, csv)) as show:
                for reading in readings:
                    for writer in writers:
                        writer.write(reading)
                    summary.add(reading)
                    show(reading)
        finally:
            _close(summary, view, to_stderr=STDOUT in (jsonl, csv))


@contextmanager
def _shown(view: View, quiet: bool) -> Iterator[Callable[[Reading], None]]:
    """How readings are shown: a live view on a terminal, plain lines elsewhere, or not at all."""
    console = Console()
    if quiet:
        yield lambda reading: None
        return
    if not console.is_terminal:
        yield LineWriter(STDOUT).write
        return
    with Live(view, console=console, screen=True, auto_refresh=False) as live:
        due = 0.0

        def show(reading: Reading) -> None:
            nonlocal due
            view.add(reading)
            began = time.monotonic()
            if began >= due:
                live.refresh()
                ended = time.monotonic()
                # A slow terminal must not slow the replay: paint a fifth of the time at most.
                due = max(began + _FRAME_SECONDS, ended + 4 * (ended - began))

        yield show


def _close(summary: Summary, view: View, to_stderr: bool) -> None:
    """The last picture, where there was one, and the summary."""
    if not summary.end:
        return
    console = Console(stderr=to_stderr, highlight=False)
    with suppress(OSError):  # nobody reads on, or the disk is full: that was told already
        if console.is_terminal and not to_stderr:
            console.print(view, height=min(24, console.height - 1))
        for text in summary.lines():
            console.print(text, markup=False, soft_wrap=True)


@app.command("models")
def models_command() -> None:
    """The models that came with livesr."""
    console = Console(highlight=False)
    for name, path in bundled().items():
        info = load_model(name).info
        console.print(f"[bold]{name}[/]" + (" (default)" if name == DEFAULT else ""))
        for what, value in (
            ("trained on", info.training_data),
            ("licence", info.licence),
            ("labels", ", ".join(info.labels)),
            ("version", f"{info.version}, {path.stat().st_size / 1e6:.1f} MB"),
        ):
            console.print(f"  {what:<11}{value}", markup=False, soft_wrap=True)


@app.command("bench")
def bench_command(
    model: ModelOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the audio.")] = False,
) -> None:
    """What livesr costs on this machine: one thread, one run, medians and ratios."""
    from livesr.bench import run  # noqa: PLC0415  (nothing else needs its imports)

    run(model, quick=quick)
