"""How the clips here were cut: `python tests/data/make.py CORPORA` (the folder with clips.csv).

Speakers of the `test` split: no model was trained or chosen on them.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile as sf

RATE, PAUSE_SECONDS = 16000, 0.7
CONVERSATION = (  # of one speaker each: the same or another sentence, by emotion
    "emodb/16/16a02Nb.flac",
    "emodb/16/16a05Wb.flac",
    "emodb/16/16a04Tc.flac",
    "emodb/16/16a01Fc.flac",
    "emodb/15/15a02Na.flac",
    "emodb/15/15a04Wa.flac",
    "emodb/15/15b02Tc.flac",
    "emodb/15/15a05Fb.flac",
)


def main(corpora: Path) -> None:
    here = Path(__file__).parent
    clips = [sf.read(corpora / path)[0] for path in CONVERSATION]
    pause = np.zeros(int(PAUSE_SECONDS * RATE))
    parts = [part for clip in clips for part in (pause, clip)]
    sf.write(here / "conversation.flac", np.concatenate([*parts, pause]), RATE)
    for name, path in {"banglaser.flac": "banglaser/31/03-01-05-01-01-01-31.flac"}.items():
        sf.write(here / name, sf.read(corpora / path)[0], RATE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
