"""The tests of training are collected where the extra `train` is installed; CI installs it."""

from importlib.util import find_spec

_NEED_TRAIN = [
    "test_branches.py",
    "test_compare.py",
    "test_conditions.py",
    "test_evaluate.py",
    "test_pretrained.py",
    "test_profiles.py",
    "test_speakers.py",
    "test_steady.py",
    "test_training.py",
]
collect_ignore = [] if all(map(find_spec, ("av", "torch", "pedalboard", "tqdm"))) else _NEED_TRAIN
