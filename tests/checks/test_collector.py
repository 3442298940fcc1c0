"""What a load collects covers every row of the source: after a retry, from Parquet, and in blocks of unusual rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ServerError
from airflow_provider_vectorize.load.collection import CollectedQuery, Collection, values_digest
from airflow_provider_vectorize.load.collector import DRAWN_FROM, Collector
from airflow_provider_vectorize.load.job import run
from airflow_provider_vectorize.load.neighbors import Neighbor
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.row_hashes import Counts
from tests.support import FileObject, MemoryStore, Row, client_of, ndjson, write_object

from .support import CheckedIndex, corpus, exact_neighbors, other_model


def collect(
    books: CheckedIndex, source: FileObject, store: MemoryStore | None = None, *, per_request: int = 50, **options: Any
) -> Collection:
    collector = Collector()
    limits = Limits(vectors_per_request=per_request, late_seconds=0)
    with client_of(books.local, retry=RetryPolicy(total=0)) as client:
        index = client.get_index(books.name)
        load_options = LoadOptions(collector=collector, limits=limits, **options)
        receipt = run(client, "upsert", index, [source], load_options, store, {"run": "1"})
    return collector.finish(books.name, "upsert", receipt.created_on)


def write(books: CheckedIndex, rows: list[Row] | bytes, name: str = "a.ndjson") -> FileObject:
    return FileObject(write_object(books.folder / name, rows if isinstance(rows, bytes) else ndjson(rows)))


def check_complete(collected: Collection, rows: list[Row]) -> None:
    assert collected.counts == Counts(len(rows), len(rows), 0, 0)
    assert set(collected.samples) == {row["id"] for row in rows}
    assert all(collected.samples[row["id"]] == values_digest(row["values"]) for row in rows)
    assert len(collected.queries) == 30
    for query in collected.queries:
        assert {found.id for found in query.neighbors[:10]} == set(exact_neighbors(query.values, rows, 10))


@pytest.mark.parametrize("name", ["a.ndjson", "a.ndjson.gz"])
def test_collector_sees_every_row(books: CheckedIndex, name: str) -> None:
    rows = corpus(450)
    check_complete(collect(books, write(books, rows, name)), rows)


@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_collector_resumed_load_sees_rows_of_the_first_attempt(books: CheckedIndex, max_in_flight: int) -> None:
    rows, store = corpus(450), MemoryStore()
    source = write(books, rows)
    books.local.fail("http_500", operation="upsert", after=4, times=None)
    with pytest.raises(ServerError):
        collect(books, source, store, max_in_flight=max_in_flight)
    books.local.clear_faults()
    sent = store.value["receipt"]["vectors"]
    assert 0 < sent < 450
    books.local.clear_requests()

    collected = collect(books, source, store, max_in_flight=max_in_flight)

    check_complete(collected, rows)
    assert sum(request.vectors for request in books.local.requests("upsert")) == 450 - sent
    assert books.local.count(books.name) == 450


def test_collector_finished_load_sends_nothing_and_sees_every_row(books: CheckedIndex) -> None:
    rows, store = corpus(450), MemoryStore()
    source = write(books, rows)
    collect(books, source, store)
    books.local.clear_requests()
    check_complete(collect(books, source, store), rows)
    assert books.local.requests("upsert") == []


def test_collector_unusual_rows_are_decoded(books: CheckedIndex) -> None:
    """A blank line and another order of keys make blocks that are checked line by line."""
    rows = corpus(450)
    lines = [json.dumps({"values": row["values"], "id": row["id"], "x": [[1]]}).encode() + b"\n\n" for row in rows]
    check_complete(collect(books, write(books, b"".join(lines))), rows)


def test_collector_parquet_has_the_same_values(books: CheckedIndex) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = corpus(450)
    table = pyarrow.table({
        "id": [row["id"] for row in rows],
        "values": pyarrow.array([row["values"] for row in rows], pyarrow.list_(pyarrow.float32())),
    })
    parquet.write_table(table, books.folder / "a.parquet", row_group_size=100)
    check_complete(collect(books, FileObject(books.folder / "a.parquet")), rows)


def test_collector_few_rows_and_zero_vectors_are_counted(books: CheckedIndex) -> None:
    rows = corpus(6)
    rows[2]["values"] = rows[4]["values"] = [0.0] * 32
    rows[5]["values"] = rows[0]["values"]
    collected = collect(books, write(books, rows))
    assert collected.counts == Counts(6, 6, 2, 1)
    assert set(collected.zero_ids) == {"v2", "v4"}
    assert {query.id for query in collected.queries} == {"v0", "v1", "v3", "v5"}
    assert {len(query.neighbors) for query in collected.queries} == {6}


def test_collector_queries_are_drawn_alike_and_with_exact_neighbors(books: CheckedIndex) -> None:
    rows = corpus(6_000)
    first, second = (collect(books, write(books, rows), per_request=5_000).queries for _ in range(2))
    assert first == second
    positions = sorted(int(query.id.removeprefix("v")) for query in first)
    assert positions[0] < DRAWN_FROM / 4 < DRAWN_FROM / 2 < positions[-1] < DRAWN_FROM + 1_000, positions
    assert len(set(positions)) == 30
    for query in first:
        assert {found.id for found in query.neighbors[:10]} == set(exact_neighbors(query.values, rows, 10))


def test_collector_query_that_a_later_row_replaces_is_dropped(books: CheckedIndex) -> None:
    rows = corpus(DRAWN_FROM + 2_000)
    drawn = collect(books, write(books, rows), per_request=5_000).queries
    replaced = {query.id for query in drawn[:5]}
    later = other_model([row for row in rows if row["id"] in replaced])
    kept = collect(books, write(books, rows + later), per_request=5_000).queries
    assert {query.id for query in kept} == {query.id for query in drawn} - replaced


def test_collector_zero_vectors_first_are_neighbors_of_no_later_query(books: CheckedIndex) -> None:
    """The rows from which queries are drawn are all zero, and these rows are not kept."""
    rows = corpus(2 * DRAWN_FROM + 500)
    for row in rows[: 2 * DRAWN_FROM]:  # They are read in blocks of some thousand.
        row["values"] = [0.0] * 32
    assert collect(books, write(books, rows), per_request=5_000).queries == ()


def test_collector_bad_rows_are_not_counted(books: CheckedIndex) -> None:
    rows = corpus(60)
    content = ndjson(rows[:30]) + b"nonsense\n" + ndjson(rows[30:])
    collected = collect(books, write(books, content), unparsable_behavior="discard")
    assert collected.counts == Counts(60, 60, 0, 0)


def test_collection_json_is_read_back(tmp_path: Path) -> None:
    query = CollectedQuery("a", (0.5, 0.25), (Neighbor("a", 1.0), Neighbor("b", 0.5)))
    collected = Collection("books", "upsert", "2026-01-01", Counts(5, 4, 1, 0), ("z",), {"a": "0f"}, (query,))
    assert Collection.from_json(collected.to_json()) == collected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a checks file"),
        (b'{"id": "a"}', "not a checks file"),
        (b'{"kind":"vectorize-checks","format":1}', "damaged"),
        (b'{"kind":"vectorize-checks","format":99}', "newer version"),
        (b'{"kind":"vectorize-checks","form', "damaged"),
    ],
)
def test_collection_other_content_raises(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Collection.from_json(content)
