"""A source that is cut into shards: one mapped task each, with its own tries and its own checkpoint."""

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
    """Objects are cut though they are small."""
    monkeypatch.setattr(shards.deal, "__defaults__", (1_000,))


def column(run: Run, name: str) -> dict[int, str]:
    """Of the mapped loads, by their index."""
    found = query(
        f"select map_index, {name} from task_instance where dag_id = ? and run_id = ? and task_id = 'load'",
        run.dag_id,
        run.run_id,
    )
    return dict(found)


def expected(count: int) -> dict[str, str]:
    rows = [row(number) for number in range(count)]
    return {one["id"]: LocalVectorize.digest(one["values"], metadata=one["metadata"]) for one in rows}


def test_one_large_object_is_loaded_by_several_tasks_and_one_sensor_waits(
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
    cuts = [tuple(map(int, re.findall(r"(\d+)-(\d+)$", name)[0])) for one in names for name in one["source"]]
    assert (cuts[0][0], cuts[-1][1]) == (0, size)


def test_shards_have_names_that_tell_them_apart(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    run = airflow.run("shards", {"source": rows(ROWS)})

    names = column(run, "rendered_map_index")
    assert len(set(names.values())) == SHARDS
    assert all(re.fullmatch(r"source\.ndjson#bytes=\d+-\d+ \(1\)", name) for name in names.values())


@pytest.mark.parametrize("after", [3, 17, 39])
def test_a_shard_that_fails_goes_on_where_it_was_and_the_others_do_nothing_again(
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


def test_an_object_that_is_replaced_after_the_plan_fails_the_shards(
    airflow: Airflow, books: LocalVectorize, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    real = VectorizeHook.plan

    def plan_and_replace(hook: VectorizeHook, *args: object, **options: object) -> object:
        found = real(hook, *args, **options)  # type: ignore[arg-type]
        rows(ROWS, first=1_000)  # ids are longer: lines end elsewhere
        return found

    monkeypatch.setattr(VectorizeHook, "plan", plan_and_replace)

    run = airflow.run("shards", {"source": rows(ROWS)})

    assert run.state == "failed"
    assert "so it changed after the load was planned" in airflow.log.text
    assert books.count("books") == 0 or set(books.dump("books")) <= {f"book-{n}" for n in range(1_000, 1_000 + ROWS)}
