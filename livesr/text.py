"""Text of strangers (names of files, labels, notes) as it may be shown."""

from __future__ import annotations


def made_printable(text: str, instead: str = "?") -> str:
    """The text as it may go to a terminal, with a sign in place of each that cannot be shown."""
    return "".join(sign if sign.isprintable() else instead for sign in text)


def printable(text: object, most: int) -> bool:
    """Whether it may go to a terminal as it is."""
    return isinstance(text, str) and 0 < len(text) <= most and text.isprintable()
