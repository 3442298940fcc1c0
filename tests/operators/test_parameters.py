"""Tests of wrong parameters: literals fail when the DAG is parsed, all others before the first request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator, ObjectStoragePath

from airflow_provider_vectorize import errors
from airflow_provider_vectorize.decorators.load import VectorizeUpsertDecoratedOperator
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.operators.index import VectorizeCreateIndexOperator, VectorizeDeleteIndexOperator
from airflow_provider_vectorize.operators.load import VectorizeInsertOperator, VectorizeUpsertOperator
from airflow_provider_vectorize.operators.metadata_index import (
    VectorizeCreateMetadataIndexOperator,
    VectorizeDeleteMetadataIndexOperator,
)
from airflow_provider_vectorize.operators.plan import VectorizePlanLoadOperator
from airflow_provider_vectorize.operators.query import VectorizeQueryOperator
from airflow_provider_vectorize.operators.switch_over import VectorizePruneIndexesOperator, VectorizePublishOperator
from airflow_provider_vectorize.operators.vectors import VectorizeDeleteVectorsOperator, VectorizeGetVectorsOperator
from tests.api.conftest import ndjson, numbered_vectors, values
from tests.operators.conftest import Run, fails
from tests.test_parameters import STRINGIFIED_VALUES, LazyXComSequence

LOAD = {"index_name": "books", "source": "/nowhere"}
INDEX = {"index_name": "books", "dimensions": 32, "metric": "cosine"}
POINTER = "kv://0f2ac74b498b48028cb68387c421e279/docs"
PRUNE = {"prefix": "books-", "pointer": POINTER}
PUBLISH = {"index_name": "books", "pointer": POINTER, "expect": None}
YEAR = {"index_name": "books", "property_name": "year"}

LITERALS: list[tuple[type[BaseOperator], dict[str, Any], str, list[Any]]] = [
    (VectorizeUpsertOperator, LOAD, "validation", ["fulll", None, True, 1]),
    (VectorizeInsertOperator, LOAD, "float32_text", ["yes", None]),
    (VectorizeUpsertOperator, LOAD, "unparsable_behavior", ["drop", None]),
    (VectorizeUpsertOperator, LOAD, "on_bad_row", ["dead-letter", None]),
    (VectorizeUpsertOperator, LOAD, "max_in_flight", ["four", 0, -1, None, True, float("nan"), 2.5, "0", "None"]),
    (VectorizeUpsertOperator, LOAD, "max_bad_rows", ["ten", -1, None, True, float("inf")]),
    (VectorizeUpsertOperator, LOAD, "durable", ["maybe", 1, None]),
    (VectorizeUpsertOperator, LOAD, "limits", [None, {"vectors_per_request": 10}]),
    (VectorizeUpsertOperator, LOAD, "created_on", ["yesterday", "2026-01-31", 1]),
    (VectorizePlanLoadOperator, LOAD, "shards", ["many", 0, None, True, 1.5]),
    (VectorizePlanLoadOperator, LOAD | {"shards": 2}, "mb_per_second", ["fast", 0, -1, float("nan"), True]),
    (VectorizeCreateIndexOperator, INDEX, "if_exists", ["replace", None]),
    (VectorizeCreateIndexOperator, INDEX, "metric", ["manhattan", 3]),
    (VectorizeCreateIndexOperator, INDEX, "dimensions", ["wide", 0, True, 1.5]),
    (VectorizeCreateIndexOperator, INDEX, "replace", ["maybe", 1, None]),
    (VectorizeCreateIndexOperator, INDEX, "min_age", ["an hour", -1, True, float("nan"), None]),
    (VectorizePruneIndexesOperator, PRUNE, "keep", ["all", 0, None, True]),
    (VectorizePruneIndexesOperator, PRUNE, "min_age", ["a day", -1, None]),
    (VectorizePublishOperator, PUBLISH, "created_on", ["yesterday", "2026-01-31T02:00:00"]),
    (VectorizeDeleteIndexOperator, {"index_name": "books"}, "if_missing", ["ignore", None]),
    (VectorizeCreateMetadataIndexOperator, YEAR, "index_type", ["date", None]),
    (VectorizeDeleteMetadataIndexOperator, YEAR, "if_missing", ["ignore"]),
    (VectorizeDeleteVectorsOperator, {"index_name": "books", "source": "x"}, "source_lines_are", ["rows", 1]),
    (VectorizeGetVectorsOperator, {"index_name": "books", "ids": ["a"]}, "if_missing", ["ignore"]),
    (VectorizeQueryOperator, {"index_name": "books", "vector_id": "a"}, "top_k", ["five", None, True, 1.5]),
    (VectorizeQueryOperator, {"index_name": "books", "vector_id": "a"}, "return_values", ["maybe", None, 1]),
    (VectorizeQueryOperator, {"index_name": "books", "vector_id": "a"}, "return_metadata", ["some", True]),
]
each_literal = pytest.mark.parametrize(
    ("operator", "others", "name", "value"),
    [
        pytest.param(operator, others, name, value, id=f"{operator.__name__}-{name}-{value}")
        for operator, others, name, wrong in LITERALS
        for value in wrong
    ],
)


@each_literal
def test_operator_with_wrong_literal_fails_when_the_dag_is_parsed(
    operator: Any, others: dict[str, Any], name: str, value: Any
) -> None:
    with pytest.raises(errors.ConfigError, match=f"^{name} must be"):
        operator(task_id="task", **others | {name: value})


@each_literal
def test_mapped_operator_with_wrong_literal_fails_when_the_dag_is_parsed(
    operator: Any, others: dict[str, Any], name: str, value: Any
) -> None:
    with pytest.raises(errors.ConfigError, match=f"^{name} must be"), DAG("a_dag", schedule=None):
        operator.partial(task_id="task", **others | {name: value})


@each_literal
def test_operator_with_wrong_template_value_fails_before_any_request(
    run: Run,
    books: VectorizeHook,
    local_vectorize: LocalVectorize,
    operator: Any,
    others: dict[str, Any],
    name: str,
    value: Any,
) -> None:
    if name in {"limits", "durable"}:
        pytest.skip("not a template field")
    with pytest.raises(AirflowFailException, match=f"^{name} must be") as caught:
        run(operator, {"value": value}, **others | {name: "{{ value }}"})
    assert isinstance(caught.value.__cause__, errors.ConfigError)
    assert local_vectorize.requests() == []


def write_source(tmp_path: Path, count: int = 20) -> Path:
    path = tmp_path / "source.ndjson"
    path.write_bytes(ndjson(*numbered_vectors(count)))
    return path


@pytest.mark.parametrize(
    "convert",
    [
        str,
        Path,
        lambda path: ObjectStoragePath(f"file://{path}"),
        lambda path: [Path(path)],
        lambda path: LazyXComSequence(str(path)),
        lambda path: (str(path),),
    ],
    ids=["text", "Path", "ObjectStoragePath", "list", "LazyXComSequence", "tuple"],
)
def test_operators_accept_every_type_of_source(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path, convert: Callable[[Path], Any]
) -> None:
    source = write_source(tmp_path)
    assert run(VectorizeUpsertOperator, index_name="books", source=convert(source))["vectors"] == 20
    assert books.load("books", convert(source))["vectors"] == 20
    assert run(VectorizePlanLoadOperator, index_name="books", source=convert(source), shards="2")
    deletion = run(
        VectorizeDeleteVectorsOperator, index_name="books", source=convert(source), source_lines_are="vectors"
    )
    assert (deletion["vectors"], local_vectorize.count("books")) == (20, 0)


@pytest.mark.parametrize("value", [*STRINGIFIED_VALUES, "", " ", None, 7, True, {"a": 1}, b"x"], ids=repr)
def test_operators_with_unusable_names_fail_before_any_request(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, value: Any
) -> None:
    tasks: list[tuple[Any, dict[str, Any]]] = [
        (VectorizeUpsertOperator, {"index_name": "books", "source": value}),
        (VectorizeUpsertOperator, {"index_name": value, "source": "/nowhere"}),
        (VectorizePlanLoadOperator, {"index_name": "books", "source": value, "shards": 2}),
        (VectorizeDeleteVectorsOperator, {"index_name": value, "ids": ["a"]}),
        (VectorizeDeleteVectorsOperator, {"index_name": "books", "source": value, "source_lines_are": "ids"}),
        (VectorizeDeleteVectorsOperator, {"index_name": "books", "ids": value}),
        (VectorizeGetVectorsOperator, {"index_name": "books", "ids": value}),
        (VectorizeQueryOperator, {"index_name": value, "vector_id": "a"}),
        (VectorizeCreateIndexOperator, INDEX | {"index_name": value}),
        (VectorizeDeleteIndexOperator, {"index_name": value}),
        (VectorizeCreateMetadataIndexOperator, YEAR | {"property_name": value, "index_type": "string"}),
        (VectorizeDeleteMetadataIndexOperator, YEAR | {"property_name": value}),
        (VectorizeUpsertOperator, LOAD | {"vectorize_conn_id": value}),
    ]
    for operator, parameters in tasks:
        task = operator(task_id="task", **parameters)
        with pytest.raises(AirflowFailException) as caught:
            task.execute({})
        assert isinstance(caught.value.__cause__, errors.ConfigError), (operator, parameters)
        assert str(caught.value) == str(caught.value.__cause__)
    assert local_vectorize.requests() == []


def test_operators_accept_numbers_as_text(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    source = str(write_source(tmp_path))
    numbers = {"n": 2, "rows": 3, "rate": 1.5, "wide": 64, "yes": True}
    receipt = run(
        VectorizeUpsertOperator,
        numbers,
        index_name="books",
        source=source,
        max_in_flight="{{ n }}",
        max_bad_rows="{{ rows }}",
    )
    assert receipt["vectors"] == 20
    assert run(
        VectorizePlanLoadOperator,
        numbers,
        index_name="books",
        source=source,
        shards="{{ n }}",
        mb_per_second="{{ rate }}",
    )
    shape = {"dimensions": "{{ wide }}", "metric": "{{ 'cosine' }}"}
    assert run(VectorizeCreateIndexOperator, numbers, index_name="wide", **shape)["created"] is True
    assert run(VectorizeCreateIndexOperator, numbers, index_name="wide", **shape)["created"] is False
    result = run(
        VectorizeQueryOperator,
        numbers,
        index_name="books",
        vector=values(1),
        top_k="{{ n }}",
        return_values="{{ yes }}",
    )
    assert (result["count"], len(result["matches"][0]["values"])) == (2, 32)


def test_upsert_with_max_bad_rows_as_text_applies_the_limit(run: Run, books: VectorizeHook, tmp_path: Path) -> None:
    source = write_source(tmp_path)
    source.write_bytes(source.read_bytes() + b"no row\n" * 3)
    load = {"index_name": "books", "source": source, "on_bad_row": "dead_letter"}
    assert (
        run(VectorizeUpsertOperator, **load, dead_letter_path=tmp_path / "3.ndjson", max_bad_rows="3")["rejected"] == 3
    )
    with fails(errors.BadRowError, match="max_bad_rows=2"):
        run(VectorizeUpsertOperator, **load, dead_letter_path=tmp_path / "2.ndjson", max_bad_rows="2")


def test_hook_with_wrong_parameters_sends_nothing(books: VectorizeHook, local_vectorize: LocalVectorize) -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: books.load("books", "['a', 'b']"),
        lambda: books.load("books", None),  # type: ignore[arg-type]
        lambda: books.load("None", "/nowhere"),
        lambda: books.load("books", "/nowhere", max_bad_rows="ten"),  # type: ignore[arg-type]
        lambda: books.load("books", "/nowhere", validation="light", float32_text="always"),
        lambda: books.load("books", "/nowhere", operation="delete"),  # type: ignore[arg-type]
        lambda: books.plan("books", "None", shards=2),
        lambda: books.plan("books", "/nowhere", shards="x"),  # type: ignore[arg-type]
        lambda: books.query("books", vector_id=7),  # type: ignore[arg-type]
        lambda: books.query("books", vector="[0.1, 0.2]"),  # type: ignore[arg-type]
        lambda: books.query("books", vector_id="a", filter="{'a': 1}"),  # type: ignore[arg-type]
        lambda: books.query("books", vector_id="a", return_values="maybe"),  # type: ignore[arg-type]
        lambda: books.get_by_ids("books", ["a", 7]),  # type: ignore[list-item]
        lambda: books.delete_by_ids("books", [f"v{n}" for n in range(100)] + [7]),  # type: ignore[list-item]
        lambda: books.get_index(7),  # type: ignore[arg-type]
        lambda: books.create_index("new", dimensions=32, metric="manhattan"),  # type: ignore[arg-type]
        lambda: books.create_metadata_index("books", "year", "date"),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(errors.ConfigError):
            call()
    assert local_vectorize.requests() == []


def test_every_operator_with_empty_context_succeeds(run: Run, books: VectorizeHook, tmp_path: Path) -> None:
    """Unit tests of DAGs execute operators without a task instance, so they push no XCom and save no checkpoint."""
    source = str(write_source(tmp_path))
    for operator, parameters in [
        (VectorizeUpsertOperator, {"source": source}),
        (VectorizeInsertOperator, {"source": source}),
        (VectorizePlanLoadOperator, {"source": source, "shards": 2}),
        (VectorizeCreateMetadataIndexOperator, {"property_name": "year", "index_type": "number"}),
        (VectorizeDeleteMetadataIndexOperator, {"property_name": "year"}),
        (VectorizeQueryOperator, {"vector_id": "v1"}),
        (VectorizeGetVectorsOperator, {"ids": ["v1"]}),
        (VectorizeDeleteVectorsOperator, {"ids": ["v1"]}),
        (VectorizeCreateIndexOperator, {"dimensions": 32, "metric": "cosine"}),
        (VectorizeDeleteIndexOperator, {}),
    ]:
        assert operator(task_id="task", index_name="books", **parameters).execute({}), operator  # type: ignore[arg-type]


def test_decorated_operator_with_empty_context_checks_its_parameters(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize
) -> None:
    called: list[int] = []

    def rows(count: int) -> Any:
        called.append(count)
        return numbered_vectors(count)

    parameters = {"index_name": "books", "python_callable": rows, "op_args": [3], "op_kwargs": {}}
    task = VectorizeUpsertDecoratedOperator(task_id="task", **parameters)
    assert task.execute({})["vectors"] == 3  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigError, match="max_in_flight must be"):
        VectorizeUpsertDecoratedOperator(task_id="task", max_in_flight="x", **parameters)  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match="index_name is the text 'None'"):
        VectorizeUpsertDecoratedOperator(task_id="task", **parameters | {"index_name": "None"}).execute({})  # type: ignore[arg-type]
    assert called == [3], "the function is not called if a parameter is wrong"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401, "code": 10000}, errors.AuthError),
        ({"status": 410, "code": 3005}, errors.IndexDeletedError),
        ({"status": 400, "code": 40026}, errors.InvalidRequestError),
    ],
)
def test_operator_after_permanent_error_fails_without_retries(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, fault: dict[str, Any], error: type[errors.ApiError]
) -> None:
    local_vectorize.fail("answer", operation="query", message="no", **fault)
    with pytest.raises(AirflowFailException) as caught:
        run(VectorizeQueryOperator, index_name="books", vector_id="a")
    assert type(caught.value.__cause__) is error
    assert str(caught.value) == str(caught.value.__cause__)


def test_operator_after_transient_error_raises_it_unchanged(
    run: Run, books: VectorizeHook, local_vectorize: LocalVectorize, tmp_path: Path
) -> None:
    local_vectorize.fail("http_500", operation="query")
    with pytest.raises(errors.ServerError):
        run(VectorizeQueryOperator, index_name="books", vector_id="a")
    with pytest.raises(errors.SourceError):
        run(VectorizeUpsertOperator, index_name="books", source=str(tmp_path / "not-yet"))
    with pytest.raises(errors.VectorsNotFoundError):
        run(VectorizeGetVectorsOperator, index_name="books", ids=["not-yet"])


def test_upsert_of_only_bad_rows_fails_without_retries(run: Run, books: VectorizeHook, tmp_path: Path) -> None:
    (tmp_path / "bad.ndjson").write_text("no row\n" * 3)
    with pytest.raises(AirflowFailException, match="has 3 bad rows and no good one"):
        run(
            VectorizeUpsertOperator,
            index_name="books",
            source=str(tmp_path / "bad.ndjson"),
            on_bad_row="dead_letter",
            dead_letter_path=str(tmp_path / "dead-letters.ndjson"),
        )
