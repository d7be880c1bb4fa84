"""The whole picture, fitted to the terminal."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.styled import Styled
from rich.text import Text

from livesr.app.ui.attention import AttentionStrip
from livesr.app.ui.bars import Bars
from livesr.app.ui.headline import Headline
from livesr.app.ui.history import History
from livesr.app.ui.legend import Legend
from livesr.app.ui.meter import Meter
from livesr.app.ui.theme import Palette
from livesr.app.ui.usual_row import UsualRow
from livesr.app.ui.view import HISTORY_SECONDS, View
from livesr.reading import Reading

_SHORTEST_SECONDS = 10.0
_WIDE, _TALL = 110, 24  # cells from which the strip stands beside the bars, and air is left
_FOOTED = 9  # rows from which there is a footer
_TWO_FOOTERS = 18  # rows from which what does not fit into one footer gets a second
_AIRY = 28  # rows from which there is air above every title too
# Rows of the terminal, and those of them that the label takes: seven dots, of two rows each where
# there is room, then of one, then of half a one.
_HEADLINES = ((56, 15), (40, 8), (24, 5), (19, 4), (0, 1))


@dataclass(frozen=True, slots=True)
class Picture:
    """A view, drawn as it is at the moment of drawing."""

    view: View

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, height = self.view, options.height or console.height
        palette = Palette.of(console, options)
        width = options.max_width
        newest = view.readings[-1] if view.readings else None
        air = int(height >= _AIRY)
        header = 2 + air if view.duration else 2 if height > 9 else 1
        foot = self._footer(width, palette, most=2 if height >= _TWO_FOOTERS else 1)
        parts = [Layout(self._header(width, palette), size=header)]
        if view.notice:
            notice = Text(f" {palette.printable(view.notice)} ", "bold reverse")
            parts.append(Layout(Group(notice), size=1))
        if view.legend:
            labels = tuple(newest.smoothed) if newest and view.corrects else ()
            parts.append(Layout(Legend(view.window(), view.keys, labels)))
        else:
            picture = Layout()
            picture.split_column(*self._picture(newest, width, height, air, palette))
            # What is not live is dim, so that it is not taken for live.
            parts.append(Layout(Styled(picture, "dim") if view.notice else picture))
        if height >= _FOOTED:
            parts.append(Layout(foot, size=foot.plain.count("\n") + 1))
        layout = Layout()
        layout.split_column(*parts)
        yield from console.render(layout, options.update(height=height))

    def _picture(
        self, newest: Reading | None, width: int, height: int, air: int, palette: Palette
    ) -> list[Layout]:
        """The label, the bars, the strip and the history, as many as fit."""
        view = self.view
        wide, spacious = width >= _WIDE, height >= _TALL
        bars = Bars(newest, view.usual.shares, numbered=view.corrects)
        usual = UsualRow(view.usual, newest) if spacious else Group()
        now = Group(bars, usual, Meter(newest, view.level))
        window = view.window()
        strip = _titled(
            f"attention: which moments of the last {window:g} s counted most",
            AttentionStrip(view.readings, window),
            0 if wide else air,
            palette.quiet,
        )
        span = min(HISTORY_SECONDS, view.duration or HISTORY_SECONDS)
        span = max(span, _SHORTEST_SECONDS)
        lasting = "minute" if span == HISTORY_SECONDS else f"{span:.0f} s"
        history = _titled(
            f"label over the last {lasting}",
            History(view.readings, span, view.events),
            air,
            palette.quiet,
        )
        upper = 6 if spacious else 5
        size = next(rows for least, rows in _HEADLINES if height >= least)
        parts = [Layout(Headline(newest, view.settings, view.held()), size=size)]
        if wide:
            beside = Layout(size=max(upper, min(10, height // 3)))
            beside.split_row(Layout(now), Layout(strip))
            parts.append(beside)
        else:
            parts.append(Layout(now, size=upper))
            if height >= 17:
                parts.append(Layout(strip, size=min(8, max(4, height // 5)) + air))
        if height >= 13:
            parts.append(Layout(history, minimum_size=4))
        return parts

    def _header(self, width: int, palette: Palette) -> RenderableType:
        view = self.view
        now = max(view.now, view.readings[-1].end if view.readings else 0.0)
        clock = _clock(now) + (f" / {_clock(view.duration)}" if view.duration else "")
        source = view.source + (f"  ● recording {view.recording}" if view.recording else "")
        source = palette.printable(source)
        top = Text(" ").append(" livesr ", "bold reverse").append(f"  {source}")
        top.truncate(max(1, width - len(clock) - 2))
        top.append(clock.rjust(max(0, width - top.cell_len - 1)))
        if not view.duration:
            return Group(top, Text(""))
        done = min(1.0, now / view.duration)
        cells = max(1, width - 2)
        filled = round(cells * done)
        full, empty = ("=", "-") if palette.ascii_only else ("━", "─")
        bar = Text(" " + full * filled).append(empty * (cells - filled), palette.quiet)
        return Group(top, bar)

    def _footer(self, width: int, palette: Palette, most: int) -> Text:
        """Facts and keys in one row if they fit, else in two if there may be; or the note."""
        view = self.view
        dot = " | " if palette.ascii_only else " · "
        keys = Text(palette.printable(view.keys))
        known = {"model": view.model, **view.facts}
        facts = [f"{name} {value}" for name, value in known.items() if value]
        beside = width - (keys.cell_len + 3 if keys.plain else 1)
        split = most > 1 and keys.plain and len(" " + dot.join(facts)) > beside
        room = width - 1 if split else beside
        foot = Text(" ", palette.quiet)
        for fact in facts:
            words = Text((dot if foot.cell_len > 1 else "") + palette.printable(fact))
            # Half a number would mislead: a fact that does not fit whole is left out.
            if foot.cell_len + words.cell_len <= room:
                foot.append(words)
        if view.note:  # for a moment, in as many rows, so that the picture does not jump
            rows = 1 + bool(split)
            wrapped = textwrap.wrap(palette.printable(view.note), max(1, width - 3))
            told = [f" {line} " for line in wrapped[:rows]]
            return Text("\n".join([*told, ""][:rows]), "bold reverse")
        if split:
            foot.append("\n ").append(keys)
            return foot
        foot.append(" " * max(0, width - foot.cell_len - keys.cell_len - 1)).append(keys)
        foot.truncate(width)
        return foot


def _titled(title: str, part: RenderableType, above: int, style: str) -> Layout:
    """A part under its title, with so many rows of air above."""
    layout = Layout()
    heading = Text("\n" * above + f" {title}", style)
    layout.split_column(Layout(heading, size=1 + above), Layout(part))
    return layout


def _clock(seconds: float) -> str:
    # Rounded before it is split: 59.97 s is 01:00.0, not 00:60.0.
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{minutes:02}:{tenths / 10:04.1f}"
    return f"{hours}:{rest}" if hours else rest
