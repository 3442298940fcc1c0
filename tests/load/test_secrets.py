"""Test that the token is only in the request header, and never in messages, logs, XCom or the database."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.local.handle import TOKEN, LocalVectorize
from tests.support import MemoryStore, Monitor, client_of, make_rows

from .conftest import BooksIndex

WRONG_TOKEN = "cfut_a-wrong-token-that-must-stay-secret"


@pytest.fixture(autouse=True)
def log_everything(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        for name in ("urllib3", "requests"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield


def exception_texts(error: BaseException) -> Iterator[str]:
    """Yield every text in which an exception may appear, including its causes and contexts."""
    visited: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or current in visited:
            continue
        visited.append(current)
        yield str(current)
        yield repr(current)
        yield repr(current.args)
        if isinstance(current, VectorizeError):
            yield repr(vars(current))
            yield pickle.dumps(current).decode("latin-1")
            copy = pickle.loads(pickle.dumps(current))
            assert (str(copy), type(copy), copy.facts) == (str(current), type(current), current.facts)
        pending += [current.__cause__, current.__context__]
    yield "".join(traceback.format_exception(error))


def assert_hidden(secret: str, *texts: str) -> None:
    for text in texts:
        assert secret not in text
        assert secret.encode("utf-16-le").decode("latin-1") not in text


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("http_500", {}),
    ("rate_limit", {"retry_after": 0}),
    ("throttle_40041", {}),
    ("gateway_504_html", {}),
    ("cut_before", {}),
    ("cut_during_body", {}),
    ("cut_during_answer", {}),
    ("not_json", {}),
    ("no_mutation_id", {}),
    ("redirect", {"location": "http://127.0.0.1:1/elsewhere"}),
    ("answer", {"status": 403, "code": 10000, "message": "Authentication error"}),
    ("answer", {"status": 400, "code": 40026, "message": "no"}),
    ("delay", {"seconds": 2}),
]


@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=[f"{name} {more}" for name, more in FAULTS])
def test_load_failed_shows_no_token(
    books: BooksIndex, caplog: pytest.LogCaptureFixture, fault: str, options: dict[str, Any]
) -> None:
    store = MemoryStore()
    rows = make_rows(30)
    rows[3]["values"] = [1]
    books.local.fail(fault, operation="upsert", times=None, after=1, **options)
    with pytest.raises(VectorizeError) as caught:
        books.load(
            rows,
            store=store,
            dead_letters=True,
            max_in_flight=1,
            client={"retry": RetryPolicy(total=0), "timeout": 1.0},
        )
    assert_hidden(
        TOKEN, *exception_texts(caught.value), caplog.text, json.dumps(store.saved), books.target.read().decode()
    )
    assert_hidden(TOKEN, *(repr(vars(record)) for record in caplog.records))
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}


def test_load_and_wait_succeeded_show_no_token(books: BooksIndex, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    rows = make_rows(30)
    rows[3]["values"] = [1]
    receipt = books.load(rows, store=store, dead_letters=True, identity={"run": "1"})
    with client_of(books.local) as client:
        monitor = Monitor(books.local, receipt.to_dict())
        verdict = monitor.check()
        client.list_indexes()
        assert_hidden(
            TOKEN,
            repr(client),
            repr(client.credentials),
            str(client.credentials),
            repr(vars(client)),
            repr(client.pacer),
        )
    assert verdict.visible
    assert_hidden(TOKEN, json.dumps(receipt.to_dict()), json.dumps([wait.to_dict() for wait in monitor.waits]))
    assert_hidden(TOKEN, repr(vars(monitor)), repr(monitor._monitor._memory), repr(verdict))
    assert_hidden(
        TOKEN, json.dumps(store.saved), books.target.read().decode(), caplog.text, verdict.text, repr(receipt)
    )


def wrong_token(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG_TOKEN, base_url=local.base_url)


def wrong_key(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG_TOKEN, email="somebody@example.com", base_url=local.base_url)


def closed_port(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG_TOKEN, base_url="http://127.0.0.1:1/client/v4")


def unknown_host(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG_TOKEN, base_url="http://no-such-host.invalid/client/v4")


@pytest.mark.parametrize("make", [wrong_token, wrong_key, closed_port, unknown_host])
def test_load_refused_credentials_are_not_shown(
    books: BooksIndex, caplog: pytest.LogCaptureFixture, make: Callable[[LocalVectorize], Credentials]
) -> None:
    dead_letters = DeadLetters(books.target)
    client = VectorizeClient(make(books.local), retry=RetryPolicy(total=0))

    def load() -> None:
        with client:
            index = client.get_index("books")
            run(client, "upsert", index, [books.write_source(make_rows(5))], LoadOptions(dead_letters=dead_letters))

    with pytest.raises(VectorizeError) as caught:
        load()
    assert_hidden(WRONG_TOKEN, *exception_texts(caught.value), caplog.text, repr(client.credentials))


@pytest.mark.parametrize("secret", ["", " ", "two words " + WRONG_TOKEN, "tab\t" + WRONG_TOKEN, "ü" + WRONG_TOKEN])
def test_credentials_invalid_token_is_not_shown(secret: str) -> None:
    with pytest.raises(VectorizeError) as caught:
        Credentials("0" * 32, secret)
    assert_hidden(WRONG_TOKEN, *exception_texts(caught.value))


def test_load_redirect_is_not_followed(books: BooksIndex) -> None:
    books.local.fail("redirect", operation="upsert", location=f"{books.local.base_url}/elsewhere")
    with pytest.raises(VectorizeError, match="Redirects are not followed"):
        books.load(make_rows(5))
    assert not any("elsewhere" in request.path for request in books.local.requests())
