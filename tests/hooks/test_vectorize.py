"""Tests of the hook against a local Vectorize: connection test, methods, connection form."""

from __future__ import annotations

import copy
import inspect
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize import errors, provider_info
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.models import Vector
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import ndjson, values, vector
from tests.support import NO_WAIT

Connect = Callable[..., str]


@pytest.fixture
def hook(connect: Connect) -> Iterator[VectorizeHook]:
    """Return a hook with an index "books" of 32 dimensions and the metric cosine."""
    hook = VectorizeHook(connect(), limits=NO_WAIT)
    hook.create_index("books", dimensions=32, metric="cosine")
    yield hook
    hook.client.close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# ---------------------------------------------------------------- "Test"


def test_test_connection_with_good_credentials_lists_the_indexes(connect: Connect) -> None:
    hook = VectorizeHook(connect())
    assert hook.test_connection() == (True, "Connected. The account has 0 indexes.")
    hook.create_index("books", dimensions=32, metric="cosine")
    assert hook.test_connection() == (True, "Connected. The account has 1 index: books")
    for number in range(6):
        hook.create_index(f"more-{number}", dimensions=32, metric="cosine")
    ok, text = hook.test_connection()
    assert ok
    assert text.startswith("Connected. The account has 7 indexes: ")
    assert text.endswith(", …")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"password": "wrong-token"}, "Cloudflare refuses the credentials."),
        ({"password": "mal!formed"}, "The API token has characters that a token cannot have"),
        ({"extra": {"account_id": "f" * 32}}, "lacks the permission Vectorize: Edit for this account"),
        ({"extra": {"account_id": ""}}, "There is no account id"),
        ({"password": ""}, "There is no API token"),
        ({"host": "http://127.0.0.1:{closed}/client/v4"}, "connection refused. Check the API base URL"),
        ({"host": "http://127.0.0.1:{port}/"}, "Check the account id and the API base URL of the connection"),
        ({"host": "https://127.0.0.1:{port}/client/v4"}, "TLS failed (wrong version number). Check the API base URL"),
        ({"host": "http://no-such-host.invalid/client/v4"}, "does not resolve"),
        ({"host": "http://no-such-host.invalid"}, "Check the API base URL and network access (DNS, proxy, firewall)."),
        ({"extra": {"retry_seconds": "soon"}}, "'retry_seconds' of the connection"),
        ({"extra": {"budget_reserve": 2}}, "'budget_reserve' of the connection"),
        ({"extra": {"acount_id": "f" * 32, "account_id": ""}}, 'Did you mean "account_id"?'),
        ({"host": "127.0.0.1:{port}"}, "has no scheme, so https://127.0.0.1:{port}/client/v4 is used."),
        ({"host": "http://x..example"}, "the address or the credentials contain characters that cannot be sent"),
    ],
)
def test_test_connection_with_bad_fields_fails_without_secret_or_delay(
    connect: Connect, local_vectorize: LocalVectorize, fields: dict[str, Any], message: str
) -> None:
    fields = copy.deepcopy(fields)
    if "host" in fields:
        fields["host"] = fields["host"].format(closed=closed_port(), port=local_vectorize.port)
    conn_id = connect(extra={"retry_seconds": 1_800} | fields.pop("extra", {}), **fields)
    ok, text = VectorizeHook(conn_id).test_connection()
    assert not ok
    assert message.replace("{port}", str(local_vectorize.port)) in text
    assert fields.get("password", local_vectorize.token) not in text or not fields.get("password", "x")
    assert local_vectorize.token not in text


@pytest.mark.parametrize("fault", ["rate_limit", "gateway_504_html", "not_json", "redirect", "cut_before"])
def test_test_connection_with_failing_server_sends_one_request(
    connect: Connect, local_vectorize: LocalVectorize, fault: str
) -> None:
    conn_id = connect(extra={"retry_seconds": 1_800})
    local_vectorize.fail(fault, times=None)
    ok, text = VectorizeHook(conn_id).test_connection()
    assert not ok
    assert text.endswith(".")
    assert "<" not in text
    assert len(local_vectorize.requests()) == 1


def test_test_connection_with_unknown_extra_field_reports_it(connect: Connect) -> None:
    ok, text = VectorizeHook(connect(extra={"time_out": 5})).test_connection()
    assert ok
    assert text.startswith('Connected. The account has 0 indexes. The extra field "time_out" of the connection')
    assert text.endswith('is unknown and is ignored. Did you mean "timeout"?')


def test_test_connection_of_missing_connection_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ok, text = VectorizeHook("nowhere").test_connection()
    assert not ok
    assert 'The connection "nowhere" does not exist' in text


# ---------------------------------------------------------------- methods


def test_every_client_endpoint_has_a_hook_method_with_the_same_parameters(hook: VectorizeHook) -> None:
    endpoints = (
        *("list_indexes", "create_index", "get_index", "delete_index", "get_index_info"),
        *("insert", "upsert", "query", "get_by_ids", "delete_by_ids", "list_vectors"),
        *("create_metadata_index", "delete_metadata_index", "list_metadata_indexes"),
    )
    assert len(endpoints) == 14
    for name in endpoints:
        hook_parameters = list(inspect.signature(getattr(VectorizeHook, name)).parameters)
        client_parameters = list(inspect.signature(getattr(VectorizeClient, name)).parameters)
        renamed = ["index_name" if one == "name" else "vectors" if one == "body" else one for one in client_parameters]
        assert hook_parameters == renamed, name


def test_the_methods_do_what_they_are_called(hook: VectorizeHook) -> None:
    assert [index.name for index in hook.list_indexes()] == ["books"]
    assert hook.get_index("books").config.metric == "cosine"
    hook.create_metadata_index("books", "year", "number")
    assert [one.property_name for one in hook.list_metadata_indexes("books")] == ["year"]
    hook.insert("books", [vector("a", 1, metadata={"year": 1999}), Vector(id="b", values=values(1, 1), namespace="n")])
    hook.upsert("books", b'{"id": "c", "values": [%s]}' % b",".join([b"1"] * 32))
    assert hook.get_index_info("books").vector_count == 3
    assert sorted(hook.list_vectors("books")) == ["a", "b", "c"]
    assert [one.id for one in hook.get_by_ids("books", ["b", "nobody"])] == ["b"]
    found = hook.query("books", vector=values(1), filter={"year": {"$lt": 2000}}, return_metadata="all")
    assert [(one.id, one.metadata) for one in found.matches] == [("a", {"year": 1999})]
    assert len(hook.delete_by_ids("books", ["a"])) == 1
    hook.delete_metadata_index("books", "year")
    hook.delete_index("books")
    with pytest.raises(errors.IndexDeletedError):
        hook.get_index("books")


def test_a_vector_with_no_number_for_json_is_refused_before_it_is_sent(
    hook: VectorizeHook, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(errors.ConfigError, match="JSON"):
        hook.upsert("books", [vector("a", float("nan"))])
    assert local_vectorize.requests() == []


# ---------------------------------------------------------------- the form


def test_form_of_older_airflow_has_the_same_fields() -> None:
    behaviour = VectorizeHook.get_ui_field_behaviour()
    assert behaviour.keys() == {"hidden_fields", "relabeling", "placeholders"}
    assert behaviour["relabeling"]["password"] == "API token"
    assert "account_id" in provider_info.CONN_FIELDS


def test_form_widgets_of_airflow_2_cover_all_extra_fields() -> None:
    pytest.importorskip("flask_appbuilder")
    pytest.importorskip("wtforms")
    assert set(VectorizeHook.get_connection_form_widgets()) == set(provider_info.CONN_FIELDS)


def test_secret_is_only_in_the_password_field_that_airflow_masks() -> None:
    assert "password" not in provider_info.UI_FIELD_BEHAVIOUR["hidden-fields"]
    for name, field in provider_info.CONN_FIELDS.items():
        assert "token" not in name
        assert "key" not in name
        assert field["schema"].get("format") != "password"


# ---------------------------------------------------------------- vectors in memory


@pytest.mark.parametrize("write", ["insert", "upsert"])
@pytest.mark.parametrize("form", ["iterator", "ndjson"])
def test_write_of_more_vectors_than_one_request_holds_is_sent_in_order(
    hook: VectorizeHook, local_vectorize: LocalVectorize, write: str, form: str
) -> None:
    rows = [vector(f"v{number % 5_100}", number + 1) for number in range(12_000)]
    local_vectorize.clear_requests()
    mutation = getattr(hook, write)("books", iter(rows) if form == "iterator" else ndjson(*rows))
    sent = local_vectorize.requests(write)
    assert [one.vectors for one in sent] == [5_000, 5_000, 2_000]
    assert mutation.mutation_id == sent[-1].mutation_id
    expected = {row["id"]: row["values"] for row in (rows if write == "upsert" else reversed(rows))}
    digests = {vector_id: LocalVectorize.digest(found) for vector_id, found in expected.items()}
    assert local_vectorize.dump("books") == digests


def test_upsert_requests_stay_below_the_byte_limit(connect: Connect, local_vectorize: LocalVectorize) -> None:
    hook = VectorizeHook(connect(), limits=Limits(bytes_per_request=1_000))
    with closing(hook.client):
        hook.create_index("books", dimensions=32, metric="cosine")
        hook.upsert("books", [vector(f"v{number}", number + 1) for number in range(20)])
    assert local_vectorize.count("books") == 20
    sizes = [one.body_bytes for one in local_vectorize.requests("upsert")]
    assert max(sizes) <= 1_000 < 2 * min(sizes[:-1])


def test_upsert_failure_between_requests_reports_acknowledged_vectors(
    hook: VectorizeHook, local_vectorize: LocalVectorize
) -> None:
    local_vectorize.fail("http_500", operation="upsert", after=1)
    with pytest.raises(errors.ServerError, match=r"Before that, 5,000 vectors in 1 request were acknowledged\."):
        hook.upsert("books", (vector(f"v{number}", number + 1) for number in range(6_000)))
    assert local_vectorize.count("books") == 5_000


def test_upsert_of_unencodable_vector_names_it_and_what_was_acknowledged(
    hook: VectorizeHook, local_vectorize: LocalVectorize
) -> None:
    rows = [vector(f"v{number}", number + 1) for number in range(5_001)]
    rows.append(vector("bad", 1, metadata={"price": float("nan")}))
    with pytest.raises(
        errors.ConfigError, match=r'Vector 5002 cannot be written as JSON: metadata\["price"\] is NaN\. Before'
    ):
        hook.upsert("books", rows)
    assert local_vectorize.count("books") == 5_000


@pytest.mark.parametrize("vectors", [vector("a", 1), Vector(id="a", values=values(1)), '{"id": "a"}', None, 7])
def test_upsert_of_something_other_than_vectors_is_refused(
    hook: VectorizeHook, local_vectorize: LocalVectorize, vectors: Any
) -> None:
    local_vectorize.clear_requests()
    with pytest.raises(errors.ConfigError, match="vectors has to be a list of vectors or ndjson as bytes, not "):
        hook.upsert("books", vectors)
    assert local_vectorize.requests() == []


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<i4", ">i8"])
def test_upsert_writes_numpy_values_of_every_layout(
    hook: VectorizeHook, local_vectorize: LocalVectorize, dtype: str
) -> None:
    grid = np.asfortranarray(np.arange(1, 129).reshape(32, 4).astype(dtype))
    rows = [
        {"id": f"v{n}", "values": grid[:, n], "metadata": {"year": np.int16(n), "at": grid[n, 0] / np.float32(2)}}
        for n in range(4)
    ]
    hook.upsert("books", rows)
    for number, row in enumerate(rows):
        plain = {"year": number, "at": float(grid[number, 0] / np.float32(2))}
        assert local_vectorize.dump("books")[row["id"]] == LocalVectorize.digest(grid[:, number].tolist(), None, plain)
