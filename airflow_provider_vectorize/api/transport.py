"""A request, sent until it is answered for good: the one place that talks to the network."""

from __future__ import annotations

import json
import logging
import random
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, LocationValueError

from airflow_provider_vectorize import __version__
from airflow_provider_vectorize.api.answers import Answer, Request, read_answer
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.late import Change, LateRequests, TrackedBody, may_be_carried_out
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.pacing import Clock, Pacer
from airflow_provider_vectorize.api.retry import RetryPolicy, block_length, read_budget
from airflow_provider_vectorize.errors import (
    ApiError,
    ConfigError,
    MalformedAnswerError,
    NoAnswerError,
    RateLimitedError,
    TransientApiError,
)

log = logging.getLogger(__name__)

#: No answer of the API comes near: 20 vectors of 1,536 dimensions are 0.7 MB, a page of 1,000 ids 0.1 MB.
ANSWER_BYTES = 64 << 20
#: A wait longer than this is worth a line in the log, in seconds.
WORTH_SAYING = 5.0


@runtime_checkable
class Body(Protocol):
    """A request's body that can be read again for a retry: each iteration begins anew, in large pieces.

    A piece need not be good any longer when the next one is asked for.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes | memoryview]: ...


class Transport:
    """Sends requests with credentials, retries and pacing. Threads may share one.

    A transient failure is tried again, whatever the endpoint: insert and upsert are idempotent by id,
    and so are the others.

    :param credentials: account, secret and address.
    :param limits: Cloudflare's limits.
    :param retry: how long to try again.
    :param reserve: share of the account's budget of requests that is left to people and dashboard, 0 to 1.
    :param timeout: seconds without a byte of an answer after which a request counts as failed. The default is over the
        100 seconds after which Cloudflare's edge answers 524 itself, so that few requests are given up.
    :param verify: whether the server's certificate is checked, or the path of a bundle of authorities.
    :param clock: replaced by tests.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        limits: Limits = LIMITS,
        retry: RetryPolicy | None = None,
        reserve: float = 0.2,
        timeout: float = 110.0,
        verify: bool | str = True,
        clock: Clock | None = None,
    ) -> None:
        self.credentials = credentials
        self.limits = limits
        self.retry = retry or RetryPolicy()
        self.clock = clock or Clock()
        self.pacer = Pacer(reserve, self.clock)
        self.late = LateRequests(limits.late_seconds, self.clock, self.pacer.stopped)
        self.retries = 0  #: attempts beyond the first, all requests together
        self.server_time: datetime | None = None  #: the latest ``Date`` of an answer so far
        self._timeout = timeout
        self._verify = verify
        self._session = requests.Session()
        self._session.auth = credentials
        self._session.headers["User-Agent"] = f"airflow-provider-vectorize/{__version__}"
        self._session.mount("https://", HTTPAdapter(pool_maxsize=32))
        self._session.mount("http://", HTTPAdapter(pool_maxsize=32))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def stop(self) -> None:
        """Let no thread wait any longer, for a block to end or for a retry: their requests end at once.

        A request that is on the wire goes on to its answer.
        """
        self.pacer.stopped.set()
        self.late.stopped.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | Body | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        write: bool = False,
        change: Change | None = None,
    ) -> Answer:
        """Send a request until it is answered for good, or the retry policy gives up.

        :param path: below the account's Vectorize; its parts are quoted already.
        :param body: a mapping is sent as JSON.
        :param write: whether the answer owes a mutation id.
        :param change: what the request writes to. It is first sent when no request that was given up before can change
            the same. Whoever writes next is safe from this one after ``late.settle()``.
        :raises ApiError: terminal ones at once, transient ones when time is up.
        """
        data = as_json(body) if isinstance(body, Mapping) else body
        tracked = TrackedBody(data) if change and data else None
        if change:
            self.late.wait_for(change)
        url = self.credentials.account_url + path
        request = Request(method, urlsplit(url).path)
        begun = self.clock.now()
        attempt, maybe_done = 1, False
        while True:
            try:
                return self._attempt(
                    request, url, tracked or data, params=params, content_type=content_type, write=write
                )
            except ApiError as error:
                if change and may_be_carried_out(error, tracked):
                    self.late.give_up(change)
                elapsed = self.clock.now() - begun
                jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
                wait = self.retry.wait(error, attempt, elapsed, jitter)
                if wait is None:
                    if maybe_done:
                        error.maybe_done = error.facts["maybe_done"] = True
                    if attempt > 1:
                        error.message += f" Gave up after {attempt} attempts in {elapsed:.0f} s."
                    raise
                _say(wait, f"attempt {attempt} failed: {error}")
                maybe_done |= isinstance(error, TransientApiError) and not isinstance(error, RateLimitedError)
            self.pacer.wait(wait)
            attempt += 1
            self.retries += 1

    def _attempt(
        self,
        request: Request,
        url: str,
        data: bytes | Body | None,
        *,
        params: Mapping[str, str] | None,
        content_type: str,
        write: bool,
    ) -> Answer:
        self.pacer.start(_say)
        budget, blocked, answered = None, 0.0, False
        try:
            headers = {"Content-Type": content_type} if data is not None else {}
            with self._session.request(
                request.method,
                url,
                params=params,
                data=data,  # type: ignore[arg-type] # any buffer does, whatever the stubs say
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(30.0, self._timeout),
                verify=self._verify,  # here, not at the session: REQUESTS_CA_BUNDLE would win over that
            ) as response:
                budget, answered = read_budget(response.headers), True
                content = _read(response, request)
            answer = read_answer(request, response.status_code, response.headers, content, write=write)
            if answer.date and (self.server_time is None or answer.date > self.server_time):
                self.server_time = answer.date
            return answer
        except (requests.RequestException, HTTPError) as error:  # requests lets some of urllib3's pass
            hopeless = _hopeless(error)
            if hopeless:
                raise ConfigError(
                    f"{request.method} {request.path} cannot be sent to {urlsplit(url).netloc}, as "
                    f"{self.credentials.origin} would have it: {hopeless}."
                ) from None
            raise NoAnswerError(
                f"{request.method} {request.path} at {urlsplit(url).netloc} got no answer: "
                f"{_cause(error, self._timeout)}.",
                method=request.method,
                path=request.path,
            ) from None  # the chain of urllib3 says the same in forty lines
        except ApiError as error:
            blocked = block_length(error, budget)
            raise
        finally:
            self.pacer.finish(budget, blocked, answered=answered)


def as_json(value: Any, **options: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, **options).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The request cannot be written as JSON: {error}.") from None


def _read(response: requests.Response, request: Request) -> bytes:
    content = bytearray()
    for piece in response.iter_content(1 << 20):
        content += piece
        if len(content) > ANSWER_BYTES:
            raise MalformedAnswerError(
                f"{request.method} {request.path} answered more than {ANSWER_BYTES >> 20} MB: this is not Vectorize.",
                method=request.method,
                path=request.path,
                status=response.status_code,
            )
    return bytes(content)


def _hopeless(error: Exception) -> str:
    """What no retry can mend, or nothing."""
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, LocationValueError)):
        return "the address or the credentials have characters that cannot be sent"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return "the server's certificate is not trusted. Correct the address, or the field Verify TLS"
    return ""


def _cause(error: BaseException, timeout: float) -> str:
    """What went wrong on the wire, without the wrapping: a proxy's address in it could hold a password."""
    if isinstance(error, requests.ConnectTimeout):
        return "the connection could not be made in 30 s"
    if isinstance(error, requests.Timeout):
        return f"nothing came for {timeout:.0f} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy could not be used"
    texts = [c.strerror for c in _causes(error) if isinstance(c, OSError) and c.strerror]
    return texts[-1].lower() if texts else "the connection was cut"


def _causes(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        inner = getattr(cause, "reason", None) or next((a for a in cause.args if isinstance(a, BaseException)), None)
        cause = inner if isinstance(inner, BaseException) else cause.__cause__ or cause.__context__
    return seen


def _say(seconds: float, reason: str) -> None:
    log.log(logging.WARNING if seconds >= WORTH_SAYING else logging.INFO, "Waiting %.1f s: %s", seconds, reason)
