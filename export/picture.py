"""The README's picture of the view: `python -m export.picture docs/view.svg`."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import livesr
from livesr.app.playback import KEYS
from livesr.app.ui.view import View
from livesr.files.soundfile import SoundFile
from livesr.model.load import DEFAULT, load_model

RECORDING = Path(__file__).resolve().parents[1] / "tests" / "data" / "conversation.flac"
WIDTH, HEIGHT, SECONDS = 100, 30, 20.25


def main(target: Path) -> None:
    with SoundFile(RECORDING) as sound:
        facts = {"rate": f"{sound.rate} Hz"}
        decision = load_model().info.decision
        view = View(RECORDING.name, DEFAULT, sound.seconds, facts, KEYS, decision)
    for reading in livesr.replay(RECORDING):
        if reading.end <= SECONDS:
            view.add(reading)
    console = Console(
        record=True,
        file=io.StringIO(),
        width=WIDTH,
        height=HEIGHT,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(view, height=HEIGHT, end="")
    # Without rich's web fonts, so that viewing the picture fetches nothing.
    plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    title = f"livesr replay {RECORDING.name} --pace"
    console.save_svg(str(target), title=title, code_format=plain)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
