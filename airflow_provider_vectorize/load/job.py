"""One load from its first look at the index to its receipt."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Operation
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import SourceError, VectorizeError
from airflow_provider_vectorize.load.checkpoint import Checkpoint, CheckpointStore, Done, resume
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.source import SourceObject
from airflow_provider_vectorize.load.uploader import LoadOptions, Uploader

log = logging.getLogger(__name__)


def run(
    client: VectorizeClient,
    operation: Operation,
    index_name: str,
    objects: Sequence[SourceObject],
    options: LoadOptions,
    store: CheckpointStore | None = None,
    identity: Mapping[str, str] | None = None,
) -> Receipt:
    """Load the objects, going on from the store's checkpoint where it is of the same load.

    :param client: of its own for this load; it is unusable afterwards.
    :param identity: what else makes it this load, by name.
    :raises VectorizeError: with what was acknowledged before.
    """
    index = client.get_index(index_name)
    identity = {
        **(identity or {}),
        "account": client.credentials.account_id,
        "index": index_name,
        "index's creation": str(index.created_on),
        "operation": operation,
        "source": _fingerprint(objects),
        "dead-letter file": options.dead_letters.target.uri if options.dead_letters else "",
    }
    begun, say = resume(store.load() if store else None, identity)
    if say:
        log.info("%s", say)
    begun = begun or Checkpoint(identity, Done(), Receipt(operation, index_name))
    uploader = Uploader(client, operation, index_name, objects, index.config.dimensions, options, begun, store)
    try:
        receipt = uploader.run()
    except StoppedError:
        raise VectorizeError("The load was stopped.") from None
    if not receipt.vectors:
        raise _nothing(objects, receipt)
    if store:
        store.clear()  # it would survive a clear of the task, and then there is nothing to go on with
    return receipt


def _nothing(objects: Sequence[SourceObject], receipt: Receipt) -> SourceError:
    names = objects[0].uri + (f" and {len(objects) - 1} more" if len(objects) > 1 else "")
    if receipt.rejected:
        return SourceError(
            f"All {receipt.rejected} rows of {names} are bad: nothing was loaded. The first ones are named above.",
            uri=objects[0].uri,
        )
    return SourceError(f"The source is empty: {names} has no rows, so nothing was loaded.", uri=objects[0].uri)


def _fingerprint(objects: Sequence[SourceObject]) -> str:
    parts = "\n".join(f"{item.uri}\t{item.version}" for item in objects)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
