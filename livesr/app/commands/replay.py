"""`livesr replay`: the readings of recordings, as a live stream of each would give them."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livesr.app.commands.options import (
    AdaptOption,
    AttentionOption,
    ChannelOption,
    CsvOption,
    EventsOption,
    ExecOption,
    ForceOption,
    HopOption,
    JsonlOption,
    ModelOption,
    ProfileOption,
    ReportOption,
)

if TYPE_CHECKING:  # a command imports what it needs when it runs
    from livesr.app.exit_status import ExitStatus
    from livesr.app.gaps import Gaps
    from livesr.app.how import How
    from livesr.app.outputs import Outputs
    from livesr.app.playback import Clock
    from livesr.app.ui.view import View
    from livesr.files.replay import Channel


def replay(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Recordings (wav, flac, ogg, mp3 …), folders and patterns of them, - for "
            "standard input; or a .jsonl that --jsonl wrote.",
            metavar="FILE",
        ),
    ],
    jsonl: JsonlOption = None,
    csv: CsvOption = None,
    report: ReportOption = None,
    with_sound: Annotated[
        bool,
        typer.Option("--with-sound", help="Put the sound into the report, to be played there."),
    ] = False,
    events: EventsOption = None,
    summary: Annotated[
        str | None,
        typer.Option(
            help="Write one verdict per file: .csv, or .parquet with the extra `table`.",
            metavar="PATH",
        ),
    ] = None,
    force: ForceOption = False,
    exec_: ExecOption = None,
    attention: AttentionOption = True,
    pace: Annotated[bool, typer.Option("--pace", help="In real time, as if live.")] = False,
    play: Annotated[
        bool, typer.Option("--play", help="Play the sound too, in step with the view.")
    ] = False,
    channel: ChannelOption = None,
    start: Annotated[
        float, typer.Option(help="Begin at this second of the file.", metavar="SECONDS")
    ] = 0.0,
    end: Annotated[
        float | None, typer.Option(help="End at this second of the file.", metavar="SECONDS")
    ] = None,
    processes: Annotated[
        int, typer.Option("-j", "--processes", help="Files processed at once.", min=1, max=256)
    ] = 1,
    rate: Annotated[
        int | None,
        typer.Option(help="Raw samples without a header: their sample rate, Hz.", metavar="HZ"),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="Raw samples: number of channels.", metavar="N")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Raw samples: s16le, s24le, s32le, f32le, f64le, the same with be, s8, u8, alaw "
            "or mulaw."
        ),
    ] = None,
    model: ModelOption = None,
    hop: HopOption = None,
    profile: ProfileOption = None,
    adapt: AdaptOption = True,
) -> None:
    """Show and write the readings of recordings: bit for bit those of a live stream of each.

    Keys: q quit, space pause, left and right: 5 s back or on, . one reading on,
    ? help.
    """
    from livesr.app.how import How
    from livesr.app.inputs import find_inputs
    from livesr.app.outputs import Outputs, is_folder
    from livesr.app.profiles import load
    from livesr.app.terminal import quiet_libraries
    from livesr.errors import LivesrError
    from livesr.files.soundfile import RawFormat
    from livesr.settings import HOP_SECONDS, SAMPLE_RATE

    inputs = find_inputs(files)
    raw = None
    if rate is not None or channels is not None or format is not None:
        raw = RawFormat(
            SAMPLE_RATE if rate is None else rate,
            1 if channels is None else channels,
            "s16le" if format is None else format,
        )
    which = _channel(channel)
    profile_path, known = load(profile)
    how = How(
        model,
        HOP_SECONDS if hop is None else hop,
        known,
        adapt,
        which,
        start,
        end,
        raw,
        attention=attention,
        force=force,
        profile_path=profile_path,
    )
    one = len(inputs) == 1 and inputs[0].path == files[0] and which != "each" and summary is None
    if with_sound and report is None:
        raise LivesrError("--with-sound puts the sound into a report; give --report PATH too.")
    if with_sound and (channel or start or end is not None):
        raise LivesrError(
            "--with-sound puts in the sound of a whole file, with all its channels; leave out "
            "--channel, --start and --end."
        )
    folders = any(path and is_folder(path) for path in (jsonl, events, report))
    if one and not folders:
        outputs = Outputs(
            jsonl, csv, report, force=force, events=events, attention=attention, command=exec_
        )
        raise typer.Exit(_replay_one(inputs[0].path, how, outputs, pace, play, hop, with_sound))
    if pace or play or exec_ or with_sound:
        raise LivesrError(
            "--pace, --play, --with-sound and --exec need exactly one recording, without "
            "--summary, --channel each or an output folder."
        )
    from livesr.app.many import replay_many  # with rich's tables and pools of processes

    with quiet_libraries():
        status = replay_many(
            inputs,
            how,
            jsonl=jsonl,
            events=events,
            csv_path=csv,
            report=report,
            summary=summary,
            processes=processes,
        )
    raise typer.Exit(status)


def _replay_one(
    file: str,
    how: How,
    outputs: Outputs,
    pace: bool,
    play: bool,
    hop: float | None,
    with_sound: bool,
) -> ExitStatus:
    """One recording, or a session's readings, with the view."""
    from livesr.app.gaps import Gaps
    from livesr.app.outputs import Place
    from livesr.app.playback import KEYS, Playback
    from livesr.app.profiles import settings_read
    from livesr.app.terminal import OutputRun, quiet_libraries
    from livesr.app.ui.view import View
    from livesr.errors import LivesrError
    from livesr.files.jsonl import is_session, readings_from_jsonl
    from livesr.files.recording import events_path
    from livesr.files.replay import judged_by
    from livesr.files.replay import play as readings_of
    from livesr.files.soundfile import STDIN, SoundFile
    from livesr.model.load import load_model

    path, gaps = Path(file), Gaps()
    inputs = [Place("the file to replay", file)]
    if file != STDIN:
        inputs.append(Place("its events", events_path(path)))
    inputs += settings_read(how.model, how.profile_path, how.profile)
    outputs = outputs.checked(inputs)
    with quiet_libraries():
        if is_session(path):
            given = {
                "--play": play,
                "--with-sound": with_sound,
                "--model": how.model,
                "--hop": hop is not None,
                "--channel": how.channel,
                "--start": how.start,
                "--end": how.end is not None,
                "--rate": how.raw,
                "--profile": how.profile,
                "--no-adapt": not how.adapt,
            }
            if idle := [option for option, was in given.items() if was]:
                raise LivesrError(
                    f"{file} holds readings, not sound: {' and '.join(idle)} cannot change them."
                )
            view = View(source=path.name, model="", keys=KEYS)
            items = readings_from_jsonl(path)
        else:
            a_file = os.path.isfile(path)
            if (play or with_sound) and not a_file:
                raise LivesrError(
                    f"{file} can be read only once; --play and --with-sound need a file."
                )
            sound = SoundFile(file, raw=how.raw)
            gaps = Gaps.beside(path, sound.rate) if a_file else Gaps()
            length = min(sound.seconds + gaps.seconds, math.inf if how.end is None else how.end)
            facts = {"rate": f"{sound.rate} Hz"}
            if how.channel:
                facts["channel"] = f"{how.channel} of {sound.channels}"
            model, known = judged_by(sound, how)
            if known:
                facts["profile"] = known.name
            used = str(model)
            items = readings_of(file, how, sound=sound)  # opens the model while SciPy is imported
            view = View(
                "standard input" if file == STDIN else path.name,
                used,
                length if math.isfinite(length) else None,
                facts,
                KEYS,
                load_model(used).info.decision,
            )
        if with_sound:
            from livesr.app.report.sound import as_opus

            encoded = as_opus(lambda: SoundFile(path, raw=how.raw))
            size = _size(len(encoded) * 4 / 3)  # as base64
            print(f"livesr: The report will hold {size} of sound.", file=sys.stderr)
            outputs = replace(outputs, sound=encoded)
        clock = _clock(path, how, pace, play, gaps, view)
        return Playback(items, OutputRun(view, outputs), view, clock, start=how.start).run()


def _clock(path: Path, how: How, pace: bool, play: bool, gaps: Gaps, view: View) -> Clock | None:
    """The sound itself, real time where there is no output for it, or none."""
    from livesr.app.playback import RealTime

    if play:
        from livesr.app.speaker import Speaker
        from livesr.errors import DeviceError
        from livesr.files.soundfile import SoundFile

        try:
            channel = how.channel if isinstance(how.channel, int) else None
            return Speaker(lambda: SoundFile(path, raw=how.raw), gaps, channel)
        except DeviceError as error:
            view.facts["sound"] = "off"
            print(f"livesr: {error} The replay goes on silently.", file=sys.stderr)
    return RealTime() if pace or play else None


def _size(count: float) -> str:
    """So many bytes, in a unit that does not round them to nothing."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{math.ceil(count / 1e3)} kB"


def _channel(text: str | None) -> Channel:
    from livesr.errors import LivesrError

    if text is None or text == "each":
        return text  # type: ignore[return-value]
    if not text.isdecimal():
        raise LivesrError(f"--channel {text} is neither a number, counted from 1, nor `each`.")
    return int(text[:20])
