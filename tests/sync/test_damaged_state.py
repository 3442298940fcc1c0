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


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"7", b"{}", b'{"format": "1"}', b'{"format": null}', b"\x00" * 99, b"[" * 99_999]
)
def test_state_of_other_content_fails(books: SyncedIndex, content: bytes) -> None:
    """Only a state that does not exist is no state. Without it, vectors that left the source would never be deleted."""
    books.write("a.ndjson", make_rows(5))
    books.sync()
    books.written()
    books.folder.content["current.json"] = content

    with pytest.raises(SourceError, match=r"current\.json is damaged, because"):
        books.sync()

    assert books.written() == []


def test_state_without_a_format_fails(books: SyncedIndex) -> None:
    books.write("a.ndjson", make_rows(5))
    books.sync()
    content = books.folder.content
    state = json.loads(content["current.json"])
    content["current.json"] = json.dumps({name: value for name, value in state.items() if name != "format"}).encode()

    with pytest.raises(SourceError, match="is damaged, because it has no format"):
        books.sync()


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
