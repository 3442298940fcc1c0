"""The report of a check in a real browser: it fits narrow and wide windows, in light and dark, and loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_vectorize.checks.gates import Gates
from airflow_provider_vectorize.checks.report import render_report
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.checks.support import CheckedIndex, corpus, golden_queries, other_model
from tests.checks.test_report import NOW
from tests.ui.conftest import ARGUMENTS, CHROMIUM, SCREENSHOTS

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of an index that lost vectors and has some of another model."""
    folder = tmp_path_factory.mktemp("report")
    with LocalVectorize.start(extra_args=["--no-sync"]) as local:
        index = CheckedIndex(local, folder)
        index.create()
        rows = corpus(1_500)
        index.load(rows)
        index.upsert(other_model(rows[300::16]))
        index.delete(row["id"] for row in rows[400:460])
        result = index.check(Gates(), golden_queries(rows, 20))
    result = replace(result, created_on=(NOW - timedelta(minutes=40)).isoformat())
    (folder / "report.html").write_bytes(render_report(result, NOW))
    return folder / "report.html"


@pytest.fixture
def page(playwright: Playwright) -> Iterator[Page]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser.new_page(viewport={"width": 1040, "height": 900})
    browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_is_readable_in_both_color_schemes(page: Page, report: Path, scheme: Any) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())
    assert requested == [report.as_uri()]
    assert page.locator(".badge.failed").first.inner_text() == "✕ Failed"
    contrasts = [
        page.evaluate(CONTRAST_SCRIPT, selector) for selector in ("h1", "small", ".badge.failed", ".badge.passed")
    ]
    assert min(contrasts) >= 4.5, contrasts
    name = "docs/check-report.png" if scheme == "light" else "check-report-dark.png"
    page.screenshot(path=SCREENSHOTS / name, full_page=True)


@pytest.mark.parametrize("width", [360, 760, 1280])
def test_report_fits_the_window(page: Page, report: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(report.as_uri())
    page.screenshot(path=SCREENSHOTS / f"check-report-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg").count() > 8
    heights = "[...document.querySelectorAll('th')].map(th => th.clientHeight)"
    assert page.evaluate(f"Math.max(...{heights})") < 45, "a heading of the table is broken into lines"


#: JavaScript that returns the contrast between the text of an element and what is behind it, as WCAG defines it.
CONTRAST_SCRIPT = """selector => {
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const light = ([red, green, blue]) => [red, green, blue].map(part => part / 255)
        .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const element = document.querySelector(selector);
    let behind = element;
    while ((numbers(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
    const [a, b] = [light(numbers(getComputedStyle(element).color)),
        light(numbers(getComputedStyle(behind).backgroundColor))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
}"""
