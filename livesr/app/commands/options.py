"""Options that several commands share: one name, one meaning, one help text."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A bundled model's name or an .onnx file.", metavar="NAME|PATH"),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="An input's number, or words of its name.", metavar="ID|SUBSTRING"),
]
JsonlOption = Annotated[
    str | None,
    typer.Option(help="Write readings as JSON lines; - is standard output.", metavar="PATH|-"),
]
CsvOption = Annotated[
    str | None,
    typer.Option(help="Write readings as CSV; - is standard output.", metavar="PATH|-"),
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        help="Write a page to look at afterwards (HTML, needs no network); - is standard output.",
        metavar="PATH|-",
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Let --jsonl, --csv and --report replace existing files.")
]
HopOption = Annotated[
    float | None, typer.Option(help="Seconds between readings.", show_default="0.25")
]
