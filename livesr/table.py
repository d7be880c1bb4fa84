"""Readings as rows: the same names in CSV, in data frames and, nested, in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from livesr.errors import LivesrError
from livesr.event import Event
from livesr.reading import Reading

if TYPE_CHECKING:
    import pandas
    import polars

_TABLES = ("probabilities", "smoothed")


def row(reading: Reading) -> dict[str, Any]:
    """A reading's values without attention; a table's as `probabilities_LABEL`, `smoothed_LABEL`.

    "channel" is there only where it is told.
    """
    flat: dict[str, Any] = {}
    for name, value in reading.to_dict(attention=False).items():
        if name in _TABLES:
            flat |= {f"{name}_{label}": share for label, share in value.items()}
        else:
            flat[name] = value
    return flat


def to_frame(
    readings: Iterable[Reading | Event], library: Literal["pandas", "polars"] = "pandas"
) -> pandas.DataFrame | polars.DataFrame:
    """A data frame with a row for each reading; events are left out.

    Args:
        readings: in any order.
        library: "pandas" or "polars", which has to be installed.

    Raises:
        LivesrError: if the library is not one of those, or is not installed.

    Example:
        >>> import livesr
        >>> frame = to_frame(livesr.replay("talk.flac"))
        >>> len(frame), list(frame.columns[:4])
        (15, ['start', 'end', 'status', 'label'])
    """
    if library not in ("pandas", "polars"):
        raise LivesrError(f"{library!s:.40} makes no data frames here; use 'pandas' or 'polars'.")
    rows = [row(reading) for reading in readings if isinstance(reading, Reading)]
    try:
        if library == "polars":
            import polars  # noqa: PLC0415  (an extra)

            return polars.DataFrame(rows, infer_schema_length=None)
        import pandas  # noqa: PLC0415

        return pandas.DataFrame(rows)
    except ModuleNotFoundError:
        raise LivesrError(f"{library} is not installed; pip install {library}.") from None
