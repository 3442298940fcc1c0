"""Create an index for a rebuild: like another one, in place of an idle slot, with the mark of its pointer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.models import Index, MetadataIndex, Metric, Mutation
from airflow_provider_vectorize.errors import (
    IndexNotFoundError,
    InvalidIndexConfigError,
    SwitchOverError,
    VectorizeError,
)
from airflow_provider_vectorize.switch_over.decisions import clears_previous
from airflow_provider_vectorize.switch_over.mark import Mark, describe, read_mark
from airflow_provider_vectorize.switch_over.pointer import Pointer, PointerStore, read_pointer
from airflow_provider_vectorize.switch_over.publish import (
    check_live_exists,
    checked_writes,
    server_now,
    write_and_read_back,
)
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest
from airflow_provider_vectorize.visibility.waits import waits_for

log = logging.getLogger(__name__)

#: Seconds between two checks whether the metadata indexes are visible, and seconds after which the task fails.
CHECK_SECONDS = 3.0
MAX_WAIT_SECONDS = 1_800.0


@dataclass(frozen=True)
class Shape:
    """What a new index looks like.

    :param dimensions: Number of dimensions. ``None`` with a preset, or if ``like`` has not filled it in.
    :param metric: Metric.
    :param preset: Instead of both.
    :param description: The user's description.
    :param model: Embedding model, for the mark.
    :param metadata_indexes: Metadata indexes that have to exist before the first vector.
    """

    dimensions: int | None = None
    metric: Metric | None = None
    preset: str | None = None
    description: str | None = None
    model: str | None = None
    metadata_indexes: tuple[MetadataIndex, ...] = ()


def fill_in(client: VectorizeClient, shape: Shape, like: str) -> Shape:
    """Return a shape with what it lacks taken from an existing index, and with the metadata indexes of that index.

    :raises IndexNotFoundError: The existing index does not exist.
    """
    index = client.get_index(like)
    mark = read_mark(index.description)
    shape = replace(
        shape,
        model=shape.model or (mark.model if mark else None),
        metadata_indexes=tuple(client.list_metadata_indexes(like)),
    )
    if shape.preset:
        return shape
    return replace(
        shape,
        dimensions=index.config.dimensions if shape.dimensions is None else shape.dimensions,
        metric=shape.metric or index.config.metric,
    )


def delete_idle_slot(client: VectorizeClient, store: PointerStore, name: str, min_age: timedelta) -> bool:
    """Delete the index in a slot, if there is one and no reader uses it. Return whether it was deleted.

    If the pointer names it as the previous index, this is cleared first, so that no rollback leads to a slot that is
    being rebuilt. The pointer is read again right before the deletion.

    :raises SwitchOverError: The slot is live, was live less than ``min_age`` ago, or does not belong to the pointer.
    """
    try:
        index = client.get_index(name)
        info = client.get_index_info(name)
    except IndexNotFoundError:
        return False
    has_vectors = bool(info.vector_count or info.processed_up_to_mutation)

    def must_clear_previous() -> Pointer | None:
        pointer = read_pointer(store)
        check_live_exists(client, store, pointer)
        now = server_now(client)
        clears = clears_previous(store.uri, pointer, index, has_vectors=has_vectors, min_age=min_age, now=now)
        return pointer if clears else None

    if pointer := must_clear_previous():
        log.info('Clearing the previous index "%s" in the pointer %s before its deletion.', name, store.uri)
        write_and_read_back(client, store, pointer, replace(pointer, previous=None))

    def check_unused() -> None:
        if must_clear_previous():
            raise SwitchOverError(
                f'Index "{name}" was not replaced, because the pointer {store.uri} names it as the previous index '
                "again. Another publisher has moved the pointer. A retry is safe.",
                pointer=store.uri,
                permanent=False,
            )

    with checked_writes(client, check_unused):
        client.delete_index(name)
    log.info('Deleted index "%s", which was neither live nor the previous index.', name)
    return True


def create(
    client: VectorizeClient, name: str, shape: Shape, pointer_uri: str | None, *, if_exists: str
) -> tuple[Index, bool]:
    """Create an index with its mark and its metadata indexes, and wait until these are visible.

    :param pointer_uri: Pointer of the mark. ``None``: the index gets no mark.
    :param if_exists: ``skip`` accepts a matching index.
    :return: The index, and whether it was created.
    :raises InvalidIndexConfigError: The existing index has another shape, or lacks metadata indexes for its vectors.
    """
    description = describe(Mark(pointer_uri, shape.model), shape.description) if pointer_uri else shape.description
    config = {"dimensions": shape.dimensions, "metric": shape.metric, "preset": shape.preset}
    if if_exists == "skip":
        index, created = client.ensure_index(name, **config, description=description)  # type: ignore[arg-type]
    else:
        index, created = client.create_index(name, **config, description=description), True  # type: ignore[arg-type]
    if shape.metadata_indexes:
        _create_metadata_indexes(client, name, shape.metadata_indexes, created=created)
    return index, created


def _create_metadata_indexes(
    client: VectorizeClient, name: str, wanted: Sequence[MetadataIndex], *, created: bool
) -> None:
    existing = [] if created else client.list_metadata_indexes(name)
    missing = [metadata_index for metadata_index in wanted if metadata_index not in existing]
    if missing and not created and client.get_index_info(name).vector_count:
        names = ", ".join(metadata_index.property_name for metadata_index in missing)
        raise InvalidIndexConfigError(
            f'Index "{name}" already exists and has vectors, but lacks the metadata indexes {names}, which would not '
            "cover these vectors. Use another name, or replace=True."
        )
    mutations = [
        client.create_metadata_index(name, metadata_index.property_name, metadata_index.index_type)
        for metadata_index in missing
    ]
    if mutations:
        _wait_until_visible(client, name, mutations)
        log.info('Created %d metadata indexes of index "%s", before its first vector.', len(mutations), name)


def _wait_until_visible(client: VectorizeClient, name: str, mutations: list[Mutation]) -> None:
    """Wait until the metadata indexes are visible, because they cover only vectors that are written later."""
    monitor = IndexMonitor(client, name)
    request = WaitRequest(tuple(waits_for(mutations, None)))
    deadline = client.clock.now() + MAX_WAIT_SECONDS
    while True:
        verdict = monitor.check({name: request})[0][name]
        if verdict.visible:
            return
        if verdict.failure or client.clock.now() > deadline:
            raise VectorizeError(
                f'The metadata indexes of index "{name}" were created but are not visible: {verdict.text} A retry of '
                "the task continues."
            )
        log.info("Waiting for the metadata indexes: %s", verdict.text)
        client.pacer.wait(CHECK_SECONDS)
