"""`livesr replay`: a recording, heard as a live stream of it would have been."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import (
    CsvOption,
    HopOption,
    JsonlOption,
    ModelOption,
    ReportOption,
)


def replay(
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
    from livesr.app.terminal import Session, show_replay
    from livesr.app.ui.view import View
    from livesr.errors import LivesrError
    from livesr.files.jsonl import readings_from_jsonl
    from livesr.files.replay import play
    from livesr.files.soundfile import SoundFile
    from livesr.model.load import DEFAULT

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
