"""Error table: a request that causes each error, and its status, code and message."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from airflow_provider_vectorize.local.handle import LocalVectorize

from .conftest import NDJSON, Http, ndjson, vector

SendRequest = Callable[[Http], requests.Response]


def create(**config: object) -> SendRequest:
    return lambda http: http.send("POST", "", json={"name": "new", "config": config})


def upsert(*vectors: object, operation: str = "upsert") -> SendRequest:
    return lambda http: http.send("POST", f"/books/{operation}", data=ndjson(vectors), headers=NDJSON)  # type: ignore[arg-type]


def post(path: str, **body: object) -> SendRequest:
    return lambda http: http.send("POST", path, json=body)


def deleted(http: Http) -> requests.Response:
    http.ok("DELETE", "/books")
    return http.send("GET", "/books")


def with_headers(**headers: str | None) -> SendRequest:
    return lambda http: http.send("GET", "", headers={name.replace("_", "-"): text for name, text in headers.items()})


def after_fault(fault: str) -> SendRequest:
    def send_request(http: Http) -> requests.Response:
        http.local.fail(fault)
        return http.send("GET", "/books")

    return send_request


DATA, OTHER = True, False  # Whether the data plane sends the error.
TABLE: list[tuple[str, SendRequest, int, int, str, bool]] = [
    (
        "content type",
        lambda http: http.send("POST", "/books/upsert", data=b"{}", headers={"Content-Type": "application/json"}),
        400, 1005, "vectorize.unknown_content_type", OTHER,
    ),
    ("not found", lambda http: http.send("GET", "/x"), 404, 3000, 'vectorize.index.not_found - Index name "x"', OTHER),
    (
        "dimensions", create(dimensions=31, metric="cosine"),
        400, 3001, "vectorize.index.invalid_config - Dimensions must be in range: [32, 1536]", OTHER,
    ),
    (
        "no config", lambda http: http.send("POST", "", json={"name": "new"}),
        400, 3001, "vectorize.index.invalid_config - Config must be provided", OTHER,
    ),
    (
        "duplicate",
        lambda http: http.send("POST", "", json={"name": "books", "config": {"dimensions": 32, "metric": "cosine"}}),
        400, 3002, 'vectorize.index.duplicate_name - Index name "books"', OTHER,
    ),
    ("deleted", deleted, 410, 3005, 'vectorize.index.deleted - Index name "books"', OTHER),
    (
        "metadata index", post("/books/metadata_index/delete", propertyName="p"),
        400, 40005, "metadata index with name=p does not exist", DATA,
    ),
    (
        "query dimensions", post("/books/query", vector=[1.0] * 31),
        400, 40006, "invalid query vector, expected 32 dimensions, and got 31 dimensions", DATA,
    ),
    (
        "get ids", post("/books/get_by_ids", ids=[str(n) for n in range(21)]),
        400, 40007, "too many ids in payload; max id count is 20", DATA,
    ),
    (
        "delete ids", post("/books/delete_by_ids", ids=[str(n) for n in range(110)]),
        400, 40007, "too many ids in payload; max id count is 100, got 110", DATA,
    ),
    ("long id", upsert(vector("x" * 74, 1)), 400, 40008, "id too long; max is 64 bytes, got 74 bytes", DATA),
    (
        "vector dimensions", upsert({"id": "x", "values": [0.5] * 33}),
        400, 40012, 'invalid vector for id="x", expected 32 dimensions, and got 33 dimensions', DATA,
    ),
    (
        "metadata size", upsert(vector("x", 1, metadata={"k": "y" * 21_318})),
        400, 40016,
        'oversized metadata for vector id="x"; the compact JSON representation of the metadata must not exceed'
        " 10240 bytes, got 21326 bytes", DATA,
    ),
    (
        "metadata key", upsert(vector("x", 1, metadata={"a.b": 1})),
        400, 40018,
        'invalid metadata key="a.b" for vector id="x"; keys must not be empty, contain "." or \'"\', or start with "$"',
        DATA,
    ),
    (
        "ndjson of upsert", upsert({"id": "x", "values": 1}),
        400, 40023,
        "failed to parse upsert vectors request in ndjson format: line Some(0) was not expected format", DATA,
    ),
    (
        "ndjson of insert", upsert(vector("a", 1), {"id": 1, "values": []}, operation="insert"),
        400, 40023,
        "failed to parse insert vectors request in ndjson format: line Some(1) was not expected format", DATA,
    ),
    (
        "top K with content", post("/books/query", vector=[1.0] * 32, topK=100, returnMetadata="all"),
        400, 40025,
        "with returnValues=true or returnMetadata=all, max top K is 50, but got 100; for a top K up to 100, retry with"
        " returnValues=false and returnMetadata=indexed", DATA,
    ),
    (
        "top K", post("/books/query", vector=[1.0] * 32, topK=200),
        400, 40025, "max top K is 100, but got 200", DATA,
    ),
    (
        "JSON", post("/books/query", vector=[1.0] * 32, returnMetadata=True),
        400, 40026,
        "Failed to parse the request body as JSON: returnMetadata: invalid type: boolean, expected string", DATA,
    ),
    (
        "JSON content type",
        lambda http: http.send("POST", "/books/query", data=b"{}", headers={"Content-Type": "text/plain"}),
        400, 40026, "Expected request with `Content-Type: application/json`", DATA,
    ),
    ("throttle", after_fault("throttle_40041"), 400, 40041, "Too Many Requests", DATA),
    (
        "rate limit", after_fault("rate_limit"),
        429, 971, "Please wait and consider throttling your request speed", OTHER,
    ),
    (
        "no credentials", with_headers(Authorization=None),
        400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers", OTHER,
    ),
    ("e-mail alone", with_headers(Authorization=None, X_Auth_Email="a@b.c"), 400, 9106,
     "Missing X-Auth-Key, X-Auth-Email or Authorization headers", OTHER),
    ("malformed", with_headers(Authorization="Token x"), 400, 6003, "Invalid request headers", OTHER),
    ("malformed token", with_headers(Authorization="Bearer a b"), 400, 6003, "Invalid request headers", OTHER),
    ("wrong token", with_headers(Authorization="Bearer unknown"), 401, 10000, "Authentication error", OTHER),
    ("wrong key", with_headers(Authorization=None, X_Auth_Email="a@b.c", X_Auth_Key="unknown"), 401, 10000,
     "Authentication error", OTHER),
    (
        "other account",
        lambda http: http.session.get(http.url("").replace(http.local.account_id, "f" * 32), timeout=10),
        403, 9109, "Unauthorized to access requested resource", OTHER,
    ),
    (
        "no route", lambda http: http.send("GET", "/books/unknown/path"),
        404, 7003, "Could not route to /client/v4/accounts/0123456789abcdef0123456789abcdef/vectorize/v2/indexes/books/"
        "unknown/path, perhaps your object identifier is invalid?", OTHER,
    ),
    (
        "no method", lambda http: http.send("PUT", "/books"),
        405, 10405, "Method PUT not allowed for this endpoint", OTHER,
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in TABLE])
def test_error_has_documented_status_code_and_message(
    http: Http, row: tuple[str, SendRequest, int, int, str, bool]
) -> None:
    _, send_request, status, code, message, data_plane = row
    http.create()
    response = send_request(http)
    body = response.json()
    assert (response.status_code, body["errors"][0]["code"], body["errors"][0]["message"]) == (status, code, message)
    shape = {"success", "result", "errors", "messages"} | ({"result_info"} if data_plane else set())
    assert set(body) == shape
    assert body["success"] is False
    assert body["result"] is None
    assert body["messages"] == []


def test_table_contains_every_documented_code(http: Http) -> None:
    documented = {
        971, 1005, 3000, 3001, 3002, 3005, 6003, 9106, 9109, 10000, 40005, 40006, 40007, 40008, 40012, 40016, 40018,
        40023, 40025, 40026, 40041,
    }  # fmt: skip
    assert documented <= {row[3] for row in TABLE}


def test_malformed_authorization_error_has_error_chain(http: Http) -> None:
    error = http.send("GET", "", headers={"Authorization": "x"}).json()["errors"][0]
    assert error["error_chain"] == [{"code": 6111, "message": "Invalid format for Authorization header"}]


def test_rate_limit_response_has_retry_after_header(http: Http) -> None:
    http.local.fail("rate_limit", retry_after=7)
    assert http.send("GET", "").headers["Retry-After"] == "7"


def test_every_response_has_the_headers_of_the_edge(http: Http) -> None:
    for response in (http.send("GET", ""), http.send("GET", "/missing"), http.send("GET", "/a/b/c/d")):
        assert response.headers["Ratelimit-Policy"] == '"default";q=1200;w=300'
        assert response.headers["Ratelimit"].startswith('"default";r=1')
        assert response.headers["cf-ray"]
        assert response.headers["Date"].endswith("GMT")
        assert response.headers["Content-Type"] == "application/json"


def test_email_and_key_are_accepted_in_place_of_a_token(http: Http) -> None:
    headers = {"Authorization": None, "X-Auth-Email": "me@example.com", "X-Auth-Key": http.local.token}
    assert http.ok("GET", "", headers=headers) == []


@pytest.fixture(scope="module")
def unrestricted() -> Iterator[LocalVectorize]:
    """Return a server that accepts any credentials and has a read-only token."""
    with LocalVectorize.start(extra_args=["--read-only-token", "reader"], restrict=False) as local:
        yield local


def test_unrestricted_server_accepts_any_well_formed_credentials(unrestricted: LocalVectorize) -> None:
    unrestricted.reset()
    http = Http(unrestricted)
    http.create()
    url = http.url("").replace(unrestricted.account_id, "someoneelse")
    other = requests.get(url, headers={"Authorization": "Bearer cfut_anything"}, timeout=10)
    assert (other.status_code, other.json()["result"]) == (200, [])
    assert requests.get(url, timeout=10).json()["errors"][0]["code"] == 9106
    assert http.session.get(url.replace("someoneelse", "f" * 33), timeout=10).json()["errors"][0]["code"] == 7003


def test_read_only_token_can_read_and_cannot_write(unrestricted: LocalVectorize) -> None:
    unrestricted.reset()
    http = Http(unrestricted)
    http.create()
    reader = {"Authorization": "Bearer reader"}
    assert http.ok("GET", "/books/info", headers=reader)
    assert http.ok("POST", "/books/query", json={"vector": [1.0] * 32}, headers=reader)
    for method, path in (("DELETE", "/books"), ("POST", ""), ("POST", "/books/upsert")):
        response = http.send(method, path, headers=reader)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (403, 9109)


def test_verify_token_accepts_only_user_owned_tokens(unrestricted: LocalVectorize) -> None:
    url = unrestricted.base_url + "/user/tokens/verify"
    user = requests.get(url, headers={"Authorization": "Bearer cfut_x"}, timeout=10).json()
    assert user["result"]["status"] == "active"
    account = requests.get(url, headers={"Authorization": "Bearer cfat_x"}, timeout=10)
    assert (account.status_code, account.json()["errors"][0]["code"]) == (401, 1000)
