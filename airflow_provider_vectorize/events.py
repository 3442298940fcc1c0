"""Read asset events about an index, whether an operator of this provider or a watcher sent them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class IndexEvent:
    """What an asset event says about an index.

    :param index_name: Name of the index.
    :param mutation_id: The last mutation.
    :param at: ISO 8601. Time at which the mutation was acknowledged (event of a task) or processed (of a watcher).
    :param visible: Whether the mutation was visible when the event was sent. True for watchers. If it is not, pass
        ``receipt`` to a ``VectorizeMutationSensor``.
    :param vectors: Number of vectors that the task wrote or deleted. ``None`` for watchers, which cannot know it.
    :param vector_count: Number of vectors in the index, eventually consistent. ``None`` for tasks.
    :param receipt: The whole receipt of the task. ``None`` for watchers.
    :param payload: The whole payload of the watcher. ``None`` for tasks.
    """

    index_name: str
    mutation_id: str | None
    at: str | None
    visible: bool
    vectors: int | None = None
    vector_count: int | None = None
    receipt: Mapping[str, Any] | None = None
    payload: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain JSON, for XCom."""
        return asdict(self)


def index_events(context: Mapping[str, Any]) -> list[IndexEvent]:
    """Return what the asset events that started a DAG run say about indexes, in their order.

    Other events, such as those that a person created in the UI, are left out. The list is empty if the run was started
    in another way.

    :param context: Context of the task: ``**context`` of a TaskFlow function, or ``get_current_context()``.
    """
    by_asset = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    events = (index_event(event) for asset_events in by_asset.values() for event in asset_events)
    return [event for event in events if event]


def index_event(event: Any) -> IndexEvent | None:
    """Return what an asset event says about an index. ``None`` if it is about something else.

    :param event: An event of ``triggering_asset_events``, or its ``extra``.
    """
    extra = getattr(event, "extra", event)
    if not isinstance(extra, Mapping):
        return None
    payload = extra.get("payload")
    if extra.get("from_trigger") and isinstance(payload, Mapping):
        return _of_watcher(payload)
    return _of_task(extra)


def _of_watcher(payload: Mapping[str, Any]) -> IndexEvent | None:
    if not _are_texts(payload, "index_name", "processed_at"):
        return None
    return IndexEvent(
        payload["index_name"],
        payload.get("mutation_id"),
        payload["processed_at"],
        visible=True,
        vector_count=payload.get("vector_count"),
        payload=dict(payload),
    )


def _of_task(receipt: Mapping[str, Any]) -> IndexEvent | None:
    if not _are_texts(receipt, "index_name", "mutation_id"):
        return None
    nothing_sent = receipt["mutation_id"] is None
    return IndexEvent(
        receipt["index_name"],
        receipt["mutation_id"],
        receipt.get("accepted_at"),
        visible=nothing_sent,
        vectors=receipt.get("vectors"),
        receipt=dict(receipt),
    )


def _are_texts(extra: Mapping[str, Any], name: str, other: str) -> bool:
    """Check whether the first field is a text, and the other one a text or ``None``.

    Triggers and tasks of other packages may use the same names for something else.
    """
    return isinstance(extra.get(name), str) and isinstance(extra.get(other, 0), str | None)
