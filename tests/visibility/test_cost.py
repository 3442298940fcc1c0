"""Tests of the cost of waiting in requests and checks, with each line of the rule that reduces it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from .cost import CASES, run_busy, run_case
from .switches import without

#: By line of the rule: a case whose cost is too high without it.
CASE_BY_LINE = {
    "own_id": "single writer",
    "siblings": "single writer",
    "join": "pages of the hook",
    "seen_once": "seen before",
    "markers_kept": "old marker",
    "every_20_s": "hidden by another writer",
    "while_still": "stall",
    "after_120_s": "late clock",
    "foreign_hint": "hidden by another writer",
    "three_checks": "short overlap",
    "by_the_clock": "resonance",
    "set_hint": "mapped loads",
}


@pytest.mark.parametrize("name", CASES)
def test_cost_of_each_case_is_within_its_limits(name: str) -> None:
    cost, excess = run_case(name)
    assert not excess, (excess, cost)


@pytest.mark.parametrize("line", CASE_BY_LINE)
def test_cost_without_a_line_of_the_rule_exceeds_the_limits(line: str) -> None:
    with without(line):
        assert run_case(CASE_BY_LINE[line])[1]


def test_cost_of_a_thousand_deferred_sensors_on_a_busy_index_is_shared() -> None:
    ((cost, marker_times),) = run_busy(1_000, runs=1)
    assert all(later - earlier >= 20 for earlier, later in pairwise(marker_times))
    assert cost.checks < 700
    assert cost.other <= 9, "created_on must be read for all sensors together"
