"""Which microphones there are, through PortAudio.

PortAudio (sounddevice) is loaded by the first call here and by nothing else in livesr.
"""

from __future__ import annotations

import atexit
import gc
import logging
import operator
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from livesr.errors import DeviceError

LOCK = threading.RLock()  # held while PortAudio restarts, or while a device is found and opened
ANSWER_SECONDS = 15.0  # for PortAudio to find and open a device; some take seconds
NO_MICROPHONE = "No microphone was found; plug one in, or see the system's settings."
_THREAD = "livesr-portaudio"
_INSTALL = {
    "linux": "install it with 'apt install libportaudio2', 'dnf install portaudio' or "
    "'pacman -S portaudio'",
    "darwin": "install it with 'brew install portaudio'",
}
T = TypeVar("T")
_log = logging.getLogger(__name__)
_forked = False  # whether this process is a child that got a copy of its parent's PortAudio


def _note_fork() -> None:
    global _forked  # noqa: PLW0603
    _forked = "sounddevice" in sys.modules


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_note_fork)


@dataclass(frozen=True, slots=True)
class Device:
    """An input device as PortAudio describes it.

    Attributes:
        index: its number; it may change when PortAudio looks for devices again.
        name: as the system calls it.
        api: the host API through which it is opened: ALSA, Core Audio, Windows WASAPI ...
        channels: how many inputs it has.
        rate: its default sample rate, Hz.
        default: whether it is the system's default input.

    Example:
        >>> Device(0, "USB mic", "ALSA", channels=1, rate=48000, default=True).name
        'USB mic'
    """

    index: int
    name: str
    api: str
    channels: int
    rate: int
    default: bool


def portaudio() -> Any:
    """The sounddevice module.

    Raises:
        DeviceError: if it or the PortAudio library is missing (says what to install), if
            PortAudio does not start, or if this process was forked from one that used it.
    """
    if _forked:
        raise DeviceError(
            "This process was forked from one that had loaded PortAudio, and PortAudio does not "
            "work on both sides of a fork. Start the process with multiprocessing's 'spawn' "
            "method, or load PortAudio (listen, devices) only in the child."
        )
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
    if not sounddevice._initialized:  # an earlier restart failed
        _initialize(sounddevice)
    return sounddevice


def _initialize(sd: Any) -> None:
    try:
        sd._initialize()
    except sd.PortAudioError as error:
        raise DeviceError(
            f"PortAudio does not start: {words(error)}. Check that the system's sound works, then "
            "try again."
        ) from None


def in_background(call: Callable[[], T]) -> Future[T]:
    """Begin a call that uses PortAudio, in a thread that does not hold up the process's end.

    PortAudio waits without limit for a sound server that no longer answers, and nothing can
    interrupt it.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=_THREAD, daemon=True).start()
    return future


def unanswered() -> bool:
    """Whether PortAudio has not returned from a call of `in_background`."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


def abandon(future: Future[T], discard: Callable[[T], object]) -> None:
    """Wait no longer for a call that has not returned; its result, if one comes, is discarded.

    PortAudio is then left as it is when the process ends: closing it would wait for that call.
    """
    _log.warning("PortAudio does not answer")
    future.add_done_callback(lambda late: late.exception() or discard(late.result()))
    if "sounddevice" in sys.modules:
        atexit.unregister(sys.modules["sounddevice"]._exit_handler)


def in_time(call: Callable[[], T], seconds: float, discard: Callable[[T], object]) -> T:
    """The result of a call that uses PortAudio, if it comes in time.

    Args:
        call: what to do; it runs in another thread.
        seconds: how long to wait for it.
        discard: takes a result that comes later.

    Raises:
        DeviceError: if it takes longer; or as `call`.
    """
    future = in_background(call)
    try:
        return future.result(seconds)
    except BaseException as error:  # Ctrl-C too
        if future.done():
            raise
        abandon(future, discard)
        if not isinstance(error, TimeoutError):
            raise
        raise DeviceError(
            f"The sound system has not answered for {seconds:.0f} s; restart it, then try again."
        ) from None


def devices() -> list[Device]:
    """Every input device there is now, in PortAudio's order.

    Raises:
        DeviceError: if PortAudio is missing or does not answer.

    Example:
        >>> for device in livesr.devices():  # doctest: +SKIP
        ...     print(device.index, device.name, device.channels)
        0 USB mic 1
    """
    return in_time(_refreshed, ANSWER_SECONDS, lambda _: None)


def _refreshed() -> list[Device]:
    with LOCK:
        if "sounddevice" in sys.modules:  # which looked when it was loaded, perhaps long ago
            refresh()
        return _listed()


def _listed() -> list[Device]:
    """The input devices that PortAudio knows."""
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


def find(query: int | str | None, *, look: bool = True) -> Device:
    """The input device with this number or these words in its name; None is the default.

    The words are looked for in "name, host API", in this order. One microphone may appear once
    for each host API (on Windows it does): the default host API wins, unless the words name
    another.

    Args:
        query: a number, words, or None.
        look: where it is not known, have PortAudio look again.

    Raises:
        DeviceError: if there is none, or more than one; names the candidates.
    """
    query = check_query(query)
    with LOCK:
        try:
            return _found(query)
        except DeviceError:
            if not (look and refresh()):  # it may have been plugged in since
                raise
            return _found(query)


def _found(query: int | str | None) -> Device:
    found, preferred = _listed(), _default_api()
    if not found:
        raise DeviceError(NO_MICROPHONE)
    if query is None:
        return next((device for device in found if device.default), found[0])
    if isinstance(query, int):
        fitting = [device for device in found if device.index == query]
        what = f"the number {query}"
    else:
        fitting = _matching(found, query)
        if len({device.api for device in fitting}) > 1:
            fitting = [device for device in fitting if device.api == preferred] or fitting
        what = f"'{query}' in its name"
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(f"{d.index} {d.name}, {d.api}" for d in fitting or found)
    if fitting:
        raise DeviceError(
            f"More than one input has {what}: {listed}. Give more of it, or a number."
        )
    raise DeviceError(f"No input has {what}. There are: {listed}.")


def check_query(query: object) -> int | str | None:
    """What `find` looks for: a number (also as a numeral), words, or None for the default.

    Raises:
        DeviceError: if it is something else, or no words at all.
    """
    if query is None or (isinstance(query, str) and query.strip()):
        numeral = query is not None and query.strip()
        return int(numeral) if numeral and numeral.isdecimal() else query
    if not isinstance(query, (str, bool)):
        with suppress(TypeError):
            return operator.index(query)  # type: ignore[arg-type]
    raise DeviceError(
        f"{query!r:.40} names no microphone; give its number, words of its name, or None for the "
        "system's default. 'livesr devices' lists them."
    )


def _default_api() -> str:
    """The host API that PortAudio prefers on this system."""
    sd = portaudio()
    try:
        return str(sd.query_hostapis(sd.default.hostapi)["name"])
    except sd.PortAudioError as error:
        raise DeviceError(f"The audio devices cannot be listed: {words(error)}.") from None


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
    """The usual rates at which this device opens, its default among them, Hz."""
    sd = portaudio()
    found = []
    for rate in sorted({8000, 16000, 44100, 48000, 96000, device.rate}):
        try:
            sd.check_input_settings(device.index, min(2, device.channels), samplerate=rate)
        except (sd.PortAudioError, ValueError):
            continue
        found.append(rate)
    return found


def refresh() -> bool:
    """Have PortAudio look for devices again, where no stream is open.

    PortAudio only looks when it starts, and its end closes every stream of the process. So it
    is restarted only while no stream is open, be it livesr's or the program's own.

    Returns:
        Whether it was restarted.

    Raises:
        DeviceError: if PortAudio does not start again; the next call tries anew.
    """
    with LOCK:
        sd = portaudio()
        if _open_streams(sd):
            return False
        _log.debug("PortAudio restarts, to look for devices")
        with suppress(sd.PortAudioError):
            sd._terminate()
        _initialize(sd)
        return True


def _open_streams(sd: Any) -> bool:
    """Whether this process holds a PortAudio stream. PortAudio itself does not tell."""
    return any(
        issubclass(type(thing), sd._StreamBase)
        and hasattr(thing, "_latency")  # one that failed to open has none
        and not thing.closed
        for thing in gc.get_objects()
    )


def words(error: Exception | None) -> str:
    """PortAudio's own words, without its numbers."""
    text = str(error.args[0]) if error and error.args else str(error)
    return text.split("[PaErrorCode")[0].removeprefix("Error opening InputStream: ").strip(" .:")
