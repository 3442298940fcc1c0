"""Conversion of answers into results and errors, for all codes of Cloudflare. These tests use no network."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.answers import BY_CODE, Request, read_answer

REQUEST = Request("POST", "/client/v4/accounts/abc/vectorize/v2/indexes/books/upsert")

#: Status, code and message as documented by Cloudflare or observed, and the expected error class.
TABLE: list[tuple[int, int, str, type[errors.ApiError]]] = [
    (400, 1005, "vectorize.unknown_content_type", errors.UnknownContentTypeError),
    (404, 3000, 'vectorize.index.not_found - Index name "x"', errors.IndexNotFoundError),
    (400, 3000, 'vectorize.index.not_found - Index name "x"', errors.IndexNotFoundError),
    (
        400,
        3001,
        "vectorize.index.invalid_config - Dimensions must be in range: [32, 1536]",
        errors.InvalidIndexConfigError,
    ),
    (400, 3002, 'vectorize.index.duplicate_name - Index name "x"', errors.IndexExistsError),
    (410, 3005, 'vectorize.index.deleted - Index name "x"', errors.IndexDeletedError),
    (404, 10009, "get: 'key not found'", errors.KvKeyNotFoundError),
    (400, 10011, "could not parse UUID from request's namespace_id", errors.InvalidRequestError),
    (404, 10013, "get: 'namespace not found'", errors.KvNamespaceNotFoundError),
    (400, 40005, "metadata index with name=p does not exist", errors.MetadataIndexNotFoundError),
    (400, 40006, "invalid query vector, expected 1536 dimensions, and got 768 dimensions", errors.InvalidQueryError),
    (400, 40007, "too many ids in payload; max id count is 20", errors.TooManyIdsError),
    (400, 40008, "id too long; max is 64 bytes, got 74 bytes", errors.RefusedVectorError),
    (400, 40012, 'invalid vector for id="x", expected 768 dimensions, and got 1024', errors.RefusedVectorError),
    (400, 40016, 'oversized metadata for vector id="x"; …', errors.RefusedVectorError),
    (400, 40018, "bad metadata key", errors.RefusedVectorError),
    (400, 40023, "failed to parse upsert vectors request in ndjson format: line Some(0)", errors.RefusedVectorError),
    (
        400,
        40025,
        "with returnValues=true or returnMetadata=all, max top K is 50",
        errors.InvalidQueryError,
    ),
    (400, 40026, "Failed to parse the request body as JSON: …", errors.InvalidRequestError),
    (400, 40041, "Too Many Requests", errors.RateLimitedError),
    (429, 971, "Please wait and consider throttling your request speed", errors.RateLimitedError),
    (400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers", errors.AuthError),
    (400, 6003, "Invalid request headers", errors.AuthError),
    (400, 6111, "Invalid format for Authorization header", errors.AuthError),
    (401, 10000, "Authentication error", errors.AuthError),
    (403, 10000, "Authentication error", errors.AuthError),
    (403, 9109, "Unauthorized to access requested resource", errors.AuthError),
    (401, 1000, "Invalid API Token", errors.AuthError),
]

#: Expected error class of answers without a known code, by status.
BY_STATUS: list[tuple[int, type[errors.ApiError]]] = [
    (302, errors.TerminalApiError),
    (400, errors.InvalidRequestError),
    (401, errors.AuthError),
    (403, errors.AuthError),
    (404, errors.TerminalApiError),
    (405, errors.InvalidRequestError),
    (408, errors.NoAnswerError),
    (410, errors.TerminalApiError),
    (413, errors.PayloadTooLargeError),
    (429, errors.RateLimitedError),
    (500, errors.ServerError),
    (502, errors.ServerError),
    (503, errors.ServerError),
    (504, errors.ServerError),
    (524, errors.ServerError),
]
HTML_PAGE = b"<!DOCTYPE html><html><head><title>504: Gateway time-out</title></head></html>"


def envelope(result: Any = None, *problems: dict[str, Any], success: bool | None = None) -> bytes:
    success = not problems if success is None else success
    return json.dumps({"success": success, "result": result, "errors": list(problems), "messages": []}).encode()


def failure(status: int, body: bytes, *, write: bool = False, **headers: str) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        read_answer(REQUEST, status, {key.replace("_", "-"): text for key, text in headers.items()}, body, write=write)
    return caught.value


@pytest.mark.parametrize(("status", "code", "message", "cls"), TABLE, ids=lambda value: str(value)[:20])
def test_read_answer_with_known_code_raises_its_error_with_facts(
    status: int, code: int, message: str, cls: type[errors.ApiError]
) -> None:
    error = failure(status, envelope(None, {"code": code, "message": message}), cf_ray="8f00-AMS")
    assert type(error) is cls
    assert (error.status, error.code, error.api_message) == (status, code, message)
    assert (error.method, error.path, error.ray) == (REQUEST.method, REQUEST.path, "8f00-AMS")
    for part in (str(status), str(code), message.rstrip("."), REQUEST.path, "8f00-AMS"):
        assert part in str(error)


@pytest.mark.parametrize("body", [b"", b"docs-a", envelope(None, {"code": 10009}), b"{"], ids=repr)
def test_read_answer_without_envelope_returns_the_body_of_status_200_only(body: bytes) -> None:
    assert read_answer(REQUEST, 200, {}, body, write=False, raw=True).result == body
    for status in (404, 500):
        with pytest.raises(errors.ApiError):
            read_answer(REQUEST, status, {}, body, write=False, raw=True)


def test_table_has_every_known_code() -> None:
    assert {code for _, code, _, _ in TABLE} == set(BY_CODE)


@pytest.mark.parametrize("body", [b"", b"plain", HTML_PAGE, b"[]", b"null", envelope(None, success=False)], ids=repr)
@pytest.mark.parametrize(("status", "cls"), BY_STATUS)
def test_read_answer_without_known_code_uses_the_status(status: int, cls: type[errors.ApiError], body: bytes) -> None:
    error = failure(status, body)
    if status in (401, 403) and b"success" not in body:  # Vectorize did not check the token.
        cls = errors.TerminalApiError
    assert type(error) is cls
    assert error.status == status
    assert "html" not in str(error)


def test_read_answer_5xx_with_known_code_is_server_error() -> None:
    assert type(failure(500, envelope(None, {"code": 3000, "message": "x"}))) is errors.ServerError


def test_read_answer_with_several_codes_uses_the_known_one() -> None:
    items = ({"code": 7777, "message": "first"}, {"code": 3000, "message": "second"})
    error = failure(400, envelope(None, *items))
    assert type(error) is errors.IndexNotFoundError
    assert error.code == 3000
    assert error.api_message == "first; second"


def test_read_answer_unknown_row_code_refuses_vector_only_for_writes() -> None:
    body = envelope(None, {"code": 40009, "message": "namespace too long"})
    assert type(failure(400, body, write=True)) is errors.RefusedVectorError
    assert type(failure(400, body)) is errors.InvalidRequestError


def test_read_answer_200_with_success_false_raises() -> None:
    error = failure(200, envelope(None, {"code": 40041, "message": "Too Many Requests"}, success=False))
    assert type(error) is errors.RateLimitedError


@pytest.mark.parametrize("body", [b"", b"<html>all is well</html>", b"[]", b"{}", b'{"success": true}'], ids=repr)
def test_read_answer_200_without_envelope_is_malformed(body: bytes) -> None:
    assert type(failure(200, body)) is errors.MalformedAnswerError


@pytest.mark.parametrize("result", [None, {}, [], {"mutationId": None}, {"mutationId": 7}], ids=repr)
def test_read_answer_write_without_mutation_id_is_malformed(result: Any) -> None:
    assert type(failure(200, envelope(result), write=True)) is errors.MalformedAnswerError


def test_read_answer_empty_204_is_success_only_for_reads() -> None:
    assert read_answer(REQUEST, 204, {}, b"", write=False).result is None
    assert type(failure(204, b"", write=True)) is errors.MalformedAnswerError


@pytest.mark.parametrize("status", [200, 201, 202])
def test_read_answer_2xx_with_envelope_returns_result(status: int) -> None:
    assert read_answer(REQUEST, status, {}, envelope([1]), write=False).result == [1]


def test_read_answer_returns_date_of_server() -> None:
    answer = read_answer(REQUEST, 200, {"Date": "Sun, 22 Nov 2026 10:15:30 GMT"}, envelope(1), write=False)
    assert answer.date == datetime(2026, 11, 22, 10, 15, 30, tzinfo=UTC)
    assert read_answer(REQUEST, 200, {"Date": "noon"}, envelope(1), write=False).date is None


NOON = "Sun, 22 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17),
        (" 1.5 ", 1.5),
        ("-4", 0),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("Sunday, 22-Nov-26 12:01:30 GMT", 90),
        ("Sun Nov 22 12:01:30 2026", 90),  # no time zone
        ("Sun, 22 Nov 2026 13:01:30 +0100", 90),
        ("Sun, 22 Nov 2026 11:59:00 GMT", None),  # in the past, so it is ignored
        ("soon", None),
        ("", None),
    ],
)
def test_read_answer_retry_after_seconds_or_date_is_parsed(text: str, seconds: float | None) -> None:
    assert failure(429, b"", Retry_After=text, Date=NOON).retry_after == seconds


def test_read_answer_retry_after_without_date_uses_local_clock() -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert failure(429, b"", Retry_After=in_an_hour).retry_after == pytest.approx(3_600, abs=60)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        (NOON, datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 12:00:00", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 12:00:00 -0000", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 14:00:00 +0200", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("Mon, 01 Jan 1000 00:00:00 +2300", datetime(999, 12, 31, 1, tzinfo=UTC)),  # wrong but valid
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("\x00", None),
        ("", None),
    ],
)
def test_read_answer_date_is_utc_or_none_if_invalid(text: str, date: datetime | None) -> None:
    assert read_answer(REQUEST, 200, {"Date": text}, envelope(1), write=False).date == date


# ---------------------------------------------------------------- answers of other servers

LOGIN = b"<!doctype html><html><head><TITLE>\n Sign in &amp; Example\n</TITLE></head><body>x</body></html>"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (LOGIN, {"cf_mitigated": "challenge"}, "A Cloudflare firewall or bot protection refused the request"),
        (LOGIN, {"Server": "cloudflare"}, "A Cloudflare firewall or bot protection refused the request"),
        (LOGIN, {}, "such as a firewall or a proxy"),
        (b"", {}, "such as a firewall or a proxy"),
        (b'{"message": "Forbidden"}', {}, 'JSON in another format that begins "{"message": "Forbidden"}"'),
        (b"error code: 1020", {"Server": "cloudflare"}, 'text that begins "error code: 1020"'),
    ],
)
def test_refusal_by_other_server_does_not_blame_the_token(
    status: int, body: bytes, headers: dict[str, str], message: str
) -> None:
    error = failure(status, body, **headers)
    assert not isinstance(error, errors.AuthError)
    assert message in str(error)
    assert "the token was not checked" in str(error)
    assert "Check the API token" not in str(error)


def test_refusal_with_envelope_blames_the_token() -> None:
    body = envelope(None, {"code": 10000, "message": "Authentication error"})
    assert type(failure(403, body, Server="cloudflare")) is errors.AuthError


def test_read_answer_login_page_shows_its_title() -> None:
    error = failure(200, LOGIN)
    assert type(error) is errors.MalformedAnswerError
    assert error.address_may_be_wrong
    assert 'not Vectorize\'s JSON, but an HTML page titled "Sign in & Example"' in str(error)


@pytest.mark.parametrize("body", [b"", LOGIN], ids=["empty", "page"])
def test_read_answer_407_asks_for_proxy_credentials(body: bytes) -> None:
    error = failure(407, body)
    assert type(error) is errors.TerminalApiError
    assert "The proxy requires credentials" in str(error)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 511])
def test_read_answer_of_other_server_describes_the_page(status: int) -> None:
    error = failure(status, LOGIN)
    assert 'The answer is an HTML page titled "Sign in & Example".' in str(error)
    assert "Cloudflare failed" not in str(error)


def test_read_answer_redirect_shows_only_the_host() -> None:
    error = failure(302, b"", Location="https://login.example/start?session=s3cret")
    assert "a redirect to https://login.example." in str(error)
    assert "s3cret" not in str(error)


def test_read_answer_long_api_message_is_cut() -> None:
    assert len(failure(400, envelope(None, {"code": 40023, "message": "x" * 10_000})).api_message) == 1_000
