"""A model that is opened in a thread, while something else is done."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import pytest

from livesr.errors import ModelError
from livesr.model import load


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The thread in which each model was opened, as in a process that has opened none so far."""
    threads: list[str] = []
    one_model = load.Model

    def model(data: bytes, source: str, reference: str) -> load.Model:
        threads.append(threading.current_thread().name)
        return one_model(data, source, reference)

    monkeypatch.setattr(load, "Model", model)
    monkeypatch.setattr(load, "_load", lru_cache(load._load.__wrapped__))
    return threads


def test_a_model_is_opened_once_in_a_thread_that_ends(tiny: Path, opened: list[str]) -> None:
    with load.opening(tiny):
        pass
    assert opened == ["livesr-opening"]
    assert opened[0] not in {thread.name for thread in threading.enumerate()}
    first = load.load_model(tiny)
    with load.opening(tiny):
        assert load.load_model(tiny) is first
    assert len(opened) == 1


def test_what_is_wrong_is_said_by_load_model(tmp_path: Path, opened: list[str]) -> None:
    with load.opening(tmp_path / "none.onnx"):
        pass
    with pytest.raises(ModelError, match=r"none\.onnx"):
        load.load_model(tmp_path / "none.onnx")


def test_an_error_of_the_block_is_raised(tiny: Path, opened: list[str]) -> None:
    with pytest.raises(ImportError, match="scipy"), load.opening(tiny):
        raise ImportError("scipy")
    assert load.load_model(tiny) and len(opened) == 1


def test_without_a_thread_the_model_is_opened_afterwards(
    tiny: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with load.opening(tiny):
        pass
    assert load.load_model(tiny) and opened == ["MainThread"]
