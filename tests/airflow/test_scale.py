"""Tests of scaling: a sharded load needs requests in proportion to its shards, and the wait for it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, query

TABLES = ("task_instance", "xcom")


def test_mapped_load_each_shard_adds_three_requests_and_none_to_the_wait(
    airflow: Airflow, books: LocalVectorize, rows: Callable[..., str]
) -> None:
    results: dict[int, tuple[Counter[str], list[int]]] = {}
    for shards in (2, 4):
        sources = [rows(5, f"{shards}-{n}.ndjson", first=1_000 * shards + 5 * n) for n in range(shards)]
        before = [query(f"select count(*) from {table}")[0][0] for table in TABLES]
        books.clear_requests()

        run = airflow.run("mapped_loads_deferrable", {"sources": sources})

        assert set(run.states().values()) == {"success"}
        after = [query(f"select count(*) from {table}")[0][0] for table in TABLES]
        added_rows = [later - earlier for earlier, later in zip(before, after, strict=True)]
        results[shards] = Counter(request.operation for request in books.requests()), added_rows

    (few, few_rows), (many, many_rows) = results[2], results[4]
    assert many - few == Counter(get_index=2, get_by_ids=2, upsert=2)
    assert many["info"] == few["info"] == 2, "one check shows one load, the other the marker for the rest"
    assert many["delete_by_ids"] == few["delete_by_ids"] == 1
    assert many_rows[0] - few_rows[0] == 2
    assert (many_rows[1] - few_rows[1]) % 2 == 0
