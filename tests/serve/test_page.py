"""The page and the overlay in a real browser, whose microphone plays a clip."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
import soxr

import livesr
from livesr.serve.app import _PAGES
from tests.helpers.browser import Browser
from tests.helpers.server import Server, serving
from tests.helpers.tiny import DATA

MODEL = "acrnn-compact"
RATE = 48000
SECONDS = 7.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seconds of two actors held out from training, as the microphone's file."""
    samples, rate = sf.read(DATA / "conversation.flac", dtype="float32")
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    sf.write(path, soxr.resample(samples[: int(SECONDS * rate)], rate, RATE), RATE)
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--model", MODEL, "--max-voices", "8") as server:
        yield server


@pytest.fixture
def browser(clip: Path, tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(
        tmp_path / "profile",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={clip}%noloop",
        "--ignore-certificate-errors",
        "--autoplay-policy=no-user-gesture-required",
    )
    yield browser
    browser.close()


# Notes every word that the page shows, and whether the microphone was asked for.
WATCH = """
window.words = [];
window.asked = 0;
const given = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (what) => { window.asked += 1; return given(what); };
new MutationObserver(() => {
  const label = document.getElementById("word").dataset.label;
  if (label && label !== window.words.at(-1)) window.words.push(label);
}).observe(document.getElementById("word"), {attributes: true});
"""


def turns(clip: Path) -> list[list[str]]:
    """The labels that a replay shows, one after the other; whichever part of a hop goes before."""
    samples, _ = sf.read(clip, dtype="float32")
    possible = []
    for lead in np.arange(0, 0.25, 0.025):
        found: list[str] = []
        late = np.concatenate([np.zeros(round(lead * RATE), np.float32), samples])
        for reading in livesr.replay(late, sample_rate=RATE, model=MODEL):
            if reading.label and reading.label not in found[-1:]:
                found.append(reading.label)
        possible.append(found)
    return possible


def sockets(browser: Browser) -> list[dict[str, Any]]:
    return [event for event in browser.events if event["method"] == "Network.webSocketCreated"]


@pytest.mark.slow
def test_the_page_asks_consent_and_shows_the_readings_of_a_replay(
    server: Server, browser: Browser, clip: Path
) -> None:
    browser.size(360, 740, mobile=True)
    browser.open(server.url + "/?mode=lossless")  # a busy machine drops nothing then
    browser.evaluate(WATCH)
    shown = browser.evaluate("document.body.innerText")
    assert "before you start" in shown
    time.sleep(0.5)
    assert browser.evaluate("window.asked") == 0
    assert not sockets(browser)
    for _ in range(10):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.id") == "start":
            break
    browser.press("Enter", "\r")
    browser.until("!document.getElementById('live').hidden")
    assert browser.evaluate("window.asked") == 1
    assert browser.evaluate("document.activeElement.id") == "pause"
    time.sleep(SECONDS)
    possible = turns(clip)
    assert all(possible)
    browser.until(f"{json.dumps([found[-1] for found in possible])}.includes(window.words.at(-1))")
    assert browser.evaluate("window.words") in possible
    width = "document.documentElement.scrollWidth <= innerWidth"
    assert browser.evaluate(width)
    assert browser.evaluate(
        "[...document.querySelectorAll('button')].filter((b) => b.offsetParent)"
        ".every((b) => b.getBoundingClientRect().height >= 44)"
    )
    shares = browser.evaluate(
        "[...document.querySelectorAll('.share')].map((share) => parseInt(share.textContent))"
    )
    assert sum(shares) == pytest.approx(100, abs=2)
    for name in ("attention", "history"):
        assert browser.evaluate(
            f"(() => {{ const c = document.getElementById('{name}');"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean);"
            " })()"
        )
    browser.press("p", "p")
    browser.until("document.getElementById('state').textContent.startsWith('paused')")
    browser.press("p", "p")
    browser.until("document.getElementById('state').textContent.startsWith('listening')")
    browser.press("q", "q")
    browser.until("document.getElementById('live').hidden")
    failed = [e for e in browser.events if e["method"] == "Runtime.exceptionThrown"]
    assert not failed
    asked = [e for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    hosts = {event["params"]["request"]["url"].split("/")[2] for event in asked}
    assert hosts == {server.url.removeprefix("http://")}


def begun(browser: Browser, server: Server) -> None:
    browser.open(server.url + "/?mode=lossless")
    browser.evaluate("document.getElementById('start').click()")
    browser.until("document.getElementById('word').textContent")


def received(browser: Browser, kind: str) -> list[dict[str, Any]]:
    told = [e for e in browser.events if e["method"] == "Network.webSocketFrameReceived"]
    messages = [json.loads(event["params"]["response"]["payloadData"]) for event in told]
    return [message for message in messages if message["type"] == kind]


@pytest.mark.slow
def test_a_pause_is_no_silence_to_the_server_and_no_loss(browser: Browser) -> None:
    with serving("--model", MODEL, "--max-voices", "2", "--idle-timeout", "3") as server:
        begun(browser, server)
        browser.press("p", "p")
        time.sleep(6)
        assert browser.evaluate("document.getElementById('state').textContent") == "paused"
        assert not browser.evaluate("document.getElementById('live').hidden")
        assert len(received(browser, "gap")) >= 4  # one a second
        count = len(received(browser, "reading"))
        browser.press("p", "p")
        for _ in range(100):
            if len(received(browser, "reading")) > count + 8:
                break
            browser.evaluate("0")  # it also reads the events
            time.sleep(0.1)
        else:
            raise AssertionError("no readings after the pause")
        assert browser.evaluate("document.getElementById('state').textContent") == "listening"


@pytest.mark.slow
def test_what_the_server_or_the_network_loses_is_shown(server: Server, browser: Browser) -> None:
    browser.open(server.url + "/")
    browser.evaluate(
        """
        window.sockets = [];
        const Plain = WebSocket;
        window.WebSocket = class extends Plain {
          constructor(...given) { super(...given); window.sockets.push(this); }
          get bufferedAmount() { return window.slow ? 2 ** 21 : super.bufferedAmount; }
        };
        """
    )
    browser.evaluate("document.getElementById('start').click()")
    browser.until("document.getElementById('word').textContent")
    browser.evaluate("window.slow = true")
    time.sleep(1)
    browser.evaluate("window.slow = false")
    browser.until("/s lost/.test(document.getElementById('state').textContent)")
    gap = '{"type": "gap", "at": 1, "seconds": 1000, "samples": 1, "cause": "too slow"}'
    told = f"new MessageEvent('message', {{data: {json.dumps(gap)}}})"
    browser.evaluate(f"window.sockets[0].dispatchEvent({told})")
    browser.until("/100[0-9].[0-9] s lost/.test(document.getElementById('state').textContent)")


@pytest.mark.slow
def test_the_page_says_that_the_server_restarts(browser: Browser) -> None:
    with serving("--model", MODEL, "--max-voices", "2") as server:
        begun(browser, server)
    browser.until("document.getElementById('live').hidden")
    time.sleep(0.5)  # the page looks for the server, which has gone
    shown = browser.evaluate("document.getElementById('refusal').textContent")
    assert "restarts" in shown


@pytest.mark.slow
def test_the_overlay_over_tls_with_a_token(browser: Browser, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    wanted = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*wanted.split(), "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True
    )
    (tmp_path / "tokens").write_text("overlay-token-0123456789\n")
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    with serving(*options, "--token-file", str(tmp_path / "tokens"), "--max-voices", "2") as server:
        assert server.url.startswith("https://")
        browser.open(server.url + "/overlay?bars=no&size=80")
        browser.until("!document.getElementById('token-ask').hidden")
        browser.evaluate("document.getElementById('token').value = 'overlay-token-0123456789'")
        browser.evaluate("document.getElementById('start').click()")
        browser.until("document.getElementById('word').dataset.label")
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") in (
            "rgba(0, 0, 0, 0)",
            "transparent",
        )
        assert browser.evaluate("getComputedStyle(document.getElementById('word')).fontSize") == (
            "80px"
        )
        assert browser.evaluate("document.getElementById('bars').offsetParent === null")
        browser.open(server.url + "/overlay")  # agreed before: it starts by itself
        browser.until("!document.getElementById('live').hidden")
        (socket, *_) = sockets(browser)
        assert "token" not in socket["params"]["url"]


@pytest.mark.parametrize("path", _PAGES)
def test_pages_load_nothing_from_elsewhere(server: Server, path: str) -> None:
    answer = httpx.get(server.url + path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(_PAGES[path][1])
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"""(src|href|from|import)\s*[=(]?\s*["']?(https?:)?//""", answer.text)
    assert "<script>" not in answer.text
    assert not re.search(r"\son[a-z]+=", answer.text)


def test_the_javascript_client_is_short() -> None:
    script = Path(livesr.__file__).parent / "serve" / "pages" / "client.js"
    code = [line for line in script.read_text().splitlines() if line.strip()[:2] not in ("", "//")]
    assert len(code) <= 40
