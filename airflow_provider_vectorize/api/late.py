"""Keep track of abandoned requests, so that later writes of the same vectors wait for them.

A request is abandoned if the client stops waiting for its answer: after a timeout, a 5xx status, or a connection that
was cut after the whole request had been sent. Cloudflare may still carry out such a request, even after its retry was
acknowledged, and may thereby overwrite newer data. Requests have no order until they are in Vectorize's log, so waiting
makes this less likely but cannot exclude it.
"""

from __future__ import annotations

import logging
import math
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import NamedTuple

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, SSLError

from airflow_provider_vectorize.api.pacing import Clock, StoppedError
from airflow_provider_vectorize.errors import ApiError, TransientApiError

log = logging.getLogger(__name__)


class Change(NamedTuple):
    """The data that a request changes.

    :param index_name: Name of the index.
    :param ids: Ids of the vectors. ``None``, or an id that is ``None``, stands for every vector of the index.
    """

    index_name: str
    ids: Sequence[str | None] | None = None


class _AbandonedRequest(NamedTuple):
    """A request that can still be carried out.

    :param settled_at: Time, by the client's clock, from which it can no longer be carried out.
    :param index_name: Name of its index, or ``None`` for all indexes.
    :param hashes: Hashes of the ids that it changes, 8 bytes each, or ``None`` for all ids.
    """

    settled_at: float
    index_name: str | None
    hashes: array[int] | None

    def overlaps(self, change: Change) -> bool:
        if self.index_name not in (None, change.index_name):
            return False
        hashes = _hashes(change.ids)
        return self.hashes is None or hashes is None or not set(hashes).isdisjoint(self.hashes)


class LateRequests:
    """The abandoned requests of a client. Threads may share an instance.

    :param seconds: Seconds for which a request can still be carried out after it was abandoned. 0 turns all waiting
        off.
    :param clock: Clock of the client.
    :param sending_stopped: If set, :meth:`wait_for` stops waiting.
    """

    def __init__(self, seconds: float, clock: Clock, sending_stopped: threading.Event) -> None:
        self.stopped = threading.Event()  #: If set, :meth:`settle` stops waiting.
        self._seconds = seconds
        self._clock = clock
        self._sending_stopped = sending_stopped
        self._lock = threading.Lock()
        self._abandoned: list[_AbandonedRequest] = []
        self._logged_until = -math.inf

    def add_abandoned(self, change: Change | None = None) -> None:
        """Add a request that was abandoned just now.

        :param change: Data that the request changes. ``None`` (default) means that it may change anything, for example
            because an earlier process sent it.
        """
        settled_at = self._clock.now() + self._seconds
        if change is None:
            request = _AbandonedRequest(settled_at, None, None)
        else:
            request = _AbandonedRequest(settled_at, change.index_name, _hashes(change.ids))
        with self._lock:
            self._abandoned = [*self._unsettled(), request]

    def wait_for(self, change: Change) -> None:
        """Wait until no abandoned request can still change the same data.

        :raises StoppedError: The client was stopped.
        """
        while (seconds := self._seconds_left(change)) > 0:
            if self._should_log(seconds):
                log.warning(
                    'Waiting %.0f s before writing to index "%s": an earlier request got no answer, or its process '
                    "died, and Vectorize may still carry it out (late_seconds=%g).",
                    seconds,
                    change.index_name,
                    self._seconds,
                )
            if self._clock.wait(self._sending_stopped, seconds):
                raise StoppedError

    def settle(self) -> None:
        """Wait until no abandoned request can still be carried out.

        Tasks call this before they end, so that the next writer is safe.

        :raises StoppedError: The client was stopped.
        """
        while (seconds := self._seconds_left()) > 0:
            log.warning(
                "Waiting %.0f s before finishing: a request got no answer, and Vectorize may still carry it out after "
                "the next task has written (late_seconds=%g).",
                seconds,
                self._seconds,
            )
            if self._clock.wait(self.stopped, seconds):
                raise StoppedError

    @property
    def settled(self) -> bool:
        """Whether no abandoned request can still be carried out."""
        return self._seconds_left() <= 0

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Call :meth:`settle` at the end of a ``with`` block, even if the block fails.

        :raises StoppedError: The client was stopped. If the block fails, its own error is raised instead.
        """
        try:
            yield
        except StoppedError:
            raise
        except Exception:
            with suppress(StoppedError):
                self.settle()
            raise
        self.settle()

    def _seconds_left(self, change: Change | None = None) -> float:
        """Return the seconds until no abandoned request, or none that overlaps with the change, can be carried out."""
        with self._lock:
            self._abandoned = unsettled = self._unsettled()
        now = self._clock.now()
        return max(
            (request.settled_at - now for request in unsettled if change is None or request.overlaps(change)),
            default=0.0,
        )

    def _unsettled(self) -> list[_AbandonedRequest]:
        now = self._clock.now()
        return [request for request in self._abandoned if request.settled_at > now]

    def _should_log(self, seconds: float) -> bool:
        """Check whether a wait ends later than those already logged, because many threads wait for one request."""
        with self._lock:
            until, logged_until = self._clock.now() + seconds, self._logged_until
            self._logged_until = max(until, logged_until)
        return until > logged_until + 0.5


class TrackedBody:
    """A request body that records whether all of it was passed to the connection.

    :param body: Bytes, or an object that yields pieces each time it is iterated.
    """

    def __init__(self, body: bytes | object) -> None:
        self._body = body
        self.sent = False

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[bytes | memoryview]:
        self.sent = False
        if isinstance(self._body, bytes):
            yield self._body
        else:
            yield from self._body  # type: ignore[misc]
        self.sent = True


def may_be_carried_out(error: ApiError, body: TrackedBody | None) -> bool:
    """Check whether Vectorize may still carry out a request after an attempt failed with this error.

    Refused and throttled requests are never carried out, and neither are requests whose body was not sent completely.
    """
    if not isinstance(error, TransientApiError):
        return False
    if error.status is None:
        return body.sent if body is not None else _connected(error)
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status < HTTPStatus.MULTIPLE_CHOICES


def _connected(error: BaseException) -> bool:
    visited: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, (ConnectTimeoutError, NewConnectionError, ProxyError, SSLError)):
            return False
        visited.add(id(cause))
        candidates = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        pending += [value for value in candidates if isinstance(value, BaseException) and id(value) not in visited]
    return True


def _hashes(ids: Sequence[str | None] | None) -> array[int] | None:
    if ids is None or None in ids:
        return None
    return array("q", map(hash, ids))
