"""What everything on the screen means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from livesr.app.ui.theme import Palette

_ROWS = (
    ("large word", "the emotion now and its smoothed probability"),
    ("bars", "probabilities, smoothed over about 1 s of speech; now: the last {window:g} s alone"),
    ("usual", "this voice's mean so far, also the bars' marks"),
    ("attention", "how much each moment counted; below it the level, grey without speech"),
    ("last minute", "height: smoothed probability; {unsure} unsure; {dot} no speech; {mark} marks "
     "and other events"),
    ("level", "newest sound; CLIPS: its peak was full scale"),
    ("latency", "sound to reading: median/95th percentile"),
    ("dim", "not live: paused, or the microphone is gone"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Legend:
    """Opened and closed by "?".

    Attributes:
        window: seconds that a reading looks back on.
        keys: what the keyboard does.
        labels: those that the keys 1 to 9 correct to; none where nothing can be corrected.
    """

    window: float
    keys: str = ""
    labels: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        palette = Palette.of(console, options)
        signs = ("/", ".", "*") if palette.ascii_only else ("░", "·", "◆")
        values = {"window": self.window, **dict(zip(("unsure", "dot", "mark"), signs, strict=True))}
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        if self.keys:  # first: a small window shows no more
            table.add_row(" keys", palette.printable(self.keys))
        if self.labels:
            numbered = ", ".join(f"{n} {label}" for n, label in enumerate(self.labels[:9], start=1))
            table.add_row(" correct", f"you just said: {numbered}; u: undo")
        for name, words in _ROWS:
            table.add_row(f" {name}", words.format(**values))
        yield Text(" What you see (? closes it)", palette.quiet)
        yield table
