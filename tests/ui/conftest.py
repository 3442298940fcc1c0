"""Fixtures with a real Airflow, a local Vectorize and a real browser. ``make test-ui`` installs what they need."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import demo_module
from tests.ui.pages import DEFAULT_CONNECTION, ROOT, ConnectionForm, Connections, Run, Screenshots, trigger

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

HERE = Path(__file__).parent
SCREENSHOTS = ROOT / ".ui"
CHROMIUM = Path("/usr/bin/chromium")  # Debian's package. The tests never download a browser.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DAG_ID = "nightly_load"
NIGHT = "2026-01-31"
#: Enough rows for three batches, of which the last one is small.
ROWS = 10_500
#: Seconds from a write to its visibility: long enough that the waiting task is deferred.
LAG = 6.0
#: Seconds before the response to the second batch: longer than the interval of progress lines in the log.
RESPONSE_DELAY = 12.0
#: Maximum number of milliseconds until an element of a page appears.
TIMEOUT_MS = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder: they need a browser, and a short timeout in case a page hangs."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ui)
            item.add_marker(pytest.mark.timeout(150))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Take a screenshot of the page when a test fails."""
    report: Any = yield
    browser: Page | None = getattr(item, "funcargs", {}).get("page")
    if report.failed and browser is not None and not browser.is_closed():
        browser.screenshot(path=SCREENSHOTS / f"failed-{item.name}.png")
    return report


@pytest.fixture(scope="session")
def vectorize() -> Iterator[LocalVectorize]:
    """Run a local Vectorize without indexes that accepts one account and one token, at its usual port if free."""
    with LocalVectorize.start(lag=LAG, port=demo_module("local_airflow").free_port(8787)) as local:
        yield local


@pytest.fixture(scope="session")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the objects of one night: one uncompressed, one gzipped."""
    folder = tmp_path_factory.mktemp("embeddings")
    (folder / NIGHT).mkdir()
    values = np.random.default_rng(1).standard_normal((ROWS, 256), dtype=np.float32)
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    lines = [
        orjson.dumps({"id": f"page-{number:05}", "values": row, "metadata": {"page": number}}, option=options)
        for number, row in enumerate(values)
    ]
    (folder / NIGHT / "pages-1.ndjson").write_bytes(b"".join(lines[:8_000]))
    (folder / NIGHT / "pages-2.ndjson.gz").write_bytes(gzip.compress(b"".join(lines[8_000:]), 1))
    return folder


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, embeddings: Path) -> Iterator[Any]:
    """Run the API server, scheduler, triggerer and DAG processor as the demo does, without any connection."""
    demo = demo_module("local_airflow")
    settings = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", "AIRFLOW_VAR_EMBEDDINGS": f"file://{embeddings}"}
    running = demo.LocalAirflow(tmp_path_factory.mktemp("airflow"), ROOT / "example_dags", settings)
    running.start()
    try:
        running.wait_until_ready(DAG_ID, 120)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Run Playwright, of which a process can run only one instance at a time."""
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} does not exist. Run make test-ui, which installs it.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory, airflow: Any, playwright: Playwright) -> Iterator[BrowserContext]:
    """Run a browser with an empty profile."""
    browser = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("browser"),
        executable_path=CHROMIUM,
        headless=True,
        args=ARGUMENTS,
        base_url=airflow.url,
        viewport={"width": 1280, "height": 1000},
    )
    browser.set_default_timeout(TIMEOUT_MS)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="session")
def page(context: BrowserContext) -> Page:
    """Return the only tab of the browser."""
    return context.pages[0]


@pytest.fixture(scope="session")
def screenshots() -> Screenshots:
    """Return a screenshot taker with an empty folder."""
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    (SCREENSHOTS / "docs").mkdir(parents=True)
    return Screenshots(SCREENSHOTS)


@pytest.fixture(scope="session", autouse=True)
def without_old_screenshots(screenshots: Screenshots) -> None:
    """Empty the folder of screenshots before the first test, so that it is empty even if this test fails."""


@pytest.fixture(scope="session")
def connections(page: Page, vectorize: LocalVectorize) -> Connections:
    """Return the connections page, after the default connection was created in the form as a user does."""
    connections_page = Connections(page)
    connections_page.open()
    form = connections_page.add(DEFAULT_CONNECTION, "Cloudflare Vectorize")
    fill(form, vectorize)
    form.save()
    return connections_page


def fill(form: ConnectionForm, vectorize: LocalVectorize) -> None:
    """Fill in the address, account and token of the local Vectorize, as a user does."""
    form.standard_fields()
    form.field("API base URL").fill(vectorize.base_url)
    form.field("API token").fill(vectorize.token)
    if form.field("Port").is_visible():
        form.field("Port").fill("0")  # The placeholder of the field asks for it.
    form.extra_fields()
    form.extra("account_id").fill(vectorize.account_id)


@pytest.fixture(scope="session")
def nightly_run(
    page: Page, airflow: Any, vectorize: LocalVectorize, connections: Connections, screenshots: Screenshots
) -> Run:
    """Return a successful run of the nightly load, triggered with the button of the page."""
    vectorize.fail("delay", operation="upsert", after=1, seconds=RESPONSE_DELAY)
    run = trigger(page, DAG_ID, {"night": NIGHT}, lambda: screenshots.take(page, "trigger"))
    states = [(task["task_id"], task["state"]) for task in airflow.follow(DAG_ID, run.run_id, 120)]
    return Run(run.page, run.dag_id, run.run_id, tuple(states))
