"""`livesr replay`: a recording, heard as a live stream of it would have been."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import (
    CsvOption,
    ForceOption,
    HopOption,
    JsonlOption,
    ModelOption,
    ReportOption,
)


def replay(
    file: Annotated[
        str,
        typer.Argument(
            help="A recording (wav, flac, ogg, mp3 …) or a session's .jsonl.", metavar="FILE"
        ),
    ],
    jsonl: JsonlOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    force: ForceOption = False,
    pace: Annotated[bool, typer.Option("--pace", help="In real time, as if live.")] = False,
    model: ModelOption = None,
    hop: HopOption = None,
) -> None:
    """Hear a recording: what a live stream of it would have said, bit for bit."""
    from livesr.app.outputs import Outputs, Place
    from livesr.app.terminal import Session, quiet_libraries, show_replay
    from livesr.app.ui.view import View
    from livesr.errors import LivesrError
    from livesr.files.jsonl import is_session, readings_from_jsonl
    from livesr.files.recording import events_path
    from livesr.files.replay import play
    from livesr.files.soundfile import SoundFile
    from livesr.model.load import DEFAULT
    from livesr.settings import HOP_SECONDS

    path = _named(file)
    inputs = [Place("the file to replay", path), Place("its events", events_path(path))]
    if model:
        inputs.append(Place("the model", model))
    outputs = Outputs(jsonl, csv, report, force).checked(inputs)
    with quiet_libraries():
        if is_session(path):
            given = {"--pace": pace, "--model": model, "--hop": hop is not None}
            if idle := [option for option, was in given.items() if was]:
                raise LivesrError(
                    f"{file} holds readings, not sound: {' and '.join(idle)} cannot change them."
                )
            view, items = View(source=path.name, model=""), readings_from_jsonl(path)
        else:
            with SoundFile(path) as sound:
                seconds, facts = sound.seconds, {"rate": f"{sound.rate} Hz"}
            duration = seconds if math.isfinite(seconds) else None
            view = View(source=path.name, model=model or DEFAULT, duration=duration, facts=facts)
            items = play(path, model=model, hop=HOP_SECONDS if hop is None else hop, pace=pace)
        status = show_replay(Session(view, outputs), items)
    raise typer.Exit(status)


def _named(file: str) -> Path:
    """The path of a file that was named, if it can be one."""
    from livesr.errors import LivesrError

    if not file:
        raise LivesrError("The file's name is empty; name a recording.")
    if "://" in file:
        raise LivesrError(f"{file} is an address; livesr reads files: fetch it first.")
    return Path(file)
