"""Test that rows of a function are mapped with ``fields``, and are ndjson in every case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_vectorize.decorators.load import VectorizeUpsertDecoratedOperator
from airflow_provider_vectorize.errors import BadRowError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.operators.conftest import Run, fails
from tests.support import expected_dump, make_rows

FIELDS = {"id": "key", "values": "embedding"}


def embed() -> Iterator[dict[str, Any]]:
    for row in make_rows(3):
        yield {"key": row["id"], "embedding": row["values"]}


def embed_one_badly() -> Iterator[dict[str, Any]]:
    yield from embed()
    yield {"key": "v3"}


@pytest.fixture
def load(run: Run, books: VectorizeHook) -> Any:
    def load(function: Any, **parameters: Any) -> Any:
        call = {"python_callable": function, "op_args": [], "op_kwargs": {}}
        return run(VectorizeUpsertDecoratedOperator, index_name="books", fields=FIELDS, **call, **parameters)

    return load


def test_decorated_function_with_fields_loads_mapped_rows(load: Any, local_vectorize: LocalVectorize) -> None:
    assert load(embed)["vectors"] == 3
    assert local_vectorize.dump("books") == expected_dump(make_rows(3))


def test_decorated_function_row_without_a_field_is_named_by_the_function(load: Any) -> None:
    with fails(BadRowError, match=r"Row 4 that `embed_one_badly\(\)` yielded .* the row has no field embedding"):
        load(embed_one_badly)


def test_decorated_function_takes_no_format(load: Any) -> None:
    with pytest.raises(TypeError, match="format"):
        load(embed, format="parquet")
