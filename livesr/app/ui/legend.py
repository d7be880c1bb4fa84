"""What everything on the screen means."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from livesr.app.ui.theme import QUIET, Palette

_ROWS = (
    ("large word", "the emotion, held against flicker; beside it its smoothed probability"),
    ("bars", "probabilities, smoothed over the last second or so of speech; now: this window's"),
    ("strip", "how much each moment of the last {window:g} s weighed; below it the level, dim "
     "where nobody spoke"),
    ("last minute", "height: smoothed probability; {unsure} unsure; {dot} nobody spoke; "
     "{mark} marks and what else happened"),
    ("level", "of the newest sound; CLIPS: the peak reached the end of the scale"),
    ("latency", "from a sound to its reading: half of them, and 95 of 100, are quicker"),
    ("dim", "paused, or the microphone has gone: not live"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Legend:
    """Opened and closed by "?".

    Attributes:
        window: seconds that a reading looks back on.
        keys: what the keyboard does.
    """

    window: float
    keys: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        signs = ("/", ".", "*") if palette.ascii_only else ("░", "·", "◆")
        values = {"window": self.window, **dict(zip(("unsure", "dot", "mark"), signs, strict=True))}
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, words in _ROWS:
            table.add_row(f" {name}", words.format(**values))
        if self.keys:
            table.add_row(" keys", palette.printable(self.keys))
        yield Text(" What you see (? closes it)", QUIET)
        yield table
