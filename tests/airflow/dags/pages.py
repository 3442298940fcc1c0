"""DAGs for the tests of task pages: links, names of mapped tasks, rendered templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.operators.metadata_index import (
    VectorizeCreateMetadataIndexOperator,
    VectorizeDeleteMetadataIndexOperator,
)
from airflow_provider_vectorize.operators.plan import VectorizePlanLoadOperator
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator, VectorizeGetVectorsOperator

START = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = "{{ dag_run.conf['source'] }}"
TWO_RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(0)}

with DAG("every_operator", schedule=None, start_date=START, default_args={"index_name": "books"}):
    load = VectorizeUpsertOperator(task_id="load", source=SOURCE)
    (
        VectorizeCreateIndexOperator(task_id="create_index", dimensions=32, metric="cosine")
        >> VectorizePlanLoadOperator(task_id="plan", source=SOURCE, shards="{{ 2 }}")
        >> VectorizeCreateMetadataIndexOperator(task_id="create_metadata_index", property_name="n", index_type="number")
        >> load
        >> VectorizeQueryOperator(task_id="query", vector_id="book-1", top_k="{{ 3 }}")
        >> VectorizeGetVectorsOperator(task_id="get", ids=["book-1"])
        >> VectorizeDeleteVectorsOperator(task_id="delete", ids=["book-1"])
        >> VectorizeDeleteMetadataIndexOperator(task_id="delete_metadata_index", property_name="n")
    )

with DAG("fails_at_once", schedule=None, start_date=START):
    VectorizeUpsertOperator(task_id="bad_row", index_name="books", source=SOURCE, **TWO_RETRIES)
    VectorizeUpsertOperator(task_id="no_index", index_name="nowhere", source=SOURCE, **TWO_RETRIES)
    VectorizeUpsertOperator(task_id="no_name", index_name="{{ none }}", source=SOURCE, **TWO_RETRIES)
    VectorizeUpsertOperator(
        task_id="wrong_setting", index_name="books", source=SOURCE, max_in_flight="{{ 'four' }}", **TWO_RETRIES
    )
    VectorizeUpsertOperator(task_id="not_yet", index_name="books", source=f"{SOURCE}-not-yet", **TWO_RETRIES)
    VectorizeUpsertOperator.partial(task_id="mapped", index_name="books", source=SOURCE, **TWO_RETRIES).expand(
        validation=["fulll"]
    )


@task
def same_name(name: str) -> str:
    """Return the name. The output of the mapped tasks is a lazy sequence."""
    return name


@task
def from_conf(key: str, **context: Any) -> Any:
    """Return a value of the run's configuration."""
    return context["dag_run"].conf[key]


with DAG("lazy_outputs", schedule=None, start_date=START):
    names = same_name.expand(name=from_conf.override(task_id="sources")("sources"))
    ids = same_name.override(task_id="one_id").expand(name=from_conf.override(task_id="ids")("ids"))
    load = VectorizeUpsertOperator(task_id="load", index_name="books", source=names)
    load >> VectorizeDeleteVectorsOperator(task_id="delete", index_name="books", ids=ids)

with DAG("named_loads", schedule=None, start_date=START):
    sources = from_conf.override(task_id="sources")("sources")
    VectorizeUpsertOperator.partial(task_id="load", index_name="books").expand(source=sources)
    VectorizeUpsertOperator.partial(
        task_id="users", index_name="books", map_index_template="load of {{ task.source[-5:] }}"
    ).expand(source=sources)
