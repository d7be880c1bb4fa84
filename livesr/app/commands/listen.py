"""`livesr listen`: a microphone, heard live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import (
    AdaptOption,
    CsvOption,
    DeviceOption,
    ExecOption,
    ForceOption,
    HopOption,
    JsonlOption,
    ModelOption,
    ProfileOption,
    ReportOption,
)

_KEYS = "q quit  space pause  r reset  m mark  1-9 correct  ? help"


def listen(
    device: DeviceOption = None,
    record: Annotated[
        Path | None, typer.Option(help="A new .flac or .wav file for what is heard.")
    ] = None,
    jsonl: JsonlOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    force: ForceOption = False,
    exec_: ExecOption = None,
    model: ModelOption = None,
    hop: HopOption = None,
    profile: ProfileOption = None,
    adapt: AdaptOption = True,
    seconds: Annotated[float | None, typer.Option(help="End after so much stream time.")] = None,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect/--no-reconnect",
            help="Wait for a microphone that goes, or end with status 3.",
        ),
    ] = True,
    channel: Annotated[
        int | None,
        typer.Option(
            help="The only input of the device to hear, counted from 1; else the first two.",
            metavar="N",
        ),
    ] = None,
) -> None:
    """Hear a microphone.

    Keys: q quit, space pause, r reset, m mark; 1 to 9: what was said just now was the first,
    second … label; u takes that back.
    """
    from livesr.app.outputs import Outputs, Place
    from livesr.app.profiles import keep_corrections, load
    from livesr.app.terminal import Session, quiet_libraries, show_listening
    from livesr.app.ui.view import View
    from livesr.errors import LivesrError
    from livesr.files.recording import events_path
    from livesr.microphone.listener import listen
    from livesr.model.load import DEFAULT, load_model
    from livesr.settings import HOP_SECONDS

    if seconds is not None and not seconds >= 0:
        raise LivesrError(f"--seconds {seconds:g} cannot be; give 0 or more.")
    path, known = load(profile)
    inputs = [Place("the model", model)] if model else []
    if path:
        inputs.append(Place("the profile", path))
    recording = []
    if record:
        recording = [
            Place("--record", record, replaceable=False),
            Place("the recording's events", events_path(record), replaceable=False),
        ]
    outputs = Outputs(jsonl, csv, report, force, command=exec_).checked(inputs, recording)
    with quiet_libraries():
        listener = listen(
            device,
            model=model,
            hop=HOP_SECONDS if hop is None else hop,
            record=record,
            profile=known,
            adapt=adapt,
            reconnect=reconnect,
            channel=channel,
        )
        used = model or (known.model if known else DEFAULT)
        settings = load_model(used).info.decision
        view = View(source="", model=used, keys=_KEYS, settings=settings)
        with listener:
            view.source = listener.device.name + (f"  ● recording {record}" if record else "")
            view.facts["rate"] = f"{listener.rate} Hz"
            if known:
                view.facts["profile"] = known.name
            session = Session(view, outputs)
            try:
                status = show_listening(session, view, listener, seconds)
            finally:
                keep_corrections(known, listener.profile, path)
    raise typer.Exit(status)
