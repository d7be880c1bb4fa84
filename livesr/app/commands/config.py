"""`livesr config`: options that need not be given every time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer


def config(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(
            help="An option's long name without its dashes (device), or COMMAND.NAME for one "
            "command only (replay.hop).",
            metavar="KEY",
            show_default=False,
        ),
    ] = None,
    value: Annotated[
        str | None, typer.Argument(help="The new value.", metavar="VALUE", show_default=False)
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Take the key out of the file.")] = False,
) -> None:
    """Show or set default values of options.

    Without arguments: the file and what is in it. The command line overrides it.
    """
    from livesr.app.config import config_path, defaults, parsed, read, spelt, write
    from livesr.errors import LivesrError

    path = config_path()
    values = read(path)
    if unset and (key is None or value is not None):
        raise LivesrError("--unset takes one key: livesr config KEY --unset.")
    if key is None:
        print(f"# {path}" + ("" if path.exists() else " (there is none yet)"))
        print(path.read_text(encoding="utf-8").rstrip() if values else "# nothing is set")
        return
    *command, name = key.split(".")
    if len(command) > 1:
        raise LivesrError(f"{key} has too many dots; give NAME or COMMAND.NAME.")
    if value is None:
        found = values.get(command[0]) if command else values
        if not isinstance(found, Mapping) or not (same := spelt(found, name)):
            raise LivesrError(f"{key} is not set in {path}; livesr config {key} VALUE sets it.")
        if not unset:
            shown = found[same[-1]]  # the last one holds
            print(str(shown).lower() if isinstance(shown, bool) else shown)
            return
    else:
        new = {name: parsed(value)}
        defaults({command[0]: new} if command else new, context, path)  # refuses what it is not
    write(path, key, value)
