"""Tests of ``@task.vectorize_upsert`` on a real Airflow."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow


def temporary_files() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("vectorize-rows-*"))


def test_mapped_functions_load_their_rows_and_one_sensor_waits_for_all(airflow: Airflow, books: LocalVectorize) -> None:
    run = airflow.run("decorated_mapped", {"index": "books"})

    assert set(run.states().values()) == {"success"}
    assert books.count("books") == 30
    assert [run.xcom("rows", "vectors", index) for index in range(3)] == [10, 10, 10]


def test_decorated_function_leaves_no_row_in_xcom_and_no_file(airflow: Airflow, books: LocalVectorize) -> None:
    before = temporary_files()

    run = airflow.run("decorated_mapped", {"index": "books"})

    receipt = run.xcom("rows", map_index=1)
    assert len(json.dumps(receipt)) < 1_500
    assert receipt["vectors"] == 10
    assert temporary_files() == before


def test_decorated_function_that_fails_sends_nothing_and_its_retry_starts_over(
    airflow: Airflow, books: LocalVectorize
) -> None:
    run = airflow.run("decorated_fails_at_first")

    assert run.state == "success"
    assert run.tries("interrupted") == 2
    (write,) = books.requests("upsert")
    assert write.vectors == 20
    assert "the model is away" in airflow.log.text


def test_decorated_function_that_returns_none_fails_with_an_explanation(
    airflow: Airflow, books: LocalVectorize
) -> None:
    run = airflow.run("decorated_without_rows")

    assert run.state == "failed"
    assert (
        "`forgets_to_yield()` must yield rows (dicts with id and values), but it returned an object of type NoneType."
        in airflow.log.text
    )
    assert not books.requests("upsert")


def test_decorated_function_with_bad_row_fails_and_names_function_and_row(
    airflow: Airflow, books: LocalVectorize
) -> None:
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


def test_function_rows_with_nan_or_infinity_are_bad_rows(airflow: Airflow, books: LocalVectorize) -> None:
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


def test_dead_letters_and_log_of_function_rows_name_the_function(
    airflow: Airflow, books: LocalVectorize, tmp_path: Path
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.rows.function_rows import write_rows_file

    bad = tmp_path / "bad.ndjson"
    with write_rows_file(NAN_ROWS, "embed") as path:
        receipt = VectorizeHook().load("books", path, on_bad_row="dead_letter", dead_letter_path=str(bad))

    assert (receipt["vectors"], receipt["rejected"]) == (1, 2)
    dead_letters = [json.loads(line) for line in bad.read_text().splitlines()]
    assert [(one["object"], one["line"]) for one in dead_letters] == [("embed()", 2), ("embed()", 3)]
    assert dead_letters[1]["reason"] == 'not a valid JSON vector: metadata["price"]["net"] is infinite'
    text = airflow.log.text
    assert "Rejected a row: not a valid JSON vector" in text
    assert "(row 3 that `embed()` yielded, written to file://" in text
    assert "vectorize-rows-" not in text


def test_lineage_of_function_rows_omits_the_temporary_file(
    airflow: Airflow, books: LocalVectorize, tmp_path: Path
) -> None:
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
    from airflow_provider_vectorize.rows.function_rows import write_rows_file

    hook = VectorizeHook()
    with write_rows_file([{"id": "a", "values": [0.5] * 32}], "one") as path:
        hook.load("books", path)

    assert hook.loaded is not None
    assert [*hook.loaded.inputs] == []
    assert len(hook.loaded.objects) == 1


@pytest.mark.parametrize("parameter", ["source", "source_conn_id", "durable"])
def test_decorated_operator_with_source_parameters_fails(parameter: str) -> None:
    from airflow_provider_vectorize.decorators.load import VectorizeUpsertDecoratedOperator

    with pytest.raises(TypeError, match=parameter):
        VectorizeUpsertDecoratedOperator(task_id="rows", python_callable=list, index_name="books", **{parameter: "x"})
