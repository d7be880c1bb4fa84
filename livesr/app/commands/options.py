"""Options that several commands share: one name, one meaning, one help text."""

from __future__ import annotations

from typing import Annotated

import typer

from livesr.settings import HOP_SECONDS

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A bundled model's name or an .onnx file.", metavar="NAME|PATH"),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="Microphone: its number in `livesr devices`, or words of its name.",
        metavar="ID|SUBSTRING",
    ),
]
JsonlOption = Annotated[
    str | None,
    typer.Option(
        help="Write readings and events as JSON lines; - is standard output. "
        "Replaying many files: DIR/.",
        metavar="PATH|-",
    ),
]
CsvOption = Annotated[
    str | None,
    typer.Option(help="Write readings as CSV; - is standard output.", metavar="PATH|-"),
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        help="Write a page to look at in a browser (HTML, needs no network); - is standard output. "
        "Replaying many files: DIR/.",
        metavar="PATH|-",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Let outputs replace existing files.")]
EventsOption = Annotated[
    str | None,
    typer.Option(
        help="Write events (gaps, marks, notes on a file) as JSON lines here, not to --jsonl. "
        "Replaying many files: DIR/.",
        metavar="PATH|-",
    ),
]
AttentionOption = Annotated[
    bool, typer.Option("--attention/--no-attention", help="Whether --jsonl contains attention.")
]
ExecOption = Annotated[
    str | None,
    typer.Option(
        "--exec",
        help="Run a shell command at each change of label; it finds LIVESR_LABEL, LIVESR_BEFORE, "
        "LIVESR_PROBABILITY and LIVESR_TIME in its environment.",
        metavar="CMD",
    ),
]
HopOption = Annotated[
    float | None,
    typer.Option(help=f"Seconds between readings; default: {HOP_SECONDS}.", show_default=False),
]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        help="Use only this channel, counted from 1; each: every channel as a stream of its own.",
        metavar="N|each",
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile", help="Profile of the voice: its name, or a file's path.", metavar="NAME|PATH"
    ),
]
AdaptOption = Annotated[
    bool,
    typer.Option("--adapt/--no-adapt", help="Take out what this voice always sounds like."),
]
