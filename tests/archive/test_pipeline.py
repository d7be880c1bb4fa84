"""How Ray is started; what it then does is tested by whole runs."""

from __future__ import annotations

import pytest
import ray

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
