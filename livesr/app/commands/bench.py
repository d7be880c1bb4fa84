"""`livesr bench`: what livesr costs on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from livesr.app.commands.options import DeviceOption, ModelOption


def bench(
    model: ModelOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Use a tenth of the audio.")] = False,
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Measure listening to a real microphone.")
    ] = False,
    device: DeviceOption = None,
    seconds: Annotated[float, typer.Option(help="To listen, with --microphone.", min=1.0)] = 30.0,
    load: Annotated[int, typer.Option(help="Busy processes to run beside it.", min=0, max=64)] = 0,
) -> None:
    """Measure what livesr costs on this machine: one thread, one run, medians and ratios."""
    from livesr.app import bench, bench_microphone
    from livesr.app.terminal import quiet_libraries

    if microphone:
        with quiet_libraries():
            bench_microphone.run(device, model, seconds, load)
    else:
        bench.run(model, quick=quick)
