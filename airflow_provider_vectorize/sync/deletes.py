"""Delete the vectors that left the source, after everything else was acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Mutation
from airflow_provider_vectorize.load.deletion import existing_samples
from airflow_provider_vectorize.load.progress_reporter import PROGRESS_SECONDS
from airflow_provider_vectorize.load.receipt import Sample
from airflow_provider_vectorize.quantities import format_duration, pluralize
from airflow_provider_vectorize.sync.decisions import Deletions
from airflow_provider_vectorize.sync.log import Log
from airflow_provider_vectorize.sync.table import APPROVED, DELETED, SEEN, IdTable

log = logging.getLogger(__name__)

Condition = Callable[[slice], np.ndarray]


def vanished(table: IdTable, skipped: np.ndarray) -> Condition:
    """Return the condition that an ID has left the source: no row had it, and its object was not skipped."""

    def condition(chunk: slice) -> np.ndarray:
        has_left: np.ndarray = table.flags[chunk] & (SEEN | DELETED) == 0
        has_left &= ~skipped[table.objects[chunk]]
        return has_left

    return condition


def to_delete(table: IdTable, skipped: np.ndarray, decision: Deletions) -> Condition:
    """Return the condition that an ID has left the source and is deleted."""
    has_left = vanished(table, skipped)

    def condition(chunk: slice) -> np.ndarray:
        is_approved = table.flags[chunk] & APPROVED != 0
        is_released = np.where(is_approved, decision.delete_approved, decision.delete_others)
        deleted: np.ndarray = has_left(chunk) & is_released
        return deleted

    return condition


def withheld(table: IdTable, skipped: np.ndarray, decision: Deletions) -> Condition:
    """Return the condition that an ID has left the source and is not deleted."""
    has_left, deleted = vanished(table, skipped), to_delete(table, skipped, decision)
    return lambda chunk: has_left(chunk) & ~deleted(chunk)


@dataclass
class DeletionReceipt:
    """What Vectorize acknowledged of the deletions.

    :param ids: Number of deleted IDs.
    :param requests: Number of acknowledged requests.
    :param mutations: The mutations, in order.
    :param samples: A few vectors that existed before, so that their disappearance is evidence.
    """

    ids: int = 0
    requests: int = 0
    mutations: list[Mutation] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def delete_vectors(
    client: VectorizeClient, index_name: str, table: IdTable, condition: Condition, total: int, write_ahead: Log
) -> DeletionReceipt:
    """Delete vectors page by page: each page is written down, sent, and counted after its acknowledgement.

    :param client: The client that sends the requests.
    :param condition: Which IDs are deleted.
    :param total: Number of these IDs.
    :param write_ahead: The log.
    :raises VectorizeError: A request failed. The pages before it are acknowledged.
    """
    receipt = DeletionReceipt()
    started = reported = client.clock.now()
    with client.late.settling():
        for positions in _pages(table, condition, client.limits.ids_per_delete):
            ids = table.ids(positions)
            if receipt.ids + len(ids) == total:
                receipt.samples = existing_samples(client, index_name, ids)
            number = write_ahead.write("delete", ids)
            receipt.mutations.append(client.delete_page(index_name, ids))
            write_ahead.acknowledge(number)
            table.flags[positions] |= DELETED
            receipt.ids += len(ids)
            receipt.requests += 1
            if (now := client.clock.now()) - reported >= PROGRESS_SECONDS:
                reported = now
                left = (now - started) / receipt.ids * (total - receipt.ids)
                log.info(
                    "Deleted %s of %s that left the source (%.0f%%), about %s left.",
                    f"{receipt.ids:,}",
                    pluralize(total, "vector"),
                    100 * receipt.ids / total,
                    format_duration(left),
                )
    return receipt


def _pages(table: IdTable, condition: Condition, size: int) -> Iterator[np.ndarray]:
    """Yield positions in pages that are full, except for the last one."""
    rest = np.empty(0, np.int64)
    for positions in table.where(condition):
        rest = np.concatenate([rest, positions])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield rest
