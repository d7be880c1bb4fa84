"""The report with sound, in a real browser and in real time: it plays, and the cursor follows."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from livesr.app.report.report import Report
from livesr.app.report.sound import as_opus
from livesr.files.replay import replay
from livesr.files.soundfile import SoundFile
from tests.app.test_report import chromium  # noqa: F401  (a fixture)
from tests.helpers.tiny import DATA

CLIP = DATA / "conversation.flac"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "a.html"
    with Report("a.flac", "tiny", path, as_opus(lambda: SoundFile(CLIP))) as report:
        for reading in replay(CLIP):
            report.add(reading)
    return path


def test_the_page_may_play_its_own_sound_and_nothing_else(page: Path, tmp_path: Path) -> None:
    policy = page.read_text().partition('content="')[2].partition('"')[0]
    assert "default-src 'none';" in policy and "media-src data:;" in policy
    with Report("a.flac", "tiny", tmp_path / "b.html"):
        pass
    silent = (tmp_path / "b.html").read_text()
    assert "media-src" not in silent and '"sound":null' in silent


class Browser:
    """A page in Chromium, asked through its DevTools."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def ask(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        for _ in range(300):
            if self.ask(script):
                return
            time.sleep(0.1)
        raise AssertionError(f"never true: {script}")

    def press(self, key: str, code: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)


@contextmanager
def opened(command: str, page: Path, folder: Path, *options: str) -> Iterator[Browser]:
    profile = folder / "profile"
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    arguments += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}"]
    with subprocess.Popen(
        [command, *arguments, *options, page.as_uri()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            port = profile / "DevToolsActivePort"
            for _ in range(600):
                if port.exists() and port.read_text().count("\n"):
                    break
                time.sleep(0.1)
            number = port.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{number}/json") as told:
                target = next(tab for tab in json.load(told) if tab["type"] == "page")
            with connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()


@pytest.mark.parametrize("options", [["--window-size=1200,900"], ["--window-size=400,900"]])
def test_it_plays_and_the_cursor_runs_along(
    chromium: str,  # noqa: F811
    page: Path,
    tmp_path: Path,
    options: list[str],
) -> None:
    dark = "--blink-settings=preferredColorScheme=0"
    with opened(chromium, page, tmp_path, *options, dark) as browser:
        browser.until('document.documentElement?.dataset.ready === "1"')
        browser.until("sound.duration > 27")
        assert browser.ask("[playing(), byId('play').hidden]") == [False, False]
        # A turning point plays from there, and the cursor runs along.
        turn = browser.ask("data.turns[2][0]")
        browser.ask("byId('turns').children[2].firstChild.click()")
        browser.until(f"playing() && cursor > {turn} + 0.5")
        assert browser.ask("Math.abs(cursor - sound.currentTime)") < 1.0
        # By keys alone: space stops and plays.
        browser.ask("chart.focus()")
        browser.press(" ", "Space")
        browser.until("!playing() && byId('play').textContent === 'Play'")
        place = browser.ask("cursor")
        browser.press(" ", "Space")
        browser.until(f"playing() && cursor > {place} + 0.3")
        browser.press(" ", "Space")
        browser.until("!playing()")
        wide = "document.documentElement.scrollWidth <= innerWidth"
        assert browser.ask(wide)
        # Nothing was asked of any network: the sound is in the page.
        asked = browser.ask("performance.getEntriesByType('resource').map((e) => e.name)")
        assert all(name.startswith("data:") for name in asked)
