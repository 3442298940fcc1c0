"""One batch → acknowledged, whatever is wrong with some of its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Operation
from airflow_provider_vectorize.errors import ApiError, ConfigError, PayloadTooLargeError, RefusedVectorError
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.bad_rows import BadRows
from airflow_provider_vectorize.load.batches import Batch
from airflow_provider_vectorize.load.receipt import Sample, digest
from airflow_provider_vectorize.rows.block_rows import BadRow

#: Vectors that the wait reads back.
SAMPLES = 3
#: A longer row is not read back: parsed, it could take many times its bytes.
SAMPLE_BYTES = 1 << 20
#: Vectors among which those are chosen: as many as one request reads.
CANDIDATES = 20
#: Vectorize's code for a line that it cannot parse.
UNPARSABLE = 40023


@dataclass(frozen=True)
class Ack:
    """One acknowledged request.

    :param sent_after: the server's clock in an answer that came before the request was sent.
    :param vectors: rows in it.
    :param size: bytes of its body.
    :param samples: a few of its vectors.
    """

    mutation_id: str
    accepted_at: str | None
    sent_after: str | None
    vectors: int
    size: int
    samples: tuple[Sample, ...]


class Delivery:
    """Delivers batches; threads may share one."""

    def __init__(self, client: VectorizeClient, operation: Operation, index_name: str, bad_rows: BadRows) -> None:
        self._client = client
        self._operation = operation
        self._index_name = index_name
        self._bad_rows = bad_rows

    def deliver(self, batch: Batch, acks: list[Ack]) -> BadRowFile:
        """Send a batch; where Vectorize refuses it, halve it until the row is found that it is refused for.

        :param acks: takes each acknowledgement, also where the rest of the batch fails.
        :return: the rows that are refused, in order.
        """
        refused = BadRowFile()
        known = self._candidates(batch) if batch.last and len(batch) else {}
        todo = [(0, len(batch))] if len(batch) else []
        while todo:
            first, stop = todo.pop()
            body = batch.body(first, stop)
            before = self._client.server_time
            try:
                mutation = self._client.write(self._operation, self._index_name, body, ids=batch.ids[first:stop])
            except (RefusedVectorError, PayloadTooLargeError) as error:
                if stop - first > 1:
                    middle = (first + stop) // 2
                    todo += [(middle, stop), (first, middle)]  # the first half goes first: the order counts
                    continue
                reason = f"Vectorize refuses it: {error.api_message or error.message} (code {error.code})"
                row = BadRow(batch.position(first), batch.text(first), reason, error.code == UNPARSABLE)
                self._bad_rows.judge(row)
                refused.add([row])
            else:
                accepted_at = mutation.accepted_at.isoformat() if mutation.accepted_at else None
                samples = [known[row] for row in known if first <= row < stop]
                samples = samples or list(sample(batch, spread(batch, first, stop, SAMPLES)).values())
                samples.sort(key=lambda one: not one.new)
                acks.append(
                    Ack(
                        mutation.mutation_id,
                        accepted_at,
                        before.isoformat() if before else None,
                        stop - first,
                        len(body),
                        tuple(samples[:SAMPLES]),
                    )
                )
        return refused

    def _candidates(self, batch: Batch) -> dict[int, Sample]:
        """Rows of the last batch that could be read back, and whether reading them back will tell anything.

        Last night's load may have left the very vectors that this one sends: seeing those proves nothing. One read
        has to do, since small loads of many shards share a budget of requests.
        """
        found = sample(batch, spread(batch, 0, len(batch), CANDIDATES))
        try:
            there = self._client.get_by_ids(self._index_name, list(dict.fromkeys(one.id for one in found.values())))
        except (ApiError, ConfigError):  # with validation="off", an id may be none
            return found  # a load does not fail for want of a proof
        before = {vector.id: digest(vector.values, vector.metadata) for vector in there}
        return {
            row: Sample(one.id, one.digest, new=one.id not in before or self._replaces(before[one.id], one.digest))
            for row, one in found.items()
        }

    def _replaces(self, before: str | None, after: str) -> bool:
        return self._operation == "upsert" and before != after


def spread(batch: Batch, first: int, stop: int, most: int) -> list[int]:
    """A few rows from all over a part of a batch, each the last one of its id: no later row replaces it."""
    ids = batch.ids[first:stop]
    if None in ids:  # an id that is not known may be any
        return [stop - 1]
    rows = list({vector_id: row for row, vector_id in enumerate(ids, first)}.values())
    return sorted({rows[len(rows) * n // most] for n in range(most)} | {stop - 1})[-most:]


def sample(batch: Batch, rows: list[int]) -> dict[int, Sample]:
    """Samples of these rows, but of those that could not be compared with what is read back."""
    found = {}
    for row in rows:
        if len(batch.body(row, row + 1)) > SAMPLE_BYTES:
            continue
        try:
            vector = json.loads(batch.text(row))
            vector_id, vector_digest = vector["id"], digest(vector["values"], vector.get("metadata"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # not checked, and not as it should be; or Vectorize can read what Python cannot
        if vector_digest is not None and isinstance(vector_id, str):
            found[row] = Sample(vector_id, vector_digest)
    return found
