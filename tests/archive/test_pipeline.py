"""How Ray is started; what it then does is tested by whole runs."""

from __future__ import annotations

import socket

import pytest
import ray

from livesr import LivesrError
from livesr.archive import pipeline


@pytest.fixture(autouse=True)
def _no_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test's Ray may run in this process."""
    monkeypatch.setattr(ray, "shutdown", lambda: None)


LATE = Exception("The current node timed out during startup. This could happen because ...")


def test_ray_is_started_again_if_it_was_too_slow(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [LATE, LATE]

    def start() -> None:
        if errors:
            raise errors.pop()

    pipeline._start(start)
    assert not errors
    assert capsys.readouterr().err.count("did not start in time") == 2


@pytest.mark.parametrize(("error", "tries"), [(LATE, 3), (ValueError("a wrong address"), 1)])
def test_what_does_not_pass_is_raised(error: Exception, tries: int) -> None:
    tried = []

    def start() -> None:
        tried.append(1)
        raise error

    with pytest.raises(type(error), match=str(error)[:20]):
        pipeline._start(start)
    assert len(tried) == tries


def test_a_cluster_that_is_not_there_is_told_before_ray_looks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray tries for minutes"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    told = f"The Ray cluster at {address} cannot be used: .*refused"
    with pytest.raises(LivesrError, match=told), pipeline.cluster(1, address):
        pass
