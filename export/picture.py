"""The pictures of README and docs, from the program itself: `python -m export.picture docs`.

`view.svg` and `legend.svg` are the screen of `livesr replay --pace` on the bundled recording,
`report.png` its report page in Chromium (left out where there is none), `plot.png` what
`livesr.plot` draws.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile as sf
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME

import livesr
from export.evaluation.options import ROOT, command_parser, new_folder
from livesr.app.console import PlainConsole
from livesr.app.playback import KEYS
from livesr.app.report.report import Report
from livesr.app.ui.picture import Picture
from livesr.app.ui.theme import Ground
from livesr.app.ui.view import View
from livesr.event import Item
from livesr.files.replay import play
from livesr.files.soundfile import SoundFile
from livesr.model.load import DEFAULT, load_model
from livesr.reading import Reading

RECORDING = ROOT / "tests" / "data" / "conversation.flac"
WIDTH, HEIGHT, SECONDS = 100, 30, 23.25
_PAGE_PIXELS = (1000, 900)


def view_of(items: list[Item], until: float = SECONDS) -> View:
    """The screen of a replay of the bundled recording at a moment of it."""
    with SoundFile(RECORDING) as sound:
        facts = {"rate": f"{sound.rate} Hz"}
        decision = load_model().info.decision
        view = View(RECORDING.name, DEFAULT, sound.seconds, facts, KEYS, decision)
    for item in items:
        if not isinstance(item, Reading) or item.end <= until:
            view.take(item)
    return view


def draw(
    view: View, target: Path, ground: Ground = "dark", size: tuple[int, int] | None = None
) -> None:
    """The screen as an SVG that asks no network for fonts."""
    width, height = size or (WIDTH, HEIGHT)
    console: Console = PlainConsole(width=width)
    console.ground = ground  # type: ignore[attr-defined]
    console.file, console.record = io.StringIO(), True
    console._force_terminal, console.legacy_windows = True, False
    console._color_system = Console(force_terminal=True, color_system="truecolor")._color_system
    console.print(Picture(view), height=height, end="")
    plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    theme = SVG_EXPORT_THEME if ground == "dark" else DEFAULT_TERMINAL_THEME
    title = f"livesr replay {RECORDING.name} --pace"
    console.save_svg(str(target), title=title, theme=theme, code_format=plain, unique_id="livesr")


def photograph(page: Path, target: Path) -> bool:
    """A picture of a page by a headless Chromium; False where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        return False
    width, height = _PAGE_PIXELS
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        options += ["--virtual-time-budget=2000", f"--screenshot={target}", page.as_uri()]
        subprocess.run([found, *options], check=True, capture_output=True, timeout=120)
    return True


def draw_all(folder: Path) -> None:
    """Draw all of them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    items = list(play(RECORDING))
    view = view_of(items)
    draw(view, folder / "view.svg")
    view.legend = True
    draw(view, folder / "legend.svg")
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        with Report(RECORDING.name, DEFAULT, page) as report:
            for item in items:
                report.write(item)
        if not photograph(page, folder / "report.png"):
            print("report.png is left out: there is no chromium", file=sys.stderr)
    samples, rate = sf.read(RECORDING, dtype="float32")
    livesr.plot(items, samples, rate).savefig(folder / "plot.png", dpi=100)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument(
        "folder",
        type=new_folder,
        help="write the pictures to this folder; docs holds those of README",
    )
    draw_all(parser.parse_args().folder)


if __name__ == "__main__":
    main()
