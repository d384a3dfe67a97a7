"""Every page of the site in a real browser, Chromium: nothing may be wider than the window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support import ROOT
from tests.support.processes import running

CHROMIUM = shutil.which("chromium")
WIDTHS = (1280, 390)
# In the page: the elements that reach beyond the window, and the tables that do so within their frame.
OVERFLOWING = """
[...document.querySelectorAll("article *")].filter(element => {
    const box = element.getBoundingClientRect();
    const scrolls = element.closest("pre, .highlight, .table-wrapper");
    return box.width && !scrolls && box.right > innerWidth + 1;
}).map(element => element.outerHTML.slice(0, 80)).concat(
    document.scrollingElement.scrollWidth > innerWidth ? ["the page itself"] : [],
    [...document.querySelectorAll(".table-wrapper")].filter(table =>
        table.scrollWidth > table.clientWidth + 1 && (innerWidth > 400 || !table.querySelector("th:nth-child(5)")))
        .map(table => "a table: " + table.innerText.slice(0, 80)),
)
"""
# In a drawing: the texts that cover another text, or cross the edge of a box.
COVERED = """
(() => {
    const inner = box => ({left: box.left + 1, right: box.right - 1, top: box.top + 2, bottom: box.bottom - 2});
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const holds = (a, b) => a.left <= b.left && b.right <= a.right && a.top <= b.top && b.bottom <= a.bottom;
    const texts = [...document.querySelectorAll("text")]
        .map(text => [text.textContent.trim(), inner(text.getBoundingClientRect())]);
    const boxes = [...document.querySelectorAll("rect")].map(box => box.getBoundingClientRect());
    return texts.filter(([, text], index) =>
        texts.slice(index + 1).some(([, other]) => meet(text, other))
        || boxes.some(box => meet(box, text) && !holds(box, text))
    ).map(([words]) => words);
})()
"""
# In the page: the words of a table that are broken; the names of code may be.
BROKEN_WORDS = """
[...document.querySelectorAll("table.docutils td, table.docutils th")].flatMap(cell => {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), broken = [], range = document.createRange();
    while (texts.nextNode()) {
        const node = texts.currentNode;
        if (node.parentElement.closest("code")) continue;
        for (const word of node.data.matchAll(/[A-Za-z]+/g)) {
            if (/[a-z][A-Z]/.test(word[0]) || /[_/]/.test(node.data)) continue;
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
})
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: the site is not looked at")


class Browser:
    """One tab of Chromium, driven over the DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        answer = self._received(lambda message: message.get("id") == self._last)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self._received(lambda message: message.get("method") == "Page.loadEventFired")

    def resize(self, width: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def _received(self, wanted: Any) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=60))
            if wanted(message):
                return message


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "sphinx", "--quiet", ROOT / "docs", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    log = profile / "log"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]

    def address() -> str | None:
        """Return the URL of the protocol, when Chromium has printed it."""
        found = re.search(r"^DevTools listening on (.+)$", log.read_text(errors="replace"), flags=re.MULTILINE)
        return found[1] if found else None

    with (
        running([CHROMIUM, *options, "about:blank"], log=log, ready=lambda: address() is not None, patience=10),
        connect(str(address()), max_size=None, compression=None, proxy=None) as socket,
    ):
        yield Browser(socket)


def test_nothing_on_any_page_is_wider_than_the_window_and_no_word_of_a_table_is_broken(
    site: Path, browser: Browser
) -> None:
    pages = [page for page in site.rglob("*.html") if "_static" not in page.parts]
    assert len(pages) > 25
    wide, broken = {}, {}
    for page in pages:
        browser.open(page.as_uri())
        for width in WIDTHS:
            browser.resize(width)
            found = browser.evaluate(OVERFLOWING)
            if found:
                wide[f"{page.relative_to(site)} at {width} px"] = found
            found = browser.evaluate(BROKEN_WORDS)
            if found:
                broken[f"{page.relative_to(site)} at {width} px"] = found
    assert wide == {}
    assert broken == {}


def test_no_text_of_a_drawing_covers_another_or_crosses_a_box(site: Path, browser: Browser) -> None:
    browser.resize(1280)
    covered = {}
    for drawing in (site / "_images").glob("*.svg"):
        browser.open(drawing.as_uri())
        found = browser.evaluate(COVERED)
        if found:
            covered[drawing.name] = found
    assert covered == {}


FIRST_RESULT = """
new Promise(resolve => {
    const look = () => {
        const link = document.querySelector("#search-results li a");
        link ? resolve(link.getAttribute("href").split("#")[0]) : setTimeout(look, 50);
    };
    look();
})
"""


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("nginx", "platforms/proxies.html"),
        ("rotate", "operating.html"),
        ("exempt health", "operating.html"),
        ("debug 401", "debug-a-401.html"),
    ],
)
def test_a_search_finds_the_how_to_first(site: Path, browser: Browser, query: str, page: str) -> None:
    browser.open(f"{(site / 'search.html').as_uri()}?q={query.replace(' ', '+')}")
    assert browser.evaluate(FIRST_RESULT) == page


def test_the_first_page_fits_on_one_screen(site: Path, browser: Browser) -> None:
    browser.resize(1280)
    browser.open((site / "index.html").as_uri())
    assert browser.evaluate("document.querySelector('article').getBoundingClientRect().bottom") < 900
