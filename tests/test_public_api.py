"""Public names, signatures and command-line options, against `public_api.txt`.

A change of the public API shows up as a change of that file:

    python -m tests.test_public_api    # writes it anew
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import livesr
from tests.helpers.commands import commands

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def _signature(call: Any) -> str:
    """As it is written in the source; defaults that are functions by their name."""
    shown = []
    star = False
    found = inspect.signature(call)
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            star = True
            shown.append("*")
        text = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            star, text = True, f"*{text}"
        if parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        if parameter.annotation is not parameter.empty:
            text += f": {parameter.annotation}"
        if parameter.default is not parameter.empty:
            text += f" = {getattr(parameter.default, '__name__', repr(parameter.default))}"
        shown.append(text)
    result = "" if found.return_annotation is found.empty else f" -> {found.return_annotation}"
    return f"({', '.join(shown)}){result}"


def _of_class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"class {name}" + (f"({bases})" if bases else "")
    if issubclass(cls, Exception):
        return
    yield f"    {name}{_signature(cls)}"
    for member in sorted(dir(cls)):
        if member.startswith("_") or member in getattr(cls, "__dataclass_fields__", {}):
            continue
        static = inspect.getattr_static(cls, member)
        if isinstance(static, property):
            found = inspect.signature(static.fget).return_annotation  # type: ignore[arg-type]
            yield f"    .{member}: {found}"
        elif callable(getattr(cls, member)):
            yield f"    .{member}{_signature(getattr(cls, member))}"


def _python() -> Iterator[str]:
    for name in sorted(livesr.__all__):
        found = getattr(livesr, name)
        if inspect.isclass(found):
            yield from _of_class(name, found)
        elif callable(found):
            yield f"{name}{_signature(found)}"
        else:
            yield f"{name}: {type(found).__name__}"


def _command_line() -> Iterator[str]:
    for name, command in sorted(commands().items()):
        yield f"$ livesr {name}".rstrip()
        for parameter in command.params:
            options = "/".join([*parameter.opts, *parameter.secondary_opts])
            yield f"    {options}" + ("" if parameter.opts[0].startswith("-") else " (argument)")


def described() -> str:
    return "\n".join([*_python(), "", *_command_line(), ""])


def test_the_public_api_is_the_one_written_down() -> None:
    assert described().splitlines() == SNAPSHOT.read_text(encoding="utf-8").splitlines(), (
        "the public API has changed; if that is meant: python -m tests.test_public_api, and say "
        "so in CHANGELOG.md"
    )


def test_every_public_name_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [name for name in livesr.__all__ if not re.search(rf"`(livesr\.)?{name}\b", page)]
    assert not missing


def test_every_public_name_has_an_example() -> None:
    found = {name: getattr(livesr, name) for name in livesr.__all__}
    missing = [
        name for name, value in found.items() if callable(value) and ">>>" not in value.__doc__
    ]
    own = inspect.getmembers(livesr.Recognizer, inspect.isfunction)
    # `untaught` is shown with `teach`; `silence_of` is for `livesr.microphone`.
    others = {"untaught", "silence_of"}
    missing += [
        f"Recognizer.{name}"
        for name, method in own
        if not name.startswith("_") and name not in others and ">>>" not in (method.__doc__ or "")
    ]
    assert not missing


if __name__ == "__main__":
    SNAPSHOT.write_text(described(), encoding="utf-8")
