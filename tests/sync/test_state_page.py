"""docs/sync-state.md: what is in the folder of a state, and what a killed run leaves."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider_vectorize.errors import SyncError
from tests.support import expected_dump, make_rows

from .actors import Killed
from .support import SyncedIndex

PAGE = (Path(__file__).parents[2] / "docs" / "sync-state.md").read_text()
NAMES = re.findall(r"^\| `([\w<>./-]+\.\w+)` \|", PAGE, re.MULTILINE)
ROWS = make_rows(60)


def kill_at(event: str) -> object:
    def probe(name: str) -> None:
        if name.startswith(event):
            raise Killed(name)

    return probe


def test_state_page_lists_every_kind_of_object_in_the_folder(books: SyncedIndex) -> None:
    found: set[str] = set()
    books.write("a.ndjson", ROWS)
    books.sync(report_foreign=True)
    found |= books.folder.content.keys()
    books.write("a.ndjson", ROWS[:20])
    with pytest.raises(SyncError):
        books.sync(delete_vanished=True)
    books.write("a.ndjson", make_rows(60, seed=1))
    with pytest.raises(SyncError, match="Stopped before anything was sent"):
        books.sync()
    with pytest.raises(Killed):
        books.sync(reconcile=True, probe=kill_at("before send"))
    found |= books.folder.content.keys()

    patterns = {name: re.compile(re.sub(r"<\w+>", r"[\\w.-]+", re.escape(name))) for name in NAMES}
    kinds = {name: next(kind for kind in NAMES if patterns[kind].fullmatch(name)) for name in found}
    assert set(kinds.values()) == set(NAMES)


def test_state_page_lists_the_columns(books: SyncedIndex) -> None:
    books.write("a.ndjson", ROWS)
    books.sync()
    schema = pq.read_schema(io.BytesIO(books.folder.content[books.folder.state.columns.name]))
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == schema.names


@pytest.mark.parametrize(
    ("killed", "sent_again"),
    [
        ("before send", 60),
        ("after write log/", 60),
        ("before acknowledgement 3", 30),  # The record of the fourth request says that three were acknowledged.
        ("before write current.json", 10),  # No later record says that the last one was acknowledged.
        ("after write current.json", 0),
        ("after delete log/", 0),
    ],
)
def test_state_page_says_what_is_sent_after_a_kill(books: SyncedIndex, killed: str, sent_again: int) -> None:
    books.write("a.ndjson", ROWS)
    with pytest.raises(Killed):
        books.sync(probe=kill_at(killed), load={"max_in_flight": 1})
    books.written()

    books.sync()

    assert sum(request.vectors for request in books.written()) == sent_again
    assert books.dump() == expected_dump(ROWS)
    assert not list(books.folder.list("log/"))
