"""From an HTTP answer to a result or to the one error that fits. No I/O."""

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
    """What an error says of the request: never its headers, its query or its body."""

    method: str
    path: str


@dataclass(frozen=True)
class Answer:
    """A good answer.

    :param request: what was asked.
    :param result: the envelope's ``result``.
    :param date: the server's clock when it answered, in whole seconds.
    """

    request: Request
    result: Any
    date: datetime | None


#: Cloudflare's codes, the class that each becomes, and what the reader can do about it.
BY_CODE: dict[int, tuple[type[errors.ApiError], str]] = {
    971: (errors.RateLimitedError, "The account's budget of requests is spent."),
    1000: (errors.AuthError, "The API token is not valid: create one under My Profile, API Tokens."),
    1005: (errors.UnknownContentTypeError, ""),
    3000: (errors.IndexNotFoundError, "Create the index first, or correct its name or the connection's account id."),
    3001: (errors.InvalidIndexConfigError, "Correct the dimensions, the metric or the preset."),
    3002: (errors.IndexExistsError, "Choose another name, or use the index that is there."),
    3005: (errors.IndexDeletedError, "The name is free: create the index again if it is still needed."),
    6003: (errors.AuthError, "The API token has characters that no token has: paste it again."),
    6111: (errors.AuthError, "The API token has characters that no token has: paste it again."),
    9106: (errors.AuthError, "The connection holds no API token."),
    9109: (
        errors.AuthError,
        "Check the API token and the account id: the token lacks Vectorize: Edit for this account.",
    ),
    10000: (
        errors.AuthError,
        "Check the API token: it is wrong, or lacks the permission Vectorize: Edit for this account.",
    ),
    40005: (errors.MetadataIndexNotFoundError, "Create a metadata index on that property first."),
    40006: (errors.InvalidQueryError, "The query's vector has to come from the model that filled the index."),
    40007: (errors.TooManyIdsError, "Ask for fewer ids at a time."),
    40008: (errors.RefusedVectorError, "Shorten the id."),
    40012: (errors.RefusedVectorError, "The vectors have to come from a model with the index's dimensions."),
    40016: (errors.RefusedVectorError, "Shorten the metadata."),
    40018: (errors.RefusedVectorError, "Rename the metadata key."),
    40023: (errors.RefusedVectorError, "The line is not a vector in JSON."),
    40025: (errors.InvalidQueryError, "Lower topK, or ask for less of each match."),
    40026: (errors.InvalidRequestError, ""),
    40041: (errors.RateLimitedError, "The index is taking as many requests as it can."),
}

#: Writes whose body is refused with an unknown code of this range are refused for one of their rows [guess].
ROW_CODES = range(40_008, 40_025)


#: Statuses with which a page that is not Vectorize's blames the caller, and what to do about them.
REFUSED_BY_OTHERS = (
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


def read_answer(request: Request, status: int, headers: Mapping[str, str], body: bytes, *, write: bool) -> Answer:
    """Return the answer's result.

    :param request: what was asked.
    :param write: whether a ``mutationId`` is due.
    :raises ApiError: the subclass that fits the status and Cloudflare's code.
    """
    facts: dict[str, Any] = {"status": status, "method": request.method, "path": request.path}
    if headers.get("cf-ray"):
        facts["ray"] = headers["cf-ray"]
    if 300 <= status < 400:
        raise errors.TerminalApiError(_sentence(facts, "", _redirect_advice(headers)), **facts)
    envelope = _envelope(body)
    if 200 <= status < 300 and (envelope is None or envelope.get("success") is not False):
        if status == 204 and not body and not write:
            return Answer(request, None, _date(headers))
        if envelope is None or "result" not in envelope:
            advice = f"The answer is not Vectorize's JSON, but {describe_page(body)}."
            raise errors.MalformedAnswerError(_sentence(facts, "", advice), address_may_be_wrong=True, **facts)
        result = envelope["result"]
        if write and not (isinstance(result, dict) and isinstance(result.get("mutationId"), str)):
            raise errors.MalformedAnswerError(_sentence(facts, "", "The answer has no mutation id."), **facts)
        return Answer(request, result, _date(headers))
    if envelope is None:
        raise _error_of_others(facts, status, headers, body)
    raise _error(facts, status, headers, envelope, write)


def _redirect_advice(headers: Mapping[str, str]) -> str:
    target = urlsplit(headers.get("Location", ""))  # its path and query may hold a session
    where = f" to {target.scheme}://{target.hostname}" if target.scheme and target.hostname else ""
    return (
        f"The answer is a redirect{where}. Redirects are not followed: the token is for the configured host only. "
        "Correct the API base URL of the connection."
    )


def _error(
    facts: dict[str, Any], status: int, headers: Mapping[str, str], envelope: dict[str, Any], write: bool
) -> errors.ApiError:
    listed = envelope.get("errors")
    items = [item for item in (listed if isinstance(listed, list) else ()) if isinstance(item, dict)]
    codes = [item["code"] for item in items if isinstance(item.get("code"), int)]
    known = next((code for code in codes if code in BY_CODE), None)
    code = known if known is not None else next(iter(codes), None)
    text = "; ".join(str(item.get("message", "")) for item in items)[:1_000]
    facts |= {"code": code, "api_message": text} | _retry_after(headers)
    cls, advice = BY_CODE.get(code or 0, (None, "")) if known is not None else (None, "")
    if status >= 500:
        cls, advice = errors.ServerError, "" if text else "Cloudflare failed, and did not say why."
    elif status in (408, 425):
        cls, advice = errors.NoAnswerError, ""
    elif status == 429:
        cls, advice = errors.RateLimitedError, BY_CODE[971][1]
    elif cls is None:
        cls, advice = _by_status(status, code, write)
    return cls(_sentence(facts, text, advice), **facts)


def _error_of_others(facts: dict[str, Any], status: int, headers: Mapping[str, str], body: bytes) -> errors.ApiError:
    """Return the error for an answer without the API's envelope: a firewall, a proxy, a gateway or another server."""
    facts |= {"code": None, "api_message": ""} | _retry_after(headers)
    page = f"The answer is {describe_page(body)}."
    if status >= 500:
        return errors.ServerError(_sentence(facts, "", f"The server failed. {page}"), **facts)
    if status in (408, 425):
        return errors.NoAnswerError(_sentence(facts, "", page), **facts)
    if status == 429:
        return errors.RateLimitedError(_sentence(facts, "", f"There are too many requests. {page}"), **facts)
    if status == 407:
        return errors.TerminalApiError(_sentence(facts, "", PROXY_CREDENTIALS), **facts)
    if status in (401, 403):
        at_cloudflare = "cf-mitigated" in headers or headers.get("Server", "").lower() == "cloudflare"
        advice = REFUSED_BY_BOT_PROTECTION if at_cloudflare else REFUSED_BY_OTHERS
        return errors.TerminalApiError(_sentence(facts, "", f"{advice} {page}"), **facts)
    cls, advice = _by_status(status, None, write=False)
    return cls(_sentence(facts, "", f"{advice} {page}".strip()), **facts)


def _by_status(status: int, code: int | None, write: bool) -> tuple[type[errors.ApiError], str]:
    if status in (401, 403):
        return errors.AuthError, BY_CODE[10000][1]
    if status == 407:
        return errors.TerminalApiError, PROXY_CREDENTIALS
    if status == 413:
        return errors.PayloadTooLargeError, "Lower bytes_per_request of the limits."
    if status in (404, 410):
        return errors.TerminalApiError, "Check the account id and the API base URL of the connection."
    if write and status == 400 and code in ROW_CODES:
        return errors.RefusedVectorError, ""
    return errors.InvalidRequestError, ""


def _sentence(facts: Mapping[str, Any], said: str, advice: str) -> str:
    """What was said, then what to do about it; the request comes last, since it is long and says least."""
    code = f", code {facts['code']}" if facts.get("code") is not None else ""
    ray = f", cf-ray {facts['ray']}" if facts.get("ray") else ""
    said = f"Cloudflare: {said.rstrip('.')}." if said else ""
    request = f"({facts['method']} {facts['path']}: {facts['status']}{code}{ray})."
    return " ".join(part for part in (said, advice, request) if part)


def _envelope(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that Cloudflare's API wraps every answer in, or ``None`` for any other answer."""
    try:
        value = from_json(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) and not value.keys().isdisjoint(("success", "result", "errors")) else None


def _retry_after(headers: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds that ``Retry-After`` asks for, given as a number or as a date."""
    text = headers.get("Retry-After", "").strip()
    try:
        return {"retry_after": max(0.0, float(text))}
    except ValueError:
        until = _http_date(text)
    if until is None:
        return {}
    seconds = (until - (_date(headers) or datetime.now(UTC))).total_seconds()
    return {"retry_after": seconds} if seconds > 0 else {}


def _date(headers: Mapping[str, str]) -> datetime | None:
    return _http_date(headers.get("Date", ""))


def _http_date(text: str) -> datetime | None:
    """Return a date in UTC. A date without a zone is taken as UTC."""
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def result_as(kind: type[T], answer: Answer) -> T:
    """The result, in the shape that the endpoint has.

    :raises MalformedAnswerError: it has another.
    """
    try:
        return TypeAdapter(kind).validate_python(answer.result)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the result"
        request = answer.request
        raise errors.MalformedAnswerError(
            f"{request.method} {request.path} gave an answer of an unknown shape: {where}: {first['msg']}.",
            method=request.method,
            path=request.path,
        ) from None
