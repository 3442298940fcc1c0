"""Delete the old indexes of a pointer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.errors import IndexNotFoundError, SwitchOverError
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.switch_over.decisions import prunable
from airflow_provider_vectorize.switch_over.pointer import PointerStore, read_pointer
from airflow_provider_vectorize.switch_over.publish import check_live_exists, checked_writes, server_now

log = logging.getLogger(__name__)


def prune_unused(
    client: VectorizeClient, store: PointerStore, *, prefix: str, keep: int, min_age: timedelta
) -> list[str]:
    """Delete the indexes of a pointer that are neither live nor previous nor among the newest. Return their names.

    The pointer and the index are read again before each deletion. See :func:`~.decisions.prunable`.

    :raises SwitchOverError: The pointer cannot be read or does not exist. Indexes that were deleted before stay
        deleted.
    """

    def deletable(indexes: Sequence[Index], keep: int) -> list[Index]:
        pointer = read_pointer(store)
        check_live_exists(client, store, pointer)
        now = server_now(client)
        return prunable(store.uri, pointer, indexes, prefix=prefix, keep=keep, min_age=min_age, now=now)

    deleted: list[str] = []
    for index in deletable(client.list_indexes(), keep):

        def check_unused(index: Index = index) -> None:
            if deletable([client.get_index(index.name)], keep=0) != [index]:
                raise SwitchOverError(
                    f'Index "{index.name}" was not deleted, because it was published or created again while others '
                    f"were deleted ({', '.join(deleted) or 'none yet'}). A retry of the task is safe.",
                    pointer=store.uri,
                    permanent=False,
                )

        try:
            with checked_writes(client, check_unused):
                client.delete_index(index.name)
        except IndexNotFoundError:
            log.info('Index "%s" does not exist anymore.', index.name)
        else:
            log.info('Deleted index "%s", created at %s.', index.name, index.created_on)
            deleted.append(index.name)
    log.info("Deleted %s of the pointer %s.", pluralize(len(deleted), "index", "indexes"), store.uri)
    return deleted
