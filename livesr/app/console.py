"""rich's console, with a pipe's end as the caller's affair."""

from __future__ import annotations

from rich.console import Console

from livesr.app.ui.theme import Ground


class PlainConsole(Console):
    """Colours no numbers or paths; a reader that went away is a BrokenPipeError, not status 1.

    Args:
        stderr: print to standard error.

    Attributes:
        ground: of the terminal, for `Palette`; None where it is not known.
    """

    ground: Ground | None = None

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, highlight=False, width=width)

    def on_broken_pipe(self) -> None:
        """Called by rich in place of the BrokenPipeError."""
        raise BrokenPipeError
