"""Test what the state command says after runs that died."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.sync.summary import diff
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
