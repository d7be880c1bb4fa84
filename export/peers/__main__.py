"""What livesr costs on this machine, beside other tools: one thread, the same audio, one run.

    pip install -e '.[peers]'
    python -m export.peers                 # Markdown tables
    python -m export.peers --quick         # fewer rounds: some minutes
    python -m export.peers --only readings voices
    python -m export.peers --quick --write # and writes them into docs/performance.md

Times are medians of processor time. The milliseconds differ from machine to machine; the ratios
differ much less.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnxruntime

from export.evaluation.options import command_parser
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
    parser = command_parser(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="time fewer rounds, which makes figures noisier"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=sections,
        metavar="TABLE",
        help=f"print only these tables, of {', '.join(sections)}",
    )
    parser.add_argument(
        "--write", action="store_true", help="also write all tables into docs/performance.md"
    )
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all tables: leave out --only")
    onnxruntime.set_default_logger_severity(3)
    done: dict[str, Table] = {}
    try:
        with one_thread():
            for name in options.only or sections:
                done[name] = sections[name](quick=options.quick)
                print(done[name].markdown(), end="\n\n", flush=True)
    except ImportError as error:
        raise SystemExit(f"{error}; pip install -e '.[peers]' first.") from None
    if options.write:
        page.write(done.values())


if __name__ == "__main__":
    main()
