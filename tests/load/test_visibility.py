"""Is it visible yet? Never without a proof, once and for all with one, and with the reason while there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Receipt, Sample
from airflow_provider_vectorize.visibility import (
    AGREEING_READS,
    ALL_QUIET,
    LATER_BATCHES,
    QUIET,
    READ_BACK,
    WATERMARK,
    Reading,
    Verdict,
    judge,
    to_read_back,
)
from airflow_provider_vectorize.waits import Wait, waits_for

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEW = (Sample("a", "da", new=True), Sample("b", "db", new=True))
OLD = (Sample("a", "da"), Sample("b", "db"))
SHOWN = {"a": "da", "b": "db"}
OURS = Wait("books", "ours", NOON, "upsert", NEW)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def info(mutation: str | None = "theirs", processed: float = 5, answered: float = 6) -> IndexInfo:
    return IndexInfo(
        dimensions=2,
        vector_count=7,
        processed_up_to_mutation=mutation,
        processed_up_to_datetime=None if mutation is None else at(processed),
        answered_at=at(answered).replace(microsecond=0),
    )


def read(found: IndexInfo, *reads: Mapping[str, str | None], asked: Sequence[str] = ("a", "b")) -> Reading:
    return Reading(found, asked, reads)


def after(*readings: Reading, waits: Sequence[Wait] = (OURS,)) -> Verdict:
    """The last verdict. What is seen goes through JSON from look to look, as it does in a deferral."""
    seen: dict[str, Any] = {}
    for reading in readings:
        verdict = judge(waits, seen, reading)
        seen = json.loads(json.dumps(verdict.seen))
    return verdict


# ---------------------------------------------------------------------- proofs


def test_the_watermark_itself_is_a_proof() -> None:
    verdict = after(Reading(info("ours")))
    assert verdict.visible
    assert WATERMARK in verdict.text


def test_the_watermark_of_a_load_that_is_not_sealed_is_none() -> None:
    unsealed = replace(OURS, sealed=False)
    assert not after(Reading(info("ours")), waits=[unsealed]).visible
    assert after(read(info("ours"), *[SHOWN] * 3), waits=[unsealed]).visible


def test_new_vectors_that_read_back_are_a_proof_once_the_watermark_has_passed() -> None:
    verdict = after(read(info(), *[SHOWN] * AGREEING_READS))
    assert verdict.visible
    assert READ_BACK in verdict.text


@pytest.mark.parametrize(
    "reads", [[], [SHOWN], [SHOWN] * 2, [SHOWN, SHOWN, {}], [{"a": "da"}] * 3, [{"a": "da", "b": "x"}] * 3]
)
def test_reads_that_are_few_or_do_not_agree_are_none(reads: list[Mapping[str, str]]) -> None:
    assert not after(read(info(), *reads)).visible


def test_reading_back_before_the_watermark_has_passed_is_not_even_tried() -> None:
    assert to_read_back([OURS], {"proved": {}}, info(processed=-2), 20) == []
    assert to_read_back([OURS], {"proved": {}}, info(None), 20) == []
    assert sorted(to_read_back([OURS], {"proved": {}}, info(), 20)) == ["a", "b"]
    verdict = after(read(info(processed=-2), *[SHOWN] * 3))
    assert not verdict.visible
    assert "nothing was processed since it was acknowledged" in verdict.text


def test_vectors_that_were_there_before_prove_nothing() -> None:
    """A batch that was running at the acknowledgement ends later, and does not hold the mutation."""
    verdict = after(read(info(), *[SHOWN] * 3), waits=[replace(OURS, samples=OLD)])
    assert not verdict.visible
    assert "its sample vectors were there before" in verdict.text


def test_vectors_that_were_seen_missing_prove_it_when_they_appear() -> None:
    waits = [replace(OURS, samples=OLD)]
    assert after(read(info(), *[{}] * 3), read(info("x", 9, 10), *[SHOWN] * 3), waits=waits).visible
    flapped = after(read(info(), {}, {}, SHOWN), read(info(), *[SHOWN] * 3), waits=waits)
    assert not flapped.visible


def test_a_new_vector_of_a_crowd_is_enough_for_a_load_that_ended_with_one_batch_and_not_for_another() -> None:
    crowd = [
        replace(OURS, mutation_id=f"m{n}", samples=(Sample(f"{n}", "d", True), Sample(f"{n} old", "d")))
        for n in range(30)
    ]
    crowd[3] = replace(crowd[3], sealed=False)
    ids = to_read_back(crowd, {}, info(), 20)
    assert ids == ["0", "1", "2", "3", "3 old", *(str(n) for n in range(4, 19))]
    found = after(read(info(), *[{n: "d" for n in ids if n != "3 old"}] * 3, asked=ids), waits=crowd)
    assert len(found.lacks) == 30 - 18, "all that were asked for but the fourth"


def test_for_an_insert_being_there_is_all_that_was_promised() -> None:
    other = {"a": "somebody else's", "b": None}
    assert after(read(info(), *[other] * 3), waits=[replace(OURS, operation="insert")]).visible
    assert not after(read(info(), *[other] * 3)).visible


# ---------------------------------------------------------------------- inferences

BARE = Wait("books", "ours")


def test_a_bare_id_is_inferred_from_two_later_batches() -> None:
    first = Reading(info("w0", -60, 0))
    assert not after(first, Reading(info("w1", 3, 4)), waits=[BARE]).visible
    verdict = after(first, Reading(info("w1", 3, 4)), Reading(info("w2", 8, 9)), waits=[BARE])
    assert verdict.visible
    assert LATER_BATCHES in verdict.text


def test_a_large_load_needs_as_many_later_batches_as_hold_it() -> None:
    receipt = Receipt("upsert", "books", "ours", vectors=1_000_000, batches=200, accepted_at=NOON.isoformat())
    (wait,) = waits_for(receipt.to_dict(), None)
    assert wait.batches == 12
    many = Receipt("upsert", "books", "ours", vectors=3_000, batches=3_000)
    assert waits_for(many.to_dict(), None)[0].batches == 8
    readings = [Reading(info(f"w{n}", 2 + n, 3 + n)) for n in range(12)]
    assert not after(*readings[:11], waits=[wait]).visible
    assert after(*readings, waits=[wait]).visible


def test_the_same_watermark_seen_again_and_an_older_one_do_not_count() -> None:
    readings = [
        Reading(info("w0", -60, 0)),
        Reading(info("w1", 3, 4)),
        Reading(info("w0", -60, 5)),
        Reading(info("w1", 3, 6)),
    ]
    assert not after(*readings * 3, waits=[BARE]).visible


def test_when_nothing_was_processed_for_minutes_nothing_is_left_to_be_processed() -> None:
    quiet = QUIET.total_seconds()
    waits = [replace(OURS, samples=OLD)]
    assert not after(read(info(processed=5, answered=quiet), *[SHOWN] * 3), waits=waits).visible
    verdict = after(read(info(processed=5, answered=quiet + 6), *[SHOWN] * 3), waits=waits)
    assert verdict.visible
    assert ALL_QUIET in verdict.text
    assert not after(read(info(processed=-5, answered=quiet * 2), *[SHOWN] * 3), waits=waits).visible, "it is pending"
    assert not after(read(info(processed=5, answered=quiet * 2), *[{}] * 3), waits=waits).visible, (
        "it is not to be seen"
    )


def test_a_bare_id_of_long_ago_does_not_wait_for_ever() -> None:
    quiet = QUIET.total_seconds()
    start = Reading(info("w0", -900, 0))
    assert not after(start, Reading(info("w0", -900, quiet - 1)), waits=[BARE]).visible
    assert after(start, Reading(info("w0", -900, quiet)), waits=[BARE]).visible
    assert not after(Reading(info(None)), Reading(info(None, answered=quiet * 2)), waits=[BARE]).visible


# ---------------------------------------------------------------------- the end of hope, and what is told


def test_an_index_that_is_gone_is_the_end() -> None:
    verdict = after(read(info()), Reading(None))
    assert not verdict.visible
    assert verdict.never == 'Index "books" was deleted, or never existed: the mutations waited for are gone with it.'


def test_what_is_seen_is_told() -> None:
    waits = [OURS, *(replace(OURS, mutation_id=f"m{n}") for n in range(4))]
    text = after(Reading(info("theirs", -9, 3)), waits=waits).text
    assert text.startswith("Not visible yet: ours: ")
    assert text.endswith('(and 2 more). Index "books": processed up to mutation theirs at 11:59:51 UTC, 12 s ago.')
    assert "nothing was processed yet" in after(Reading(info(None))).text


def test_one_that_is_visible_stays_so_whatever_replicas_say_later() -> None:
    waits = [OURS, replace(OURS, mutation_id="other", samples=(Sample("c", "dc", new=True),))]
    stale = read(info(None), {}, {}, {})
    verdict = after(Reading(info("ours")), stale, Reading(info("other")), waits=waits)
    assert verdict.visible
    assert verdict.text.startswith(f"All 2 visible: {WATERMARK}.")


def test_many_waits_take_turns_so_that_one_that_hangs_does_not_keep_the_others() -> None:
    waits = [
        replace(OURS, mutation_id=f"m{n}", samples=tuple(Sample(f"{n}-{k}", "d", True) for k in range(3)))
        for n in range(20)
    ]
    seen: Mapping[str, Any] = judge(waits, {}, Reading(info())).seen
    asked: list[str] = []
    for _ in range(3):
        ids = to_read_back(waits, seen, info(), 7)
        assert len(ids) == 7
        asked += ids
        seen = json.loads(json.dumps(judge(waits, seen, Reading(info(), ids, [{}] * 3)).seen))
    assert asked == [f"{n % 20}-0" for n in range(21)], "one of each, the oldest first, and round again"


def test_one_wait_with_more_samples_than_a_request_takes_is_read_all_the_same() -> None:
    wait = replace(OURS, samples=tuple(Sample(str(n), "d", True) for n in range(30)))
    assert len(to_read_back([wait], {"proved": {}}, info(), 20)) == 30


# ---------------------------------------------------------------------- what a sensor is given


def test_a_wait_survives_the_row_of_a_trigger() -> None:
    wait = Wait("books", "m", NOON, "insert", NEW, False, 7, at(-3))
    assert Wait.from_dict(json.loads(json.dumps(wait.to_dict()))) == wait


def test_a_receipt_of_a_task_that_had_nothing_to_write_asks_for_no_wait() -> None:
    assert waits_for([{"operation": "delete", "index_name": "books", "mutation_id": None}], None) == []


def test_deleted_vectors_that_were_there_are_a_proof_once_they_are_gone() -> None:
    wait = Wait("books", "m", NOON, "delete", NEW)
    gone, there = {}, {sample.id: sample.digest for sample in NEW}
    for reads, visible in (([there, gone, gone], False), ([gone, gone, gone], True)):
        assert judge([wait], {}, read(info("theirs"), *reads, asked=[sample.id for sample in NEW])).visible == visible


def test_receipts_ids_and_lists_of_lists_are_all_understood() -> None:
    times = {"accepted_at": NOON.isoformat(), "sent_after": at(-2).isoformat()}
    receipt = Receipt("upsert", "books", "m", **times, samples=NEW).to_dict()
    assert waits_for([receipt, [receipt, "id"]], "films") == [
        Wait("books", "m", NOON, "upsert", NEW, batches=4, sent_after=at(-2)),
        Wait("books", "m", NOON, "upsert", NEW, batches=4, sent_after=at(-2)),
        Wait("films", "id"),
    ]


@pytest.mark.parametrize("mutation", [None, "", b"x", 7, {"mutation_id": "m"}, [], {}])
def test_what_cannot_be_waited_for_is_refused(mutation: Any) -> None:
    with pytest.raises(ConfigError):
        waits_for(mutation, "books")


def test_an_id_without_an_index_is_refused() -> None:
    with pytest.raises(ConfigError, match="give index_name"):
        waits_for("id", None)
