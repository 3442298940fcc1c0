"""A real Airflow, a local Vectorize and a real browser, as a new user has them. ``make test-ui`` installs all of it."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.ui.pages import DEFAULT_CONNECTION, ROOT, ConnectionForm, Connections, Run, Shots, trigger

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

HERE = Path(__file__).parent
SCREENSHOTS = ROOT / ".ui"
CHROMIUM = Path("/usr/bin/chromium")  # Debian's; a browser is never downloaded
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DAG_ID = "nightly_load"
NIGHT = "2026-01-31"
#: Three batches, the last of them small.
ROWS = 10_500
#: Seconds from a write to its visibility: so many that the task that waits is deferred.
LAG = 6.0
#: Seconds that the second batch's answer takes: more than between two lines of progress in the log.
LATE = 12.0
#: Milliseconds that anything on a page may take to appear.
PATIENCE = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in this folder needs a browser, and nothing here may hang."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ui)
            item.add_marker(pytest.mark.timeout(150))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What the page looked like when a test failed."""
    report: Any = yield
    browser: Page | None = getattr(item, "funcargs", {}).get("page")
    if report.failed and browser is not None and not browser.is_closed():
        browser.screenshot(path=SCREENSHOTS / f"failed-{item.name}.png")
    return report


@pytest.fixture(scope="session")
def vectorize() -> Iterator[LocalVectorize]:
    """A local Vectorize that takes one account and one token, and knows no index yet; at its usual port, if free."""
    with LocalVectorize.start(lag=LAG, port=_demo_module("local_airflow").free_port(8787)) as local:
        yield local


@pytest.fixture(scope="session")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream storage with one night: an object plain, one gzipped."""
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
    """API server, scheduler, triggerer and DAG processor, started as in the demo; it has no connection yet."""
    demo = _demo_module("local_airflow")
    settings = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", "AIRFLOW_VAR_EMBEDDINGS": f"file://{embeddings}"}
    running = demo.LocalAirflow(tmp_path_factory.mktemp("airflow"), ROOT / "example_dags", settings)
    running.start()
    try:
        running.wait_until_ready(DAG_ID, 120)
        yield running
    finally:
        running.stop()


def _demo_module(name: str) -> ModuleType:
    """One of the demo's modules; they are scripts beside each other, not a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "demo" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, which a process can start only once at a time."""
    if not CHROMIUM.exists():
        pytest.fail(f"There is no {CHROMIUM}; make test-ui installs it.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory, airflow: Any, playwright: Playwright) -> Iterator[BrowserContext]:
    """A browser with an empty profile."""
    browser = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("browser"),
        executable_path=CHROMIUM,
        headless=True,
        args=ARGUMENTS,
        base_url=airflow.url,
        viewport={"width": 1280, "height": 1000},
    )
    browser.set_default_timeout(PATIENCE)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="session")
def page(context: BrowserContext) -> Page:
    """Its one tab."""
    return context.pages[0]


@pytest.fixture(scope="session")
def shots() -> Shots:
    """Takes screenshots into a folder that is empty at first."""
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    (SCREENSHOTS / "docs").mkdir(parents=True)
    return Shots(SCREENSHOTS)


@pytest.fixture(scope="session", autouse=True)
def screenshots_of_this_run_only(shots: Shots) -> None:
    """Also where the first test fails."""


@pytest.fixture(scope="session")
def connections(page: Page, vectorize: LocalVectorize) -> Connections:
    """Admin, Connections: with the default connection, filled in by hand in the form and saved."""
    listed = Connections(page)
    listed.open()
    form = listed.add(DEFAULT_CONNECTION, "Cloudflare Vectorize")
    fill(form, vectorize)
    form.save()
    return listed


def fill(form: ConnectionForm, vectorize: LocalVectorize) -> None:
    """What a user types who has read the address, the account and the token of the local Vectorize."""
    form.standard_fields()
    form.field("API base URL").fill(vectorize.base_url)
    form.field("API token").fill(vectorize.token)
    if form.field("Port").is_visible():
        form.field("Port").fill("0")  # as its placeholder asks for
    form.extra_fields()
    form.extra("account_id").fill(vectorize.account_id)


@pytest.fixture(scope="session")
def nightly_run(page: Page, airflow: Any, vectorize: LocalVectorize, connections: Connections, shots: Shots) -> Run:
    """A run of the nightly load, triggered by the button, that ended well."""
    vectorize.fail("delay", operation="upsert", after=1, seconds=LATE)
    run = trigger(page, DAG_ID, {"night": NIGHT}, lambda: shots.take(page, "trigger"))
    states = [(task["task_id"], task["state"]) for task in airflow.follow(DAG_ID, run.run_id, 120)]
    return Run(run.page, run.dag_id, run.run_id, tuple(states))
