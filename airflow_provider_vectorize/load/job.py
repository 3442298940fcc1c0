"""One load, from what is known of the index to its receipt."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index, Operation
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load.bad_rows import BadRows
from airflow_provider_vectorize.load.checkpoint import (
    Checkpoint,
    CheckpointStore,
    CheckpointWriter,
    may_have_left_requests,
    resume,
)
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.delivery import Delivery
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress import Observer
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.uploader import Uploader
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import choose_check
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)


def run(
    client: VectorizeClient,
    operation: Operation,
    index: Index,
    objects: Sequence[SourceObject],
    options: LoadOptions,
    store: CheckpointStore | None = None,
    identity: Mapping[str, str] | None = None,
    tell: Observer = lambda progress: None,
    *,
    earlier_attempt: bool = False,
) -> Receipt:
    """Load the objects, going on from the store's checkpoint where it is of the same load.

    :param client: of its own for this load; it is unusable afterwards.
    :param identity: what else makes it this load, by name. With it the checkpoint of a finished load stays in the
        store, so that a task that is lost before it can hand on its receipt need not load again.
    :param tell: of the load's progress, every few seconds and at its end.
    :param earlier_attempt: Whether another process may have begun this load before. Unless the store's checkpoint says
        that it left nothing behind, the first write waits for ``late_seconds`` of the limits.
    :raises VectorizeError: with what was acknowledged before.
    """
    uris = [item.uri for item in objects]
    letters = options.dead_letters
    keeper = CheckpointWriter(store)
    kept = keeper.load()
    left_requests = may_have_left_requests(kept, earlier_attempt=earlier_attempt)
    if left_requests:
        client.late.give_up()
    begun = _begin(
        kept,
        Checkpoint(
            {
                **(identity or {}),
                "account": client.credentials.account_id,
                "index": index.name,
                "index's creation": str(index.created_on),
                "operation": operation,
                "source": _fingerprint(objects),
                "dead-letter file": letters.target.uri if letters else "",
            },
            ProcessedRanges(),
            Receipt(
                operation,
                index.name,
                created_on=index.created_on.isoformat() if index.created_on else None,
                dead_letter_path=letters.target.uri if letters else None,
            ),
        ),
        letters,
        uris,
    )
    if kept is not None and not left_requests:
        keeper.save(begun)  # otherwise the checkpoint would claim that this attempt left nothing behind either
    check = choose_check(index.config.dimensions, options.limits, options.validation, options.float32_text)
    ledger = Ledger(begun, keeper, letters, uris)
    bad_rows = BadRows(options, uris, begun.receipt.rejected)
    delivery = Delivery(client, operation, index.name, bad_rows)
    receipt = Uploader(client, objects, check, options, ledger, bad_rows, delivery, tell).run()
    if not receipt.vectors:
        raise _nothing(objects, receipt)
    if not identity:
        keeper.clear()  # nothing would tell the next load of the same source from a retry of this one
    return receipt


def _begin(kept: Any, fresh: Checkpoint, letters: DeadLetters | None, uris: Sequence[str]) -> Checkpoint:
    """The checkpoint to go on from, or the fresh one; and the dead-letter file as it belongs to it."""
    begun, say = resume(kept, fresh.identity, uris)
    if begun and letters and not letters.restore(begun.dead_letter_bytes, begun.dead_letter_digest):
        begun, say = None, f"The dead-letter file {letters.target.uri} is not what it was: starting over."
    if say:
        log.info("%s", say)
    if begun:
        return replace(begun, settled=False)
    if letters:
        letters.begin()
    return fresh


def _nothing(objects: Sequence[SourceObject], receipt: Receipt) -> SourceError:
    names = objects[0].uri + (f" and {len(objects) - 1} more" if len(objects) > 1 else "")
    if receipt.rejected:
        return SourceError(
            f"All {receipt.rejected:,} rows of {names} are bad: nothing was loaded. The first ones are named above.",
            uri=objects[0].uri,
            permanent=True,
        )
    return SourceError(f"The source is empty: {names} has no rows, so nothing was loaded.", uri=objects[0].uri)


def _fingerprint(objects: Sequence[SourceObject]) -> str:
    parts = "\n".join(f"{item.identity}\t{item.version}" for item in objects)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
