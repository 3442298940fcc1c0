"""Test states that cannot be read: the sync fails before it sends anything."""

from __future__ import annotations

import json

import pytest

from airflow_provider_vectorize.errors import SourceError
from tests.support import make_rows

from .support import SyncedIndex


def test_denied_read_of_state_fails(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(5))
    books.sync()
    books.written()
    books.folder.denied.add("current.json")

    with pytest.raises(SourceError, match="permission denied"):
        books.sync()

    assert books.written() == []


@pytest.mark.parametrize("damage", ["columns missing", "columns changed", "current", "current of a newer version"])
def test_damaged_state_fails(books: SyncedIndex, damage: str) -> None:
    books.write("a.ndjson", make_rows(5))
    books.sync()
    books.written()
    content, columns = books.folder.content, books.folder.state.columns.name
    if damage == "columns missing":
        del content[columns]
    elif damage == "columns changed":
        content[columns] = content[columns][:-1] + b"X"
    elif damage == "current":
        content["current.json"] = content["current.json"][:50]
    else:
        content["current.json"] = json.dumps(json.loads(content["current.json"]) | {"format": 99}).encode()

    with pytest.raises(SourceError, match="newer version" if "newer" in damage else "is damaged, because"):
        books.sync()

    assert books.written() == []
