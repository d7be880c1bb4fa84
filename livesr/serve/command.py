"""`livesr serve`: the command."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from livesr.app.commands.options import ModelOption

_MOST_VOICES = 1_000_000


def command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="TCP port; 0 takes a free one.", min=0, max=65535)
    ] = 8765,
    model: ModelOption = None,
    workers: Annotated[
        int, typer.Option(help="Worker processes, one for each core.", min=1, max=256)
    ] = 1,
    token_file: Annotated[
        Path | None, typer.Option(help="File of accepted tokens, one in each line.")
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Accept clients without a token.")
    ] = False,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="A web origin that may connect, like https://example.org; repeatable."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file of a certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    profile_dir: Annotated[
        Path | None, typer.Option(help="Directory of profiles that clients may name.")
    ] = None,
    max_voices: Annotated[
        int,
        typer.Option(
            help="Voices at the same time, all workers together; 0 measures the capacity.",
            min=0,
            max=_MOST_VOICES,
        ),
    ] = 0,
    per_address: Annotated[
        int,
        typer.Option(
            help="Voices at the same time from one address other than loopback; 0: any.",
            min=0,
            max=_MOST_VOICES,
        ),
    ] = 0,
    idle_timeout: Annotated[
        float,
        typer.Option(help="Seconds without a message before a client is disconnected.", min=1.0),
    ] = 60.0,
) -> None:
    """Recognise many live voices over websockets; a page for the browser at /."""
    from livesr.errors import LivesrError

    if sys.platform == "win32":
        raise LivesrError("livesr serve runs on Linux and macOS; on Windows, run it under WSL.")
    from livesr.model.load import load_model
    from livesr.serve.access import check_bind, check_origins, check_tls, read_tokens
    from livesr.serve.logs import set_up
    from livesr.serve.parent import serve
    from livesr.serve.settings import Limits, ServeSettings

    tokens = read_tokens(token_file) if token_file else ()
    check_bind(host, tokens, no_auth)
    for path, what in ((tls_cert, "--tls-cert"), (tls_key, "--tls-key")):
        if path and not path.is_file():
            raise LivesrError(f"{what} {path} is not a file.")
    if not math.isfinite(idle_timeout):
        raise LivesrError(f"--idle-timeout is {idle_timeout}; give a number of seconds.")
    if bool(tls_cert) != bool(tls_key):
        raise LivesrError("--tls-cert and --tls-key go together; give both.")
    if tls_cert and tls_key:
        check_tls(tls_cert, tls_key)
    check_origins(origin or [])
    if profile_dir and not profile_dir.is_dir():
        raise LivesrError(f"--profile-dir {profile_dir} is not a directory.")
    load_model(model)
    settings = ServeSettings(
        host=host,
        port=port,
        model=model,
        workers=workers,
        tokens=tokens,
        origins=tuple(origin or ()),
        tls_cert=str(tls_cert or ""),
        tls_key=str(tls_key or ""),
        profile_dir=str(profile_dir or ""),
        max_voices=max_voices,
        per_address=per_address,
        limits=Limits(idle_seconds=idle_timeout),
    )
    set_up()
    raise typer.Exit(serve(settings))
