"""`livesr replay`: a recording, heard as a live stream of it would have been."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import (
    CsvOption,
    ExecOption,
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
    exec_: ExecOption = None,
    pace: Annotated[bool, typer.Option("--pace", help="In real time, as if live.")] = False,
    play: Annotated[
        bool, typer.Option("--play", help="Play the sound too, in step with the view.")
    ] = False,
    model: ModelOption = None,
    hop: HopOption = None,
) -> None:
    """Hear a recording: what a live stream of it would have said, bit for bit."""
    from livesr.app.outputs import Outputs, Place
    from livesr.app.playback import KEYS, Clock, Playback, RealTime
    from livesr.app.speaker import Speaker
    from livesr.app.terminal import Session, quiet_libraries
    from livesr.app.ui.view import View
    from livesr.errors import DeviceError, LivesrError
    from livesr.files.jsonl import is_session, readings_from_jsonl
    from livesr.files.recording import events_path
    from livesr.files.replay import play as readings_of
    from livesr.files.soundfile import SoundFile
    from livesr.model.load import DEFAULT, load_model
    from livesr.settings import HOP_SECONDS

    path = _named(file)
    inputs = [Place("the file to replay", path), Place("its events", events_path(path))]
    if model:
        inputs.append(Place("the model", model))
    outputs = Outputs(jsonl, csv, report, force, command=exec_).checked(inputs)
    with quiet_libraries():
        if is_session(path):
            given = {"--play": play, "--model": model, "--hop": hop is not None}
            if idle := [option for option, was in given.items() if was]:
                raise LivesrError(
                    f"{file} holds readings, not sound: {' and '.join(idle)} cannot change them."
                )
            view = View(source=path.name, model="", keys=KEYS)
            items = readings_from_jsonl(path)
        else:
            with SoundFile(path) as sound:
                seconds, facts = sound.seconds, {"rate": f"{sound.rate} Hz"}
            duration = seconds if math.isfinite(seconds) else None
            settings = load_model(model).info.decision
            view = View(path.name, model or DEFAULT, duration, facts, KEYS, settings)
            items = readings_of(path, model=model, hop=HOP_SECONDS if hop is None else hop)
        clock: Clock | None = RealTime() if pace or play else None
        if play:
            try:
                clock = Speaker(lambda: SoundFile(path))
            except DeviceError as error:
                view.note = f"silent: {error}"
                print(f"livesr: {error} The replay goes on silently.", file=sys.stderr)
        status = Playback(items, Session(view, outputs), view, clock).run()
    raise typer.Exit(status)


def _named(file: str) -> Path:
    """The path of a file that was named, if it can be one."""
    from livesr.errors import LivesrError

    if not file:
        raise LivesrError("The file's name is empty; name a recording.")
    if "://" in file:
        raise LivesrError(f"{file} is an address; livesr reads files: fetch it first.")
    return Path(file)
