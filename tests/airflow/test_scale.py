"""What a load in shards costs is linear in the shards, and what waiting for it costs is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, query

TABLES = ("task_instance", "xcom")


def test_a_shard_more_costs_three_requests_more_and_the_wait_nothing(
    airflow: Airflow, books: LocalVectorize, rows: Callable[..., str]
) -> None:
    found: dict[int, tuple[Counter[str], list[int]]] = {}
    for shards in (2, 4):
        sources = [rows(5, f"{shards}-{n}.ndjson", first=1_000 * shards + 5 * n) for n in range(shards)]
        before = [query(f"select count(*) from {table}")[0][0] for table in TABLES]
        books.clear_requests()

        run = airflow.run("mapped_loads_deferrable", {"sources": sources})

        assert set(run.states().values()) == {"success"}
        after = [query(f"select count(*) from {table}")[0][0] for table in TABLES]
        counts = [late - early for early, late in zip(before, after, strict=True)]
        found[shards] = Counter(one.operation for one in books.requests()), counts

    (few, few_rows), (many, many_rows) = found[2], found[4]
    assert many - few == Counter(get_index=2, get_by_ids=2, upsert=2)
    assert many["info"] == few["info"] == 2, "a check that shows one load, and one that shows the marker for the others"
    assert many["delete_by_ids"] == few["delete_by_ids"] == 1
    assert many_rows[0] - few_rows[0] == 2
    assert (many_rows[1] - few_rows[1]) % 2 == 0
