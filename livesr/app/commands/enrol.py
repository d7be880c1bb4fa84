"""`livesr enrol`: a profile of a voice, from sound files or with the microphone."""

from __future__ import annotations

import os
import shlex
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livesr.app.commands.options import DeviceOption, ModelOption

if TYPE_CHECKING:
    from livesr.app.exit_status import ExitStatus
    from livesr.profile import Profile

_EACH = 2  # sentences for each label


def enrol(
    name: Annotated[
        str, typer.Argument(help="Name of the profile, or a path.", metavar="NAME|PATH")
    ],
    clips: Annotated[
        list[Path] | None,
        typer.Argument(help="Sound files, each an example of --label.", metavar="CLIP"),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="What the clips sound like, e.g. happy.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels to enrol with the microphone: the model's emotions, or your own words.",
            metavar="WORD,WORD...",
        ),
    ] = None,
    device: DeviceOption = None,
    model: ModelOption = None,
    seconds: Annotated[
        float, typer.Option(help="Recorded for each sentence.", min=1.0, max=30.0)
    ] = 4.0,
    channel: Annotated[
        int | None, typer.Option(help="Use only this input, counted from 1.", metavar="N")
    ] = None,
    any_voice: Annotated[
        bool,
        typer.Option(
            "--any-voice", help="Take clips even where their pitch says that another person speaks."
        ),
    ] = False,
) -> None:
    """Make a profile of a voice: two sentences of each emotion with the microphone, or clips.

    A profile that exists gets more examples. It holds no sound.
    """
    from livesr.app.exit_status import ExitStatus
    from livesr.app.inputs import SOUND_NAMES
    from livesr.app.profiles import place
    from livesr.errors import ProfileError
    from livesr.profile import SUFFIX, Profile, check_label

    path = place(name)
    exists = os.path.exists(path)  # unlike Path.exists, raises nothing where one may not look
    first = f" The first word after enrol is the profile: enrol NAME {shlex.quote(name)} ..."
    ending = Path(name).suffix.lower()  # without one, it is the name of a voice
    if not exists and (ending in SOUND_NAMES or (ending and os.path.isfile(name))):
        raise ProfileError(f"{name} is a file to enrol from, and no profile.{first}")
    if not exists and not path.name.endswith(SUFFIX):
        raise ProfileError(f"{path}: give a name, or a path that ends in {SUFFIX}.")
    try:
        profile = Profile.load(path) if exists else Profile(model, name=path.name.split(".")[0])
    except ProfileError as error:
        raise ProfileError(f"{error}{first if label else ''}") from None
    if exists:
        from livesr.model.load import load_model

        profile.check_model(load_model(model or profile.model))
    status = ExitStatus.DONE
    if clips:
        if labels is not None:
            raise ProfileError("--labels is for the microphone; with clips, give --label alone.")
        if label is None:
            raise ProfileError("Say what the clips sound like: --label happy.")
        _enrol_clips(profile, check_label(label), clips, path, any_voice)
    elif label is not None:
        raise ProfileError(
            "--label is for clips: name some sound files, or use --labels for the microphone."
        )
    else:
        words = labels.split(",") if labels else list(profile.judged)
        wanted = [check_label(word.strip()) for word in words]
        status = _enrol_microphone(profile, wanted, path, device, seconds, channel)
    _tell(profile, path, name, bool(clips))
    if status:
        raise typer.Exit(status)


def _tell(profile: Profile, path: Path, name: str, clips: bool) -> None:
    """What the profile holds now, and how good it expects to be."""
    from livesr.model.metadata import LABELS

    counts = ", ".join(f"{count} {kept}" for kept, count in profile.counts.items())
    if not counts:
        print(f"{profile.name}: nothing is enrolled.")
        return
    print(f"{profile.name}: {counts}  ({path})")
    dropped = [known for known in profile.model_labels if known not in profile.judged]
    if dropped:
        alone = ", ".join(profile.judged)
        print(
            f"Only this profile's own labels are judged: {alone}. The model's {', '.join(dropped)} "
            "are not."
        )
        for word in profile.judged:
            near = get_close_matches(word, profile.model_labels, 1, 0.7)
            if near and word not in profile.model_labels:
                print(
                    f"If {word} is a misspelt {near[0]}: "
                    f"livesr profiles {shlex.quote(name)} --remove --label {shlex.quote(word)}"
                )
    if clips and (doubt := profile.doubt()):
        print(doubt)
    if expected := profile.expectation():
        print(f"The profile {expected}.")
        if expected.uar - expected.error < expected.chance:
            print("That is hardly better than guessing: are all examples of one voice?")
    if len(profile.counts) < 2 and profile.judged != LABELS:
        print("One label alone changes nothing yet: enrol another one.")
    else:
        print(f"Use it: livesr listen --profile {shlex.quote(name)}")


def _make_folder(path: Path) -> None:
    """The folder of a profile, before anybody has spoken for one that cannot be kept.

    Raises:
        ProfileError: if it cannot be made, or nothing can be written there.
    """
    from livesr.errors import ProfileError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(path.parent, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise ProfileError(
            f"The profile {path} cannot be kept: no file can be made in {path.parent} ({why}); "
            "give another path, or set LIVESR_PROFILES to another folder."
        )


def _enrol_clips(
    profile: Profile, label: str, clips: list[Path], path: Path, any_voice: bool
) -> None:
    """All of them or none."""
    import numpy as np

    from livesr.app.inputs import find_inputs
    from livesr.errors import AudioError, ProfileError
    from livesr.files.soundfile import SoundFile
    from livesr.profile import LONGEST_SECONDS

    _make_folder(path)
    known = len(profile.examples)
    for clip in (Path(each.path) for each in find_inputs(map(str, clips))):
        try:
            with SoundFile(clip) as sound:
                blocks, rate, count = [], sound.rate, 0
                for block in sound.blocks():
                    blocks.append(block)
                    count += len(block)
                    if count > LONGEST_SECONDS * rate:
                        break  # it is refused; the rest of a long recording is not read for that
                findings = sound.findings
            samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
            before = profile.examples
            example = profile.add(label, samples, rate, source=clip.name[:120], any_voice=any_voice)
            if any(example.same(other) for other in before):
                profile.pop()
                print(f"{clip}: it is enrolled already, and left out")
                continue
        except ProfileError as error:
            raise ProfileError(f"{clip}: {error} Nothing was enrolled.") from None
        except AudioError as error:
            raise AudioError(f"{error} Nothing was enrolled.") from None
        print(f"{clip}: {example.seconds:.1f} s of speech, {label}")
        for finding in findings:
            print(f"{clip}: {finding.text}", file=sys.stderr)
    if len(profile.examples) > known:
        _keep(profile, path, known)


def _keep(profile: Profile, path: Path, known: int) -> None:
    """Add the examples after the first `known` to the profile's file.

    Raises:
        ProfileError: if the file cannot take all of them.
    """
    from livesr.errors import ProfileError
    from livesr.profile_file import add_to_file

    _, why = add_to_file(path, profile, known)
    if why:
        raise ProfileError(f"The profile {path} cannot take all of it: {why}")


def _enrol_microphone(
    profile: Profile,
    labels: list[str],
    path: Path,
    device: str | None,
    seconds: float,
    channel: int | None,
) -> ExitStatus:
    """Sentence by sentence; each is kept as soon as it is accepted."""
    import sys

    from livesr.app.enrolment import Enrolment
    from livesr.app.exit_status import ExitStatus
    from livesr.app.terminal import quiet_libraries
    from livesr.errors import LivesrError

    _make_folder(path)
    kept = ""
    with quiet_libraries(), Enrolment(device, channel, profile.model, seconds) as enrolment:
        try:
            enrolment.begin(profile, labels, _EACH)
            enrolment.check_level()
            for label in labels:
                for number in range(1, _EACH + 1):
                    known = len(profile.examples)
                    profile.check_room(label)  # before somebody speaks in vain
                    if enrolment.take(profile, label, number, _EACH):
                        _keep(profile, path, known)
                        kept = " What was enrolled so far is kept."
        except (KeyboardInterrupt, EOFError):
            print(f"\nEnded.{kept}", file=sys.stderr)
        except LivesrError as error:
            if not kept:
                raise
            print(f"livesr: {error}{kept}", file=sys.stderr)
            return ExitStatus.PARTLY
    return ExitStatus.DONE
