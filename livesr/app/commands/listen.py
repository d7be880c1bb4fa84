"""`livesr listen`: readings of a microphone, live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import (
    AdaptOption,
    AttentionOption,
    CsvOption,
    DeviceOption,
    EventsOption,
    ExecOption,
    ForceOption,
    HopOption,
    JsonlOption,
    ModelOption,
    ProfileOption,
    ReportOption,
)

_KEYS = "q quit  space pause  r reset  m mark  1-9 u correct  ? help"


def listen(
    device: DeviceOption = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Record to this new .flac or .wav file, for an exact replay."),
    ] = None,
    jsonl: JsonlOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    events: EventsOption = None,
    attention: AttentionOption = True,
    force: ForceOption = False,
    exec_: ExecOption = None,
    model: ModelOption = None,
    hop: HopOption = None,
    profile: ProfileOption = None,
    adapt: AdaptOption = True,
    seconds: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect/--no-reconnect",
            help="Wait for a microphone that is lost, or end with status 3.",
        ),
    ] = True,
    channel: Annotated[
        int | None,
        typer.Option(
            help="Use only this input of the device, counted from 1; else the first two.",
            metavar="N",
        ),
    ] = None,
) -> None:
    """Show and write the readings of a microphone, live.

    Keys: q quit, space pause, r reset (another speaker), m mark, ? help.
    1 to 9: what you just said was the first, second … label; u undoes that.
    """
    import sys

    from livesr.app.exit_status import ExitStatus
    from livesr.app.outputs import Outputs, Place
    from livesr.app.profiles import keep_corrections, load, settings_read
    from livesr.app.terminal import OutputRun, quiet_libraries, show_listening
    from livesr.app.ui.view import View
    from livesr.errors import LivesrError
    from livesr.files.recording import events_path
    from livesr.microphone.listener import listen
    from livesr.model.load import DEFAULT, load_model
    from livesr.settings import HOP_SECONDS

    if seconds is not None and not seconds >= 0:
        raise LivesrError(f"--seconds {seconds:g} cannot be; give 0 or more.")
    path, known = load(profile)
    inputs = settings_read(model, path, known)
    recording = []
    if record:
        recording = [
            Place("--record", record, replaceable=False),
            Place("the recording's events", events_path(record), replaceable=False),
        ]
    outputs = Outputs(
        jsonl, csv, report, force, events=events, attention=attention, command=exec_
    ).checked(inputs, recording)
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
        view = View(source="", model=used, keys=_KEYS, settings=settings, corrects=True)
        started = False
        try:
            with listener:
                started = True
                view.source, view.recording = listener.device.name, str(record or "")
                view.facts["rate"] = f"{listener.rate} Hz"
                if known:
                    view.facts["profile"] = known.name
                run = OutputRun(view, outputs)
                try:
                    status = show_listening(run, view, listener, seconds)
                finally:
                    try:
                        keep_corrections(known, listener.profile, path, record)
                    except LivesrError as error:
                        print(f"livesr: {error}", file=sys.stderr)
                        status = ExitStatus.PARTLY
        except LivesrError:
            # An output could not be opened: a recording would be in the way of the next try.
            if record and started and listener.seconds < 1:
                for made in (record, events_path(record)):
                    made.unlink(missing_ok=True)
            raise
    raise typer.Exit(status)
