"""Before the first reading: time to import, packages to install, and their size."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from export.evaluation.options import ROOT
from export.peers.timing import Table

_IMPORTS = {
    "livesr": "import livesr",
    "python_speech_features": "import python_speech_features",
    "kaldi-native-fbank": "import kaldi_native_fbank",
    "librosa": "import librosa; librosa.feature.melspectrogram",
    "opensmile": "import opensmile",
    "transformers": "import torch; from transformers import Wav2Vec2Model",
}
_ALSO = {  # requirements that these packages do not declare
    "python_speech_features": ["numpy", "scipy"],
    "kaldi-native-fbank": ["numpy"],
    "transformers": ["torch"],
}
_FIRST = "import livesr; next(iter(livesr.replay({path!r})))"


def table(quick: bool) -> Table:
    """Import time, packages and size of livesr and of each peer."""
    runs = 3 if quick else 9
    bare = cpu_seconds("pass", runs)
    wheel, unpacked = wheel_bytes()
    rows = []
    for name, code in _IMPORTS.items():
        needed = closure([name, *_ALSO.get(name, [])])
        size = sum(map(installed_bytes, needed)) + (unpacked if name == "livesr" else 0)
        rows.append(
            (
                name,
                f"{max(0, cpu_seconds(code, runs) - bare):.2f} s",
                str(len(needed) - 1),
                f"{size / 1e6:.0f} MB",
            )
        )
    clip = str(ROOT / "tests/data/conversation.flac")
    first = cpu_seconds(_FIRST.format(path=clip), runs)
    own = len([r for r in distribution("livesr").requires or [] if "extra" not in r])
    return Table(
        "Before the first reading",
        ("package", "import", "other packages", "installed, with them"),
        rows,
        f"Processor time beyond Python's own start. From the start of Python to livesr's first "
        f"reading of a file: {first:.2f} s of processor time. livesr's wheel, models included, has "
        f"{wheel / 1e6:.1f} MB and declares {own} packages, which bring the others. PyTorch is "
        "the build without CUDA.",
    )


def cpu_seconds(code: str, runs: int) -> float:
    """Median processor seconds of a Python process that runs `code`, after one warm-up run."""
    spent = []
    for _ in range(runs + 1):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        after = os.times()
        spent.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    return float(np.median(spent[1:]))


def closure(names: list[str]) -> dict[str, Distribution]:
    """These distributions and all that they require, without extras; as installed here."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found[name] = distribution(name)
        for text in found[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def installed_bytes(name: str) -> int:
    """The size of a distribution's files; an editable install's sources do not count."""
    files = distribution(name).files or []
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())


def wheel_bytes() -> tuple[int, int]:
    """The size of livesr's wheel, packed and unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        subprocess.run([*command, "-w", folder, str(ROOT)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            return wheel.stat().st_size, sum(file.file_size for file in files.infolist())
