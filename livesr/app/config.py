"""Options that a user gives every time, kept in a file: `config.toml`.

    device = "usb"          # for every command that has --device

    [replay]
    hop = 0.5               # for `livesr replay` only

Keys are the options' long names without their dashes. What the command line says wins.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from livesr.app.outputs import is_null
from livesr.app.user_folders import user_path
from livesr.errors import LivesrError
from livesr.whole_file import write_whole

VARIABLE = "LIVESR_CONFIG"


def config_path() -> Path:
    """Where the file lies, whether there is one or not: $LIVESR_CONFIG, or the system's place.

    Raises:
        LivesrError: if there is no such place, for want of a home directory.
    """
    return user_path("config", VARIABLE, "config.toml")


def read(path: Path) -> dict[str, Any]:
    """What the file says; nothing where there is none.

    Raises:
        LivesrError: if it cannot be read, or is not TOML.
    """
    try:
        if not _is_file(path):
            return {}
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise LivesrError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise LivesrError(f"{path} is not TOML ({error}); mend it, or move it away.") from None


def _is_file(path: Path) -> bool:
    """Whether there is something to read: the null device holds nothing.

    Raises:
        LivesrError: if it is neither: a device may never end, a pipe never begin.
    """
    found = path.stat()
    if not S_ISREG(found.st_mode) and not is_null(found):
        raise LivesrError(f"{path} is not a file; set {VARIABLE} to one.")
    return S_ISREG(found.st_mode)


def defaults(values: Mapping[str, Any], context: typer.Context, path: Path) -> dict[str, Any]:
    """A file's values as typer takes them: for each command, its options' defaults.

    Args:
        values: of the file.
        context: of `livesr` itself, which knows the commands.
        path: of the file, for messages.

    Raises:
        LivesrError: if a key is no option, or a value not one of it; says which there are.
    """
    group = context.find_root().command
    assert isinstance(group, TyperGroup)
    commands = group.commands
    found: dict[str, dict[str, Any]] = {}
    shared = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    for key, value in shared.items():
        taken = False
        for name, command in commands.items():
            if option := _option(command, key):
                taken = True
                found.setdefault(name, {})[_name(option)] = _checked(
                    option, value, f"{path}: {key}", context
                )
        if not taken:
            raise LivesrError(
                f"{path}: {key} is an option of no command; {_opposite(commands.values(), key)}"
                "keys are long options without their dashes, like device or hop."
            )
    for name, table in values.items():  # after those for all: a command's own win
        if not isinstance(table, Mapping):
            continue
        if name not in commands:
            known = ", ".join(commands)
            raise LivesrError(f"{path}: [{name}] is not a command; there are {known}.")
        for key, value in table.items():
            option = _option(commands[name], key)
            if option is None:
                raise LivesrError(
                    f"{path}: livesr {name} has no option {key}; "
                    f"{_opposite([commands[name]], key)}see 'livesr {name} -h'."
                )
            found.setdefault(name, {})[_name(option)] = _checked(
                option, value, f"{path}: {name}.{key}", context
            )
    return found


def options(command: Any) -> Iterator[TyperOption]:
    """Those of a command that may stand in the file."""
    for parameter in command.params:
        if isinstance(parameter, TyperOption) and parameter.name != "help":
            yield parameter


def _option(command: Any, key: str) -> TyperOption | None:
    wanted = _long(key)
    return next((option for option in options(command) if wanted in option.opts), None)


def _opposite(commands: Iterable[Any], key: str) -> str:
    """What to write in place of the negative form of a flag, such as no-adapt; else ""."""
    wanted = _long(key)
    for option in chain.from_iterable(map(options, commands)):
        if wanted in option.secondary_opts:
            return f"write {option.opts[0].removeprefix('--')} = false; "
    return ""


def _long(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _name(option: TyperOption) -> str:
    assert option.name is not None
    return option.name


def _checked(option: TyperOption, value: Any, where: str, context: typer.Context) -> Any:
    """The value as the command line would give it, if the option takes it."""
    shown = f"{where} = {value!r:.60}"
    if option.is_flag != isinstance(value, bool):
        raise LivesrError(
            f"{shown} is neither true nor false."
            if option.is_flag
            else f"{shown} is no value of {option.opts[0]}."
        )
    if not option.is_flag:
        value = [str(one) for one in value] if isinstance(value, list) else str(value)
    try:
        option.process_value(context, value)
    except typer.BadParameter as error:
        raise LivesrError(f"{shown} cannot be: {error.message.rstrip('.')}.") from None
    return value


def spelt(table: Iterable[str], name: str) -> list[str]:
    """The keys of a table that are this option: with_sound is with-sound."""
    return [key for key in table if _long(key) == _long(name)]


def write(path: Path, key: str, value: str | None) -> None:
    """Set a key of the file, or take it away; comments and the other keys stay as they are.

    Args:
        path: of the file; made if there is none, with its folders.
        key: an option's name, or "COMMAND.NAME".
        value: as TOML or, where it is not TOML, as words; None takes the key away.

    Raises:
        LivesrError: if the file is not TOML, or cannot be written, or is a device.
    """
    import tomlkit  # noqa: PLC0415
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    read(path)  # refuses what is not TOML
    if path.exists() and not _is_file(path):
        raise LivesrError(f"{path} keeps nothing; set {VARIABLE} to a file.")
    *tables, name = key.split(".")
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        table: Any = document
        for inner in tables:
            if inner not in table and value is not None:
                table[inner] = tomlkit.table()
            table = table.get(inner, {})
        if not isinstance(table, MutableMapping):
            raise LivesrError(f"{path}: {tables[0]} is no table; take it out first (--unset).")
        same = spelt(table, name)
        if value is not None:
            table[same[-1] if same else name] = parsed(value)
        for older in same if value is None else same[:-1]:
            del table[older]
        if tables and not table:
            document.pop(tables[0], None)
        os.makedirs(os.path.dirname(os.path.realpath(path)), exist_ok=True)
        write_whole(path, tomlkit.dumps(document).encode())
    except (OSError, TOMLKitError, TypeError, ValueError, AttributeError) as error:
        why = getattr(error, "strerror", None) or error
        raise LivesrError(
            f"{path} cannot be written ({why}) and is as it was; make room, or set {VARIABLE} to "
            "another file."
        ) from None


def parsed(value: str) -> Any:
    """A value of the command line: TOML's numbers, true and false; all else are words."""
    with suppress(ValueError):
        found = tomllib.loads(f"value = {value}")["value"]
        if isinstance(found, (bool, int, float)):
            return found
    return value
