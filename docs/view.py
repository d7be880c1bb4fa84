"""How view.svg is drawn: `python docs/view.py`, from the root of a checkout."""

import os

from rich.console import Console

import livesr
from livesr.app.ui.view import View

RECORDING, SECONDS, WHOLE = "tests/data/conversation.flac", 20.0, 27.1

view = View("conversation.flac", "acrnn-compact", WHOLE, {"rate": "16000 Hz"})
for reading in livesr.replay(RECORDING):
    if reading.end <= SECONDS:
        view.add(reading)
with open(os.devnull, "w") as nowhere:
    console = Console(
        record=True,
        width=100,
        height=30,
        file=nowhere,
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(view, height=30)
console.save_svg("docs/view.svg", title=f"livesr replay {view.source} --pace")
