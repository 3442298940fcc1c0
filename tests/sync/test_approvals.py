"""Test when an approval of a plan counts, and when it is spent."""

from __future__ import annotations

import gzip

import pytest

from airflow_provider_vectorize.errors import SourceError, SyncError
from tests.support import make_rows, ndjson

from .support import SyncedIndex


def test_approval_that_could_not_be_carried_out_counts_in_the_next_run(books: SyncedIndex) -> None:
    rows = make_rows(100)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:50])
    with pytest.raises(SyncError) as caught:
        books.sync(delete_vanished=True)
    plan = caught.value.plan

    books.write("a.ndjson", ndjson(rows[:50]) + b'{"values": [1]}\n')
    with pytest.raises(SyncError, match="the ID of 1 row cannot be read"):
        books.sync(delete_vanished=True, approve=plan, dead_letters=True)
    books.write("a.ndjson", rows[:50])
    books.sync(delete_vanished=False, approve=plan)

    assert books.counts(delete_vanished=True, approve=plan) == {"unchanged": 50, "vanished": 50, "deleted": 50}
    assert books.folder.state.spent == (plan,)


def test_approval_of_ids_that_all_came_back_is_spent(books: SyncedIndex, caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows(100)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:50])
    with pytest.raises(SyncError) as caught:
        books.sync(delete_vanished=True)
    books.write("a.ndjson", rows)
    books.sync(delete_vanished=True, approve=caught.value.plan)
    books.write("a.ndjson", rows[:50])
    caplog.set_level("INFO")

    with pytest.raises(SyncError, match="Withheld 50 deletions"):
        books.sync(delete_vanished=True, approve=caught.value.plan)
    assert f"Plan {caught.value.plan} is spent" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b'"id"\n'), gzip.compress(b"{}\n")],
    ids=["empty", "no gzip", "no object", "no ID"],
)
def test_approval_of_a_damaged_plan_sends_nothing(books: SyncedIndex, content: bytes) -> None:
    rows = make_rows(100)
    books.write("a.ndjson", rows)
    books.sync()
    books.write("a.ndjson", rows[:50])
    with pytest.raises(SyncError) as caught:
        books.sync(delete_vanished=True)
    books.folder.content[f"plan-{caught.value.plan}.ids.gz"] = content
    books.write("a.ndjson", make_rows(50, seed=1, first=200))
    books.written()

    with pytest.raises(SourceError, match=r"Nothing was sent or deleted\."):
        books.sync(delete_vanished=True, approve=caught.value.plan)

    assert books.written() == []
