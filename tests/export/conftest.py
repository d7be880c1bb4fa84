"""The tests of training are collected where the extra `train` is installed; CI installs it."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest

_NEED_TRAIN = [
    "test_branches.py",
    "test_compare.py",
    "test_conditions.py",
    "test_evaluate.py",
    "test_ideas.py",
    "test_pretrained.py",
    "test_profiles.py",
    "test_speakers.py",
    "test_steady.py",
    "test_training.py",
]
collect_ignore = [] if all(map(find_spec, ("av", "torch", "pedalboard", "tqdm"))) else _NEED_TRAIN

Refusal = Callable[..., str]


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """What a command says as it refuses these options, before it reads a corpus."""

    def of(main: Callable[[], None], *options: str) -> str:
        monkeypatch.setattr("sys.argv", ["command", "--corpora", "nowhere", *options])
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().err

    return of
