"""Send requests with pacing and retries. Only this module uses the network."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping
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

#: Maximum size of an answer. Real answers are far smaller: 20 vectors of 1,536 dimensions have 0.7 MB.
MAX_ANSWER_BYTES = 64 << 20
#: A server time that differs more than this from the local clock is ignored. TLS would not work with such a clock.
MAX_CLOCK_SKEW = timedelta(days=1)
#: Waits of at least this many seconds are logged as warnings.
WARNING_SECONDS = 5.0


@runtime_checkable
class Body(Protocol):
    """A request body that can be read again for a retry.

    Each iteration starts at the beginning and yields large pieces. A piece may become invalid when the next piece is
    requested.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes | memoryview]: ...


class Transport:
    """Sends requests with credentials, retries and pacing. Threads may share an instance.

    Transient failures are retried for every endpoint, because all operations are idempotent.

    :param credentials: Account, secret and address.
    :param limits: Cloudflare's limits.
    :param retry: How long to retry a failed request. Default: 30 minutes.
    :param reserve: Share of the account's request budget that is left to people and the dashboard, 0 to 1.
    :param timeout: Seconds without progress after which an attempt fails. There is no progress if the server accepts
        no more of the body, or sends no further byte of its answer. The whole answer must arrive within twice this
        time. The default of 110 is above the 100 seconds after which Cloudflare's edge answers 524, so that few writes
        with an unknown outcome are abandoned.
    :param verify: Whether to check the server's certificate, or the path of a file or folder of trusted certificates.
    :param clock: Clock to use. Tests replace it.
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
        self.retries = 0  #: Number of retries of all requests.
        #: Called before each attempt of a write that changes vectors. It may raise to prevent the attempt.
        self.before_write: Callable[[], None] = lambda: None
        self.server_time: datetime | None = None  #: Latest ``Date`` header of all answers.
        self._timeout = timeout
        self._wire = WireLimits(timeout, self.pacer.stopped)
        self._verify = verify
        self._has_been_answered = False  # Whether Vectorize has answered any request of this client.
        self._session = requests.Session()
        self._session.auth = credentials
        self._session.headers["User-Agent"] = f"airflow-provider-vectorize/{__version__}"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, WireAdapter(self._wire, pool_maxsize=32))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def stop(self) -> None:
        """Stop all waits for pacing, rate-limit blocks and retries, and abort reads that are in flight.

        Writes that are in flight continue until their answer or their timeout, because otherwise it would be unknown
        whether they were carried out.
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
        raw: bool = False,
        change: Change | None = None,
    ) -> Answer:
        """Send a request, and retry it until it succeeds, fails permanently, or the retry policy ends.

        Failures that a wrong address could cause are retried for only one minute until Vectorize has answered this
        client once.

        :param method: HTTP method.
        :param path: Path below the URL of the account, already quoted.
        :param body: Body. A mapping is sent as JSON.
        :param params: Query parameters.
        :param content_type: Content type of the body.
        :param write: Whether the answer must contain a mutation id.
        :param raw: Whether a successful answer is the content itself, without the JSON envelope.
        :param change: Data that the request changes. If given, the first attempt waits until no abandoned request can
            change the same data, and ``late.settle()`` waits for this request if it is abandoned.
        :return: The answer, which reports success.
        :raises ApiError: The request failed. Terminal errors are raised at once, transient ones after the last retry.
        :raises ConfigError: The request cannot be sent with the settings of the connection.
        """
        data = as_json(body) if isinstance(body, Mapping) else body
        tracked = TrackedBody(data) if change and data else None
        if change:
            self.late.wait_for(change)
        url = self.credentials.account_url + path
        request = Request(method, urlsplit(url).path)
        fault = "" if self._has_been_answered else settings_fault(url, self._verify)
        if fault:
            raise ConfigError(f"Requests cannot be sent with the settings of {self.credentials.origin}: {fault}.")
        started = self.clock.now()
        attempt, maybe_done = 1, False
        while True:
            if change:
                self.before_write()
            try:
                return self._attempt(
                    request, url, tracked or data, params=params, content_type=content_type, write=write, raw=raw
                )
            except ApiError as error:
                if change and may_be_carried_out(error, tracked):
                    self.late.add_abandoned(change)
                elapsed = self.clock.now() - started
                if self._has_been_answered:
                    error.address_may_be_wrong = False
                jitter = random.random()  # noqa: S311 - This only spreads retries.
                wait = self.retry.wait(error, attempt, elapsed, jitter)
                if wait is None:
                    if error.address_may_be_wrong or (isinstance(error, NoAnswerError) and not self._has_been_answered):
                        error.message += f" {ADVICE}"
                    if maybe_done:
                        error.maybe_done = error.facts["maybe_done"] = True
                    if attempt > 1:
                        error.message += f" Gave up after {attempt} attempts in {elapsed:.0f} s."
                    raise
                _log_wait(wait, f"attempt {attempt} failed: {error}")
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
        raw: bool,
    ) -> Answer:
        self.pacer.start(_log_wait)
        budget, blocked, answered = None, 0.0, False
        try:
            headers = {"Content-Type": content_type} if data is not None else {}
            with self._session.request(
                request.method,
                url,
                params=params,
                data=data,  # type: ignore[arg-type] # The stubs do not know that any buffer is accepted.
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, self._timeout),
                verify=self._verify,  # REQUESTS_CA_BUNDLE would override the session's setting.
            ) as response:
                budget, answered = read_budget(response.headers), True
                content = _read_content(response, request)
            answer = read_answer(request, response.status_code, response.headers, content, write=write, raw=raw)
            self._has_been_answered = True
            return self._with_server_time(answer)
        except (OSError, HTTPError, UnicodeError) as error:  # Requests does not wrap all errors of other libraries.
            raise wire_error(
                error, request, url, origin=self.credentials.origin, verify=self._verify, limits=self._wire
            ) from None  # The exception chain of urllib3 adds 40 lines but no information.
        except ApiError as error:
            blocked = block_length(error, budget)
            self._has_been_answered = self._has_been_answered or error.code is not None
            # A debugging proxy may include the request's headers in its answer.
            error.message = self.credentials.redact(error.message)
            error.api_message = error.facts["api_message"] = self.credentials.redact(error.api_message)
            raise
        finally:
            self.pacer.finish(budget, blocked, answered=answered)

    def _with_server_time(self, answer: Answer) -> Answer:
        if answer.date is None or abs(answer.date - datetime.now(UTC)) > MAX_CLOCK_SKEW:
            return replace(answer, date=None)
        if self.server_time is None or answer.date > self.server_time:
            self.server_time = answer.date
        return answer


def as_json(value: Any, **options: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, **options).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The request cannot be written as JSON: {error}.") from None


def _read_content(response: requests.Response, request: Request) -> bytes:
    content = bytearray()
    for piece in response.iter_content(1 << 20):
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise MalformedAnswerError(
                f"The answer to {request.method} {request.path} has more than {MAX_ANSWER_BYTES >> 20} MB, so it is "
                "not from Vectorize.",
                method=request.method,
                path=request.path,
                status=response.status_code,
            )
    return bytes(content)


def _log_wait(seconds: float, reason: str) -> None:
    log.log(logging.WARNING if seconds >= WARNING_SECONDS else logging.INFO, "Waiting %.1f s: %s", seconds, reason)
