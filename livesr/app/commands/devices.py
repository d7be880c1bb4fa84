"""`livesr devices`: the microphones."""

from __future__ import annotations


def devices() -> None:
    """List the microphones and their sample rates."""
    from rich.table import Table
    from rich.text import Text

    from livesr.app.console import PlainConsole
    from livesr.app.terminal import quiet_libraries
    from livesr.errors import DeviceError
    from livesr.microphone.devices import NO_MICROPHONE, devices, supported_rates

    with quiet_libraries():
        found = [(device, supported_rates(device)) for device in devices()]
    if not found:
        raise DeviceError(NO_MICROPHONE)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("id", "name", "host API", "channels", "rates (Hz)", ""):
        table.add_column(title, justify="right" if title in ("id", "channels") else "left")
    for device, rates in found:
        shown = ", ".join(f"{rate}*" if rate == device.rate else str(rate) for rate in rates)
        default = "default" if device.default else ""
        table.add_row(
            str(device.index), Text(device.name), device.api, str(device.channels), shown, default
        )
    PlainConsole().print(table)
