"""Listing ids: pages of one snapshot, and cursors that end."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

from .conftest import Http, vector


def pages(http: Http, count: int, first: dict[str, Any] | None = None) -> list[str]:
    """All ids from the first page on."""
    page = first or http.ok("GET", f"/books/list?count={count}")
    ids = [one["id"] for one in page["vectors"]]
    while page["isTruncated"]:
        page = http.ok("GET", "/books/list", params={"count": count, "cursor": page["nextCursor"]})
        ids += [one["id"] for one in page["vectors"]]
        assert page["count"] == len(page["vectors"])
    return ids


def test_every_id_is_listed_once(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(250)))
    for count in (1_000, 250, 100, 7):
        ids = pages(http, count)
        assert len(ids) == 250
        assert set(ids) == {f"v{n}" for n in range(250)}


def test_a_page_says_what_is_left(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(150)))
    page = http.ok("GET", "/books/list")
    assert (page["count"], page["totalCount"], page["isTruncated"]) == (100, 150, True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00", page["cursorExpirationTimestamp"])
    last = http.ok("GET", "/books/list", params={"cursor": page["nextCursor"]})
    assert (last["count"], last["totalCount"], last["isTruncated"]) == (50, 150, False)
    assert "nextCursor" not in last
    assert "cursorExpirationTimestamp" not in last


def test_an_empty_index_has_one_empty_page(http: Http) -> None:
    http.create()
    assert http.ok("GET", "/books/list") == {"count": 0, "totalCount": 0, "isTruncated": False, "vectors": []}


def test_all_pages_show_the_index_as_it_was_at_the_first(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n:02}", 1) for n in range(30)))
    first = http.ok("GET", "/books/list?count=5")
    http.upsert(vector("v29x", 1), vector("v20", 2))
    http.ok("POST", "/books/delete_by_ids", json={"ids": [f"v{n:02}" for n in range(10, 20)]})
    http.upsert(vector("v15", 3))  # gone and come again
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["v25"]})
    assert pages(http, 5, first) == [f"v{n:02}" for n in range(30)]
    fresh = pages(http, 5)
    assert fresh == [f"v{n:02}" for n in [*range(10), 15, *range(20, 25), *range(26, 30)]] + ["v29x"]


def test_a_snapshot_outlives_a_restart(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(9)))
    first = http.ok("GET", "/books/list?count=5")
    http.ok("POST", "/books/delete_by_ids", json={"ids": ["v7", "v8"]})
    http.info()
    http.local.restart()
    assert len(pages(http, 5, first)) == 9


def test_an_expired_cursor_is_refused(http: Http) -> None:
    http.create()
    http.upsert(*(vector(f"v{n}", 1) for n in range(9)))
    cursor = http.ok("GET", "/books/list?count=5")["nextCursor"]
    http.local.shift_clock(3_601)
    response = http.send("GET", "/books/list", params={"cursor": cursor})
    assert response.status_code == 400
    assert "expired" in response.json()["errors"][0]["message"]


def test_what_no_cursor_can_see_any_more_is_dropped(http: Http) -> None:
    def kept() -> int:
        (path,) = http.local.data_dir.glob("index-*.sqlite3")
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM content").fetchone()[0])

    http.create()
    for shift in range(4):
        http.local.shift_clock(shift)
        http.upsert(*(vector(f"v{n}", shift) for n in range(9)))
        assert len(pages(http, 4)) == 9
    assert kept() == 36
    http.local.shift_clock(4_000)
    http.upsert(vector("v0", 1))
    assert len(pages(http, 4)) == 9
    assert kept() == 10  # the nine of now, and the one that the last batch replaced
