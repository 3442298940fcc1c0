"""The token is in the request's header, and nowhere that a person, a log or a database could see it."""

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

from .conftest import Books

WRONG = "cfut_a-wrong-token-that-nobody-may-see"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        for name in ("urllib3", "requests"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield


def surfaces(error: BaseException) -> Iterator[str]:
    """Everything by which an exception may show: also what it was caused by, or came up in place of."""
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        yield str(one)
        yield repr(one)
        yield repr(one.args)
        if isinstance(one, VectorizeError):
            yield repr(vars(one))
            yield pickle.dumps(one).decode("latin-1")
            copy = pickle.loads(pickle.dumps(one))
            assert (str(copy), type(copy), copy.facts) == (str(one), type(one), one.facts)
        pending += [one.__cause__, one.__context__]
    yield "".join(traceback.format_exception(error))


def hide(secret: str, *texts: str) -> None:
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
def test_a_failed_load_shows_the_token_nowhere(
    books: Books, caplog: pytest.LogCaptureFixture, fault: str, options: dict[str, Any]
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
    hide(TOKEN, *surfaces(caught.value), caplog.text, json.dumps(store.saved), books.target.read().decode())
    hide(TOKEN, *(repr(vars(record)) for record in caplog.records))
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}


def test_a_green_load_and_its_wait_show_the_token_nowhere(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    rows = make_rows(30)
    rows[3]["values"] = [1]
    receipt = books.load(rows, store=store, dead_letters=True, identity={"run": "1"})
    with client_of(books.local) as client:
        monitor = Monitor(books.local, receipt.to_dict())
        found = monitor.check()
        client.list_indexes()
        hide(
            TOKEN,
            repr(client),
            repr(client.credentials),
            str(client.credentials),
            repr(vars(client)),
            repr(client.pacer),
        )
    assert found.visible
    hide(TOKEN, json.dumps(receipt.to_dict()), json.dumps([wait.to_dict() for wait in monitor.waits]))
    hide(TOKEN, repr(vars(monitor)), repr(monitor._monitor._memory), repr(found))
    hide(TOKEN, json.dumps(store.saved), books.target.read().decode(), caplog.text, found.text, repr(receipt))


def wrong_token(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG, base_url=local.base_url)


def wrong_key(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG, email="somebody@example.com", base_url=local.base_url)


def nobody_there(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG, base_url="http://127.0.0.1:1/client/v4")


def no_such_host(local: LocalVectorize) -> Credentials:
    return Credentials(local.account_id, WRONG, base_url="http://no-such-host.invalid/client/v4")


@pytest.mark.parametrize("make", [wrong_token, wrong_key, nobody_there, no_such_host])
def test_credentials_that_are_refused_are_not_repeated(
    books: Books, caplog: pytest.LogCaptureFixture, make: Callable[[LocalVectorize], Credentials]
) -> None:
    letters = DeadLetters(books.target)
    client = VectorizeClient(make(books.local), retry=RetryPolicy(total=0))

    def load() -> None:
        with client:
            index = client.get_index("books")
            run(client, "upsert", index, [books.file(make_rows(5))], LoadOptions(dead_letters=letters))

    with pytest.raises(VectorizeError) as caught:
        load()
    hide(WRONG, *surfaces(caught.value), caplog.text, repr(client.credentials))


@pytest.mark.parametrize("secret", ["", " ", "two words " + WRONG, "tab\t" + WRONG, "ü" + WRONG])
def test_a_token_that_cannot_be_one_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(VectorizeError) as caught:
        Credentials("0" * 32, secret)
    hide(WRONG, *surfaces(caught.value))


def test_what_a_redirect_points_to_hears_nothing(books: Books) -> None:
    books.local.fail("redirect", operation="upsert", location=f"{books.local.base_url}/elsewhere")
    with pytest.raises(VectorizeError, match="Redirects are not followed"):
        books.load(make_rows(5))
    assert not any("elsewhere" in one.path for one in books.local.requests())
