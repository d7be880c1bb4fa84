"""What livesr costs on this machine, beside other tools: one thread, the same audio, one run.

    pip install -e '.[peers]'
    python -m export.peers                 # Markdown tables, some minutes
    python -m export.peers --quick
    python -m export.peers --only readings voices
    python -m export.peers --write         # and writes them into docs/performance.md

Times are medians of processor time. The milliseconds differ from machine to machine; the ratios
differ much less.
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
    page,
    precision,
    readings,
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
    parser.add_argument(
        "--write", "--readme", action="store_true", help="write all tables into docs/performance.md"
    )
    options = parser.parse_args()
    if options.write and options.only is not sections:
        parser.error("--write needs all tables: leave out --only")
    onnxruntime.set_default_logger_severity(3)
    done: dict[str, Table] = {}
    try:
        with one_thread():
            for name in options.only:
                done[name] = sections[name](quick=options.quick)
                print(done[name].markdown(), end="\n\n", flush=True)
    except ImportError as error:
        raise SystemExit(f"{error}; pip install -e '.[peers]' first.") from None
    if options.write:
        page.write(done.values())


if __name__ == "__main__":
    main()
