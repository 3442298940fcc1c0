"""The steps of the quickstart page in a browser. ``make screenshots`` copies the screenshots of these tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.ui.conftest import SCREENSHOTS, fill
from tests.ui.pages import DEFAULT_CONNECTION, ROOT, Connections, Run, Screenshots, trigger

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture(scope="module")
def quickstart(page: Page, airflow: Any, connections: Connections, screenshots: Screenshots) -> Run:
    """Return a successful run of the DAG (steps 7 and 8 of the page)."""
    run = trigger(page, "quickstart", {}, lambda: _check_parameters(page, screenshots))
    for _ in airflow.follow("quickstart", run.run_id, 120):
        pass
    return run


def _check_parameters(page: Page, screenshots: Screenshots) -> None:
    source = page.locator("[name=element_source]")
    expect(source).to_have_value(re.compile("quickstart.ndjson"))
    screenshots.for_docs(page, "trigger", height=790)


def test_quickstart_form_accepts_values_of_local_vectorize(
    page: Page, connections: Connections, vectorize: LocalVectorize, screenshots: Screenshots
) -> None:
    connections.open()
    form = connections.add(DEFAULT_CONNECTION, "Cloudflare Vectorize")
    fill(form, vectorize)
    expect(form.save_button).to_be_enabled()
    screenshots.for_docs(page, "connection-extra", height=1000)
    form.standard_fields()
    screenshots.for_docs(page, "connection-standard", height=940)
    form.close()


def test_quickstart_connection_test_succeeds(page: Page, connections: Connections, screenshots: Screenshots) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    message = connections.test()
    screenshots.for_docs(page, "connection-test", height=420)
    page.set_viewport_size({"width": 1280, "height": 1000})
    assert message.startswith("Test Connection Successful")


def test_quickstart_run_succeeds(page: Page, quickstart: Run, screenshots: Screenshots) -> None:
    quickstart.open()
    expect(page.get_by_role("table").get_by_text("Success")).to_have_count(5)
    screenshots.for_docs(page, "run", height=800)


def test_quickstart_log_and_receipt_show_loaded_vectors(page: Page, quickstart: Run, screenshots: Screenshots) -> None:
    quickstart.task("load")
    log = quickstart.log("Last mutation")
    screenshots.for_docs(page, "load-log", height=450)
    xcoms = quickstart.xcoms("mutation_id")
    expect(page.locator(".view-lines").first).to_be_visible()
    screenshots.for_docs(page, "load-xcom", height=1000)
    print(log)
    assert "Uploaded 40 vectors in 1 request" in log
    assert xcoms["vectors"] == "40"


def test_quickstart_log_shows_nearest_sentences(page: Page, quickstart: Run, screenshots: Screenshots) -> None:
    quickstart.task("answer")
    log = quickstart.log("To clear a task is to make it run again")
    screenshots.for_docs(page, "answer-log", height=450)
    print(log)


def test_quickstart_page_uses_exactly_these_screenshots() -> None:
    used = set(re.findall(r"\]\(images/([\w-]+)\.png\)", (ROOT / "docs/quickstart.md").read_text()))
    taken = {path.stem for path in Path(SCREENSHOTS / "docs").glob("*.png")}
    assert used == taken - {"check-report", "local-page"}  # their own tests take these
