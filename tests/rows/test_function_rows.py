"""Rows that a function yields, in a temporary file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.rows.function_rows import is_function_rows, write_rows_file


def test_write_rows_file_writes_one_row_per_line_and_deletes_the_file() -> None:
    rows = [{"id": "ä", "values": np.float32([0.1, -2])}, {"id": "b", "values": [1], "metadata": {"n": 1}}]
    with write_rows_file(rows, "embed") as path:
        text = Path(path).read_text()
        assert is_function_rows(f"file://{path}")
    assert [json.loads(line) for line in text.splitlines()] == [
        {"id": "ä", "values": [0.1, -2.0]},
        {"id": "b", "values": [1], "metadata": {"n": 1}},
    ]
    assert not Path(path).exists()


def test_write_rows_file_keeps_no_row_in_memory() -> None:
    alive: list[int] = []

    class Row(dict[str, Any]):
        def __del__(self) -> None:
            alive.remove(self["id"])

    def rows() -> Iterator[Row]:
        for number in range(100):
            alive.append(number)
            assert len(alive) <= 2
            yield Row(id=number)

    with write_rows_file(rows(), "embed"):
        pass


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "returned an object of type NoneType"),
        ({"id": "a"}, "returned an object of type dict"),
        ("text", "returned an object of type str"),
        ([{"id": "a"}, ["b"]], r"Row 2 that `embed\(\)` yielded is of type list"),
        (
            [{"id": "a", "values": {1}}],
            r"Row 1 that `embed\(\)` yielded cannot be written as JSON: values is of type set",
        ),
    ],
)
def test_write_rows_file_with_invalid_rows_is_refused(rows: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message), write_rows_file(rows, "embed"):
        pytest.fail("the context must not be entered")


def test_is_function_rows_recognizes_only_temporary_files(tmp_path: Path) -> None:
    assert not is_function_rows(f"file://{tmp_path}/vectorize-rows-a.ndjson")
    assert not is_function_rows("s3://bucket/vectorize-rows-a.ndjson")
