"""From an HTTP answer to a result or to the one error that fits. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from airflow_provider_vectorize import errors as e

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
BY_CODE: dict[int, tuple[type[e.ApiError], str]] = {
    971: (e.RateLimitedError, "The account's budget of requests is spent."),
    1000: (e.AuthError, "The API token is not valid: create one under My Profile, API Tokens."),
    1005: (e.UnknownContentTypeError, ""),
    3000: (e.IndexNotFoundError, "Create the index first, or correct its name or the connection's account id."),
    3001: (e.InvalidIndexConfigError, "Correct the dimensions, the metric or the preset."),
    3002: (e.IndexExistsError, "Choose another name, or use the index that is there."),
    3005: (e.IndexDeletedError, "The name is free: create the index again if it is still needed."),
    6003: (e.AuthError, "The API token has characters that no token has: paste it again."),
    6111: (e.AuthError, "The API token has characters that no token has: paste it again."),
    9106: (e.AuthError, "The connection holds no API token."),
    9109: (e.AuthError, "Check the API token and the account id: the token lacks Vectorize: Edit for this account."),
    10000: (e.AuthError, "Check the API token: it is wrong, or lacks the permission Vectorize: Edit for this account."),
    40005: (e.MetadataIndexNotFoundError, "Create a metadata index on that property first."),
    40006: (e.InvalidQueryError, "The query's vector has to come from the model that filled the index."),
    40007: (e.TooManyIdsError, "Ask for fewer ids at a time."),
    40008: (e.RefusedVectorError, "Shorten the id."),
    40012: (e.RefusedVectorError, "The vectors have to come from a model with the index's dimensions."),
    40016: (e.RefusedVectorError, "Shorten the metadata."),
    40018: (e.RefusedVectorError, "Rename the metadata key."),
    40023: (e.RefusedVectorError, "The line is not a vector in JSON."),
    40025: (e.InvalidQueryError, "Lower topK, or ask for less of each match."),
    40026: (e.InvalidRequestError, ""),
    40041: (e.RateLimitedError, "The index is taking as many requests as it can."),
}

#: Writes whose body is refused with an unknown code of this range are refused for one of their rows [guess].
ROW_CODES = range(40_008, 40_025)


def read_answer(request: Request, status: int, headers: Mapping[str, str], body: bytes, *, write: bool) -> Answer:
    """The answer's result.

    :param request: what was asked.
    :param write: whether a ``mutationId`` is due.
    :raises ApiError: the subclass that fits the status and Cloudflare's code.
    """
    facts: dict[str, Any] = {"status": status, "method": request.method, "path": request.path}
    if headers.get("cf-ray"):
        facts["ray"] = headers["cf-ray"]
    if 300 <= status < 400:
        raise e.TerminalApiError(
            _sentence(
                facts,
                "",
                "Redirects are not followed: the token is for the configured host only. "
                "Correct the API base URL of the connection.",
            ),
            **facts,
        )
    envelope = _envelope(body)
    if 200 <= status < 300 and (envelope is None or envelope.get("success") is not False):
        if status == 204 and not body and not write:
            return Answer(request, None, _date(headers))
        if envelope is None or "result" not in envelope:
            raise e.MalformedAnswerError(_sentence(facts, "", "The answer is not Vectorize's JSON."), **facts)
        result = envelope["result"]
        if write and not (isinstance(result, dict) and isinstance(result.get("mutationId"), str)):
            raise e.MalformedAnswerError(_sentence(facts, "", "The answer has no mutation id."), **facts)
        return Answer(request, result, _date(headers))
    raise _error(facts, status, headers, envelope, write)


def _error(
    facts: dict[str, Any], status: int, headers: Mapping[str, str], envelope: dict[str, Any] | None, write: bool
) -> e.ApiError:
    items = [item for item in (envelope or {}).get("errors") or [] if isinstance(item, dict)]
    codes = [item["code"] for item in items if isinstance(item.get("code"), int)]
    known = next((code for code in codes if code in BY_CODE), None)
    code = known if known is not None else next(iter(codes), None)
    text = "; ".join(str(item.get("message", "")) for item in items)[:1_000]
    facts |= {"code": code, "api_message": text}
    retry_after = _seconds(headers.get("Retry-After"))
    if retry_after is not None:
        facts["retry_after"] = retry_after
    cls, advice = BY_CODE.get(code or 0, (None, "")) if known is not None else (None, "")
    if status >= 500:
        cls, advice = e.ServerError, "" if text else "Cloudflare failed, and did not say why."
    elif status in (408, 425):
        cls, advice = e.NoAnswerError, ""
    elif status == 429:
        cls, advice = e.RateLimitedError, BY_CODE[971][1]
    elif cls is None:
        cls, advice = _by_status(status, code, write)
    return cls(_sentence(facts, text, advice), **facts)


def _by_status(status: int, code: int | None, write: bool) -> tuple[type[e.ApiError], str]:
    if status in (401, 403):
        return e.AuthError, BY_CODE[10000][1]
    if status == 413:
        return e.PayloadTooLargeError, "Lower bytes_per_request of the limits."
    if status in (404, 410):
        return e.TerminalApiError, "Check the account id and the API base URL of the connection."
    if write and status == 400 and code in ROW_CODES:
        return e.RefusedVectorError, ""
    return e.InvalidRequestError, ""


def _sentence(facts: Mapping[str, Any], said: str, advice: str) -> str:
    """What was said, then what to do about it; the request comes last, since it is long and says least."""
    code = f", code {facts['code']}" if facts.get("code") is not None else ""
    ray = f", cf-ray {facts['ray']}" if facts.get("ray") else ""
    said = f"Cloudflare: {said.rstrip('.')}." if said else ""
    request = f"({facts['method']} {facts['path']}: {facts['status']}{code}{ray})."
    return " ".join(part for part in (said, advice, request) if part)


def _envelope(body: bytes) -> dict[str, Any] | None:
    try:
        value = from_json(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:  # the other form, a date, is not what Cloudflare sends
        return None


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
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
        raise e.MalformedAnswerError(
            f"{request.method} {request.path} gave an answer of an unknown shape: {where}: {first['msg']}.",
            method=request.method,
            path=request.path,
        ) from None
