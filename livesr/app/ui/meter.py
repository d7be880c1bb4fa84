"""How loud it is, and whether there is speech."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from livesr.app.ui.theme import CLIPPING_DBFS, FAINT_DBFS, LEAST_BAR, Palette
from livesr.reading import Reading
from livesr.settings import SPEECH_THRESHOLD


@dataclass(frozen=True, slots=True)
class Meter:
    """Level from -60 to 0 dBFS, and the probability of speech in the newest hop.

    Attributes:
        reading: the newest; the level is its hop's.
        live: root mean square and peak of this moment, dBFS, shown instead where known.
    """

    reading: Reading | None
    live: tuple[float, float] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.reading is None:
            return
        palette = Palette.of(console, options)
        level, peak = self.live or (self.reading.level_dbfs, self.reading.level_dbfs)
        clips = peak > CLIPPING_DBFS
        words = f" {level:6.1f} dBFS"
        warning = f" CLIPS, peak {peak:.1f} " if clips else ""
        speaks = self.reading.speech > SPEECH_THRESHOLD
        voice = f"  {'speech  ' if speaks else 'no voice'}"
        share = f" {self.reading.speech:4.0%}"
        room = options.max_width - 12 - len(words) - len(warning) - len(voice)
        if room - len(share) >= LEAST_BAR:  # else there is no room for a whole number
            voice, room = voice + share, room - len(share)
        width = room if room >= LEAST_BAR else 0
        row = Text().append("   level   ", palette.quiet)
        row.append(palette.across(1 - level / FAINT_DBFS, width))
        row.append(words, palette.quiet)
        if clips:
            row.append(" ").append(warning.strip(), "bold reverse").append(" ")
        row.append(voice, "" if speaks else palette.quiet)
        row.truncate(options.max_width)
        yield row
