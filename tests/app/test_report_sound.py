"""The report with sound, in a real browser and in real time: it plays, and the cursor follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from livesr.app.report.report import Report
from livesr.app.report.sound import as_opus
from livesr.files.replay import replay
from livesr.files.soundfile import SoundFile
from tests.helpers.browser import Browser
from tests.helpers.tiny import DATA

CLIP = DATA / "conversation.flac"
_FOCUSED = "document.activeElement"
_GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "a.html"
    with Report("a.flac", "tiny", path, as_opus(lambda: SoundFile(CLIP))) as report:
        for reading in replay(CLIP, model="acrnn-compact"):
            report.add(reading)
    return path


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(tmp_path / "chromium")
    yield browser
    browser.close()


def test_the_page_may_play_its_own_sound_and_nothing_else(page: Path, tmp_path: Path) -> None:
    policy = page.read_text().partition('content="')[2].partition('"')[0]
    assert "default-src 'none';" in policy and "media-src data:;" in policy
    with Report("a.flac", "tiny", tmp_path / "b.html"):
        pass
    silent = (tmp_path / "b.html").read_text()
    assert "media-src" not in silent and '"sound":null' in silent


def _tab_to(browser: Browser, wanted: str) -> None:
    """Press Tab until what has the focus fits a selector."""
    for _ in range(40):
        browser.press("Tab")
        if browser.evaluate(f"{_FOCUSED}.matches({wanted!r})"):
            return
    raise AssertionError(f"Tab never comes to {wanted}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_it_is_played_by_keys_alone_and_asks_no_network(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    browser.size(width, 900, mobile=width == 400)
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    browser.open(page.as_uri())
    browser.until("document.documentElement.dataset.ready === '1' && sound.duration > 27")
    red = int(re.findall(r"\d+", browser.evaluate(_GROUND))[0])
    assert red < 40 if scheme == "dark" else red > 200
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")

    # Play, by its button: the cursor runs along with the sound.
    _tab_to(browser, "#play")
    assert browser.evaluate(f"{_FOCUSED}.textContent") == "Play"
    browser.press("Enter", "\r")
    browser.until("playing() && cursor > 0.5")
    assert browser.evaluate("Math.abs(cursor - sound.currentTime)") < 1.0
    assert browser.evaluate("byId('play').textContent") == "Pause"
    # Space stops it and goes on, wherever the focus is.
    _tab_to(browser, "#chart")
    browser.press(" ", " ")
    browser.until("!playing() && byId('play').textContent === 'Play'")
    stopped = browser.evaluate("cursor")
    browser.press("ArrowRight")
    assert browser.evaluate("cursor") > stopped
    browser.press(" ", " ")
    browser.until(f"playing() && cursor > {stopped} + 0.3")
    # A turning point plays from there.
    _tab_to(browser, "#turns li:nth-child(2) button")
    turn = browser.evaluate("data.turns[1][0]")
    browser.press("Enter", "\r")
    browser.until(f"playing() && cursor > {turn} && cursor < {turn} + 3")
    browser.press("Escape")
    # At its end it stops, and Play begins anew.
    browser.evaluate("sound.currentTime = sound.duration - 0.3")
    browser.until("!playing() && cursor > end - 1")

    asked = [told for told in browser.events if told["method"] == "Network.requestWillBeSent"]
    addresses = [told["params"]["request"]["url"] for told in asked]
    assert page.as_uri() in addresses
    assert [url for url in addresses if not url.startswith(("data:", page.as_uri()))] == []
