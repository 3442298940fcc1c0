"""``@task.vectorize_upsert``: what a function yields is loaded, and goes nowhere else."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow


def left_behind() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("vectorize-rows-*"))


def test_mapped_functions_load_their_shares_and_one_sensor_waits_for_all(
    airflow: Airflow, books: LocalVectorize
) -> None:
    run = airflow.run("decorated_mapped", {"index": "books"})

    assert set(run.states().values()) == {"success"}
    assert books.count("books") == 30
    assert [run.xcom("rows", "vectors", index) for index in range(3)] == [10, 10, 10]


def test_no_row_goes_through_xcom_and_no_file_stays(airflow: Airflow, books: LocalVectorize) -> None:
    before = left_behind()

    run = airflow.run("decorated_mapped", {"index": "books"})

    receipt = run.xcom("rows", map_index=1)
    assert len(json.dumps(receipt)) < 1_500
    assert receipt["vectors"] == 10
    assert left_behind() == before


def test_nothing_is_sent_before_the_function_has_ended_and_a_retry_starts_over(
    airflow: Airflow, books: LocalVectorize
) -> None:
    run = airflow.run("decorated_fails_at_first")

    assert run.state == "success"
    assert run.tries("interrupted") == 2
    (write,) = books.requests("upsert")
    assert write.vectors == 20
    assert "the model is away" in airflow.log.text


def test_a_function_that_yields_nothing_is_told_what_it_should(airflow: Airflow, books: LocalVectorize) -> None:
    run = airflow.run("decorated_without_rows")

    assert run.state == "failed"
    assert "forgets_to_yield has to yield rows, dicts with id and values, and gave NoneType." in airflow.log.text
    assert not books.requests("upsert")


def test_a_bad_row_is_named_by_its_function_and_number(airflow: Airflow, books: LocalVectorize) -> None:
    run = airflow.run("decorated_with_a_bad_row")

    assert run.state == "failed"
    text = airflow.log.text
    assert (
        "Row 2 that `one_is_too_short()` yielded cannot be loaded: 1 values, but the index has 32 dimensions." in text
    )
    assert "vectorize-rows-" not in text


NAN_ROWS = [
    {"id": "good", "values": [0.5] * 32},
    {"id": "nan", "values": np.array([0.5] * 31 + [np.nan], "f4")},
    {"id": "price", "values": [0.5] * 32, "metadata": {"price": {"net": -math.inf}}},
]


def test_nan_and_infinity_are_bad_rows_named_by_function_and_number(airflow: Airflow, books: LocalVectorize) -> None:
    from airflow_provider_vectorize.errors import BadRowError
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.rows.function_rows import write_rows_file

    with (
        write_rows_file(NAN_ROWS, "embed") as path,
        pytest.raises(BadRowError, match=r"^Row 2 that `embed\(\)` yielded .*values\[31\] is NaN\.") as caught,
    ):
        VectorizeHook().load("books", path)
    assert (caught.value.uri, caught.value.line) == ("embed()", 2)
    assert books.count("books") == 0


def test_dead_letters_and_log_name_the_function(airflow: Airflow, books: LocalVectorize, tmp_path: Path) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.rows.function_rows import write_rows_file

    bad = tmp_path / "bad.ndjson"
    with write_rows_file(NAN_ROWS, "embed") as path:
        receipt = VectorizeHook().load("books", path, on_bad_row="dead_letter", dead_letter_path=str(bad))

    assert (receipt["vectors"], receipt["rejected"]) == (1, 2)
    letters = [json.loads(line) for line in bad.read_text().splitlines()]
    assert [(one["object"], one["line"]) for one in letters] == [("embed()", 2), ("embed()", 3)]
    assert letters[1]["reason"] == 'not a valid JSON vector: metadata["price"]["net"] is infinite'
    text = airflow.log.text
    assert "Rejected a row: not a valid JSON vector" in text
    assert "(row 3 that `embed()` yielded, written to file://" in text
    assert "vectorize-rows-" not in text


def test_the_temporary_file_is_nobodys_lineage(airflow: Airflow, books: LocalVectorize, tmp_path: Path) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.rows.function_rows import write_rows_file

    hook = VectorizeHook()
    with write_rows_file([{"id": "a", "values": [0.5] * 32}], "one") as path:
        hook.load("books", path)

    assert hook.loaded is not None
    assert [*hook.loaded.inputs] == []
    assert len(hook.loaded.objects) == 1


@pytest.mark.parametrize("parameter", ["source", "source_conn_id", "durable"])
def test_what_makes_no_sense_for_it_cannot_be_given(parameter: str) -> None:
    from airflow_provider_vectorize.decorators.load import VectorizeUpsertDecoratedOperator

    with pytest.raises(TypeError, match=parameter):
        VectorizeUpsertDecoratedOperator(task_id="rows", python_callable=list, index_name="books", **{parameter: "x"})
