"""Writes that were given up and may still be carried out: the next write of the same vectors has to wait.

An attempt without an answer (a timeout, a status of 5xx, a connection that was cut after the whole request had been
sent) may be waiting somewhere in Cloudflare. Its retry is acknowledged, and then the first one is carried out as well,
on top of what has been written meanwhile. Nothing orders what is not in Vectorize's log yet, so waiting narrows the
risk and does not close it.
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
    """What a request writes to.

    :param index_name: The index.
    :param ids: Ids of the vectors. ``None``, or an id that is ``None``, stands for every vector of the index.
    """

    index_name: str
    ids: Sequence[str | None] | None = None


class _GivenUp(NamedTuple):
    """A request that may still be carried out.

    :param until: When it no longer can be, by the clock.
    :param index_name: Its index, or ``None`` for all of them.
    :param hashes: Hashes of the ids that it writes to, 8 bytes each, or ``None`` for all of them.
    """

    until: float
    index_name: str | None
    hashes: array[int] | None

    def overlaps(self, change: Change) -> bool:
        if self.index_name not in (None, change.index_name):
            return False
        hashes = _hashes(change.ids)
        return self.hashes is None or hashes is None or not set(hashes).isdisjoint(self.hashes)


class LateRequests:
    """The requests of a client that were given up, and who has to wait for them. Threads may share it.

    :param seconds: How long a request may still be carried out after it was given up. 0 turns all waiting off.
    :param clock: Tells the time, and lets it pass.
    :param sending_stopped: When set, no request waits any longer to be sent.
    """

    def __init__(self, seconds: float, clock: Clock, sending_stopped: threading.Event) -> None:
        self.stopped = threading.Event()  #: ends all waiting, also at the end of a task
        self._seconds = seconds
        self._clock = clock
        self._sending_stopped = sending_stopped
        self._lock = threading.Lock()
        self._given_up: list[_GivenUp] = []
        self._announced = -math.inf

    def give_up(self, change: Change | None = None) -> None:
        """Note that a request is given up now.

        :param change: What it writes to. ``None``: perhaps anything, as the requests of an earlier process.
        """
        until = self._clock.now() + self._seconds
        if change is None:
            late = _GivenUp(until, None, None)
        else:
            late = _GivenUp(until, change.index_name, _hashes(change.ids))
        with self._lock:
            self._given_up = [*self._current(), late]

    def wait_for(self, change: Change) -> None:
        """Wait until no request that was given up can change the same any more.

        :raises StoppedError: The client was stopped.
        """
        while (seconds := self._seconds_left(change)) > 0:
            if self._announce(seconds):
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
        """Wait until no request that was given up can be carried out any more.

        A task does so at its end, so that the next writer is safe.

        :raises StoppedError: The client was stopped.
        """
        while (seconds := self._seconds_left()) > 0:
            log.warning(
                "Waiting %.0f s before finishing: a request got no answer, and Vectorize may still carry it out, after "
                "what the next task writes (late_seconds=%g).",
                seconds,
                self._seconds,
            )
            if self._clock.wait(self.stopped, seconds):
                raise StoppedError

    @property
    def settled(self) -> bool:
        """Whether no request that was given up can be carried out any more."""
        return self._seconds_left() <= 0

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Settle at the end of a block, also where it fails.

        :raises StoppedError: The client was stopped, and the block did not fail.
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
        """Seconds for which a request that overlaps with a change, or any, may still be carried out."""
        with self._lock:
            self._given_up = current = self._current()
        now = self._clock.now()
        return max((one.until - now for one in current if change is None or one.overlaps(change)), default=0.0)

    def _current(self) -> list[_GivenUp]:
        now = self._clock.now()
        return [one for one in self._given_up if one.until > now]

    def _announce(self, seconds: float) -> bool:
        """Check whether a wait ends later than those in the log: many threads wait for the same request."""
        with self._lock:
            until, before = self._clock.now() + seconds, self._announced
            self._announced = max(until, before)
        return until > before + 0.5


class TrackedBody:
    """A request's body that knows whether all of it was handed to the connection.

    :param body: Bytes, or what can be read again in pieces.
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
    """Check whether a request may still be carried out though its attempt ended with this error.

    Refused and throttled requests are not, nor are those whose body was not sent to its end.
    """
    if not isinstance(error, TransientApiError):
        return False
    if error.status is None:
        return body.sent if body is not None else _connected(error)
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status < HTTPStatus.MULTIPLE_CHOICES


def _connected(error: BaseException) -> bool:
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, (ConnectTimeoutError, NewConnectionError, ProxyError, SSLError)):
            return False
        seen.add(id(cause))
        linked = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        pending += [one for one in linked if isinstance(one, BaseException) and id(one) not in seen]
    return True


def _hashes(ids: Sequence[str | None] | None) -> array[int] | None:
    if ids is None or None in ids:
        return None
    return array("q", map(hash, ids))
