"""docs/scale.md quotes the tables that benchmarks/scale.py calculates and the counts of a real Airflow."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from benchmarks.scale import cost, line_bytes, tables

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()


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
