"""`livesr archive`: the command."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import ChannelOption, HopOption, ModelOption


def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Folders, globs, sound files, lists (.txt), or tables (.csv, .parquet) with a "
            "column path; or URLs that fsspec opens, such as s3://.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(
            help="Folder or URL of the results; an existing one is continued.", metavar="OUT"
        ),
    ],
    model: ModelOption = None,
    channel: ChannelOption = None,
    profile_by: Annotated[
        str | None,
        typer.Option(
            "--profile-by",
            help="The column with each voice's profile: a file, or a name of livesr enrol.",
            metavar="COLUMN",
        ),
    ] = None,
    hop: HopOption = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that score at the same time; default: all processors.", min=1),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster's address, or auto.", metavar="RAY"),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Score the rows again that ended in an error.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Score at most so many rows in this run.", min=0)
    ] = None,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Write the attention too: fifty times the size."),
    ] = False,
    reports: Annotated[
        bool,
        typer.Option("--reports", help="Write a page for each file, not only for the worst."),
    ] = False,
    audformat: Annotated[
        bool, typer.Option("--audformat", help="Also write the readings as an audEERING table.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Estimate hours, cost and time from a sample."),
    ] = False,
    price: Annotated[
        float | None,
        typer.Option(help="Of an hour of one processor, for --dry-run.", min=0.0),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Accepted; a run always continues an existing OUT.")
    ] = False,
) -> None:
    """Score archives of recordings into one dataset; the same command continues a stopped run."""
    for needed in ("ray", "pyarrow", "fsspec"):
        if find_spec(needed) is None:
            raise ModuleNotFoundError(name=needed)

    from livesr.archive.run import Archive, run
    from livesr.archive.settings import Scoring
    from livesr.recognizer import Recognizer
    from livesr.settings import HOP_SECONDS

    hop = HOP_SECONDS if hop is None else hop
    Recognizer(model, hop=hop)  # reports bad options before anything is read
    if model is not None and Path(model).suffix == ".onnx":
        model = str(Path(model).absolute())  # workers run in other folders
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
