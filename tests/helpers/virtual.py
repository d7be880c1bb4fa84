"""Microphones where there is no sound card: a private PulseAudio that PortAudio opens as ALSA.

Needs pulseaudio, pulseaudio-utils, libasound2-plugins and libportaudio2.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ALSA = """</usr/share/alsa/alsa.conf>
pcm.vmic {{ type pulse server "unix:{here}/native" device "vmic.monitor" }}
pcm.quad {{ type pulse server "unix:{here}/native" device "quad.monitor" }}
pcm.other {{ type pulse server "unix:{here}/other/native" device "vmic.monitor" }}
"""
# ALSA's plugin calls three channels front-left, front-right and aux0: here they are inputs 1 to 3.
_PULSE = """load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=vmic rate=16000 channels=1 format=s16le norewinds=1
load-module module-null-sink sink_name=quad rate=48000 channels=4 format=s16le norewinds=1 \
channel_map=front-left,front-right,aux0,aux1
set-default-sink vmic
set-default-source vmic.monitor
"""
AVAILABLE = all(map(shutil.which, ("pulseaudio", "pactl", "paplay")))


class VirtualMicrophone:
    """The inputs "vmic" (one channel) and "quad" (four); what is played arrives in real time.

    Attributes:
        other: an interface of its own, whose one input is "other"; None in that one. It comes
            and goes by itself.
    """

    def __init__(self, folder: Path, *, other: bool = False) -> None:
        for name in ("runtime", "state"):
            (folder / name).mkdir(mode=0o700, parents=True)
        socket = folder / "native"
        self.other = None if other else VirtualMicrophone(folder / "other", other=True)
        (folder / "alsa").write_text(_ALSA.format(here=folder))
        (folder / "pulse").write_text(_PULSE.format(socket=socket))
        self._folder = folder
        self._daemon: subprocess.Popen[bytes] | None = None
        self.environment = {
            "PULSE_SERVER": f"unix:{socket}",
            "ALSA_CONFIG_PATH": str(folder / "alsa"),
            "PULSE_RUNTIME_PATH": str(folder / "runtime"),
            "PULSE_STATE_PATH": str(folder / "state"),
            "PULSE_COOKIE": str(folder / "cookie"),
        }

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "DBUS_SESSION_BUS_ADDRESS"}
        return {**kept, **self.environment}

    def up(self) -> None:
        options = "--daemonize=no --exit-idle-time=-1 --disable-shm=yes --realtime=no"
        options += " --high-priority=no --use-pid-file=no"
        self._daemon = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(self._folder / "pulse"), *options.split()],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(100):
            asked = subprocess.run(
                ["pactl", "info"], env=self._environment(), capture_output=True, check=False
            )
            if asked.returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError("pulseaudio does not start")

    def down(self) -> None:
        """For an open stream, the microphone is pulled out."""
        if self._daemon:
            self._daemon.terminate()
            self._daemon.wait(timeout=10)
            self._daemon = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The sound server hangs: whoever asks it something waits."""
        assert self._daemon
        self._daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemon.send_signal(signal.SIGCONT)

    def play(self, file: Path, into: str = "vmic") -> subprocess.Popen[bytes]:
        command = ["paplay", "-d", into, "--no-remix", "--no-remap"]
        # A second ahead: a busy machine makes it stutter less.
        command += ["--latency-msec=1000", str(file)]
        return subprocess.Popen(command, env=self._environment(), stderr=subprocess.DEVNULL)
