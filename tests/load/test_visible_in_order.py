"""Vectorize's log is processed in its order: one watermark proves what is older, and nothing that may be younger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_vectorize.visibility import IN_ORDER, Reading, judge
from airflow_provider_vectorize.waits import Wait

from .test_visibility import BARE, OLD, OURS, SHOWN, after, at, info, read


def in_order(*seconds: float, **more: Any) -> list[Wait]:
    """Acknowledged so many seconds after noon, and sent a second before."""
    return [
        replace(OURS, mutation_id=f"m{n}", accepted_at=at(second), sent_after=at(second - 1), **more)
        for n, second in enumerate(seconds)
    ]


def test_a_watermark_proves_all_that_was_acknowledged_before_it_was_sent() -> None:
    verdict = after(Reading(info("m3")), waits=in_order(0, 5, 6.5, 10))
    assert list(verdict.lacks) == [in_order(0, 5, 6.5, 10)[2].key], "clocks agree to three seconds, no better"
    assert IN_ORDER in verdict.seen["proved"].values()


def test_one_that_joins_later_is_proved_by_what_was_seen_before() -> None:
    early, late = in_order(0, 10)
    seen = after(Reading(info("m1")), waits=[late]).seen
    assert judge([early], seen, Reading(info("other"))).visible
    assert judge([late], seen, Reading(info("other"))).visible, "it was the watermark, at an earlier look"


def test_what_reads_back_proves_nothing_of_what_is_older() -> None:
    """The attempt before may have sent the same vectors, and its answer was lost."""
    early, late = in_order(0, 10)
    verdict = after(read(info(processed=20), *[SHOWN] * 3), waits=[late, replace(early, samples=OLD)])
    assert list(verdict.lacks) == [replace(early, samples=OLD).key]


def test_a_watermark_of_a_load_that_is_not_sealed_proves_what_is_older_all_the_same() -> None:
    early, late = in_order(0, 10)
    verdict = after(Reading(info("m1")), waits=[early, replace(late, sealed=False)])
    assert set(verdict.lacks) == {replace(late, sealed=False).key}


def test_a_bare_id_is_older_than_what_is_sent_after_the_first_look() -> None:
    (late,) = in_order(20)
    for first, visible in ((Reading(info("w0", 1, 2)), True), (Reading(info("w0", 1, 17)), False)):
        verdict = after(first, Reading(info("m0", 30, 31)), waits=[BARE, late])
        assert (BARE.key not in verdict.lacks) == visible


def test_a_wait_that_knows_less_does_not_prove_one_that_needs_more() -> None:
    receipt = replace(OURS, sealed=False, batches=12)
    bare = Wait("books", "ours")
    seen = after(Reading(info("ours")), waits=[bare]).seen
    assert not judge([bare, receipt], seen, Reading(info("ours"))).visible
