"""Tests on a real Airflow of planned loads, whose shards are loaded by mapped tasks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.plan import shards
from tests.airflow.conftest import row
from tests.airflow.runs import Airflow, Run, query

Rows = Callable[..., str]
ROWS, SHARDS = 400, 4


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split objects even if they are small."""
    monkeypatch.setattr(shards.split_into_shards, "__defaults__", (1_000,))


def column(run: Run, name: str) -> dict[int, str]:
    """Return a column of the mapped loads by map index."""
    found = query(
        f"select map_index, {name} from task_instance where dag_id = ? and run_id = ? and task_id = 'load'",
        run.dag_id,
        run.run_id,
    )
    return dict(found)


def expected(count: int) -> dict[str, str]:
    rows = [row(number) for number in range(count)]
    return {one["id"]: LocalVectorize.digest(one["values"], metadata=one["metadata"]) for one in rows}


def test_planned_load_of_a_large_object_runs_in_several_tasks(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    source = rows(ROWS)

    run = airflow.run("shards", {"source": source})

    assert run.state == "success"
    assert books.dump("books") == expected(ROWS)
    receipts = [run.xcom("load", map_index=index) for index in range(SHARDS)]
    assert sum(receipt["vectors"] for receipt in receipts) == ROWS
    assert run.xcom("plan", "summary")["shards"] == SHARDS
    assert run.xcom("plan", "summary")["vectors"] == ROWS
    size = Path(source).stat().st_size
    names = sorted(run.xcom("plan"), key=lambda one: int(re.findall(r"=(\d+)", one["source"][0])[0]))
    ranges = [tuple(map(int, re.findall(r"(\d+)-(\d+)$", name)[0])) for one in names for name in one["source"]]
    assert (ranges[0][0], ranges[-1][1]) == (0, size)


def test_mapped_loads_of_parts_have_distinct_names(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    run = airflow.run("shards", {"source": rows(ROWS)})

    names = column(run, "rendered_map_index")
    assert len(set(names.values())) == SHARDS
    assert all(re.fullmatch(r"source\.ndjson#bytes=\d+-\d+ \(1\)", name) for name in names.values())


@pytest.mark.parametrize("after", [3, 17, 39])
def test_failed_shard_resumes_and_other_shards_do_not_run_again(
    airflow: Airflow, books: LocalVectorize, rows: Rows, after: int
) -> None:
    if not query("select 1 from sqlite_master where name = 'task_state_store'"):
        pytest.skip("this Airflow has no task state store")
    books.fail("http_500", operation="upsert", after=after)

    run = airflow.run("shards", {"source": rows(ROWS)})

    assert run.state == "success"
    assert sorted(column(run, "try_number").values()) == [1, 1, 1, 2]
    assert books.dump("books") == expected(ROWS)
    writes = [one for one in books.requests("upsert") if one.status == 200]
    assert sum(one.vectors for one in writes) == ROWS, "nothing was sent twice"
    receipts = [run.xcom("load", map_index=index) for index in range(SHARDS)]
    assert sum(receipt["bytes_sent"] for receipt in receipts) == sum(one.body_bytes for one in writes)


def test_load_of_an_object_that_changed_after_the_plan_fails(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    real = VectorizeHook.plan

    def plan_and_replace(hook: VectorizeHook, *args: object, **options: object) -> object:
        found = real(hook, *args, **options)  # type: ignore[arg-type]
        rows(ROWS, first=1_000)  # longer IDs move the ends of lines
        return found

    monkeypatch.setattr(VectorizeHook, "plan", plan_and_replace)

    run = airflow.run("shards", {"source": rows(ROWS)})

    assert run.state == "failed"
    assert "so it changed after the load was planned" in airflow.log.text
    assert books.count("books") == 0 or set(books.dump("books")) <= {f"book-{n}" for n in range(1_000, 1_000 + ROWS)}
