"""Dead letters that were corrected are a source again, whatever the object is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import BadRowError, ServerError
from airflow_provider_vectorize.load.dead_letters import dead_letter
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.rows.dead_letter_rows import row_in_dead_letter
from airflow_provider_vectorize.sources.lines import Position
from tests.load.conftest import Books
from tests.support import MemoryStore, make_rows, truth

Letter = dict[str, Any]


def letter(row: Any, line: int = 7) -> Letter:
    text = row if isinstance(row, bytes) else json.dumps(row).encode()
    return json.loads(dead_letter("s3://b/a.ndjson", BadRow(Position(0, line, 70), text, "bad"), "dag/run/task"))


def lines(*letters: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in letters)


def as_text(row: Any) -> Letter:
    return letter(row)


def as_object(row: Any) -> Letter:
    return letter(row) | {"row": row}


def laid_out(row: Any) -> Letter:
    return letter(row) | {"row": json.dumps(row, indent=2)}


def without_run(row: Any) -> Letter:
    return {key: value for key, value in letter(row).items() if key != "run"}


def other_order(row: Any) -> Letter:
    return dict(reversed(letter(row).items()))


@pytest.mark.parametrize("form", [as_text, as_object, laid_out, without_run, other_order])
@pytest.mark.parametrize("validation", ["full", "light", "off"])
@pytest.mark.parametrize("name", ["bad.ndjson", "bad.ndjson.gz", "anything"])
def test_corrected_letters_are_loaded(books: Books, form: Callable[[Any], Letter], validation: str, name: str) -> None:
    rows = make_rows(30, metadata={"text": 'é "quoted" 漢\u2028', "none": None})
    receipt = books.load(books.file(lines(*map(form, rows)), name), validation=validation)
    assert (receipt.vectors, receipt.rejected) == (30, 0)
    assert books.dump() == truth(rows)


def test_lines_that_were_replaced_by_their_rows_may_stand_among_letters(books: Books) -> None:
    rows = make_rows(12)
    text = lines(rows[0], letter(rows[1]), *rows[2:6], *map(letter, rows[6:]))
    assert books.load(b"\n\n" + text).vectors == 12
    assert books.dump() == truth(rows)


def test_what_is_still_bad_is_named_by_both_places(books: Books) -> None:
    rows: list[Any] = make_rows(3)
    rows[1]["values"] = [1.0]
    source = books.file(lines(*(letter(row, 40 + number) for number, row in enumerate(rows))), "bad-rows")
    said = r"^Line 2 of file:.*/bad-rows \(byte \d+\) cannot be loaded: 1 values, but the index has 32 dimensions "
    with pytest.raises(BadRowError, match=said + r"\(first rejected as line 41 of s3://b/a\.ndjson\)"):
        books.load(source)

    receipt = books.load(source, dead_letters=True)
    assert receipt.rejected_by_reason == {"… values, but the index has … dimensions": 1}
    (again,) = books.target.letters()
    assert (again["object"], again["line"]) == (source.uri, 2)
    assert json.loads(again["row"]) == rows[1]  # the row itself, not the letter
    assert again["reason"].endswith("(first rejected as line 41 of s3://b/a.ndjson)")


@pytest.mark.parametrize("text", [b"not json", b'{"id": "\xff"}', b"\xff", b'{"id": "a", "values": [NaN]}', b'{"id"'])
def test_a_row_that_was_not_corrected_comes_out_as_it_went_in(books: Books, text: bytes) -> None:
    (good,) = make_rows(1)
    books.load(lines(letter(text), letter(good)), dead_letters=True)
    (again,) = books.target.letters()
    assert again["row"].encode("utf-8", "surrogateescape") == text


def test_an_interrupted_load_of_letters_goes_on(books: Books) -> None:
    rows, store = make_rows(60), MemoryStore()
    source = books.file(lines(*map(letter, rows)))
    books.local.fail("http_500", operation="upsert", after=3, times=None)
    with pytest.raises(ServerError):
        books.load(source, store=store, client={"retry": RetryPolicy(total=0)})
    books.local.clear_faults()
    assert books.load(source, store=store).vectors == 60
    assert books.dump() == truth(rows)


NO_LETTERS: list[Any] = [
    {"id": "a", "values": [1.0], **letter({})},
    {**letter({}), "line": "7"},
    {key: value for key, value in letter({}).items() if key != "offset"},
    {**letter({}), "row": [1]},
    {**letter({}), "row": None},
    [letter({})],
    "row reason",
    {"id": "a", "metadata": letter({})},
]


@pytest.mark.parametrize("value", NO_LETTERS, ids=repr)
def test_other_lines_are_no_letters(value: Any) -> None:
    assert row_in_dead_letter(json.dumps(value).encode()) is None
