"""Tests on a real Airflow that loads pass receipts through XCom and sensors wait until they are visible."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import AIRFLOW_3_0, Airflow, has_parameter

MODES = ("poke", "reschedule", "deferrable")
Rows = Callable[..., str]


@pytest.mark.parametrize("mode", MODES)
def test_sensor_waits_for_the_receipt_of_a_load(airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str) -> None:
    run = airflow.run(f"upsert_then_wait_{mode}", {"source": rows(10)})

    assert run.states() == {"load": "success", "wait": "success", "receive": "success"}
    assert books.count("books") == 10


def test_load_pushes_each_key_of_the_receipt_to_xcom(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    run = airflow.run("upsert_then_wait_poke", {"source": rows(10)})

    receipt = run.xcom("load")
    if AIRFLOW_3_0:  # It cannot push None.
        receipt = {key: value for key, value in receipt.items() if value is not None}
    links = {key for key in run.xcom_keys("load") if "link" in key.lower()}
    assert run.xcom_keys("load") == {"return_value", *receipt, *links}
    assert all(run.xcom("load", key) == value for key, value in receipt.items())
    assert run.xcom("receive") == f"received {receipt['mutation_id']}"
    assert (receipt["index_name"], receipt["vectors"], receipt["batches"], receipt["rejected"]) == ("books", 10, 1, 0)
    (sent,) = books.requests("upsert")
    assert (receipt["mutation_id"], receipt["bytes_sent"]) == (sent.mutation_id, sent.body_bytes)


def test_sensor_pushes_only_its_link_to_xcom(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    run = airflow.run("upsert_then_wait_deferrable", {"source": rows(10)})

    assert run.xcom_keys("wait") == {"vectorize_index_link"}


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_sensor_waits_for_an_insert_and_an_upsert(
    airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str
) -> None:
    both = {"source": rows(20), "second": rows(30, "second.ndjson", first=10)}

    run = airflow.run(f"insert_then_upsert_{mode}", both)

    assert run.state == "success"
    assert (run.xcom("insert", "vectors"), run.xcom("upsert", "vectors")) == (20, 30)
    assert books.count("books") == 40


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_sensor_waits_for_mutations_that_hook_methods_return(
    airflow: Airflow, books: LocalVectorize, mode: str
) -> None:
    run = airflow.run(f"hook_writes_{mode}", {})

    assert run.state == "success"
    assert [one["operation"] for one in run.xcom("delete_pages")] == ["delete"] * 3
    assert run.xcom("upsert_one")["index_name"] == "books"


def test_sensor_in_reschedule_mode_with_several_receipts_fails(
    airflow: Airflow, books: LocalVectorize, rows: Rows
) -> None:
    run = airflow.run("mapped_loads_reschedule", {"sources": [rows(5, f"{n}.ndjson", first=5 * n) for n in range(2)]})

    assert run.states()["wait"] == "failed"
    assert "remembers nothing between two pokes" in airflow.log.text


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_sensor_waits_for_the_receipts_of_mapped_loads(
    airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str
) -> None:
    sources = [rows(5, f"{shard}.ndjson", first=5 * shard) for shard in range(3)]

    run = airflow.run(f"mapped_loads_{mode}", {"sources": sources})

    assert run.states() == {
        "sources": "success",
        "load[0]": "success",
        "load[1]": "success",
        "load[2]": "success",
        "wait": "success",
    }
    assert books.count("books") == 15
    assert len({run.xcom("load", "mutation_id", map_index=shard) for shard in range(3)}) == 3


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_mapped_sensors_wait_for_one_mapped_load_each(
    airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str
) -> None:
    sources = [rows(5, f"{shard}.ndjson", first=5 * shard) for shard in range(2)]

    run = airflow.run(f"mapped_sensors_{mode}", {"sources": sources})

    assert set(run.states()) == {"sources", "load[0]", "load[1]", "wait[0]", "wait[1]"}
    assert run.state == "success"


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_sensor_with_mutation_ids_and_index_name_waits(
    airflow: Airflow, books: LocalVectorize, rows: Rows, mode: str
) -> None:
    run = airflow.run(f"bare_ids_{mode}", {"source": rows(10)})

    assert run.states() == {"load": "success", "one": "success", "several": "success"}


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_sensor_waits_for_two_loads_that_one_job_processed(
    airflow: Airflow,
    books: LocalVectorize,
    rows: Rows,
    mode: str,
    after_check: Callable[[int, Callable[[], Any]], None],
) -> None:
    folded: list[dict[str, Any]] = []

    def fold() -> None:
        folded.extend(books.process("books"))
        books.release()

    books.hold()
    after_check(2, fold)

    run = airflow.run(f"mapped_loads_{mode}", {"sources": [rows(5, "a.ndjson"), rows(5, "b.ndjson", first=5)]})

    assert run.state == "success"
    ids = [run.xcom("load", "mutation_id", map_index=shard) for shard in range(2)]
    assert [sorted(batch["mutation_ids"]) for batch in folded] == [sorted(ids)]
    assert "has not processed any mutation yet" in airflow.log.text
    assert 'Visible in index "books": 10 vectors.' in airflow.log.text
    assert len(books.requests("delete_by_ids")) == 1, "the index shows one of the two, and a marker proves the other"


def test_run_without_logical_date_loads_and_waits(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    test = airflow.bag.dags["upsert_then_wait_deferrable"].test
    if not has_parameter(test, "logical_date"):
        pytest.skip("Airflow 2 has no runs without a logical date")

    run = airflow.run("upsert_then_wait_deferrable", {"source": rows(10)}, logical_date=None)

    assert run.state == "success"


def test_rendered_fields_contain_names_and_no_vectors(airflow: Airflow, books: LocalVectorize, rows: Rows) -> None:
    from tests.airflow.runs import query

    source = rows(10)
    run = airflow.run("upsert_then_wait_deferrable", {"source": source})

    fields = dict(
        query("select task_id, rendered_fields from rendered_task_instance_fields where run_id = ?", run.run_id)
    )
    assert json.loads(fields["load"])["source"] == source
    assert "0.5" not in "".join(map(str, fields.values()))
