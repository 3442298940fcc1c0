"""The page of local Vectorize in a browser: what it shows, that it updates itself, and who can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.ui.conftest import ARGUMENTS, CHROMIUM, SCREENSHOTS, TIMEOUT_MS
from tests.ui.local_page import (
    DIMENSIONS,
    FIRST_POINT,
    LAST_REQUEST,
    LOW_CONTRAST,
    NAMESPACES,
    UNNAMED,
    VECTORS,
    api,
    create,
    documentation_vectors,
    upsert,
)
from tests.ui.pages import Screenshots

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture(scope="module")
def local() -> Iterator[LocalVectorize]:
    """Run a local Vectorize with an index of 20,000 vectors, and one whose writes are pending."""
    with LocalVectorize.start(lag=2, extra_args=["--no-sync"]) as started:
        create(started, "docs", DIMENSIONS)
        vectors = documentation_vectors()
        for first in range(0, VECTORS, 5_000):
            upsert(started, "docs", *vectors[first : first + 5_000])
        started.process()
        assert started.count("docs") == VECTORS
        create(started, "films")
        started.hold()
        upsert(started, "films", {"id": "1", "values": [1.0] * 32})
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Run a browser that waits longer than the default, because projections take seconds on a busy machine."""
    expect.set_options(timeout=TIMEOUT_MS)
    opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield opened
    opened.close()


class Requested:
    """The requests to other servers and the errors of a page. Both must stay empty."""

    def __init__(self, page: Page, local: LocalVectorize) -> None:
        self.foreign: list[str] = []
        self.errors: list[str] = []
        own = f"http://127.0.0.1:{local.port}/"
        page.on(
            "request",
            lambda request: None if request.url.startswith((own, "data:")) else self.foreign.append(request.url),
        )
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))


def open_page(browser: Browser, local: LocalVectorize, **options: Any) -> Page:
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 1000}} | options)
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"http://127.0.0.1:{local.port}/")
    return page


@pytest.fixture
def page(browser: Browser, local: LocalVectorize) -> Iterator[Page]:
    """Return the page with the plot of the index with 20,000 vectors."""
    opened = open_page(browser, local)
    expect(opened.locator("#plot-area")).to_have_attribute("data-points", "5000", timeout=TIMEOUT_MS)
    yield opened
    opened.close()


def test_page_shows_indexes_budget_requests_and_a_plot_offline(
    browser: Browser, local: LocalVectorize, screenshots: Screenshots
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    requested = Requested(page, local)
    page.goto(f"http://127.0.0.1:{local.port}/")
    rows = page.locator("#indexes tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("docs")
    expect(rows.nth(0).locator("td.number")).to_have_text(["256", "20,000", "0"])
    expect(rows.nth(1).locator("td.number")).to_have_text(["32", "0", "1"])
    expect(page.locator("#server")).to_contain_text("Writes are on hold")
    expect(page.locator("#windows")).to_contain_text(re.compile(r"Credential 1: 1,1\d\d requests left"))
    upserts = page.locator("#requests tr").filter(has_text="upsert")
    expect(upserts.filter(has_text="docs")).to_have_count(4)
    expect(page.locator("#plot-caption")).to_contain_text("A sample of 5,000 of 20,000 vectors")
    expect(page.locator("#legend li")).to_have_count(len(NAMESPACES))
    expect(page.locator("#legend li").first).to_contain_text("guides")
    assert page.locator("#plot > path").count() == len(NAMESPACES) + 3
    page.get_by_label("Vector ID or values").fill(first_id(page, "support"))
    page.get_by_role("button", name="Query").click()
    expect(page.locator("#answer")).to_contain_text("10 results in")
    screenshots.for_docs(page, "local-page", height=1340)
    assert requested.foreign == []
    assert requested.errors == []
    page.close()


def first_id(page: Page, namespace: str) -> str:
    """Return the first ID of a namespace in the plot."""
    data = page.evaluate("() => fetch('/__local__/page/plot?index=docs').then((response) => response.json())")
    return str(next(id_ for id_ in data["ids"] if id_.startswith(namespace)))


def test_page_shows_new_writes_and_failed_requests_without_reload(browser: Browser, local: LocalVectorize) -> None:
    create(local, "live")
    page = open_page(browser, local)
    row = page.locator("#indexes tr").filter(has_text="live")
    expect(row.locator("td.number")).to_have_text(["32", "0", "0"])
    upsert(local, "live", *({"id": str(n), "values": [float(n), *[1.0] * 31]} for n in range(3)))
    expect(row.locator("td.number")).to_have_text(["32", "0", "1"])
    local.process("live")
    expect(row.locator("td.number")).to_have_text(["32", "3", "0"])
    row.get_by_role("button", name="live").click()
    expect(page.locator("#plot-area")).to_have_attribute("data-points", "3")
    upsert(local, "live", {"id": "new", "values": [9.0, *[-1.0] * 31]})
    local.process("live")
    expect(page.locator("#plot-area")).to_have_attribute("data-points", "4")
    assert api(local, "/live/query", json={"vector": [1.0]}).status_code == 400
    newest = page.locator("#requests tr").first
    expect(newest.locator("td").nth(1)).to_have_text("query")
    expect(newest.locator("td").nth(3)).to_have_text("400")
    expect(newest.locator("td").nth(4)).to_have_text("40006")
    page.reload()
    expect(page.locator("#chosen")).to_have_text("live")
    page.close()


def test_page_colors_points_by_a_metadata_property(page: Page) -> None:
    page.get_by_label("Color by").select_option("metadata.year")
    legend = page.locator("#legend li")
    expect(legend.first).to_contain_text("2016 to 2017")
    expect(page.locator("#plot-caption")).to_contain_text("colored by metadata.year (8 groups)")
    legend.first.get_by_role("button").click()
    expect(page.locator("#plot path.faded")).to_have_count(7)
    legend.first.get_by_role("button").click()
    expect(page.locator("#plot path.faded")).to_have_count(0)


def test_page_click_on_a_point_queries_its_neighbors(page: Page) -> None:
    plot = page.locator("#plot")
    box = plot.bounding_box()
    assert box is not None
    # The path of a group starts at its first point.
    at = plot.locator("path").first.evaluate(FIRST_POINT)
    plot.hover(position={"x": at[0] - box["x"], "y": at[1] - box["y"]})
    expect(page.locator("#point")).to_contain_text("guides")
    plot.click(position={"x": at[0] - box["x"], "y": at[1] - box["y"]})
    first = page.locator("#matches tr").first
    expect(first.locator("td").first).to_have_text("1.0000")
    assert first.locator("td").nth(1).inner_text() == page.get_by_label("Vector ID or values").input_value()
    expect(page.locator("#answer")).to_contain_text(re.compile(r"The plot marks \d+ of them"))


def test_page_query_with_values_filter_and_errors_shows_results_or_the_reason(page: Page) -> None:
    vector = page.get_by_label("Vector ID or values")
    vector.fill(str([1.0] * DIMENSIONS))
    page.get_by_label("Namespace", exact=True).fill("blog")
    page.get_by_label("Results", exact=True).fill("3")
    vector.press("Enter")
    expect(page.locator("#matches tr")).to_have_count(3)
    expect(page.locator("#matches tr").first).to_contain_text("blog")
    page.get_by_label("Filter", exact=True).fill('{"year": ')
    vector.press("Enter")
    expect(page.locator("#answer")).to_contain_text("Not valid JSON")
    page.get_by_label("Filter", exact=True).fill("")
    vector.fill("no such vector")
    vector.press("Enter")
    expect(page.locator("#answer")).to_contain_text("40015")


def test_page_with_names_that_look_like_html_shows_them_as_text(browser: Browser, local: LocalVectorize) -> None:
    create(local, "markup")
    attack = "<img src=x onerror=alert(1)>"
    upsert(local, "markup", {"id": attack, "values": [1.0] * 32, "namespace": attack, "metadata": {attack: attack}})
    local.process("markup")
    page = open_page(browser, local)
    requested = Requested(page, local)
    page.get_by_role("button", name="markup").click()
    expect(page.locator("#legend")).to_contain_text(attack)
    page.get_by_label("Vector ID or values").fill(attack)
    page.get_by_role("button", name="Query").click()
    expect(page.locator("#matches td").nth(1)).to_have_text(attack)
    page.get_by_label("Color by").select_option(f"metadata.{attack}")
    expect(page.locator("#plot-caption")).to_contain_text(attack)
    assert page.locator("img").count() == 0
    assert requested.errors == []
    page.close()


def test_page_with_percent_signs_in_addresses_shows_them(browser: Browser, local: LocalVectorize) -> None:
    api(local, "/100%25zz/query", json={})
    page = browser.new_page()
    requested = Requested(page, local)
    page.goto(f"http://127.0.0.1:{local.port}/#%zz")
    expect(page.locator("#requests tr").filter(has_text="100%zz")).to_have_count(1)
    expect(page.locator("#connection")).to_be_hidden()
    assert requested.errors == []
    page.close()


@pytest.mark.parametrize(
    ("name", "vector_id"), [("brackets", "[1] Introduction"), ("spaces", " spaces "), ("lines", "two\nlines")]
)
def test_page_click_on_a_point_with_an_unusual_id_queries_it(
    browser: Browser, local: LocalVectorize, name: str, vector_id: str
) -> None:
    create(local, name)
    upsert(local, name, {"id": vector_id, "values": [1.0] * 32})
    local.process(name)
    page = open_page(browser, local)
    page.get_by_role("button", name=name).click()
    expect(page.locator("#plot-area")).to_have_attribute("data-points", "1", timeout=TIMEOUT_MS)
    page.locator("#plot").click()  # its center, where the only point is
    expect(page.locator("#answer")).to_contain_text("1 result in")
    assert page.locator("#matches td").nth(1).text_content() == vector_id
    page.get_by_role("button", name="Query").click()
    expect(page.locator("#answer")).to_contain_text("1 result in")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_page_is_readable_in_light_and_dark_on_narrow_and_wide_screens(
    browser: Browser, local: LocalVectorize, scheme: str, width: int
) -> None:
    api(local, "/missing/query", json={})  # A failed request, whose status has a color of its own.
    page = open_page(browser, local, color_scheme=scheme, viewport={"width": width, "height": 900})
    expect(page.locator("#plot-area")).to_have_attribute("data-points", re.compile(r"\d+"))
    page.get_by_label("Vector ID or values").fill("no such vector")
    page.get_by_role("button", name="Query").click()
    expect(page.locator("#answer")).to_have_class("bad")
    page.get_by_role("button", name="Pause updates").click()
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.screenshot(path=SCREENSHOTS / f"local-page-{scheme}-{width}.png", full_page=True)
    page.close()


def test_page_works_with_the_keyboard_and_updates_keep_the_focus(page: Page, local: LocalVectorize) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause updates")).to_be_focused()
    films = page.get_by_role("button", name="films")
    films.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_have_text("films")
    expect(films).to_have_attribute("aria-pressed", "true")
    before = page.locator("#indexes").inner_text()
    upsert(local, "films", {"id": "2", "values": [1.0] * 32})
    expect(page.locator("#indexes")).not_to_have_text(before)
    expect(films).to_be_focused()
    page.get_by_role("button", name="docs").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_have_text("docs")


def test_page_paused_requests_nothing(browser: Browser, local: LocalVectorize) -> None:
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.clock.install()
    page.goto(f"http://127.0.0.1:{local.port}/")
    expect(page.locator("#plot-area")).to_have_attribute("data-points", re.compile(r"\d+"))
    pause = page.get_by_role("button", name="Pause updates")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    page.evaluate(LAST_REQUEST)  # So that requests from before the click have been sent.
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.clock.run_for(10_000)
    page.evaluate(LAST_REQUEST)
    assert len(sent) == 1
    pause.click()
    assert api(local, "/docs/query", json={}).status_code == 400
    page.clock.run_for(1_000)
    expect(page.locator("#requests tr").first.locator("td").nth(3)).to_have_text("400")
    page.close()


def test_page_reports_a_stopped_server_and_recovers(browser: Browser) -> None:
    with LocalVectorize.start(extra_args=["--no-sync"]) as own:
        page = open_page(browser, own)
        expect(page.locator("#no-indexes")).to_be_visible()
        expect(page.locator("#vectors")).to_be_hidden()
        own.kill()
        expect(page.get_by_role("alert")).to_contain_text("Local Vectorize does not answer")
        own.restart()
        expect(page.get_by_role("alert")).to_be_hidden()
        page.close()
