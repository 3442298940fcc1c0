"""Start a DAG whenever an index has changed, also by writes from outside of Airflow. Requires Airflow 3.0.

A watcher checks the index every minute in the triggerer. Its event reports what is already visible, so nothing has to
be waited for. The DAG must not write to the index, or it starts itself.

The asset has a name of its own. If a load has the same asset among its ``outlets``, the DAG starts twice. If another
DAG file uses the same asset without the watcher, Airflow removes the watcher whenever it parses that file.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_vectorize.events import index_events
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.triggers.index import VectorizeIndexChangedTrigger

log = logging.getLogger(__name__)

INDEX = "docs"
CHANGES = Asset(
    name="changes_of_docs",
    watchers=[AssetWatcher(name="watch_docs", trigger=VectorizeIndexChangedTrigger(INDEX, quiet_for=120))],
)

with DAG(
    dag_id="after_change",
    schedule=[CHANGES],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["vectorize"],
    doc_md=__doc__,
):

    @task
    def report(**context: Any) -> list[dict[str, Any]]:
        """Log what changed, and return the payloads of the watcher's events."""
        events = [event for event in index_events(context) if event.payload]
        for event in events:
            log.info('Index "%s" has about %s vectors since %s.', event.index_name, event.vector_count, event.at)
        log.info('Index "%s" now has %d vectors.', INDEX, VectorizeHook().get_index_info(INDEX).vector_count)
        return [dict(event.payload) for event in events if event.payload]

    report()
