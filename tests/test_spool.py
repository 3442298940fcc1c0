"""Rows of a function as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.rows.function_rows import is_function_rows, write_rows_file


def test_rows_are_written_one_a_line_and_the_file_goes_with_the_block() -> None:
    rows = [{"id": "ä", "values": np.float32([0.1, -2])}, {"id": "b", "values": [1], "metadata": {"n": 1}}]
    with write_rows_file(rows, "embed") as path:
        text = Path(path).read_text()
        assert is_function_rows(f"file://{path}")
    assert [json.loads(line) for line in text.splitlines()] == [
        {"id": "ä", "values": [0.1, -2.0]},
        {"id": "b", "values": [1], "metadata": {"n": 1}},
    ]
    assert not Path(path).exists()


def test_no_row_is_kept_when_the_next_one_is_made() -> None:
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
    ("rows", "said"),
    [
        (None, "gave NoneType"),
        ({"id": "a"}, "gave dict"),
        ("text", "gave str"),
        ([{"id": "a"}, ["b"]], r"Row 2 that `embed\(\)` yielded is of the type list"),
        (
            [{"id": "a", "values": {1}}],
            r"Row 1 that `embed\(\)` yielded cannot be written as JSON: values is of the type set",
        ),
    ],
)
def test_what_are_no_rows_is_told(rows: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said), write_rows_file(rows, "embed"):
        pytest.fail("there is nothing to load")


def test_only_its_own_files_are_told_apart(tmp_path: Path) -> None:
    assert not is_function_rows(f"file://{tmp_path}/vectorize-rows-a.ndjson")
    assert not is_function_rows("s3://bucket/vectorize-rows-a.ndjson")
