"""livesr beside what people use instead, on this machine: one thread, the same audio, one run.

    pip install -e '.[peers]'
    python -m export.peers                 # Markdown tables, some minutes
    python -m export.peers --quick
    python -m export.peers --only readings voices
    python -m export.peers --readme        # and writes them into README.md and docs/figures.md

Medians of processor time; the ratios travel, the milliseconds are yours to measure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import onnxruntime

from export.peers import (
    arithmetic,
    frontends,
    growth,
    precision,
    readings,
    readme,
    startup,
)
from export.peers.timing import Table, conversation, one_thread


def main() -> None:
    samples = conversation()
    sections: dict[str, Callable[..., Table]] = {
        "readings": partial(readings.table, samples),
        "features": partial(frontends.table, samples),
        "windows": partial(growth.windows, samples),
        "hops": partial(growth.hops, samples),
        "voices": partial(growth.voices, samples),
        "stages": partial(arithmetic.table, samples),
        "precision": partial(precision.table, samples),
        "startup": startup.table,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: noisier")
    parser.add_argument("--only", nargs="+", choices=sections, metavar="TABLE", default=sections)
    parser.add_argument("--readme", action="store_true", help="write them down, all of them")
    options = parser.parse_args()
    if options.readme and options.only is not sections:
        parser.error("--readme wants all tables: leave out --only")
    onnxruntime.set_default_logger_severity(3)
    done: dict[str, Table] = {}
    try:
        with one_thread():
            for name in options.only:
                done[name] = sections[name](quick=options.quick)
                print(done[name].markdown(), end="\n\n", flush=True)
    except ImportError as error:
        raise SystemExit(f"{error}; pip install -e '.[peers]' first.") from None
    if options.readme:
        readme.write(done)


if __name__ == "__main__":
    main()
