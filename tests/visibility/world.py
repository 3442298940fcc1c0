"""A local Vectorize in this process on virtual time: deterministic, and without sockets, threads or sleeping.

A test decides what happens to each request, when a job ends and how many mutations it applies, and what a replica
shows::

    with World() as world:
        world.create_index("books")
        client = world.client("loader")
        world.choose_fate = lambda sent: Fate(carried_out=(150.0,), answer="timeout") if sent.write else Fate()
        ...
        world.schedule(5, lambda: world.fold("books", 2))  # in 5 s, a job applies the two oldest mutations
        world.advance(5)
        assert world.is_applied(mutation_id)

Scheduled actions run whenever virtual time passes: in :meth:`World.advance`, or while a client waits for an answer or a
retry.
"""

from __future__ import annotations

import email.utils
import heapq
import itertools
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import requests
from requests import PreparedRequest, Response
from urllib3 import HTTPHeaderDict

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.credentials import Credentials
from airflow_provider_vectorize.api.limits import Limits as ClientLimits
from airflow_provider_vectorize.api.pacing import Clock as ClientClock
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.local.engine.budget import Allowance, Budget
from airflow_provider_vectorize.local.engine.clock import microseconds
from airflow_provider_vectorize.local.engine.digest import digest
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import Problem
from airflow_provider_vectorize.local.engine.records import NewIndex
from airflow_provider_vectorize.local.faults.recorder import Recorder
from airflow_provider_vectorize.local.faults.rules import Faults
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, TOKEN
from airflow_provider_vectorize.local.http.app import Components
from airflow_provider_vectorize.local.http.auth import Guard
from airflow_provider_vectorize.local.http.fault_effects import GATEWAY_PAGE
from airflow_provider_vectorize.local.http.late_requests import LateRequests
from airflow_provider_vectorize.local.routes import ROUTES
from airflow_provider_vectorize.local.serve import application

from .fate import ANSWER_LOST, LOST, Fate, SentRequest
from .history import FOREVER, HistoryEngine, Incarnation, VirtualClock
from .in_process import CallbackAdapter, InProcessServer, parse_answer, request_bytes, response_of

__all__ = ["ANSWER_LOST", "LOST", "START", "Fate", "SentRequest", "World"]

HOST = "127.0.0.1:8787"
READ_ONLY_TOKEN = "read-only-token"
START = float(int(time.time()))  # the current time, because clients compare the server's clock with their own
_OPERATIONS = [
    (method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), operation) for method, path, operation in ROUTES
]


class World:
    """The service, its clients and the virtual time.

    :param watermark_skew: Seconds by which the clock behind ``processedUpToDatetime`` and ``created_on`` is wrong.
    :param budget: Requests and seconds of a window, such as ``"1200/300"``. Default: more than any test sends.
    :param limits: Limits of the local Vectorize to override, by name.
    """

    def __init__(
        self, *, watermark_skew: float = 0.0, budget: str = "1000000000/300", limits: Mapping[str, int] | None = None
    ) -> None:
        self.now = START  #: virtual time in epoch seconds
        self.choose_fate: Callable[[SentRequest], Fate] = lambda sent: Fate()
        self.sent: list[SentRequest] = []  #: all requests so far, in the order of sending
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        memory = Path("/dev/shm")
        self._directory = tempfile.TemporaryDirectory(prefix="world-", dir=memory if memory.is_dir() else None)
        all_limits = replace(Limits(), **{"cursor_seconds": FOREVER, **(limits or {})})
        clock = VirtualClock(lambda: self.now, watermark_skew)
        self._engine = HistoryEngine(Path(self._directory.name), all_limits, clock)
        budget_ = Budget(Allowance.parse(budget), VirtualClock(lambda: self.now))
        guard = Guard(ACCOUNT_ID, TOKEN, READ_ONLY_TOKEN)
        self._components = Components(self._engine, clock, budget_, guard, Faults(), Recorder(), LateRequests(clock))
        self._server = InProcessServer(application(self._components, lambda: f"http://{HOST}/client/v4"))

    def close(self) -> None:
        """Release the server and its files."""
        self._server.close()
        self._engine.close()
        self._directory.cleanup()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Time

    def schedule(self, after: float, action: Callable[[], object]) -> None:
        """Run an action after this many seconds. It may send requests and schedule further actions."""
        heapq.heappush(self._events, (self.now + after, next(self._numbers), action))

    def advance(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Advance the time and run the actions that are due, or stop early once a condition is true."""
        with self._lock:
            end = self.now + seconds
            while not until() and self._events and self._events[0][0] <= end:
                at, _, action = heapq.heappop(self._events)
                self.now = max(self.now, at)
                action()
            if not until():
                self.now = max(self.now, end)

    # Clients

    def client(
        self, name: str = "client", *, read_only: bool = False, clock_skew: float = 0.0, **options: Any
    ) -> VectorizeClient:
        """Return a client whose requests go through this world and whose waits pass virtual time.

        :param name: Name that :attr:`SentRequest.client` records.
        :param read_only: Whether its token lacks write permission.
        :param clock_skew: Seconds by which its own clock is wrong.
        :param options: Further options of the client: ``retry``, ``timeout``, …
        """
        token = READ_ONLY_TOKEN if read_only else TOKEN
        client = VectorizeClient(
            Credentials(ACCOUNT_ID, token, base_url=f"http://{HOST}/client/v4"),
            **{"clock": self.client_clock(clock_skew), **options},
        )
        self.mount(client._session, name)
        return client

    def client_clock(self, skew: float = 0.0) -> ClientClock:
        """Return the clock of a client. Its waits advance the virtual time."""

        def wait(event: threading.Event, seconds: float) -> bool:
            self.advance(seconds, event.is_set)
            return event.is_set()

        return ClientClock(now=lambda: self.now + skew, wait=wait)

    def mount(self, session: requests.Session, name: str) -> None:
        """Route the requests of a session through this world."""
        session.trust_env = False  # the search for proxy settings would take half of the time of a request
        session.mount("http://", CallbackAdapter(partial(self._exchange, name)))

    def monitor_client(self, name: str = "monitor", **options: Any) -> VectorizeClient:
        """Return a client as monitors use it: each request is sent once, and never waits for abandoned requests."""
        limits = ClientLimits(late_seconds=0)
        return self.client(name, retry=RetryPolicy(total=0), reserve=0, limits=limits, **options)

    # One request

    def _exchange(self, client: str, request: PreparedRequest, timeout: float) -> Response:
        with self._lock:
            message = request_bytes(request, HOST)
            operation, index = _operation(request)
            sent = SentRequest(client, operation, index, self.now, message)
            self.sent.append(sent)
            sent.fate = fate = self.choose_fate(sent)
            self.advance(fate.travel)
            answer = None
            for after in fate.carried_out:
                if after == 0:
                    answer = self._carry_out(sent, message)
                else:
                    self.schedule(after, partial(self._carry_out, sent, message))
            if fate.answer == "timeout":
                self.advance(timeout)
                raise requests.ReadTimeout(f"no answer within {timeout} s")
            self.advance(fate.answer_travel)
            if fate.answer == "cut":
                raise requests.ConnectionError("the connection was cut")
            status, headers, body = answer if fate.answer == "real" else self._replacement_answer(fate.answer)
            return response_of(request, status, headers, body)

    def _carry_out(self, sent: SentRequest, message: bytes) -> tuple[int, HTTPHeaderDict, bytes]:
        self._engine.lag = 0.0 if sent.write else sent.fate.lag
        try:
            status, headers, body = parse_answer(self._server.answer(message))
        finally:
            self._engine.lag = 0.0
        mutation_id = self._components.recorder.requests.pop().mutation_id
        sent.mutation_ids += [mutation_id] if mutation_id else []
        self._set_date(headers, sent.fate.date_skew)
        return status, headers, body

    def _replacement_answer(self, answer: int | Problem) -> tuple[int, HTTPHeaderDict, bytes]:
        headers = HTTPHeaderDict({"Content-Type": "text/html"})
        self._set_date(headers, 0.0)
        if isinstance(answer, int):
            return answer, headers, GATEWAY_PAGE.format(status=answer).encode()
        headers |= {"Content-Type": "application/json", **answer.headers}
        return answer.status, headers, orjson.dumps(answer.body())

    def _set_date(self, headers: HTTPHeaderDict, skew: float | None) -> None:
        headers.discard("Date")
        if skew is not None:
            headers["Date"] = email.utils.formatdate(self.now + skew, usegmt=True)

    # Changes of indexes without a request of a client

    def create_index(self, name: str, dimensions: int = 32, metric: str = "cosine") -> None:
        """Create an index, or re-create it after :meth:`delete_index`."""
        self.advance(0.001)  # two incarnations of an index must not have the same creation time
        self._engine.create_index(ACCOUNT_ID, NewIndex(name, "", dimensions, metric))

    def delete_index(self, name: str) -> None:
        """Delete an index with its pending mutations."""
        self._engine.delete_index(ACCOUNT_ID, name)

    def foreign_mutation(self, name: str) -> str:
        """Write as another writer, without changing a vector. Return the mutation id."""
        return self._engine.foreign_mutation(ACCOUNT_ID, name).id

    def fold(self, name: str, mutations: int | None = None) -> tuple[str, ...]:
        """End a job now that applies the oldest pending mutations as one batch.

        :param mutations: Maximum number of mutations to apply. ``None`` applies all.
        :return: Ids of the applied mutations, of which only the last becomes the watermark. Empty if nothing is pending
            or the index does not exist.
        """
        folded = self._engine.fold(name, mutations)
        return folded.mutation_ids if folded else ()

    # Authoritative state

    def incarnations(self, name: str) -> list[Incarnation]:
        """Return all incarnations of an index, the newest last."""
        return self._engine.incarnations[name]

    def exists(self, name: str) -> bool:
        """Return whether the index exists."""
        return bool(self.incarnations(name)) and not self.incarnations(name)[-1].deleted

    def created_on(self, name: str) -> datetime:
        """Return the creation time of the newest incarnation with the precision that clients read."""
        return datetime.fromisoformat(microseconds(self.incarnations(name)[-1].index.created_on))

    def log(self, name: str) -> list[str]:
        """Return the ids of all mutations of the newest incarnation, in log order."""
        return [mutation.id for mutation in self.incarnations(name)[-1].log]

    def applied(self, name: str) -> list[str]:
        """Return the ids of the applied mutations of the newest incarnation, in log order."""
        return self.log(name)[: self.incarnations(name)[-1].applied]

    def pending(self, name: str) -> list[str]:
        """Return the ids of the mutations that no job has applied yet, in log order."""
        return self.log(name)[self.incarnations(name)[-1].applied :]

    def is_applied(self, mutation_id: str) -> bool:
        """Return whether a mutation is applied in an existing index."""
        return any(mutation_id in self.applied(name) for name in self._engine.incarnations if self.exists(name))

    def vectors(self, name: str) -> dict[str, str]:
        """Return the digest of each applied vector by id, see :meth:`LocalVectorize.digest`."""
        index = self._engine.catalog.index(ACCOUNT_ID, name)
        return {vector.id: digest(vector) for vector in self._engine.visible_vectors(index)}


def _operation(request: PreparedRequest) -> tuple[str, str]:
    """Return the operation of a request and the name of its index."""
    path = request.path_url.partition("?")[0]
    for method, pattern, operation in _OPERATIONS:
        match = pattern.fullmatch(path)
        if match and method == request.method:
            return operation, match.groupdict().get("index", "")
    return "unknown", ""
