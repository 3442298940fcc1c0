"""Deliver a batch to Vectorize, even if Vectorize refuses some of its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Operation
from airflow_provider_vectorize.errors import ApiError, ConfigError, PayloadTooLargeError, RefusedVectorError
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.bad_row_policy import BadRowPolicy
from airflow_provider_vectorize.load.batches import Batch
from airflow_provider_vectorize.load.receipt import Sample, digest
from airflow_provider_vectorize.rows.block_rows import BadRow

#: Number of vectors that the sensor reads back.
SAMPLES = 3
#: A longer row is not used as a sample, because as a Python object it can take many times its bytes.
SAMPLE_BYTES = 1 << 20
#: Number of vectors from which the samples are chosen: as many as one request reads.
CANDIDATES = 20
#: Vectorize's error code for a line that it cannot parse.
UNPARSABLE_CODE = 40023


@dataclass(frozen=True)
class Ack:
    """The acknowledgement of one request.

    :param mutation_id: The ID of its mutation.
    :param accepted_at: ISO 8601, the server's clock in the response.
    :param sent_after: ISO 8601, the server's clock in a response that arrived before the request was sent.
    :param vectors: Number of its rows.
    :param size: Bytes of its body.
    :param samples: A few of its vectors.
    """

    mutation_id: str
    accepted_at: str | None
    sent_after: str | None
    vectors: int
    size: int
    samples: tuple[Sample, ...]


class Delivery:
    """Deliver batches to one index. Threads may share one object.

    :param client: The client that sends the requests.
    :param operation: ``insert`` or ``upsert``.
    :param index_name: Name of the index.
    :param bad_row_policy: Decides whether the load continues without a row that Vectorize refuses.
    """

    def __init__(
        self, client: VectorizeClient, operation: Operation, index_name: str, bad_row_policy: BadRowPolicy
    ) -> None:
        self._client = client
        self._operation = operation
        self._index_name = index_name
        self._bad_row_policy = bad_row_policy

    def deliver(self, batch: Batch, acks: list[Ack]) -> BadRowFile:
        """Send a batch. If Vectorize refuses it, halve it until the refused rows are isolated.

        :param batch: The batch.
        :param acks: Receives each acknowledgement, even if the rest of the batch fails.
        :return: The rows that Vectorize refused, in order.
        :raises BadRowError: The load may not continue without a refused row.
        :raises ApiError: A request failed for another reason.
        """
        refused = BadRowFile()
        candidates = self._sample_candidates(batch) if batch.last and len(batch) else {}
        ranges = [(0, len(batch))] if len(batch) else []
        while ranges:
            first, stop = ranges.pop()
            body = batch.body(first, stop)
            sent_after = self._client.server_time
            try:
                mutation = self._client.write(self._operation, self._index_name, body, ids=batch.ids[first:stop])
            except (RefusedVectorError, PayloadTooLargeError) as error:
                if stop - first > 1:
                    middle = (first + stop) // 2
                    ranges += [(middle, stop), (first, middle)]  # The first half is sent first, to keep the order.
                    continue
                reason = f"Vectorize refuses it: {error.api_message or error.message} (code {error.code})"
                row = BadRow(batch.position(first), batch.text(first), reason, error.code == UNPARSABLE_CODE)
                self._bad_row_policy.reject(row)
                refused.add([row])
            else:
                accepted_at = mutation.accepted_at.isoformat() if mutation.accepted_at else None
                samples = [candidates[row] for row in candidates if first <= row < stop]
                samples = samples or list(make_samples(batch, choose_rows(batch, first, stop, SAMPLES)).values())
                samples.sort(key=lambda sample: not sample.new)
                acks.append(
                    Ack(
                        mutation.mutation_id,
                        accepted_at,
                        sent_after.isoformat() if sent_after else None,
                        stop - first,
                        len(body),
                        tuple(samples[:SAMPLES]),
                    )
                )
        return refused

    def _sample_candidates(self, batch: Batch) -> dict[int, Sample]:
        """Return rows of the last batch that can be read back, and whether they are new to the index.

        An earlier load may have written exactly the same vectors, and seeing those again proves nothing. One read has
        to be enough, because many small shards share a request budget.
        """
        samples = make_samples(batch, choose_rows(batch, 0, len(batch), CANDIDATES))
        ids = list(dict.fromkeys(sample.id for sample in samples.values()))
        try:
            existing = self._client.get_by_ids(self._index_name, ids)
        except (ApiError, ConfigError):  # With validation="off", an ID may be invalid.
            return samples  # A load does not fail because a proof is missing.
        before = {vector.id: digest(vector.values, vector.metadata) for vector in existing}
        return {
            row: Sample(
                sample.id,
                sample.digest,
                new=sample.id not in before or self._overwrites(before[sample.id], sample.digest),
            )
            for row, sample in samples.items()
        }

    def _overwrites(self, before: str | None, after: str) -> bool:
        return self._operation == "upsert" and before != after


def choose_rows(batch: Batch, first: int, stop: int, count: int) -> list[int]:
    """Choose up to ``count`` rows, evenly spread over a part of a batch.

    Each of them is the last row with its ID, so that no later row of the part overwrites it.
    """
    ids = batch.ids[first:stop]
    if None in ids:  # A row whose ID is not known could overwrite any other.
        return [stop - 1]
    rows = list(dict(zip(ids, range(first, stop), strict=True)).values())
    return sorted({rows[len(rows) * n // count] for n in range(count)} | {stop - 1})[-count:]


def make_samples(batch: Batch, rows: list[int]) -> dict[int, Sample]:
    """Return samples of these rows, without rows that cannot be compared with a vector that is read back."""
    samples = {}
    for row in rows:
        if len(batch.body(row, row + 1)) > SAMPLE_BYTES:
            continue
        try:
            vector = json.loads(batch.text(row))
            vector_id, vector_digest = vector["id"], digest(vector["values"], vector.get("metadata"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # The row was not validated and is malformed, or Vectorize reads what Python cannot.
        if vector_digest is not None and isinstance(vector_id, str):
            samples[row] = Sample(vector_id, vector_digest)
    return samples
