"""docs/scale.md quotes the tables that benchmarks/scale.py calculates and the counts of a real Airflow."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.handle import LocalVectorize
from benchmarks.scale import SYNCED, cost, deletes, line_bytes, nights, tables, upserts
from tests.support import Row, make_rows
from tests.sync.support import SyncedIndex

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "scale.md").read_text()


def test_scale_page_quotes_the_calculated_tables() -> None:
    for table in tables():
        assert table in PAGE, table


def test_cost_requests_are_bounded_by_vectors_and_bytes() -> None:
    assert cost(12_000, 1_000).requests == 3
    assert cost(12_000, 50_000).requests == 6
    assert cost(12_000, 50_000).vectors_per_request == 2_000


def test_cost_jobs_are_bounded_by_vectors_and_requests() -> None:
    assert cost(400_001, 1_000).jobs == 3
    assert cost(3_000_000, 90_000_000).jobs == 3_000


def test_cost_time_is_bounded_by_bandwidth_below_the_turning_point_and_budget_above() -> None:
    one = cost(20_000_000, line_bytes(1_536, float32=True))
    turning_point = one.turning_point()
    assert one.seconds(turning_point / 2) == 2 * one.budget_seconds()
    assert one.seconds(turning_point * 2) == one.budget_seconds()


def test_scale_page_counts_grow_linearly_with_the_shards() -> None:
    """tests/airflow/test_scale.py checks the counts themselves."""
    (head,) = re.findall(r"^\| +\|((?: \d+ shards \|)+)$", PAGE, re.MULTILINE)
    shards = [int(number) for number in re.findall(r"\d+", head)]
    lines = re.findall(r"^\| (?:requests|rows): (\S+)[^|]* \|(.*)\|$", PAGE, re.MULTILINE)
    assert len(lines) == 9
    for name, cells in lines:
        counts = [int(cell.replace(",", "")) for cell in cells.split("|")]
        steps = zip(pairwise(counts), pairwise(shards), strict=True)
        assert len({(late - early) / (many - few) for (early, late), (few, many) in steps}) == 1, name


def test_scale_page_counts_the_requests_of_real_nights(local_vectorize: LocalVectorize, tmp_path: Path) -> None:
    limits = Limits(vectors_per_request=50, ids_per_delete=10, list_page=100, late_seconds=0)
    docs = SyncedIndex(local_vectorize, tmp_path)
    docs.create()
    rows = make_rows(1_000)
    expected = nights(1_000, limits)
    measured = {}

    def night(name: str, rows: list[Row] | None = None, **options: Any) -> None:
        if rows is not None:
            docs.write("a.ndjson", rows)
        local_vectorize.clear_requests()
        docs.sync(limits=limits, load={"max_in_flight": 1}, **options)
        measured[name] = len(local_vectorize.requests())

    night("first night, or everything changed", rows)
    night("nothing changed")
    night("1% changed", [*make_rows(10, seed=1), *rows[10:]])
    night("nothing changed, `report_foreign`", report_foreign=True)
    night("`reconcile`", reconcile=True)
    night("1% left the source", [*make_rows(10, seed=1), *rows[10:990]], delete_vanished=True)
    assert measured == expected


def test_scale_page_says_when_deleting_costs_more_than_loading_everything() -> None:
    (percent,) = re.findall(r"more than about (\d+) % of the vectors", PAGE)
    for vectors in SYNCED:
        share = int(vectors * int(percent) / 100)
        assert deletes(share - share // 20) < upserts(vectors) < deletes(share + share // 20)


@pytest.mark.parametrize("page", ["nightly-sync.md", "scale.md"])
def test_pages_say_what_an_unchanged_night_costs(page: str) -> None:
    (requests,) = re.findall(r"[Aa]\s+night\s+without\s+changes\s+costs\s+(\d+)\s+requests", (DOCS / page).read_text())
    assert {int(requests)} == {nights(vectors)["nothing changed"] for vectors in SYNCED}


def test_scale_page_names_the_cost_of_other_writers(local_vectorize: LocalVectorize, tmp_path: Path) -> None:
    docs = SyncedIndex(local_vectorize, tmp_path)
    docs.create()
    docs.write("a.ndjson", make_rows(100))
    docs.sync()
    with docs.client() as other:
        other.delete_by_ids("books", ["unknown"])
    local_vectorize.clear_requests()

    docs.sync()

    requests = [request.operation for request in local_vectorize.requests()]
    assert "the audit sends a marker" in PAGE
    assert requests.count("delete_by_ids") == 1
    assert nights(100)["nothing changed"] < len(requests) <= nights(100)["nothing changed"] + 10
