"""Errors that the local Vectorize answers, and retries of transient errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.api.conftest import ndjson, values, vector

MakeClient = Callable[..., VectorizeClient]


def failing_calls(
    client: VectorizeClient, make: MakeClient
) -> dict[str, tuple[Callable[[], Any], type[errors.ApiError], int]]:
    lenient = make(limits=Limits(ids_per_get=1_000, ids_per_delete=1_000, top_k=1_000, top_k_full=1_000))
    ids = [f"v{n}" for n in range(150)]
    path = "/vectorize/v2/indexes/books/upsert"
    return {
        "unknown content type": (
            lambda: client.send("POST", path, b"x", content_type="text/plain", write=True),
            errors.UnknownContentTypeError,
            1005,
        ),
        "no such index": (lambda: client.get_index("films"), errors.IndexNotFoundError, 3000),
        "dimensions out of range": (
            lambda: client.create_index("films", dimensions=31, metric="cosine"),
            errors.InvalidIndexConfigError,
            3001,
        ),
        "name taken": (
            lambda: client.create_index("books", dimensions=32, metric="cosine"),
            errors.IndexExistsError,
            3002,
        ),
        "no metadata index": (
            lambda: client.delete_metadata_index("books", "x"),
            errors.MetadataIndexNotFoundError,
            40005,
        ),
        "query of other dimensions": (lambda: client.query("books", vector=[1.0]), errors.InvalidQueryError, 40006),
        "too many ids to get": (
            lambda: lenient.get_by_ids("books", ids),
            errors.TooManyIdsError,
            40007,
        ),
        "too many ids to delete": (
            lambda: lenient.delete_by_ids("books", ids),
            errors.TooManyIdsError,
            40007,
        ),
        "id too long": (lambda: client.get_by_ids("books", ["x" * 65]), errors.RefusedVectorError, 40008),
        "vector of other dimensions": (
            lambda: client.upsert("books", ndjson({"id": "a", "values": [1, 2]})),
            errors.RefusedVectorError,
            40012,
        ),
        "metadata too large": (
            lambda: client.upsert("books", ndjson(vector("a", 1, metadata={"k": "x" * 10_240}))),
            errors.RefusedVectorError,
            40016,
        ),
        "bad metadata key": (
            lambda: client.upsert("books", ndjson(vector("a", 1, metadata={"$k": 1}))),
            errors.RefusedVectorError,
            40018,
        ),
        "invalid line": (lambda: client.upsert("books", b"nonsense"), errors.RefusedVectorError, 40023),
        "topK over the cap": (
            lambda: lenient.query("books", vector=values(1), top_k=51, return_values=True),
            errors.InvalidQueryError,
            40025,
        ),
        "invalid JSON": (
            lambda: client.send("POST", "/vectorize/v2/indexes/books/query", b"{"),
            errors.InvalidRequestError,
            40026,
        ),
        "malformed token": (lambda: make(secret="a!b").list_indexes(), errors.AuthError, 6003),
        "wrong token": (lambda: make(secret="wrong").list_indexes(), errors.AuthError, 10000),
        "wrong account": (lambda: make(account_id="f" * 32).list_indexes(), errors.AuthError, 9109),
    }


def test_api_errors_have_class_code_and_facts(
    client: VectorizeClient, make_client: MakeClient, local_vectorize: LocalVectorize
) -> None:
    for name, (call, cls, code) in failing_calls(client, make_client).items():
        with pytest.raises(errors.ApiError) as caught:
            call()
        error = caught.value
        assert (type(error), error.code) == (cls, code), name
        assert error.status, name
        assert error.api_message, name
        assert error.method in ("GET", "POST"), name
        assert "/vectorize/v2/indexes" in error.path, name
        assert (error.ray or "").endswith("-LCL"), name
    client.delete_index("books")
    with pytest.raises(errors.IndexDeletedError) as deleted:
        client.get_index_info("books")
    assert (deleted.value.status, deleted.value.code) == (410, 3005)


@pytest.mark.parametrize(
    ("fault", "cls", "status"),
    [
        ("rate_limit", errors.RateLimitedError, 429),
        ("throttle_40041", errors.RateLimitedError, 400),
        ("http_500", errors.ServerError, 500),
        ("gateway_504_html", errors.ServerError, 504),
        ("gateway_524_html", errors.ServerError, 524),
        ("cut_before", errors.NoAnswerError, None),
        ("cut_during_body", errors.NoAnswerError, None),
        ("cut_after_body", errors.NoAnswerError, None),
        ("cut_during_answer", errors.NoAnswerError, None),
        ("not_json", errors.MalformedAnswerError, 200),
        ("no_mutation_id", errors.MalformedAnswerError, 200),
    ],
)
def test_upsert_transient_fault_is_retried_then_raised(
    client: VectorizeClient,
    make_client: MakeClient,
    local_vectorize: LocalVectorize,
    fault: str,
    cls: type[errors.ApiError],
    status: int | None,
) -> None:
    local_vectorize.fail(fault, operation="upsert", times=2)
    client.upsert("books", ndjson(vector("a", 1)))
    assert client.retries == 2
    local_vectorize.fail(fault, operation="upsert", times=None)
    limited_client = make_client(retry=RetryPolicy(total=20))
    with pytest.raises(cls) as caught:
        limited_client.upsert("books", ndjson(vector("a", 1)))
    assert type(caught.value) is cls
    assert caught.value.status == status
    assert "Gave up after" in str(caught.value)
    assert "<html" not in str(caught.value)
