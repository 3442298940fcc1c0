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
from tests.ui.pages import ConnectionForm, Connections, Run, Shots

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

expect = pytest.importorskip("playwright.sync_api").expect
OTHER_TOKEN = "another-tokens-secret"
OTHER_ACCOUNT = "f" * 32
RECEIPT = {
    *("mutation_id", "mutation_ids", "index_name", "operation", "vectors", "batches"),
    *("bytes_sent", "rejected", "accepted_at", "samples"),
}


# ---------------------------------------------------------------- the connection


def test_the_form_says_what_goes_where_and_insists_on_what_is_needed(
    page: Page, connections: Connections, vectorize: LocalVectorize, shots: Shots
) -> None:
    connections.open()
    form = connections.add("vectorize_other", "Cloudflare Vectorize")

    labels = {label: form.field(label) for label in ("Description", "API base URL", "E-mail", "API token")}
    for field in labels.values():
        expect(field).to_be_visible()
    expect(labels["API base URL"]).to_have_attribute("placeholder", "https://api.cloudflare.com/client/v4")
    expect(labels["API token"]).to_have_attribute("placeholder", "with the permission Vectorize: Edit")
    expect(labels["API token"]).to_have_attribute("type", "password")
    expect(labels["E-mail"]).to_have_attribute("placeholder", "only for a Global API key; empty for an API token")
    expect(form.dialog.get_by_label("Schema")).to_have_count(0)
    shots.take(page, "form-standard-fields")

    form.extra_fields()
    expect(form.extra_group("account_id")).to_contain_text("Account ID")
    expect(form.extra_group("account_id")).to_contain_text("dash.cloudflare.com/<account id>")
    for name, label, default in (
        ("timeout", "Timeout (seconds)", "Empty: 110."),
        ("retry_seconds", "Retry for (seconds)", "Empty: 1800."),
        ("budget_reserve", "Budget reserve (0 to 0.9)", "Empty: 0.2."),
    ):
        expect(form.extra_group(name)).to_contain_text(label)
        expect(form.extra_group(name)).to_contain_text(default)
    expect(form.dialog.get_by_role("checkbox", name="Verify TLS")).to_be_checked()
    expect(form.save_button).to_be_disabled()  # there is no account id
    shots.take(page, "form-extra-fields")

    fill(form, vectorize)
    expect(form.save_button).to_be_enabled()
    shots.take(page, "form-filled")
    form.close()


def test_what_was_saved_is_there_to_be_edited_but_the_token_is_not_shown(
    page: Page, connections: Connections, vectorize: LocalVectorize, shots: Shots
) -> None:
    connections.open()
    form = connections.edit()

    form.standard_fields()
    expect(form.field("API base URL")).to_have_value(vectorize.base_url)
    expect(form.field("API token")).to_have_value("***")
    shots.take(page, "edit")
    form.extra_fields()
    expect(form.extra("account_id")).to_have_value(vectorize.account_id)
    form.standard_fields()
    form.field("Description").fill("The index of the documentation")
    form.save()
    expect(connections.row()).to_contain_text("The index of the documentation")
    assert connections.test().startswith("Test Connection Successful")  # the token was not replaced by asterisks
    assert vectorize.token not in page.content()


def test_the_test_button_says_that_it_is_connected_and_to_what(
    page: Page, connections: Connections, shots: Shots
) -> None:
    told = connections.test()

    shots.take(page, "test-right-token")
    print(told)
    assert re.fullmatch(r"Test Connection Successful Connected\. The account has \d+ index(es)?.*", told)


@pytest.fixture
def mended(connections: Connections, vectorize: LocalVectorize) -> Any:
    """Afterwards the connection is as it was."""
    yield
    connections.open()
    form = connections.edit()
    fill(form, vectorize)
    form.save()


def with_another_token(form: ConnectionForm) -> None:
    form.standard_fields()
    form.field("API token").fill(OTHER_TOKEN)


def with_another_account(form: ConnectionForm) -> None:
    form.extra_fields()
    form.extra("account_id").fill(OTHER_ACCOUNT)


def with_a_port_where_nobody_listens(form: ConnectionForm) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    form.standard_fields()
    form.field("API base URL").fill(f"http://127.0.0.1:{port}/client/v4")


@pytest.mark.parametrize(
    ("name", "change", "helps"),
    [
        ("wrong-token", with_another_token, ("refuses the credentials", "token")),
        ("wrong-account", with_another_account, ("account",)),
        ("no-network", with_a_port_where_nobody_listens, ("127.0.0.1", "Check the API base URL")),
    ],
)
@pytest.mark.usefixtures("mended")
def test_the_test_button_says_what_is_wrong_and_tells_no_secret(
    page: Page,
    connections: Connections,
    vectorize: LocalVectorize,
    shots: Shots,
    name: str,
    change: Callable[[ConnectionForm], None],
    helps: tuple[str, ...],
) -> None:
    connections.open()
    form = connections.edit()
    change(form)
    form.save()
    told = connections.test()

    shots.take(page, f"test-{name}")
    print(told)
    assert told.startswith("Test Connection Failed")
    for word in helps:
        assert word in told
    for secret in (vectorize.token, OTHER_TOKEN):
        assert secret not in page.content()
    assert "Traceback" not in told
    assert len(told) < 400


# ---------------------------------------------------------------- the nightly load


def test_the_nightly_load_is_green_and_its_wait_held_no_worker(page: Page, nightly_run: Run, shots: Shots) -> None:
    nightly_run.open()

    expect(page.get_by_role("table").get_by_text("Success")).to_have_count(5)
    expect(page.get_by_role("link", name="create_index", exact=True)).to_have_count(2)  # in the grid, too
    shots.take(page, "run-is-green")
    assert ("wait", "deferred") in nightly_run.states


def test_the_log_of_the_load_tells_what_how_far_and_how_it_ended(page: Page, nightly_run: Run, shots: Shots) -> None:
    nightly_run.task("load")
    log = nightly_run.log("Last mutation")

    shots.take(page, "load-log")
    print(log)
    assert re.search(r'Loading 2 objects \(.*\) into index "docs" by upsert, .*pages-1\.ndjson', log)
    assert re.search(r"Uploaded [\d,]+ vectors \(\d+% of the source\), .* \d in flight", log)  # on the way
    assert f"Uploaded {ROWS:,} vectors in 3 requests " in log


def test_the_receipt_in_xcom_is_one_that_a_person_understands(page: Page, nightly_run: Run, shots: Shots) -> None:
    nightly_run.task("load")
    found = nightly_run.xcoms("mutation_id")

    shots.take(page, "load-xcom")
    print(found)
    assert set(found) >= RECEIPT
    assert "return_value" in found
    assert (found["vectors"], found["batches"], found["rejected"]) == (str(ROWS), "3", "0")
    assert (found["index_name"], found["operation"]) == ("docs", "upsert")
    assert re.fullmatch(r"[0-9a-f-]{36}", found["mutation_id"])


def test_the_checkpoint_that_is_kept_for_a_retry_is_small(
    page: Page, airflow: Any, nightly_run: Run, shots: Shots
) -> None:
    nightly_run.task("load")
    nightly_run.tab("Storage")
    expect(page.get_by_role("row").filter(has_text="vectorize_load").locator(".view-lines")).to_contain_text("identity")

    shots.take(page, "load-checkpoint")
    path = f"dags/{DAG_ID}/dagRuns/{quote(nightly_run.run_id)}/taskInstances/load/state-store"
    (kept,) = airflow.api("GET", path)["task_state_store"]
    size = len(json.dumps(kept["value"]))
    print(f"{size} characters")
    assert size < 4_000


@pytest.mark.parametrize(
    ("task_id", "fields"),
    [("load", {"index_name", "source", "vectorize_conn_id"}), ("wait", {"mutation", "vectorize_conn_id"})],
)
def test_the_rendered_templates_are_small_and_hold_no_data(
    page: Page, nightly_run: Run, shots: Shots, task_id: str, fields: set[str]
) -> None:
    nightly_run.task(task_id)
    found = nightly_run.rendered_templates()

    shots.take(page, f"{task_id}-rendered-templates")
    print({name: len(value) for name, value in found.items()})
    assert fields <= set(found)
    assert sum(len(value) for value in found.values()) < 4_000
    if "source" in fields:
        assert f"/{NIGHT}/*.ndjson*" in found["source"]
    assert "values" not in "".join(found.values())


def test_the_log_of_the_wait_says_by_which_proof_the_load_is_visible(
    page: Page, nightly_run: Run, shots: Shots
) -> None:
    nightly_run.task("wait")
    log = nightly_run.log('in index "docs"')

    shots.take(page, "wait-log")
    print(log)
    assert "Visible in index" in log
    assert "Proof:" in log


def test_the_link_leads_to_the_page_of_the_local_vectorize(
    page: Page, context: BrowserContext, nightly_run: Run, shots: Shots
) -> None:
    nightly_run.task("load")
    nightly_run.tab("Details")
    link = page.get_by_role("link", name="Vectorize index")
    link.wait_for()
    shots.take(page, "load-links")

    with context.expect_page() as opened:
        link.click()
    opened.value.wait_for_load_state()
    try:
        assert opened.value.title() == "Local Vectorize"
        assert opened.value.get_by_text("docs", exact=True).is_visible()
    finally:
        opened.value.close()


def test_no_page_of_the_run_shows_the_token(page: Page, nightly_run: Run, vectorize: LocalVectorize) -> None:
    seen = []
    for task_id in ("create_index", "load", "wait", "ask", "check"):
        nightly_run.task(task_id)
        nightly_run.log("")
        seen.append(page.content())
        nightly_run.tab("Details")
        page.get_by_text("Hostname").wait_for()
        seen.append(page.content())
    page.goto(f"/dags/{DAG_ID}/code")
    page.get_by_role("heading", name=DAG_ID).first.wait_for()
    seen.append(page.content())
    assert not [text for text in seen if vectorize.token in text]
