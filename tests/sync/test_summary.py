"""Test what the state command says after runs that died."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.sync.summary import diff, list_ids
from tests.support import make_rows

from .actors import Killed
from .support import SyncedIndex


def test_diff_compares_with_the_generation_before_and_not_with_one_that_was_never_committed(
    books: SyncedIndex,
) -> None:
    def die(event: str) -> None:
        if event == "before write current.json":
            raise Killed

    books.write("a.ndjson", make_rows(5))
    with pytest.raises(Killed):
        books.sync(probe=die)
    content = books.folder.content
    (dead,) = [name for name in content if name.startswith("generations/") and name.endswith(".json")]
    content["generations/000001-0.json"] = content.pop(
        dead
    )  # The IDs of runs have random parts. This one is the first.
    books.write("a.ndjson", make_rows(8))
    books.sync()
    books.write("a.ndjson", make_rows(9))
    books.sync()

    assert list(diff(books.folder)) == ["+ v8"]


def test_ids_with_control_characters_stay_on_one_line(books: SyncedIndex) -> None:
    """Lines are read as IDs to delete, and "a" and "b" are not the vector that was listed."""
    books.write("a.ndjson", [row | {"id": name} for row, name in zip(make_rows(4), "abcd", strict=True)])
    books.sync()
    names = ["a", "é b", "a\nb", "x\x1b[31m"]
    books.write("a.ndjson", [row | {"id": name} for row, name in zip(make_rows(4), names, strict=True)])
    books.sync(delete_vanished=True)

    lines = {"é b", '{"id": "a\\nb"}', '{"id": "x\\u001b[31m"}'}
    assert set(list_ids(books.folder)) == {"a", *lines}
    assert set(diff(books.folder)) == {"- b", "- c", "- d", *(f"+ {line}" for line in lines)}
