"""The way of a new user, in a real browser: make the connection, test it, run the nightly load, look at its task."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.ui.conftest import DAG_ID, NIGHT, ROWS, fill
from tests.ui.pages import ConnectionForm, Connections, Run, Screenshots

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

expect = pytest.importorskip("playwright.sync_api").expect
OTHER_TOKEN = "another-tokens-secret"
OTHER_ACCOUNT = "f" * 32
RECEIPT_KEYS = {
    *("mutation_id", "mutation_ids", "index_name", "operation", "vectors", "batches"),
    *("bytes_sent", "rejected", "accepted_at", "samples"),
}


def test_connection_form_explains_fields_and_requires_account_id(
    page: Page, connections: Connections, vectorize: LocalVectorize, screenshots: Screenshots
) -> None:
    connections.open()
    form = connections.add("vectorize_other", "Cloudflare Vectorize")

    labels = {label: form.field(label) for label in ("Description", "API base URL", "E-mail", "API token")}
    for field in labels.values():
        expect(field).to_be_visible()
    expect(labels["API base URL"]).to_have_attribute("placeholder", "https://api.cloudflare.com/client/v4")
    expect(labels["API token"]).to_have_attribute("placeholder", "with the permission Vectorize: Edit")
    expect(labels["API token"]).to_have_attribute("type", "password")
    expect(labels["E-mail"]).to_have_attribute("placeholder", "only with a Global API key, otherwise empty")
    expect(form.dialog.get_by_label("Schema")).to_have_count(0)
    screenshots.take(page, "form-standard-fields")

    form.extra_fields()
    expect(form.extra_group("account_id")).to_contain_text("Account ID")
    expect(form.extra_group("account_id")).to_contain_text("dash.cloudflare.com/<account id>")
    for name, label, default in (
        ("timeout", "Timeout (seconds)", "Default: 110."),
        ("retry_seconds", "Retry for (seconds)", "Default: 1800 "),
        ("budget_reserve", "Budget reserve (0 to 0.9)", "Default: 0.2."),
    ):
        expect(form.extra_group(name)).to_contain_text(label)
        expect(form.extra_group(name)).to_contain_text(default)
    expect(form.dialog.get_by_role("checkbox", name="Verify TLS")).to_be_checked()
    expect(form.save_button).to_be_disabled()  # The account id is missing.
    screenshots.take(page, "form-extra-fields")

    fill(form, vectorize)
    expect(form.save_button).to_be_enabled()
    screenshots.take(page, "form-filled")
    form.close()


def test_edit_form_shows_saved_values_but_not_the_token(
    page: Page, connections: Connections, vectorize: LocalVectorize, screenshots: Screenshots
) -> None:
    connections.open()
    form = connections.edit()

    form.standard_fields()
    expect(form.field("API base URL")).to_have_value(vectorize.base_url)
    expect(form.field("API token")).to_have_value("***")
    screenshots.take(page, "edit")
    form.extra_fields()
    expect(form.extra("account_id")).to_have_value(vectorize.account_id)
    form.standard_fields()
    form.field("Description").fill("The index of the documentation")
    form.save()
    expect(connections.row()).to_contain_text("The index of the documentation")
    assert connections.test().startswith("Test Connection Successful")  # The asterisks did not overwrite the token.
    assert vectorize.token not in page.content()


def test_connection_test_reports_connected_and_number_of_indexes(
    page: Page, connections: Connections, screenshots: Screenshots
) -> None:
    message = connections.test()

    screenshots.take(page, "test-right-token")
    print(message)
    assert re.fullmatch(r"Test Connection Successful Connected\. The account has \d+ index(es)?.*", message)


@pytest.fixture
def restored_connection(connections: Connections, vectorize: LocalVectorize) -> Any:
    """Restore the connection after the test."""
    yield
    connections.open()
    form = connections.edit()
    fill(form, vectorize)
    form.save()


def enter_other_token(form: ConnectionForm) -> None:
    form.standard_fields()
    form.field("API token").fill(OTHER_TOKEN)


def enter_other_account(form: ConnectionForm) -> None:
    form.extra_fields()
    form.extra("account_id").fill(OTHER_ACCOUNT)


def enter_closed_port(form: ConnectionForm) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    form.standard_fields()
    form.field("API base URL").fill(f"http://127.0.0.1:{port}/client/v4")


@pytest.mark.parametrize(
    ("name", "enter_wrong_value", "expected_words"),
    [
        ("wrong-token", enter_other_token, ("refuses the credentials", "token")),
        ("wrong-account", enter_other_account, ("account",)),
        ("no-network", enter_closed_port, ("127.0.0.1", "Check the API base URL")),
    ],
)
@pytest.mark.usefixtures("restored_connection")
def test_connection_test_with_wrong_value_explains_it_without_secrets(
    page: Page,
    connections: Connections,
    vectorize: LocalVectorize,
    screenshots: Screenshots,
    name: str,
    enter_wrong_value: Callable[[ConnectionForm], None],
    expected_words: tuple[str, ...],
) -> None:
    connections.open()
    form = connections.edit()
    enter_wrong_value(form)
    form.save()
    message = connections.test()

    screenshots.take(page, f"test-{name}")
    print(message)
    assert message.startswith("Test Connection Failed")
    for word in expected_words:
        assert word in message
    for secret in (vectorize.token, OTHER_TOKEN):
        assert secret not in page.content()
    assert "Traceback" not in message
    assert len(message) < 400


def test_nightly_load_succeeds_and_its_sensor_is_deferred(
    page: Page, nightly_run: Run, screenshots: Screenshots
) -> None:
    nightly_run.open()

    expect(page.get_by_role("table").get_by_text("Success")).to_have_count(5)
    expect(page.get_by_role("link", name="create_index", exact=True)).to_have_count(
        2
    )  # The second link is in the grid.
    screenshots.take(page, "run-is-green")
    assert ("wait", "deferred") in nightly_run.states


def test_load_log_shows_source_progress_and_result(page: Page, nightly_run: Run, screenshots: Screenshots) -> None:
    nightly_run.task("load")
    log = nightly_run.log("Last mutation")

    screenshots.take(page, "load-log")
    print(log)
    assert re.search(r'Loading 2 objects \(.*\) into index "docs" by upsert, .*pages-1\.ndjson', log)
    assert re.search(r"Uploaded [\d,]+ vectors \(\d+% of the source\), .* \d in flight", log)  # a progress line
    assert f"Uploaded {ROWS:,} vectors in 3 requests " in log


def test_load_xcom_shows_readable_receipt(page: Page, nightly_run: Run, screenshots: Screenshots) -> None:
    nightly_run.task("load")
    xcoms = nightly_run.xcoms("mutation_id")

    screenshots.take(page, "load-xcom")
    print(xcoms)
    assert set(xcoms) >= RECEIPT_KEYS
    assert "return_value" in xcoms
    assert (xcoms["vectors"], xcoms["batches"], xcoms["rejected"]) == (str(ROWS), "3", "0")
    assert (xcoms["index_name"], xcoms["operation"]) == ("docs", "upsert")
    assert re.fullmatch(r"[0-9a-f-]{36}", xcoms["mutation_id"])


def test_load_checkpoint_is_small(page: Page, airflow: Any, nightly_run: Run, screenshots: Screenshots) -> None:
    nightly_run.task("load")
    nightly_run.tab("Storage")
    expect(page.get_by_role("row").filter(has_text="vectorize_load").locator(".view-lines")).to_contain_text("identity")

    screenshots.take(page, "load-checkpoint")
    path = f"dags/{DAG_ID}/dagRuns/{quote(nightly_run.run_id)}/taskInstances/load/state-store"
    (checkpoint,) = airflow.api("GET", path)["task_state_store"]
    size = len(json.dumps(checkpoint["value"]))
    print(f"{size} characters")
    assert size < 4_000


@pytest.mark.parametrize(
    ("task_id", "fields"),
    [("load", {"index_name", "source", "vectorize_conn_id"}), ("wait", {"mutation", "vectorize_conn_id"})],
)
def test_rendered_templates_are_small_and_contain_no_data(
    page: Page, nightly_run: Run, screenshots: Screenshots, task_id: str, fields: set[str]
) -> None:
    nightly_run.task(task_id)
    templates = nightly_run.rendered_templates()

    screenshots.take(page, f"{task_id}-rendered-templates")
    print({name: len(value) for name, value in templates.items()})
    assert fields <= set(templates)
    assert sum(len(value) for value in templates.values()) < 4_000
    if "source" in fields:
        assert f"/{NIGHT}/*.ndjson*" in templates["source"]
    assert "values" not in "".join(templates.values())


def test_wait_log_names_the_proof_of_visibility(page: Page, nightly_run: Run, screenshots: Screenshots) -> None:
    nightly_run.task("wait")
    log = nightly_run.log('in index "docs"')

    screenshots.take(page, "wait-log")
    print(log)
    assert "Visible in index" in log
    assert "Proof:" in log


def test_index_link_opens_page_of_local_vectorize(
    page: Page, context: BrowserContext, nightly_run: Run, screenshots: Screenshots
) -> None:
    nightly_run.task("load")
    nightly_run.tab("Details")
    link = page.get_by_role("link", name="Vectorize index")
    link.wait_for()
    screenshots.take(page, "load-links")

    with context.expect_page() as opened:
        link.click()
    opened.value.wait_for_load_state()
    try:
        assert opened.value.title() == "Local Vectorize"
        assert opened.value.get_by_role("button", name="docs", exact=True).is_visible()
    finally:
        opened.value.close()


def test_pages_of_the_run_never_show_the_token(page: Page, nightly_run: Run, vectorize: LocalVectorize) -> None:
    pages = []
    for task_id in ("create_index", "load", "wait", "ask", "check"):
        nightly_run.task(task_id)
        nightly_run.log("")
        pages.append(page.content())
        nightly_run.tab("Details")
        page.get_by_text("Hostname").wait_for()
        pages.append(page.content())
    page.goto(f"/dags/{DAG_ID}/code")
    page.get_by_role("heading", name=DAG_ID).first.wait_for()
    pages.append(page.content())
    assert not [text for text in pages if vectorize.token in text]
