"""How long a hop may be, and of what type."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livesr import LivesrError, Recognizer


@pytest.mark.parametrize(
    ("hop", "seconds"),
    [
        (np.float32(0.25), 0.25),
        (np.float32(0.1), 0.1),
        (np.float32(0.02), 0.02),
        (np.float64(0.3), 0.3),
        (np.int64(1), 1.0),
        (3, 3.0),
        (np.float16(0.5), 0.5),
    ],
)
def test_a_hop_is_a_number_of_any_type(tiny: Path, hop: Any, seconds: float) -> None:
    assert Recognizer(tiny, hop=hop).hop == seconds


@pytest.mark.parametrize(
    "hop",
    [
        *(True, np.True_, "0.25", None, Fraction(1, 3), [0.25], 0.25j),
        *(0, -0.25, 0.01, 0.255, 3.01, 3.0004, np.float32(0.123)),
        *(float("nan"), float("inf"), 10**400),
    ],
)
def test_what_is_no_hop(tiny: Path, hop: Any) -> None:
    with pytest.raises(LivesrError, match="cannot be used; give a multiple"):
        Recognizer(tiny, hop=hop)
