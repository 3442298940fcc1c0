"""The documentation site in a browser: its pages load nothing from other servers, and its diagrams are drawn."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.ui.conftest import ARGUMENTS, CHROMIUM, SCREENSHOTS
from tests.ui.pages import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

expect = pytest.importorskip("playwright.sync_api").expect

#: The number of diagrams on each page that has some.
DIAGRAMS = {
    path.relative_to(ROOT / "docs"): count
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if (count := len(re.findall(r"^```mermaid$", path.read_text(), re.MULTILINE)))
}


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without logging the requests."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Build the site, serve it on the loopback address, and return its URL."""
    subprocess.run(["make", "docs"], cwd=ROOT, check=True, timeout=120)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=ROOT / "site")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def offline_page(site: str, playwright: Playwright) -> Iterator[tuple[Page, list[str]]]:
    """Return a page that reaches only the site, and the list of the other URLs that it asked for."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    foreign: list[str] = []

    def refuse(route: object) -> None:
        foreign.append(route.request.url)  # type: ignore[attr-defined]
        route.abort()  # type: ignore[attr-defined]

    page.route(lambda url: not url.startswith((site, "data:", "blob:")), refuse)
    yield page, foreign
    browser.close()


def address(site: str, path: Path) -> str:
    """Return the URL of a page."""
    return site + ("" if path.stem in ("index", "README") else f"{path.with_suffix('')}/")


def test_documentation_has_diagrams() -> None:
    assert sum(DIAGRAMS.values()) >= 2


@pytest.mark.parametrize("path", DIAGRAMS, ids=str)
def test_documentation_diagrams_are_drawn_offline(offline_page: tuple[Page, list[str]], site: str, path: Path) -> None:
    page, foreign = offline_page
    page.goto(address(site, path))
    drawn = page.locator("div.mermaid")
    expect(drawn).to_have_count(DIAGRAMS[path])
    for number in range(DIAGRAMS[path]):
        box = drawn.nth(number).bounding_box()
        assert box is not None
        assert box["height"] > 150
    page.screenshot(path=SCREENSHOTS / f"documentation-{path.stem}.png", full_page=True)
    assert foreign == []


@pytest.mark.parametrize("name", ["index", "comparison", "features", "local-vectorize", "operators/upsert"])
def test_documentation_page_loads_nothing_from_other_servers(
    offline_page: tuple[Page, list[str]], site: str, name: str
) -> None:
    page, foreign = offline_page
    page.goto(address(site, Path(f"{name}.md")), wait_until="networkidle")
    page.screenshot(path=SCREENSHOTS / f"documentation-{Path(name).name}.png")
    assert page.locator("h1").count() == 1
    assert foreign == []
