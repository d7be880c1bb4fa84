"""The command line: `livesr listen | replay | devices | models | bench`."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from livesr.app.terminal import Session, quiet_libraries, show_listening, show_replay
from livesr.app.ui.view import View
from livesr.errors import DeviceError, LivesrError
from livesr.files.jsonl import readings_from_jsonl
from livesr.files.replay import play
from livesr.files.soundfile import SoundFile
from livesr.microphone.devices import NO_MICROPHONE, devices, supported_rates
from livesr.microphone.listener import listen
from livesr.model.load import DEFAULT, bundled, load_model
from livesr.version import __version__

USER_ERROR = 2
DEVICE_GONE = 3

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
DeviceOption = Annotated[
    str | None,
    typer.Option(help="An input's number, or words of its name.", metavar="ID|SUBSTRING"),
]
JsonlOption = Annotated[
    str | None, typer.Option(help="Write readings as JSON lines; - is standard output.")
]
CsvOption = Annotated[str | None, typer.Option(help="Write readings as CSV; - is standard output.")]
ReportOption = Annotated[
    Path | None, typer.Option(help="Write a page to look at afterwards (HTML, needs no network).")
]
HopOption = Annotated[float, typer.Option(help="Seconds between readings.")]


def main() -> None:
    """Entry point: a user's mistake is one line and status 2, never a traceback."""
    with _tidy_end():
        app()


@contextmanager
def _tidy_end() -> Iterator[None]:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a device's name may be in any script
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
        print(f"livesr {__version__}")
        raise typer.Exit


@app.command("replay")
def replay_command(
    file: Annotated[
        Path, typer.Argument(help="A recording (wav, flac, ogg, mp3 …) or a session's .jsonl.")
    ],
    jsonl: JsonlOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    pace: Annotated[bool, typer.Option("--pace", help="In real time, as if live.")] = False,
    model: ModelOption = None,
    hop: HopOption = 0.25,
) -> None:
    """Hear a recording: what a live stream of it would have said, bit for bit."""
    if file.suffix.lower() == ".jsonl":
        if pace or model:
            raise LivesrError(f"{file} holds readings, not sound: --pace and --model do not apply.")
        view, items = View(source=file.name, model=""), readings_from_jsonl(file)
    else:
        with SoundFile(file) as sound:
            seconds, facts = sound.seconds, {"rate": f"{sound.rate} Hz"}
        duration = seconds if math.isfinite(seconds) else None
        view = View(source=file.name, model=model or DEFAULT, duration=duration, facts=facts)
        items = play(file, model=model, hop=hop, pace=pace)
    show_replay(Session(view, jsonl, csv, report), items)


@app.command("listen")
def listen_command(
    device: DeviceOption = None,
    record: Annotated[
        Path | None, typer.Option(help="A new .flac or .wav file for what is heard.")
    ] = None,
    jsonl: JsonlOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    model: ModelOption = None,
    hop: HopOption = 0.25,
    seconds: Annotated[
        float | None, typer.Option(help="End after so much stream time.", min=0.0)
    ] = None,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect/--no-reconnect",
            help="Wait for a microphone that goes, or end with status 3.",
        ),
    ] = True,
) -> None:
    """Hear a microphone. Keys: q quit, space pause, r reset, m mark."""
    with quiet_libraries():
        listener = listen(device, model=model, hop=hop, record=record, reconnect=reconnect)
        view = View(source="", model=model or DEFAULT, keys="q quit  space pause  r reset  m mark")
        with listener:
            view.source = listener.device.name + (f"  ● recording {record}" if record else "")
            view.facts["rate"] = f"{listener.rate} Hz"
            try:
                session = Session(view, jsonl, csv, report)
                show_listening(session, view, listener, seconds)
            except DeviceError as error:
                print(f"livesr: {error}", file=sys.stderr)
                raise typer.Exit(DEVICE_GONE) from None


@app.command("devices")
def devices_command() -> None:
    """The microphones there are."""
    with quiet_libraries():
        found = [(device, supported_rates(device)) for device in devices()]
    if not found:
        raise DeviceError(NO_MICROPHONE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("id", "name", "host API", "channels", "rates (Hz)", ""):
        table.add_column(title, justify="right" if title in ("id", "channels") else "left")
    for device, rates in found:
        shown = ", ".join(f"{rate}*" if rate == device.rate else str(rate) for rate in rates)
        default = "default" if device.default else ""
        table.add_row(
            str(device.index), Text(device.name), device.api, str(device.channels), shown, default
        )
    Console(highlight=False).print(table)


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
    microphone: Annotated[
        bool, typer.Option("--microphone", help="What listening costs, on a real microphone.")
    ] = False,
    device: DeviceOption = None,
    seconds: Annotated[float, typer.Option(help="To listen, for --microphone.", min=1.0)] = 30.0,
    load: Annotated[int, typer.Option(help="Busy processes beside it.", min=0, max=64)] = 0,
) -> None:
    """What livesr costs on this machine: one thread, one run, medians and ratios."""
    from livesr.app import bench, bench_microphone  # noqa: PLC0415  (nothing else needs their imports)

    if microphone:
        with quiet_libraries():
            bench_microphone.run(device, model, seconds, load)
    else:
        bench.run(model, quick=quick)
