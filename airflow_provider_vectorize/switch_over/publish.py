"""Move the pointer: write it, read it back, and only then succeed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.api.transport import Transport
from airflow_provider_vectorize.errors import IndexNotFoundError, SwitchOverError
from airflow_provider_vectorize.switch_over.decisions import check_incarnation, check_publication
from airflow_provider_vectorize.switch_over.mark import read_mark
from airflow_provider_vectorize.switch_over.pointer import Pointer, PointerStore, read_pointer

log = logging.getLogger(__name__)

#: Seconds before each further attempt to read a written pointer back. Workers KV may show an older value for a minute.
READ_BACK_WAITS = (1, 2, 5, 10, 20, 30, 30)


def publish_index(
    client: VectorizeClient, store: PointerStore, index_name: str, expect: str | None, created_on: datetime | None
) -> dict[str, Any]:
    """Make the pointer name an index. Succeeds without a write if it already does.

    :param store: Store of the pointer.
    :param expect: Index that has to be live now, or ``None`` if nothing may be published yet.
    :param created_on: When the index was created, or ``None`` for the previous index of the pointer.
    :return: ``index_name`` and ``previous``.
    :raises SwitchOverError: The publication was refused, or the written pointer does not read back.
    :raises IndexNotFoundError: The index does not exist.
    """
    index = client.get_index(index_name)
    pointer = read_pointer(store)
    check_publication(store.uri, pointer, index, expect, created_on)
    if pointer and pointer.index == index_name:
        log.info('Index "%s" is already live according to the pointer %s. Nothing was written.', index_name, store.uri)
        return {"index_name": index_name, "previous": pointer.previous}
    mark = read_mark(index.description)
    published = Pointer(
        index_name, pointer.index if pointer else None, server_now(client), mark.model if mark else None
    )
    write_and_read_back(client, store, pointer, published)
    _check_index_after(client, store, index)
    log.info('Published index "%s" at %s. The previous index is "%s".', index_name, store.uri, published.previous)
    return {"index_name": index_name, "previous": published.previous}


@contextmanager
def checked_writes(client: Transport, check: Callable[[], None]) -> Iterator[None]:
    """Run a check right before each attempt of a write, because waits and retries can take half an hour."""
    client.before_write = check
    try:
        yield
    finally:
        client.before_write = lambda: None


def write_and_read_back(client: VectorizeClient, store: PointerStore, before: Pointer | None, pointer: Pointer) -> None:
    """Write a pointer, and wait until it reads back.

    :param before: The pointer that is replaced. Another one is not overwritten.
    :raises SwitchOverError: Another publisher has moved the pointer, or it does not read back, although the write was
        acknowledged. A retry is safe.
    """

    def check_unmoved() -> None:
        if read_pointer(store) not in (before, pointer):  # An attempt without an answer may have written it.
            raise SwitchOverError(
                f"The pointer {store.uri} was moved by another publisher at the same time, so it was not written. "
                "Use one publisher, with max_active_runs=1. A retry of the task is safe.",
                pointer=store.uri,
                permanent=False,
            )

    store.write(pointer.to_json(), check_unmoved)
    found = read_pointer(store)
    for seconds in READ_BACK_WAITS:
        if found == pointer:
            return
        log.info("Waiting %d s, because the pointer %s does not show the written value yet.", seconds, store.uri)
        client.pacer.wait(seconds)
        found = read_pointer(store)
    if found != pointer:
        raise SwitchOverError(
            f'The pointer {store.uri} was written to name index "{pointer.index}", but it reads back as '
            f"{found.to_json().decode() if found else 'missing'}. Readers may use either index. Another publisher may "
            "have written it, or its store shows old values. A retry of the task is safe.",
            pointer=store.uri,
            permanent=False,
        )


def server_now(client: VectorizeClient) -> datetime:
    """Return the time of the latest answer by Cloudflare's clock, which also dates the indexes."""
    return client.server_time or datetime.now(UTC)


def check_live_exists(client: VectorizeClient, store: PointerStore, pointer: Pointer | None) -> None:
    """Check that the live index exists, before another index is deleted.

    Readers cannot use an index that does not exist, so they use another one, and the pointer does not say which.

    :raises SwitchOverError: It does not exist.
    """
    if pointer is None:
        return
    try:
        client.get_index(pointer.index)
    except IndexNotFoundError as error:
        raise SwitchOverError(
            f'No index was deleted, because index "{pointer.index}", which the pointer {store.uri} names, does not '
            "exist, so which index readers use is unknown. Publish an index that exists, or correct the pointer where "
            "it is stored.",
            pointer=store.uri,
        ) from error


def _check_index_after(client: VectorizeClient, store: PointerStore, before: Index) -> None:
    try:
        check_incarnation(store.uri, client.get_index(before.name), before.created_on)
    except (IndexNotFoundError, SwitchOverError) as error:
        raise SwitchOverError(
            f'Index "{before.name}" was deleted or replaced while it was published, and the pointer {store.uri} names '
            f"it. Publish the previous index now. {error.message}",
            pointer=store.uri,
        ) from error
