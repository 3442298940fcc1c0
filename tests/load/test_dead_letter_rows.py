"""Test that corrected dead letters are a source again, whatever the name of the object."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import BadRowError, ServerError
from airflow_provider_vectorize.load.dead_letters import format_dead_letter
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.rows.dead_letter_rows import row_in_dead_letter
from airflow_provider_vectorize.sources.lines import Position
from tests.load.conftest import BooksIndex
from tests.support import MemoryStore, expected_dump, make_rows

DeadLetter = dict[str, Any]


def make_dead_letter(row: Any, line: int = 7) -> DeadLetter:
    text = row if isinstance(row, bytes) else json.dumps(row).encode()
    return json.loads(
        format_dead_letter(
            {"object": "s3://b/a.ndjson", "line": line, "offset": 70},
            BadRow(Position(0, line, 70), text, "bad"),
            "dag/run/task",
        )
    )


def to_lines(*dead_letters: Any) -> bytes:
    return b"".join(json.dumps(dead_letter).encode() + b"\n" for dead_letter in dead_letters)


def as_text(row: Any) -> DeadLetter:
    return make_dead_letter(row)


def as_object(row: Any) -> DeadLetter:
    return make_dead_letter(row) | {"row": row}


def indented(row: Any) -> DeadLetter:
    return make_dead_letter(row) | {"row": json.dumps(row, indent=2)}


def without_run(row: Any) -> DeadLetter:
    return {key: value for key, value in make_dead_letter(row).items() if key != "run"}


def other_order(row: Any) -> DeadLetter:
    return dict(reversed(make_dead_letter(row).items()))


@pytest.mark.parametrize("form", [as_text, as_object, indented, without_run, other_order])
@pytest.mark.parametrize("validation", ["full", "light", "off"])
@pytest.mark.parametrize("name", ["bad.ndjson", "bad.ndjson.gz", "anything"])
def test_load_corrected_dead_letters_loads_their_rows(
    books: BooksIndex, form: Callable[[Any], DeadLetter], validation: str, name: str
) -> None:
    rows = make_rows(30, metadata={"text": 'é "quoted" 漢\u2028', "none": None})
    receipt = books.load(books.write_source(to_lines(*map(form, rows)), name), validation=validation)
    assert (receipt.vectors, receipt.rejected) == (30, 0)
    assert books.dump() == expected_dump(rows)


def test_load_mixes_dead_letters_and_plain_rows(books: BooksIndex) -> None:
    rows = make_rows(12)
    text = to_lines(rows[0], make_dead_letter(rows[1]), *rows[2:6], *map(make_dead_letter, rows[6:]))
    assert books.load(b"\n\n" + text).vectors == 12
    assert books.dump() == expected_dump(rows)


def test_load_still_bad_dead_letter_names_both_places(books: BooksIndex) -> None:
    rows: list[Any] = make_rows(3)
    rows[1]["values"] = [1.0]
    source = books.write_source(
        to_lines(*(make_dead_letter(row, 40 + number) for number, row in enumerate(rows))), "bad-rows"
    )
    said = r"^Line 2 of file:.*/bad-rows \(byte \d+\) cannot be loaded: 1 values, but the index has 32 dimensions "
    with pytest.raises(BadRowError, match=said + r"\(first rejected as line 41 of s3://b/a\.ndjson\)"):
        books.load(source)

    receipt = books.load(source, dead_letters=True)
    assert receipt.rejected_by_reason == {"… values, but the index has … dimensions": 1}
    (again,) = books.target.dead_letters()
    assert (again["object"], again["line"]) == (source.uri, 2)
    assert json.loads(again["row"]) == rows[1]  # The row itself, not the dead letter that held it.
    assert again["reason"].endswith("(first rejected as line 41 of s3://b/a.ndjson)")


@pytest.mark.parametrize("text", [b"not json", b'{"id": "\xff"}', b"\xff", b'{"id": "a", "values": [NaN]}', b'{"id"'])
def test_load_uncorrected_dead_letter_keeps_its_row(books: BooksIndex, text: bytes) -> None:
    (good,) = make_rows(1)
    books.load(to_lines(make_dead_letter(text), make_dead_letter(good)), dead_letters=True)
    (again,) = books.target.dead_letters()
    assert again["row"].encode("utf-8", "surrogateescape") == text


def test_load_of_dead_letters_resumes(books: BooksIndex) -> None:
    rows, store = make_rows(60), MemoryStore()
    source = books.write_source(to_lines(*map(make_dead_letter, rows)))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        books.load(source, store=store, client={"retry": RetryPolicy(total=0)})
    books.local.clear_faults()
    assert books.load(source, store=store).vectors == 60
    assert books.dump() == expected_dump(rows)


OTHER_LINES: list[Any] = [
    {"id": "a", "values": [1.0], **make_dead_letter({})},
    {**make_dead_letter({}), "line": "7"},
    {key: value for key, value in make_dead_letter({}).items() if key != "offset"},
    {**make_dead_letter({}), "row": [1]},
    {**make_dead_letter({}), "row": None},
    [make_dead_letter({})],
    "row reason",
    {"id": "a", "metadata": make_dead_letter({})},
]


@pytest.mark.parametrize("value", OTHER_LINES, ids=repr)
def test_row_in_dead_letter_other_lines_return_none(value: Any) -> None:
    assert row_in_dead_letter(json.dumps(value).encode()) is None
