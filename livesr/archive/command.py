"""`livesr archive`: folders, lists and buckets of recordings, scored on Ray Data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import HopOption, ModelOption


def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Folders, globs, sound files, lists (.txt) or tables (.csv, .parquet, with a "
            "column path); or URLs that fsspec opens, such as s3://.",
            metavar="SOURCE...",
        ),
    ],
    out: Annotated[
        str, typer.Argument(help="Folder or URL of the results; a run goes on with what is there.")
    ],
    model: ModelOption = None,
    channel: Annotated[
        str | None,
        typer.Option(help="One channel, counted from 1, or each by itself.", metavar="N|each"),
    ] = None,
    profile_by: Annotated[
        str | None,
        typer.Option(
            "--profile-by",
            help="The column that names the file of each voice's profile.",
            metavar="COLUMN",
        ),
    ] = None,
    hop: HopOption = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that score at a time; one a processor if not told.", min=1),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster's address, or auto.", metavar="RAY"),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what ended in an error.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Score so many at most in this run.", min=0)
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Keep the attention; fifty times the disk.")
    ] = False,
    reports: Annotated[
        bool, typer.Option("--reports", help="A page for each file, not only for the worst.")
    ] = False,
    audformat: Annotated[
        bool, typer.Option("--audformat", help="Write an audEERING table of the readings too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say hours, cost and time from a measured sample.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(help="Of a processor's hour, for --dry-run.", min=0.0)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what is in OUT; that is so anyway.")
    ] = False,
) -> None:
    """Score archives of recordings into one dataset; the same command goes on after a stop."""
    for needed in ("ray", "pyarrow", "fsspec"):
        if find_spec(needed) is None:
            raise ModuleNotFoundError(name=needed)

    from livesr.archive.run import Archive, run
    from livesr.archive.settings import Scoring
    from livesr.recognizer import Recognizer
    from livesr.settings import HOP_SECONDS

    hop = HOP_SECONDS if hop is None else hop
    Recognizer(model, hop=hop)  # what cannot be is told before anything is read
    if model is not None and Path(model).suffix == ".onnx":
        model = str(Path(model).absolute())  # workers live in other folders
    archive = Archive(
        sources=sources,
        out=out,
        scoring=Scoring(model, hop, attention),
        channel=channel,
        workers=workers,
        address=address,
        retry_failed=retry_failed,
        limit=limit,
        reports=reports,
        audformat=audformat,
        profile_by=profile_by,
    )
    if dry_run:
        from livesr.archive.estimate import estimate

        estimate(archive, price)
        return
    raise typer.Exit(run(archive))
