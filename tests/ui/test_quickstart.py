"""The quickstart's way, step by step as its page has it. ``make screenshots`` takes its pictures from here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.ui.conftest import SCREENSHOTS, fill
from tests.ui.pages import DEFAULT_CONNECTION, ROOT, Connections, Run, Shots, trigger

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture(scope="module")
def quickstart(page: Page, airflow: Any, connections: Connections, shots: Shots) -> Run:
    """Steps 7 and 8."""
    run = trigger(page, "quickstart", {}, lambda: _see_parameters(page, shots))
    for _ in airflow.follow("quickstart", run.run_id, 120):
        pass
    return run


def _see_parameters(page: Page, shots: Shots) -> None:
    source = page.locator("[name=element_source]")
    expect(source).to_have_value(re.compile("quickstart.ndjson"))
    shots.for_docs(page, "trigger", height=790)


def test_the_form_takes_what_the_local_vectorize_prints(
    page: Page, connections: Connections, vectorize: LocalVectorize, shots: Shots
) -> None:
    connections.open()
    form = connections.add(DEFAULT_CONNECTION, "Cloudflare Vectorize")
    fill(form, vectorize)
    expect(form.save_button).to_be_enabled()
    shots.for_docs(page, "connection-extra", height=1000)
    form.standard_fields()
    shots.for_docs(page, "connection-standard", height=940)
    form.close()


def test_the_connection_is_good(page: Page, connections: Connections, shots: Shots) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    told = connections.test()
    shots.for_docs(page, "connection-test", height=420)
    page.set_viewport_size({"width": 1280, "height": 1000})
    assert told.startswith("Test Connection Successful")


def test_the_run_is_green(page: Page, quickstart: Run, shots: Shots) -> None:
    quickstart.open()
    expect(page.get_by_role("table").get_by_text("Success")).to_have_count(5)
    shots.for_docs(page, "run", height=800)


def test_log_and_receipt_say_what_was_loaded(page: Page, quickstart: Run, shots: Shots) -> None:
    quickstart.task("load")
    log = quickstart.log("Last mutation")
    shots.for_docs(page, "load-log", height=450)
    found = quickstart.xcoms("mutation_id")
    expect(page.locator(".view-lines").first).to_be_visible()
    shots.for_docs(page, "load-xcom", height=1000)
    print(log)
    assert "Uploaded 40 vectors in 1 request" in log
    assert found["vectors"] == "40"


def test_the_answer_is_in_the_log(page: Page, quickstart: Run, shots: Shots) -> None:
    quickstart.task("answer")
    log = quickstart.log("To clear a task is to make it run again")
    shots.for_docs(page, "answer-log", height=450)
    print(log)


def test_the_page_has_these_pictures_and_no_other() -> None:
    shown = set(re.findall(r"\]\(images/([\w-]+)\.png\)", (ROOT / "docs/quickstart.md").read_text()))
    assert shown == {path.stem for path in Path(SCREENSHOTS / "docs").glob("*.png")}
