"""Which device is meant, where a system lists one microphone several times."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest

from livesr import DeviceError
from livesr.microphone import devices
from livesr.microphone.devices import Device, find

# As PortAudio lists one headset and a laptop's own microphone on Windows: MME cuts its names.
_APIS = ("MME", "Windows DirectSound", "Windows WASAPI", "Windows WDM-KS")
_LISTED = [
    ("Microsoft Sound Mapper - Input", 0),
    ("Headset Microphone (USB Audio D", 0),
    ("Microphone Array (Realtek(R) Au", 0),
    ("Headset Microphone (USB Audio Device)", 1),
    ("Microphone Array (Realtek(R) Audio)", 1),
    ("Headset Microphone (USB Audio Device)", 2),
    ("Microphone Array (Realtek(R) Audio)", 2),
    ("Microphone (USB Audio Device)", 3),
]


@pytest.fixture(params=[0, 2], ids=["MME is the default", "WASAPI is the default"])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Only what PortAudio lists is made up: there is no Windows here."""
    default = {"index": request.param}

    class Listing(types.SimpleNamespace):
        PortAudioError = OSError

        def query_hostapis(self, index: int | None = None) -> Any:
            apis = [{"name": name} for name in _APIS]
            return apis if index is None else apis[index]

        def query_devices(self) -> list[dict[str, Any]]:
            return [
                {
                    "index": index,
                    "name": name,
                    "hostapi": api,
                    "max_input_channels": 2,
                    "default_samplerate": 48_000.0,
                }
                for index, (name, api) in enumerate(_LISTED)
            ]

    listing = Listing(default=types.SimpleNamespace(device=[1, 9], hostapi=default["index"]))
    monkeypatch.setattr(devices, "portaudio", lambda: listing)
    monkeypatch.setattr(devices, "refresh", lambda: False)
    return int(request.param)


def chosen(query: str | int | None) -> tuple[str, str]:
    device: Device = find(query)
    return device.name, device.api


def test_the_default_host_api_wins(windows: int) -> None:
    assert find("usb").api == _APIS[windows]
    assert find("realtek").api == _APIS[windows]


def test_a_host_api_that_is_named_wins(windows: int) -> None:
    assert chosen("usb wasapi") == ("Headset Microphone (USB Audio Device)", "Windows WASAPI")
    assert chosen("realtek directsound")[1] == "Windows DirectSound"
    assert chosen("usb wdm-ks")[1] == "Windows WDM-KS"
    assert chosen("7") == chosen(7) == ("Microphone (USB Audio Device)", "Windows WDM-KS")
    assert chosen(None)[0] == "Headset Microphone (USB Audio D"


def test_several_microphones_are_still_ambiguous(windows: int) -> None:
    with pytest.raises(DeviceError, match="More than one input has 'microphone'") as told:
        find("microphone")
    listed = str(told.value).split(": ", 1)[1].split(". Give")[0].split("; ")
    assert {entry.rsplit(", ", 1)[1] for entry in listed} == {_APIS[windows]}


def test_a_name_that_only_another_host_api_has(windows: int) -> None:
    """`Headset Microphone (USB Audio Device)` in full; MME has no such name."""
    if windows == 0:
        with pytest.raises(DeviceError, match="More than one"):
            find("(usb audio device)")
    else:
        assert chosen("headset (usb audio device)")[1] == "Windows WASAPI"


@pytest.mark.parametrize("returned", [True, False])
def test_what_portaudio_says_late_stays_off_the_terminal(returned: bool) -> None:
    code = (
        "import os, sys, threading\n"
        "from livesr.app.terminal import quiet_libraries\n"
        "from livesr.microphone.devices import in_background\n"
        "end, said = threading.Event(), threading.Event()\n"
        "def call():\n"
        "    end.wait(30)\n"
        "    os.write(2, b'noise of a library\\n')\n"
        "    said.set()\n"
        "with quiet_libraries():\n"
        "    in_background(call if sys.argv[1] == 'late' else int)\n"
        "    while sys.argv[1] == 'done' and threading.active_count() > 1: pass\n"
        "print('an error', file=sys.stderr)\n"
        "end.set()\n"
        "if sys.argv[1] == 'late': said.wait(30)\n"
        "else: os.write(2, b'heard again\\n')\n"
    )
    command = [sys.executable, "-c", code, "done" if returned else "late"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr
    assert told == "an error\n" + "heard again\n" * returned
