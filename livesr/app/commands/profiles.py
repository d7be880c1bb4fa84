"""`livesr profiles`: the profiles of voices that are on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from livesr.profile import Profile


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="Show this profile in full.", metavar="NAME|PATH")
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove it, or only the examples of --label.")
    ] = False,
    label: Annotated[
        str | None, typer.Option(help="With --remove: only the examples of this label.")
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(help="With --label: only this one of them, counted from 1.", min=1),
    ] = None,
) -> None:
    """List, show or remove profiles of voices."""
    from livesr.app.profiles import check_exists, place
    from livesr.errors import ProfileError
    from livesr.profile import SUFFIX, Profile

    if name is None:
        if remove or label or number:
            raise ProfileError("Name the profile to remove from; `livesr profiles` lists them.")
        _list()
        return
    path = place(name)
    check_exists(name, path)
    if (label or number) and not remove:
        raise ProfileError("--label and --number select what --remove removes; give --remove too.")
    if number and not label:
        raise ProfileError("--number counts the examples of one label; give --label too.")
    if not remove or not path.exists():
        _show(Profile.load(path), path)
        return
    from livesr.profile_file import alone

    with alone(path):
        if label:
            profile = Profile.load(path)
            profile.remove(label, number)
            profile.save(path)
        else:
            if not path.name.endswith(SUFFIX):
                Profile.load(path)  # refuses what is no profile
            try:
                path.unlink()
            except OSError as error:
                raise ProfileError(f"{path} cannot be removed: {error.strerror}.") from None
    if label:
        _show(profile, path)
    else:
        _tell(f"{path} is removed.")


def _tell(text: str) -> None:
    from livesr.app.console import PlainConsole

    PlainConsole().print(text, markup=False, soft_wrap=True)


def _list() -> None:
    from livesr.app.profiles import folder, known
    from livesr.errors import LivesrError
    from livesr.profile import Profile

    for path in known():
        try:
            profile = Profile.load(path)
        except LivesrError as error:
            _tell(f"{path.stem}: {error}")
        else:
            counts = ", ".join(f"{count} {label}" for label, count in profile.counts.items())
            _tell(f"{profile.name}: {counts or 'no examples'}; changed {profile.changed}")
    if not known():
        _tell(f"No profile yet in {folder()}; `livesr enrol NAME` makes one.")


def _show(profile: Profile, path: Path) -> None:
    _tell(f"{profile.name}  ({path})")
    _tell(f"  model    {profile.model} ({profile.identity[:8]})")
    _tell(f"  created  {profile.created}, changed {profile.changed}")
    for label in profile.labels:
        of = [example for example in profile.examples if example.label == label]
        _tell(f"  {label}")
        for number, example in enumerate(of, start=1):
            heard = f"{example.pitch:4.0f} Hz" if example.pitch else "       "
            _tell(f"    {number:>3}  {example.seconds:5.1f} s of speech  {heard}  {example.source}")
    if doubt := profile.doubt():
        _tell(f"  {doubt}")
    if expected := profile.expectation():
        _tell(f"  The profile {expected}.")
