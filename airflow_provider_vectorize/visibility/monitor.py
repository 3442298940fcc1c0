"""The requests behind the visibility rule: the state of an index, its incarnation, and markers."""

from __future__ import annotations

import logging
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
from airflow_provider_vectorize.visibility.memory import Marker, Memory, WaitGroup
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict, verdict_for, verdict_without_answer
from airflow_provider_vectorize.visibility.waits import Wait

log = logging.getLogger(__name__)

SensorKey = TypeVar("SensorKey", bound=Hashable)
Proof = Literal["log", "read_back"]

#: Number of consecutive reads that must return the same result, since replicas may lag.
CONFIRMING_READS = 3


@dataclass(frozen=True)
class WaitRequest:
    """What one sensor asks of the monitor of one index.

    :param waits: Mutations of this index that the sensor waits for.
    :param marker: Kind of marker that the sensor allows.
    :param proof: ``log``: wait for proof. ``read_back``: also accept sample vectors that read back as they were sent.
    """

    waits: WaitGroup
    marker: MarkerKind = "delete"
    proof: Proof = "log"


def parse_wait_request(waits: Sequence[Mapping[str, Any]], marker: str, proof: str) -> WaitRequest:
    """Return the request that the serialized arguments of a trigger describe.

    :raises ConfigError: The arguments come from another version of the provider, and this version cannot read them.
    """
    if marker not in get_args(MarkerKind) or proof not in get_args(Proof):
        raise ConfigError(
            f"This version of the provider does not know marker={marker!r} with proof={proof!r}. Run the same "
            "version on the workers and the triggerer."
        )
    return WaitRequest(tuple(Wait.from_dict(wait) for wait in waits), cast(MarkerKind, marker), cast(Proof, proof))


class IndexMonitor:
    """Checks one index for all sensors of a process that wait for it. Not thread-safe.

    :param client: Client of the account. It should send each request only once, because the next check is the retry.
    :param index_name: Name of the index.
    """

    def __init__(self, client: VectorizeClient, index_name: str) -> None:
        self._client = client
        self._index_name = index_name
        self._memory = Memory()
        self._info: IndexInfo | None = None
        self._leftovers_deleted = False
        #: Why Vectorize did not answer the latest check. Empty if it did.
        self.problem = ""

    @property
    def info(self) -> IndexInfo | None:
        """State of the index at the latest check that was answered. ``None`` if the index was not found."""
        return self._info

    @property
    def server_time(self) -> datetime | None:
        """Vectorize's clock in the latest response. ``None`` before the first one."""
        return self._client.server_time

    def check(self, requests: Mapping[SensorKey, WaitRequest]) -> tuple[dict[SensorKey, Verdict], float]:
        """Check the index once for any number of sensors.

        :param requests: What each sensor asks for. Without any, only the state of the index is read.
        :return: The verdict for each sensor, and the number of seconds to wait before the next check because requests
            are limited.
        :raises TerminalApiError: The credentials or the request are wrong.
        """
        now = self._client.clock.now()
        groups = [request.waits for request in requests.values()]
        self._memory = rule.begin_check(self._memory, groups, now)
        try:
            self._observe(list(requests.values()), now)
            self.problem = ""
        except TransientApiError as error:
            self.problem = str(error)
            verdicts = {
                sensor: verdict_without_answer(self._memory, request.waits, str(error))
                for sensor, request in requests.items()
            }
            return verdicts, max(error.retry_after or 0.0, self._client.pacer.delay())
        verdicts = {
            sensor: verdict_for(self._memory, request.waits, request.marker, now, self._info)
            for sensor, request in requests.items()
        }
        return verdicts, self._client.pacer.delay()

    def _observe(self, requests: Sequence[WaitRequest], now: float) -> None:
        if rule.needs_incarnation(self._memory):
            self._memory = rule.record_incarnation(self._memory, self._read_incarnation())
        self._send_marker_if_due(requests, now)
        try:
            self._info = self._client.get_index_info(self._index_name)
        except IndexNotFoundError:
            self._info = None
        self._memory = rule.record_info(self._memory, self._info)
        visible_markers = vector_markers.visible_ids(self._client, self._index_name, self._memory)
        self._memory = rule.record_marker_vectors(self._memory, visible_markers)
        created_on = None
        if rule.proof_needs_incarnation(self._memory):
            created_on = self._read_incarnation()
            self._memory = rule.record_incarnation(self._memory, created_on)
        self._memory = rule.prove(self._memory, created_on)
        for request in requests:
            if request.proof == "read_back":
                self._read_back(rule.unproved_waits(self._memory, request.waits))
        self._memory = vector_markers.delete_unneeded(self._client, self._index_name, self._memory, visible_markers)

    def _read_incarnation(self) -> str | None:
        """Return when the index was created. ``None`` if it is missing or several reads differ."""
        values = set()
        for _ in range(CONFIRMING_READS):
            try:
                created_on = self._client.get_index(self._index_name).created_on
            except IndexNotFoundError:
                return None
            values.add(created_on.isoformat() if created_on else None)
            if len(values) > 1:
                return None
        return values.pop()

    # ---------------------------------------------------------------- markers

    def _send_marker_if_due(self, requests: Sequence[WaitRequest], now: float) -> None:
        allowing = [request for request in requests if request.marker != "none"]
        if not rule.is_marker_due(self._memory, [request.waits for request in allowing], now):
            return
        needing = [request for request in allowing if rule.needs_marker(self._memory, request.waits, now)]
        as_vector = any(request.marker == "vector" for request in needing)
        marker = None
        try:
            marker = self._send_vector_marker() if as_vector else self._send_delete_marker()
        except TransientApiError as error:  # whether Vectorize carried it out is unknown, so it proves nothing
            log.info("Discarded a marker, because Vectorize did not confirm it. A later check sends another: %s", error)
        except IndexNotFoundError as error:
            log.info("Could not send a marker: %s", error)
        except TerminalApiError as error:
            self._memory = replace(self._memory, marker_refusal=str(error))
            reason = (
                "the token may not write to the index" if isinstance(error, AuthError) else "Vectorize refuses them"
            )
            log.warning(
                "No more markers are sent, because %s. The wait continues without them and may last as long as others "
                "write to the index. %s",
                reason,
                error,
            )
            return
        self._memory = rule.record_marker(self._memory, marker, now, random.random())  # noqa: S311 - not a secret

    def _send_delete_marker(self) -> Marker:
        mutation = self._client.send_marker(self._index_name)
        return Marker(mutation.mutation_id, self._memory.checks, self._memory.watermark)

    def _send_vector_marker(self) -> Marker:
        if not self._leftovers_deleted:
            vector_markers.delete_leftovers(self._client, self._index_name)
            self._leftovers_deleted = True
        vector_id, mutation = vector_markers.send(self._client, self._index_name)
        return Marker(mutation.mutation_id, self._memory.checks, self._memory.watermark, vector_id)

    # ---------------------------------------------------------------- evidence

    def _read_back(self, waits: Sequence[Wait]) -> None:
        """Compare sample vectors with what was sent.

        Only waits with a new sample are compared, and only if the index has processed something since the
        acknowledgement.
        """
        processed_at = self._info.processed_up_to_datetime if self._info else None
        candidates = [
            wait
            for wait in waits
            if processed_at
            and wait.accepted_at
            and processed_at >= wait.accepted_at - rule.CLOCK_TOLERANCE
            and any(sample.new for sample in wait.samples)
        ]
        for wait in candidates:
            try:
                reads = [self._digests([sample.id for sample in wait.samples]) for _ in range(CONFIRMING_READS)]
            except IndexNotFoundError:
                break  # a replica that does not know the index is no evidence, but no reason to end the wait
            if not all(_reads_as_sent(wait, digests) for digests in reads):
                break  # the other waits were written later, and reading them would cost requests at every check
            self._memory = rule.record_read_back(self._memory, [wait])

    def _digests(self, ids: Sequence[str]) -> dict[str, str | None]:
        vectors = self._client.get_by_ids(self._index_name, ids)
        return {vector.id: digest(vector.values, vector.metadata) for vector in vectors}

    def close(self) -> None:
        """Close the connections. A check in another thread stops at its next request."""
        self._client.stop()
        self._client.close()


def _reads_as_sent(wait: Wait, digests: Mapping[str, str | None]) -> bool:
    if wait.operation == "delete":
        return all(sample.id not in digests for sample in wait.samples)
    if wait.operation == "insert":  # an existing vector is not overwritten, so only its existence is certain
        return all(sample.id in digests for sample in wait.samples)
    # A sample without a digest is a vector that was deleted by the same sync.
    return all(
        digests.get(sample.id) == sample.digest if sample.digest else sample.id not in digests
        for sample in wait.samples
    )
