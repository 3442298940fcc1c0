"""Listing of ids: pages of one snapshot, and cursors that expire."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

from .conftest import Http, vector


def list_all_ids(http: Http, count: int, first: dict[str, Any] | None = None) -> list[str]:
    """Return the ids of all pages, starting with the page ``first``."""
    page = first or http.ok("GET", f"/books/list?count={count}")
    ids = [vector["id"] for vector in page["vectors"]]
    while page["isTruncated"]:
        page = http.ok("GET", "/books/list", params={"count": count, "cursor": page["nextCursor"]})
        ids += [vector["id"] for vector in page["vectors"]]
        assert page["count"] == len(page["vectors"])
    return ids


def test_list_with_any_page_size_returns_every_id_once(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(250)))
    for count in (1_000, 250, 100, 7):
        ids = list_all_ids(http, count)
        assert len(ids) == 250
        assert set(ids) == {f"v{n}" for n in range(250)}


def test_list_page_has_counts_and_cursor_until_the_last_page(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(150)))
    page = http.ok("GET", "/books/list")
    assert (page["count"], page["totalCount"], page["isTruncated"]) == (100, 150, True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00", page["cursorExpirationTimestamp"])
    last = http.ok("GET", "/books/list", params={"cursor": page["nextCursor"]})
    assert (last["count"], last["totalCount"], last["isTruncated"]) == (50, 150, False)
    assert "nextCursor" not in last
    assert "cursorExpirationTimestamp" not in last


def test_list_of_empty_index_returns_one_empty_page(http: Http) -> None:
    http.create()
    assert http.ok("GET", "/books/list") == {"count": 0, "totalCount": 0, "isTruncated": False, "vectors": []}


def test_list_pages_show_the_snapshot_of_the_first_page(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n:02}", 1) for n in range(30)))
    first = http.ok("GET", "/books/list?count=5")
    http.upsert(vector("v29x", 1), vector("v20", 2))
    http.ok("POST", "/books/delete_by_ids", json={"ids": [f"v{n:02}" for n in range(10, 20)]})
    http.upsert(vector("v15", 3))  # Deleted above, and written again.
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["v25"]})
    assert list_all_ids(http, 5, first) == [f"v{n:02}" for n in range(30)]
    fresh = list_all_ids(http, 5)
    assert fresh == [f"v{n:02}" for n in [*range(10), 15, *range(20, 25), *range(26, 30)]] + ["v29x"]


def test_list_cursor_after_restart_continues_the_snapshot(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(9)))
    first = http.ok("GET", "/books/list?count=5")
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["v7", "v8"]})
    http.info()
    http.local.restart()
    assert len(list_all_ids(http, 5, first)) == 9


def test_list_with_expired_cursor_is_refused(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(9)))
    cursor = http.ok("GET", "/books/list?count=5")["nextCursor"]
    http.local.shift_clock(3_601)
    response = http.send("GET", "/books/list", params={"cursor": cursor})
    assert response.status_code == 400
    assert "expired" in response.json()["errors"][0]["message"]


def test_rows_that_no_cursor_can_read_are_deleted(http: Http) -> None:
    def stored_rows() -> int:
        (path,) = http.local.data_dir.glob("index-*.sqlite3")
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM content").fetchone()[0])

    http.create()
    for shift in range(4):
        http.local.shift_clock(shift)
        http.upsert(*(vector(f"v{n}", shift) for n in range(9)))
        assert len(list_all_ids(http, 4)) == 9
    assert stored_rows() == 36
    http.local.shift_clock(4_000)
    http.upsert(vector("v0", 1))
    assert len(list_all_ids(http, 4)) == 9
    assert stored_rows() == 10  # Nine visible rows, and the one that the last batch replaced.
