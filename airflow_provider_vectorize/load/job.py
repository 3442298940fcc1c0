"""Run one load, from its checkpoint to its receipt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index, Operation
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.load import spans
from airflow_provider_vectorize.load.bad_row_policy import BadRowPolicy
from airflow_provider_vectorize.load.checkpoint import (
    Checkpoint,
    CheckpointStore,
    CheckpointWriter,
    match_checkpoint,
    may_have_left_requests,
)
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.delivery import Delivery
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress import Observer
from airflow_provider_vectorize.load.progress_reporter import ProgressReporter
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.uploader import Uploader
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.formats import detect_format
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
    observer: Observer = lambda progress: None,
    *,
    earlier_attempt: bool = False,
) -> Receipt:
    """Load the objects. Continue from the store's checkpoint if it belongs to the same load.

    :param client: A client for this load alone. It cannot be used afterwards.
    :param operation: ``insert`` or ``upsert``.
    :param index: The index, as it was read just before.
    :param objects: The source, in order.
    :param options: The options of the load.
    :param store: Keeps the checkpoint between attempts. Without it, a retry starts over.
    :param identity: What else defines this load, by name. With it, the checkpoint of a finished load stays in the
        store, so that a task that is lost before it pushes its receipt need not load again.
    :param observer: Called with the progress of the load every few seconds and at its end.
    :param earlier_attempt: Whether another process may have started this load before. Unless the store's checkpoint
        says that the process left no abandoned request, the first write waits for ``late_seconds`` of the limits.
    :raises VectorizeError: The load failed. The message says what was acknowledged before.
    """
    object_format = detect_format(objects, options.format)
    reader = options.make_reader(object_format, index.config.dimensions)
    source = LoadSource(objects, reader)
    if options.collector:
        options.collector.start(index)
    checkpoint_writer = CheckpointWriter(store)
    stored = checkpoint_writer.load()
    left_requests = may_have_left_requests(stored, earlier_attempt=earlier_attempt)
    if left_requests:
        client.late.add_abandoned()
    new = _new_checkpoint(client, operation, index, source, options, identity or {})
    checkpoint = _resume_or_start(stored, new, options.dead_letters, source)
    if stored is not None and not left_requests:
        # The stored checkpoint would otherwise claim that this attempt left no abandoned request either.
        checkpoint_writer.save(checkpoint)
    policy = BadRowPolicy(options, source, checkpoint.receipt.rejected)
    ledger = Ledger(checkpoint, checkpoint_writer, options.dead_letters, source)
    uploader = Uploader(
        client,
        source,
        options,
        ledger,
        policy,
        Delivery(client, operation, index.name, policy),
        ProgressReporter(client, ledger, source, observer),
    )
    with (
        closing(reader),
        spans.span("vectorize.load", index=index.name, operation=operation, objects=len(objects)) as current,
    ):
        receipt = uploader.run()
        spans.describe(current, vectors=receipt.vectors, rejected=receipt.rejected, mutation_id=receipt.mutation_id)
    if not receipt.vectors:
        raise _nothing_loaded(source, receipt)
    if not identity:
        # Nothing would distinguish the next load of the same source from a retry of this one.
        checkpoint_writer.clear()
    return receipt


def _new_checkpoint(
    client: VectorizeClient,
    operation: Operation,
    index: Index,
    source: LoadSource,
    options: LoadOptions,
    identity: Mapping[str, str],
) -> Checkpoint:
    dead_letter_uri = options.dead_letters.target.uri if options.dead_letters else None
    return Checkpoint(
        {
            **identity,
            "account": client.credentials.account_id,
            "index": index.name,
            "index's creation": str(index.created_on),
            "operation": operation,
            "source": source.fingerprint,
            **({} if options.fields.is_default else {"fields": repr(options.fields)}),
            "dead-letter file": dead_letter_uri or "",
        },
        ProcessedRanges(),
        Receipt(
            operation,
            index.name,
            created_on=index.created_on.isoformat() if index.created_on else None,
            dead_letter_path=dead_letter_uri,
        ),
    )


def _resume_or_start(stored: Any, new: Checkpoint, dead_letters: DeadLetters | None, source: LoadSource) -> Checkpoint:
    """Return the checkpoint from which the load continues, and prepare the dead-letter file for it."""
    checkpoint, message = match_checkpoint(stored, new.identity)
    if checkpoint and dead_letters:
        unchanged = dead_letters.restore(checkpoint.dead_letter_bytes, checkpoint.dead_letter_digest)
        if not unchanged:
            checkpoint, message = None, f"Starting over: the dead-letter file {dead_letters.target.uri} has changed."
    if checkpoint:
        log.info("%s", resume_message(checkpoint, source))
        return replace(checkpoint, settled=False)
    if message:
        log.info("%s", message)
    if dead_letters:
        dead_letters.start()
    return new


def resume_message(checkpoint: Checkpoint, source: LoadSource) -> str:
    """Return the log message of a load that continues from a checkpoint."""
    receipt, processed = checkpoint.receipt, checkpoint.processed
    place = source.place(processed.resume_position)
    gaps = " Batches after it that are already acknowledged are skipped." if processed.has_gaps else ""
    return (
        f"Resuming from the last checkpoint at {place[0].lower()}{place[1:]}.{gaps} "
        f"Already acknowledged: {pluralize(receipt.vectors, 'vector')} in "
        f"{pluralize(receipt.batches, 'batch', 'batches')} (last mutation {receipt.mutation_id})."
    )


def _nothing_loaded(source: LoadSource, receipt: Receipt) -> SourceError:
    if receipt.rejected:
        return SourceError(
            f"Nothing was loaded: {source} has {pluralize(receipt.rejected, 'bad row')} and no good one. The log above "
            "names the first ones.",
            uri=source.uris[0],
            permanent=True,
        )
    return SourceError(f"The source is empty: {source} has no rows, so nothing was loaded.", uri=source.uris[0])
