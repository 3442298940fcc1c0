"""A request, sent until it is answered for good: the one place that talks to the network."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_vectorize import __version__
from airflow_provider_vectorize.api.answers import Answer, Request, read_answer
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.late import Change, LateRequests, TrackedBody, may_be_carried_out
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.pacing import Clock, Pacer
from airflow_provider_vectorize.api.retry import RetryPolicy, block_length, read_budget
from airflow_provider_vectorize.api.wire import CONNECT_SECONDS, WireAdapter, WireLimits
from airflow_provider_vectorize.api.wire_errors import ADVICE, settings_fault, wire_error
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
#: A server's clock that is further off than this is not believed. TLS would not work with it.
LARGEST_CLOCK_SKEW = timedelta(days=1)
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
    :param timeout: Seconds without progress after which an attempt has failed: the server takes no more of the body,
        or sends no further byte of its answer. The answer has to be complete after twice that time.
        The default is over the 100 seconds after which Cloudflare's edge answers 524 itself, so that few writes are
        given up whose outcome is unknown.
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
        self._wire = WireLimits(timeout, self.pacer.stopped)
        self._verify = verify
        self._reached = False  # whether Vectorize has answered this client
        self._session = requests.Session()
        self._session.auth = credentials
        self._session.headers["User-Agent"] = f"airflow-provider-vectorize/{__version__}"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, WireAdapter(self._wire, pool_maxsize=32))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def stop(self) -> None:
        """End all waiting for a turn, a block or a retry, and requests on the wire that only read.

        A write on the wire continues to its answer, which comes within the time limits of ``timeout``, because
        otherwise it would be unknown whether it was carried out.
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

        As long as the client has had no answer from Vectorize, failures that a wrong address would cause are
        retried for one minute only.

        :param path: below the account's Vectorize; its parts are quoted already.
        :param body: a mapping is sent as JSON.
        :param write: whether the answer owes a mutation id.
        :param change: what the request writes to. It is first sent when no request that was given up before can change
            the same. After ``late.settle()`` this request can change nothing any more.
        :raises ApiError: terminal ones at once, transient ones when time is up.
        """
        data = as_json(body) if isinstance(body, Mapping) else body
        tracked = TrackedBody(data) if change and data else None
        if change:
            self.late.wait_for(change)
        url = self.credentials.account_url + path
        request = Request(method, urlsplit(url).path)
        fault = "" if self._reached else settings_fault(url, self._verify)
        if fault:
            raise ConfigError(f"Nothing can be sent with the settings of {self.credentials.origin}: {fault}.")
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
                if self._reached:
                    error.address_may_be_wrong = False
                jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
                wait = self.retry.wait(error, attempt, elapsed, jitter)
                if wait is None:
                    if error.address_may_be_wrong or (isinstance(error, NoAnswerError) and not self._reached):
                        error.message += f" {ADVICE}"
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
                timeout=(CONNECT_SECONDS, self._timeout),
                verify=self._verify,  # here, not at the session: REQUESTS_CA_BUNDLE would win over that
            ) as response:
                budget, answered = read_budget(response.headers), True
                content = _read(response, request)
            answer = read_answer(request, response.status_code, response.headers, content, write=write)
            self._reached = True
            return self._with_server_time(answer)
        except (OSError, HTTPError, UnicodeError) as error:  # requests lets some of the others' pass
            raise wire_error(
                error, request, url, origin=self.credentials.origin, verify=self._verify, limits=self._wire
            ) from None  # the chain of urllib3 says the same in forty lines
        except ApiError as error:
            blocked = block_length(error, budget)
            self._reached = self._reached or error.code is not None
            # A debugging proxy may send the request's headers back.
            error.message = self.credentials.redact(error.message)
            error.api_message = error.facts["api_message"] = self.credentials.redact(error.api_message)
            raise
        finally:
            self.pacer.finish(budget, blocked, answered=answered)

    def _with_server_time(self, answer: Answer) -> Answer:
        if answer.date is None or abs(answer.date - datetime.now(UTC)) > LARGEST_CLOCK_SKEW:
            return replace(answer, date=None)
        if self.server_time is None or answer.date > self.server_time:
            self.server_time = answer.date
        return answer


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


def _say(seconds: float, reason: str) -> None:
    log.log(logging.WARNING if seconds >= WORTH_SAYING else logging.INFO, "Waiting %.1f s: %s", seconds, reason)
