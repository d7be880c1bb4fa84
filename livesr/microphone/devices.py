"""Which microphones there are, through PortAudio.

PortAudio (sounddevice) is loaded by the first call here and by nothing else in livesr.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from livesr.errors import DeviceError

NO_MICROPHONE = "No microphone was found; plug one in, or see the system's settings."
_INSTALL = {
    "linux": "install it with 'apt install libportaudio2', 'dnf install portaudio' or "
    "'pacman -S portaudio'",
    "darwin": "install it with 'brew install portaudio'",
}


@dataclass(frozen=True, slots=True)
class Device:
    """An input device as PortAudio describes it."""

    index: int
    name: str
    api: str
    channels: int
    rate: int
    default: bool


def portaudio() -> Any:
    """The sounddevice module.

    Raises:
        DeviceError: if it or the PortAudio library is missing; says what to install.
    """
    try:
        import sounddevice  # noqa: PLC0415  (replay must work where there is no PortAudio)
    except OSError:
        how = _INSTALL.get(sys.platform, "install the PortAudio library")
        raise DeviceError(f"PortAudio, which microphones need, is not here: {how}.") from None
    except ImportError:
        raise DeviceError(
            "The package sounddevice, which microphones need, is not here: "
            "install it with 'pip install sounddevice'."
        ) from None
    return sounddevice


def devices() -> list[Device]:
    """Every input device, in PortAudio's order.

    Raises:
        DeviceError: if PortAudio is missing or does not answer.
    """
    sd = portaudio()
    try:
        apis, default = sd.query_hostapis(), sd.default.device[0]
        return [
            Device(
                index=info["index"],
                name=info["name"],
                api=apis[info["hostapi"]]["name"],
                channels=info["max_input_channels"],
                rate=round(info["default_samplerate"]),
                default=info["index"] == default,
            )
            for info in sd.query_devices()
            if info["max_input_channels"] > 0
        ]
    except sd.PortAudioError as error:
        raise DeviceError(f"The audio devices cannot be listed: {words(error)}.") from None


def find(query: int | str | None) -> Device:
    """The input device with this number or these words in its name; None is the default.

    Raises:
        DeviceError: if there is none, or more than one; names the candidates.
    """
    found = devices()
    if not found:
        raise DeviceError(NO_MICROPHONE)
    if query is None:
        return next((device for device in found if device.default), found[0])
    if isinstance(query, str) and query.strip().isdigit():
        query = int(query)
    if isinstance(query, int):
        fitting = [device for device in found if device.index == query]
        what = f"the number {query}"
    else:
        fitting = _matching(found, query)
        what = f"'{query}' in its name"
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(f"{d.index} {d.name}, {d.api}" for d in fitting or found)
    if fitting:
        raise DeviceError(
            f"More than one input has {what}: {listed}. Give more of it, or a number."
        )
    raise DeviceError(f"No input has {what}. There are: {listed}.")


def _matching(found: list[Device], query: str) -> list[Device]:
    """As sounddevice does: the words in this order, in "name, api"; an exact name wins."""
    exact, fitting = [], []
    for device in found:
        full, position = f"{device.name}, {device.api}".lower(), 0
        for word in query.lower().split():
            position = full.find(word, position)
            if position < 0:
                break
            position += len(word)
        else:
            fitting.append(device)
            if query.lower() in (device.name.lower(), full):
                exact.append(device)
    return exact if len(exact) == 1 else fitting


def supported_rates(device: Device) -> list[int]:
    """The usual rates at which this device opens, its own among them, Hz."""
    sd = portaudio()
    found = []
    for rate in sorted({8000, 16000, 44100, 48000, 96000, device.rate}):
        try:
            sd.check_input_settings(device.index, min(2, device.channels), samplerate=rate)
        except (sd.PortAudioError, ValueError):
            continue
        found.append(rate)
    return found


def refresh() -> None:
    """Have PortAudio look for devices anew. Ends every PortAudio stream of this process."""
    sd = portaudio()
    sd._terminate()
    sd._initialize()


def words(error: Exception | None) -> str:
    """PortAudio's own words, without its numbers."""
    text = str(error.args[0]) if error and error.args else str(error)
    return text.split("[PaErrorCode")[0].removeprefix("Error opening InputStream: ").strip(" .:")
