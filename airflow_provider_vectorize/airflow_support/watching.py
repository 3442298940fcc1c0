"""Warn about a DAG that starts itself: it watches an index and also writes to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_vectorize.events import index_events

log = logging.getLogger(__name__)


def warn_if_watched(
    context: Mapping[str, Any], vectorize_conn_id: str, index_names: Iterable[str], *, markers: bool = False
) -> None:
    """Log a warning if a watcher of one of these indexes started this run of the DAG.

    :param context: Context of the task.
    :param index_names: The indexes that the task is about to write to.
    :param markers: Whether the task writes only markers.
    """
    # Airflow 2 has no watchers. Reading the events of its context is a query of the database, which can fail.
    events = index_events({"triggering_asset_events": context.get("triggering_asset_events")})
    watched = [(event.payload.get("vectorize_conn_id"), event.index_name) for event in events if event.payload]
    for index_name in dict.fromkeys(index_names):
        if (vectorize_conn_id, index_name) in watched:
            log.warning(
                'A watcher of index "%s" started this run, and this task %s to the same index. Every run may '
                "therefore start another one. %s",
                index_name,
                "may write markers" if markers else "writes",
                'Wait in the DAG that writes, or set marker="none".'
                if markers
                else "Write in another DAG, or to another index.",
            )
