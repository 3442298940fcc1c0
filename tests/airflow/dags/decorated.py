"""DAGs with functions that yield rows, fail, or yield something else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.sensors.mutation import VectorizeMutationSensor


def row(number: int) -> dict[str, Any]:
    """Return a row with NumPy values, as a model returns them."""
    return {"id": f"row-{number}", "values": np.full(32, number + 0.5, dtype=np.float32)}


with DAG("decorated_mapped", schedule=None):

    @task.vectorize_upsert(index_name="{{ dag_run.conf['index'] }}")
    def rows(first: int, count: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of one mapped task."""
        yield from map(row, range(first, first + count))

    VectorizeMutationSensor(task_id="wait", mutation=rows.partial(count=10).expand(first=[0, 10, 20]), deferrable=True)

with DAG("decorated_fails_at_first", schedule=None):

    @task.vectorize_upsert(index_name="books", limits=Limits(late_seconds=0), retries=1, retry_delay=timedelta(0))
    def interrupted(ti: Any = None) -> Iterator[dict[str, Any]]:
        """Fail after the first half of the rows in the first attempt."""
        for number in range(20):
            if number == 10 and ti.try_number == 1:
                raise RuntimeError("the model is away")
            yield row(number)

    interrupted()

with DAG("decorated_without_rows", schedule=None):

    @task.vectorize_upsert(index_name="books")
    def forgets_to_yield() -> None:
        """Return nothing."""

    forgets_to_yield()

with DAG("decorated_with_a_bad_row", schedule=None):

    @task.vectorize_upsert(index_name="books")
    def one_is_too_short() -> list[dict[str, Any]]:
        """Return a list of rows, of which one has too few values."""
        return [row(0), {"id": "short", "values": [1.0]}]

    one_is_too_short()
