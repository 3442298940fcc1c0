"""Convert HTTP answers into results or errors. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.api.pages import describe_page

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """Method and path of a request. Errors contain nothing else of it: no headers, no query and no body."""

    method: str
    path: str


@dataclass(frozen=True)
class Answer:
    """An answer that reports success.

    :param request: The request that was answered.
    :param result: The ``result`` of the JSON envelope, or the content of an answer without one.
    :param date: Time of the answer by the server's clock, in whole seconds.
    """

    request: Request
    result: Any
    date: datetime | None


#: Error class and advice for each error code of Cloudflare.
BY_CODE: dict[int, tuple[type[errors.ApiError], str]] = {
    971: (errors.RateLimitedError, "The request budget of the account is used up."),
    1000: (errors.AuthError, "The API token is not valid. Create one under My Profile, API Tokens."),
    1005: (errors.UnknownContentTypeError, ""),
    3000: (
        errors.IndexNotFoundError,
        "Create the index first, or correct its name or the account id of the connection.",
    ),
    3001: (errors.InvalidIndexConfigError, "Correct the dimensions, the metric or the preset."),
    3002: (errors.IndexExistsError, "Choose another name, or use the existing index."),
    3005: (errors.IndexDeletedError, "The name is available again. Create the index again if you still need it."),
    6003: (errors.AuthError, "The API token has characters that a token cannot have. Paste it again."),
    6111: (errors.AuthError, "The API token has characters that a token cannot have. Paste it again."),
    9106: (errors.AuthError, "The connection has no API token."),
    9109: (
        errors.AuthError,
        "Check the API token and the account id. The token lacks the permission Vectorize: Edit for this account.",
    ),
    10000: (
        errors.AuthError,
        "Check the API token. It is wrong, or it lacks the permission Vectorize: Edit for this account.",
    ),
    10009: (errors.KvKeyNotFoundError, "Workers KV has no such key."),
    10011: (errors.InvalidRequestError, "Correct the namespace ID of Workers KV: 32 hexadecimal digits."),
    10013: (errors.KvNamespaceNotFoundError, "Correct the namespace ID of Workers KV, or the account ID."),
    40005: (errors.MetadataIndexNotFoundError, "Create a metadata index on that property first."),
    40006: (errors.InvalidQueryError, "Create the query vector with the model that created the vectors of the index."),
    40007: (errors.TooManyIdsError, "Send fewer ids in one request."),
    40008: (errors.RefusedVectorError, "Shorten the id."),
    40012: (errors.RefusedVectorError, "Use a model whose vectors have the dimensions of the index."),
    40016: (errors.RefusedVectorError, "Shorten the metadata."),
    40018: (errors.RefusedVectorError, "Rename the metadata key."),
    40023: (errors.RefusedVectorError, "A line is not a valid JSON vector."),
    40025: (errors.InvalidQueryError, "Lower topK, or request neither values nor all metadata."),
    40026: (errors.InvalidRequestError, ""),
    40041: (errors.RateLimitedError, "The index receives too many requests at the moment."),
}

#: An unknown code in this range is assumed to refuse one row of a write. Cloudflare does not document this.
ROW_CODES = range(40_008, 40_025)


#: Advice for answers with status 401, 403 or 407 that do not come from Vectorize.
REFUSED_BEFORE_VECTORIZE = (
    "Something between this machine and Vectorize refused the request, such as a firewall or a proxy, so the token was "
    "not checked. Allow the request there, or correct the API base URL of the connection."
)
REFUSED_BY_BOT_PROTECTION = (
    "A Cloudflare firewall or bot protection refused the request before it reached Vectorize, so the token was not "
    "checked. Allow this machine's address there, or correct the API base URL of the connection."
)
PROXY_CREDENTIALS = (
    "The proxy requires credentials. Put user and password into the URL in the environment variable HTTP_PROXY or "
    "HTTPS_PROXY."
)


def read_answer(
    request: Request, status: int, headers: Mapping[str, str], body: bytes, *, write: bool, raw: bool = False
) -> Answer:
    """Return an answer that reports success.

    :param request: The request that was answered.
    :param status: HTTP status.
    :param headers: Headers of the answer.
    :param body: Body of the answer.
    :param write: Whether the result must have a ``mutationId``.
    :param raw: Whether the body of a successful answer is the result itself, without the JSON envelope.
    :raises ApiError: The answer reports an error, or it is not Vectorize's. Status and code determine the subclass.
    """
    facts: dict[str, Any] = {"status": status, "method": request.method, "path": request.path}
    if headers.get("cf-ray"):
        facts["ray"] = headers["cf-ray"]
    if 300 <= status < 400:
        raise errors.TerminalApiError(_format_message(facts, "", _redirect_advice(headers)), **facts)
    if raw and status == 200:
        return Answer(request, body, _server_date(headers))
    envelope = _envelope(body)
    if 200 <= status < 300 and (envelope is None or envelope.get("success") is not False):
        if status == 204 and not body and not write:
            return Answer(request, None, _server_date(headers))
        if envelope is None or "result" not in envelope:
            advice = f"The answer is not Vectorize's JSON, but {describe_page(body)}."
            raise errors.MalformedAnswerError(_format_message(facts, "", advice), address_may_be_wrong=True, **facts)
        result = envelope["result"]
        if write and not (isinstance(result, dict) and isinstance(result.get("mutationId"), str)):
            raise errors.MalformedAnswerError(_format_message(facts, "", "The answer has no mutation id."), **facts)
        return Answer(request, result, _server_date(headers))
    if envelope is None:
        raise _error_without_envelope(facts, status, headers, body)
    raise _error_from_envelope(facts, status, headers, envelope, write)


def _redirect_advice(headers: Mapping[str, str]) -> str:
    target = urlsplit(headers.get("Location", ""))  # Only the host is shown: path and query may contain a session id.
    where = f" to {target.scheme}://{target.hostname}" if target.scheme and target.hostname else ""
    return (
        f"The answer is a redirect{where}. Redirects are not followed: the token is for the configured host only. "
        "Correct the API base URL of the connection."
    )


def _error_from_envelope(
    facts: dict[str, Any], status: int, headers: Mapping[str, str], envelope: dict[str, Any], write: bool
) -> errors.ApiError:
    listed = envelope.get("errors")
    problems = [problem for problem in (listed if isinstance(listed, list) else ()) if isinstance(problem, dict)]
    codes = [problem["code"] for problem in problems if isinstance(problem.get("code"), int)]
    known_code = next((code for code in codes if code in BY_CODE), None)
    code = known_code if known_code is not None else next(iter(codes), None)
    api_message = "; ".join(str(problem.get("message", "")) for problem in problems)[:1_000]
    facts |= {"code": code, "api_message": api_message} | _retry_after(headers)
    cls, advice = BY_CODE.get(code or 0, (None, "")) if known_code is not None else (None, "")
    if status >= 500:
        cls, advice = errors.ServerError, "" if api_message else "Cloudflare failed and gave no reason."
    elif status in (408, 425):
        cls, advice = errors.NoAnswerError, ""
    elif status == 429:
        cls, advice = errors.RateLimitedError, BY_CODE[971][1]
    elif cls is None:
        cls, advice = _class_for_status(status, code, write)
    return cls(_format_message(facts, api_message, advice), **facts)


def _error_without_envelope(
    facts: dict[str, Any], status: int, headers: Mapping[str, str], body: bytes
) -> errors.ApiError:
    """Return the error for an answer that comes from a firewall, a proxy, a gateway or another server."""
    facts |= {"code": None, "api_message": ""} | _retry_after(headers)
    page = f"The answer is {describe_page(body)}."
    if status >= 500:
        return errors.ServerError(_format_message(facts, "", f"The server failed. {page}"), **facts)
    if status in (408, 425):
        return errors.NoAnswerError(_format_message(facts, "", page), **facts)
    if status == 429:
        return errors.RateLimitedError(
            _format_message(facts, "", f"The server received too many requests. {page}"), **facts
        )
    if status == 407:
        return errors.TerminalApiError(_format_message(facts, "", PROXY_CREDENTIALS), **facts)
    if status in (401, 403):
        from_cloudflare = "cf-mitigated" in headers or headers.get("Server", "").lower() == "cloudflare"
        advice = REFUSED_BY_BOT_PROTECTION if from_cloudflare else REFUSED_BEFORE_VECTORIZE
        return errors.TerminalApiError(_format_message(facts, "", f"{advice} {page}"), **facts)
    cls, advice = _class_for_status(status, None, write=False)
    return cls(_format_message(facts, "", f"{advice} {page}".strip()), **facts)


def _class_for_status(status: int, code: int | None, write: bool) -> tuple[type[errors.ApiError], str]:
    if status in (401, 403):
        return errors.AuthError, BY_CODE[10000][1]
    if status == 407:
        return errors.TerminalApiError, PROXY_CREDENTIALS
    if status == 413:
        return errors.PayloadTooLargeError, "Lower bytes_per_request in Limits."
    if status in (404, 410):
        return errors.TerminalApiError, "Check the account id and the API base URL of the connection."
    if write and status == 400 and code in ROW_CODES:
        return errors.RefusedVectorError, ""
    return errors.InvalidRequestError, ""


def _format_message(facts: Mapping[str, Any], api_message: str, advice: str) -> str:
    """Return Cloudflare's message, the advice and the request. The request is last because it is the least useful."""
    code = f", code {facts['code']}" if facts.get("code") is not None else ""
    ray = f", cf-ray {facts['ray']}" if facts.get("ray") else ""
    quoted = f"Cloudflare: {api_message.rstrip('.')}." if api_message else ""
    request = f"({facts['method']} {facts['path']}: {facts['status']}{code}{ray})."
    return " ".join(part for part in (quoted, advice, request) if part)


def _envelope(body: bytes) -> dict[str, Any] | None:
    """Return the JSON envelope of Cloudflare's API, or ``None`` if the body is anything else."""
    try:
        value = from_json(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) and not value.keys().isdisjoint(("success", "result", "errors")) else None


def _retry_after(headers: Mapping[str, str]) -> dict[str, float]:
    """Return ``retry_after`` in seconds, from a ``Retry-After`` header that is a number or a date."""
    text = headers.get("Retry-After", "").strip()
    try:
        return {"retry_after": max(0.0, float(text))}
    except ValueError:
        until = _http_date(text)
    if until is None:
        return {}
    seconds = (until - (_server_date(headers) or datetime.now(UTC))).total_seconds()
    return {"retry_after": seconds} if seconds > 0 else {}


def _server_date(headers: Mapping[str, str]) -> datetime | None:
    return _http_date(headers.get("Date", ""))


def _http_date(text: str) -> datetime | None:
    """Return a date in UTC, or ``None`` if it is invalid. A date without a time zone is assumed to be UTC."""
    try:
        parsed = parsedate_to_datetime(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def result_as(kind: type[T], answer: Answer) -> T:
    """Return the result of an answer as the given type.

    :param kind: Type of the endpoint's results.
    :raises MalformedAnswerError: The result does not have this type.
    """
    try:
        return TypeAdapter(kind).validate_python(answer.result)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the result"
        request = answer.request
        raise errors.MalformedAnswerError(
            f"The answer to {request.method} {request.path} has an unknown format: {where}: {first['msg']}.",
            method=request.method,
            path=request.path,
        ) from None
