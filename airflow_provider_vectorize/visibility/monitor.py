"""The requests that the visibility rule weighs: the state of an index, its incarnation, and markers."""

from __future__ import annotations

import logging
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast, get_args

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.errors import (
    AuthError,
    ConfigError,
    IndexNotFoundError,
    TerminalApiError,
    TransientApiError,
)
from airflow_provider_vectorize.load.receipt import digest
from airflow_provider_vectorize.visibility import rule, vector_markers
from airflow_provider_vectorize.visibility.memory import Group, Marker, Memory
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict, unanswered, verdict_of
from airflow_provider_vectorize.visibility.waits import Wait

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Hashable)
Proof = Literal["log", "read_back"]

#: Reads in a row that have to agree, since replicas may lag.
AGREEING_READS = 3


@dataclass(frozen=True)
class Request:
    """What one sensor asks of the monitor of one index.

    :param waits: its mutations of this index.
    :param marker: the markers that it allows.
    :param proof: ``read_back``: sample vectors that read back as they were sent are enough.
    """

    waits: Group
    marker: MarkerKind = "delete"
    proof: Proof = "log"


def request_from(waits: Sequence[Mapping[str, Any]], marker: str, proof: str) -> Request:
    """Return what the row of a trigger asks for.

    :raises ConfigError: another version of the provider wrote it, and this one cannot read it.
    """
    if marker not in get_args(MarkerKind) or proof not in get_args(Proof):
        raise ConfigError(f"marker={marker!r} and proof={proof!r} are not known to this version of the provider.")
    return Request(tuple(Wait.from_dict(wait) for wait in waits), cast(MarkerKind, marker), cast(Proof, proof))


class IndexMonitor:
    """Checks one index for all sensors of a process that wait for it. For one thread at a time.

    :param client: should try each request once: the next check is the retry.
    :param index_name: the index.
    """

    def __init__(self, client: VectorizeClient, index_name: str) -> None:
        self._client = client
        self._index_name = index_name
        self._memory = Memory()
        self._info: IndexInfo | None = None
        self._swept = False

    def check(self, requests: Mapping[S, Request]) -> tuple[dict[S, Verdict], float]:
        """Check the index once, however many sensors wait for it.

        :return: what each sensor may conclude, and the seconds for which another check makes no sense because
            requests are limited.
        :raises TerminalApiError: the credentials or the request are wrong.
        """
        now = self._client.clock.now()
        groups = [request.waits for request in requests.values()]
        self._memory = rule.begin_check(self._memory, groups, now)
        try:
            self._ask(list(requests.values()), now)
        except TransientApiError as error:
            verdicts = {
                sensor: unanswered(self._memory, request.waits, str(error)) for sensor, request in requests.items()
            }
            return verdicts, max(error.retry_after or 0.0, self._client.pacer.due())
        verdicts = {
            sensor: verdict_of(self._memory, request.waits, request.marker, now, self._info)
            for sensor, request in requests.items()
        }
        return verdicts, self._client.pacer.due()

    def _ask(self, requests: Sequence[Request], now: float) -> None:
        if rule.needs_incarnation(self._memory):
            self._memory = rule.with_incarnation(self._memory, self._incarnation())
        self._send_marker(requests, now)
        try:
            self._info = self._client.get_index_info(self._index_name)
        except IndexNotFoundError:
            self._info = None
        self._memory = rule.with_info(self._memory, self._info)
        vectors = vector_markers.shown(self._client, self._index_name, self._memory)
        self._memory = rule.vectors_shown(self._memory, vectors)
        created_on = None
        if rule.hopes_on_incarnation(self._memory):
            created_on = self._incarnation()
            self._memory = rule.with_incarnation(self._memory, created_on)
        self._memory = rule.prove(self._memory, created_on)
        for request in requests:
            if request.proof == "read_back":
                self._read_back(rule.unproved(self._memory, request.waits))
        self._memory = vector_markers.remove(self._client, self._index_name, self._memory, vectors)

    def _incarnation(self) -> str | None:
        """When the index was created, if several reads agree."""
        found = set()
        for _ in range(AGREEING_READS):
            try:
                created_on = self._client.get_index(self._index_name).created_on
            except IndexNotFoundError:
                return None
            found.add(created_on.isoformat() if created_on else None)
            if len(found) > 1:
                return None
        return found.pop()

    # ---------------------------------------------------------------- markers

    def _send_marker(self, requests: Sequence[Request], now: float) -> None:
        allowing = [request for request in requests if request.marker != "none"]
        if not rule.marker_due(self._memory, [request.waits for request in allowing], now):
            return
        needy = [request for request in allowing if rule.needs_marker(self._memory, request.waits, now)]
        as_vector = any(request.marker == "vector" for request in needy)
        marker = None
        try:
            marker = self._vector_marker() if as_vector else self._delete_marker()
        except TransientApiError as error:  # whether it was carried out is not known, so it proves nothing
            log.info("A marker got no answer and is forgotten: %s", error)
        except IndexNotFoundError as error:
            log.info("A marker could not be sent: %s", error)
        except TerminalApiError as error:
            self._memory = replace(self._memory, markers_refused=str(error))
            why = "the token may not write to the index" if isinstance(error, AuthError) else "Vectorize refuses them"
            log.warning(
                "No more markers are sent, because %s. The wait continues without them, and may last as long as others "
                "write to the index. %s",
                why,
                error,
            )
            return
        self._memory = rule.marker_sent(self._memory, marker, now, random.random())  # noqa: S311 - no secret

    def _delete_marker(self) -> Marker:
        mutation = self._client.send_marker(self._index_name)
        return Marker(mutation.mutation_id, self._memory.checks, self._memory.watermark)

    def _vector_marker(self) -> Marker:
        if not self._swept:
            vector_markers.sweep(self._client, self._index_name)
            self._swept = True
        vector_id, mutation = vector_markers.send(self._client, self._index_name)
        return Marker(mutation.mutation_id, self._memory.checks, self._memory.watermark, vector_id)

    # ---------------------------------------------------------------- evidence

    def _read_back(self, waits: Sequence[Wait]) -> None:
        """Compare sample vectors with what was sent, if something was processed since and a new one is among them."""
        processed = self._info.processed_up_to_datetime if self._info else None
        candidates = [
            wait
            for wait in waits
            if processed
            and wait.accepted_at
            and processed >= wait.accepted_at - rule.CLOCKS_AGREE
            and any(sample.new for sample in wait.samples)
        ]
        for wait in candidates:
            try:
                reads = [self._vectors([sample.id for sample in wait.samples]) for _ in range(AGREEING_READS)]
            except IndexNotFoundError:
                break  # a replica that does not know the index is no evidence, and does not end the wait either
            if not all(_reads_as_sent(wait, read) for read in reads):
                break  # the others were written later; reading on would cost requests at every check
            self._memory = rule.read_back(self._memory, [wait])

    def _vectors(self, ids: Sequence[str]) -> dict[str, str | None]:
        found = self._client.get_by_ids(self._index_name, ids)
        return {vector.id: digest(vector.values, vector.metadata) for vector in found}

    def close(self) -> None:
        """Close the connections. A check that is under way ends at its next request."""
        self._client.stop()
        self._client.close()


def _reads_as_sent(wait: Wait, read: Mapping[str, str | None]) -> bool:
    if wait.operation == "delete":
        return all(sample.id not in read for sample in wait.samples)
    if wait.operation == "insert":  # a vector that existed before is kept: only its existence was promised
        return all(sample.id in read for sample in wait.samples)
    return all(read.get(sample.id) == sample.digest for sample in wait.samples)
