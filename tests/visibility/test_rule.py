"""Tests of each line of the visibility rule, on states that an index could show."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.visibility import rule
from airflow_provider_vectorize.visibility.memory import Marker, Memory, WaitGroup
from airflow_provider_vectorize.visibility.rule import BY_MARKER, BY_WATERMARK
from airflow_provider_vectorize.visibility.verdict import verdict_for
from airflow_provider_vectorize.visibility.waits import Wait

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
CREATED, RECREATED = "2026-11-01T00:00:00+00:00", "2026-11-26T12:00:30+00:00"


def mutation(number: int) -> str:
    return str(UUID(int=number, version=4))


OURS, FOREIGN = mutation(1 << 96), mutation(2 << 96)
WAIT = Wait("books", OURS, CREATED, NOON)
BARE = Wait("books", OURS)


def info(watermark: str | None, seconds: float = 10) -> IndexInfo:
    """Return the state of an index whose last job ended this many seconds after noon."""
    return IndexInfo(
        dimensions=32,
        vector_count=0,
        processed_up_to_mutation=watermark,
        processed_up_to_datetime=NOON + timedelta(seconds=seconds) if watermark else None,
        answered_at=NOON + timedelta(seconds=seconds + 1),
    )


class Checks:
    """A process that checks an index for some sensors every five seconds of its own clock."""

    def __init__(self, *groups: WaitGroup, created_on: str | None = CREATED) -> None:
        self.groups = list(groups)
        self.memory = Memory()
        self.created_on: str | None = created_on
        self.now = 0.0
        self.markers = 0

    def check(self, shown: IndexInfo | None, *, answer: bool = True, reads: str | None = "current") -> bool:
        """Check once. Return whether all sensors succeed.

        :param shown: The state of the index. ``None`` if it does not exist.
        :param answer: Whether a marker that is due is acknowledged.
        :param reads: The result of reading ``created_on``. Default: the value of the index.
        """
        self.now += 5
        created_on = self.created_on if reads == "current" else reads
        self.memory = rule.begin_check(self.memory, self.groups, self.now)
        if rule.needs_incarnation(self.memory):
            self.memory = rule.record_incarnation(self.memory, created_on)
        if rule.is_marker_due(self.memory, self.groups, self.now):
            self.markers += 1
            marker = Marker(marker_id(self.markers), self.memory.checks, self.memory.watermark)
            self.memory = rule.record_marker(self.memory, marker if answer else None, self.now, 0.5)
        self.memory = rule.record_info(self.memory, shown)
        read = created_on if rule.proof_needs_incarnation(self.memory) else None
        self.memory = rule.prove(rule.record_incarnation(self.memory, read), read)
        return all(not rule.unproved_waits(self.memory, group) for group in self.groups)

    def proofs(self) -> set[str]:
        return {state.proof for state in self.memory.waits.values()}


def marker_id(number: int) -> str:
    """Return the mutation id of a marker, by its number in the order of sending."""
    return mutation(number + (3 << 96))


def test_rule_own_watermark_proves_a_sealed_write() -> None:
    checks = Checks((WAIT,))
    assert not checks.check(info(None))
    assert checks.check(info(OURS))
    assert checks.proofs() == {BY_WATERMARK}
    assert checks.check(info(FOREIGN)), "a watermark that was shown once remains proof"


def test_rule_own_watermark_does_not_prove_an_unsealed_write() -> None:
    checks = Checks((replace(WAIT, sealed=False),))
    assert not any(checks.check(info(OURS)) for _ in range(3))


def test_rule_server_times_later_jobs_and_quiet_periods_prove_nothing() -> None:
    checks = Checks((WAIT,))
    assert not any(checks.check(info(mutation(number), 1_000 * number), answer=False) for number in range(1, 100))
    assert not any(checks.check(info(mutation(99), 99_000), answer=False) for _ in range(1_000))


def test_rule_marker_proves_waits_that_began_before_it_was_sent() -> None:
    checks = Checks((WAIT,))
    assert not any(checks.check(info(FOREIGN)) for _ in range(4))
    assert checks.markers == 1
    assert checks.check(info(marker_id(1)))
    assert checks.proofs() == {BY_MARKER}


def test_rule_marker_does_not_prove_a_wait_that_began_later() -> None:
    checks = Checks((WAIT,))
    for _ in range(4):
        checks.check(info(FOREIGN))
    later_wait = replace(WAIT, mutation_id=mutation(9 << 96))
    checks.groups.append((later_wait,))
    assert not checks.check(info(marker_id(1)))
    assert not rule.unproved_waits(checks.memory, (WAIT,))
    assert rule.unproved_waits(checks.memory, (later_wait,)) == [later_wait]


def test_rule_marker_without_an_answer_proves_nothing() -> None:
    checks = Checks((WAIT,))
    for _ in range(4):
        checks.check(info(FOREIGN), answer=False)
    assert checks.markers == 1
    assert not checks.check(info(marker_id(1)))


def test_rule_marker_in_a_recreated_index_fails_the_wait_after_three_checks() -> None:
    checks = Checks((WAIT,), created_on=RECREATED)
    for _ in range(4):
        checks.check(info(FOREIGN))
    for number in range(3):
        assert not rule.permanent_failure(checks.memory, (WAIT,)), number
        assert not checks.check(info(marker_id(1)))
    assert "deleted and created again" in rule.permanent_failure(checks.memory, (WAIT,))


def test_rule_different_reads_of_created_on_delay_the_proof() -> None:
    checks = Checks((WAIT,))
    for _ in range(4):
        checks.check(info(FOREIGN))
    assert not checks.check(info(marker_id(1)), reads=None)
    assert not rule.permanent_failure(checks.memory, (WAIT,))
    assert checks.check(info(FOREIGN)), "a marker that was shown once remains proof"


@pytest.mark.parametrize("wait", [WAIT, BARE])
def test_rule_id_shown_before_the_wait_proves_only_the_same_incarnation(wait: Wait) -> None:
    early = Wait("books", FOREIGN)  # created_on is read at once for a bare id
    for created_on, visible in ((CREATED, True), (RECREATED, False)):
        checks = Checks((early,))
        checks.check(info(OURS))
        checks.created_on = created_on
        checks.groups.append((wait,))
        checks.check(info(None))
        assert (not rule.unproved_waits(checks.memory, (wait,))) == visible


def test_rule_bare_id_is_bound_to_the_incarnation_at_its_first_check() -> None:
    checks = Checks((BARE,))
    for _ in range(4):
        checks.check(info(FOREIGN))
    checks.created_on = RECREATED
    assert not any(checks.check(info(marker_id(1))) for _ in range(3))
    assert rule.permanent_failure(checks.memory, (BARE,))


def test_rule_bare_id_without_a_known_incarnation_is_not_proved_by_markers() -> None:
    checks = Checks((BARE,))
    for _ in range(4):
        checks.check(info(FOREIGN), reads=None)
    assert checks.markers == 1
    assert not checks.check(info(marker_id(1)))
    assert not checks.check(info(marker_id(1)))


def test_rule_missing_index_fails_after_three_consecutive_checks() -> None:
    checks = Checks((WAIT,))
    for shown, failed in (
        (None, False),
        (None, False),
        (info(FOREIGN), False),
        (None, False),
        (None, False),
        (None, True),
    ):
        checks.check(shown)
        assert bool(rule.permanent_failure(checks.memory, (WAIT,))) == failed


def test_rule_single_writer_needs_no_marker() -> None:
    own = " ".join(mutation(number << 96)[:8] for number in range(10, 30))
    checks = Checks((replace(WAIT, own=own),))
    for number in range(10, 30):
        assert not checks.check(info(mutation(number << 96)))
    assert checks.check(info(OURS))
    assert checks.markers == 0


def test_rule_watermark_older_than_the_acknowledgement_makes_no_marker_due() -> None:
    checks = Checks((WAIT,))
    for _ in range(10):
        checks.check(info(FOREIGN, seconds=-10))
    assert checks.markers == 0


def test_rule_marker_is_due_after_two_minutes_without_a_watermark() -> None:
    checks = Checks((WAIT,))
    for _ in range(24):
        checks.check(info(None))
    assert checks.markers == 0
    checks.check(info(None))
    assert checks.markers == 1


def test_rule_several_receipts_make_a_marker_due_once_one_is_shown() -> None:
    other = replace(WAIT, mutation_id=mutation(9 << 96))
    checks = Checks((WAIT, other))
    assert not checks.check(info(OURS))
    assert not checks.check(info(OURS))
    assert checks.markers == 1
    assert checks.check(info(marker_id(1)))


def test_rule_unchanged_watermark_limits_markers_to_three() -> None:
    checks = Checks((WAIT,))
    for _ in range(100):
        checks.check(info(FOREIGN))
    assert checks.markers == 3
    for number in range(100):
        checks.check(info(mutation(number << 64)))
    assert checks.markers == 3 + 100 // 5, "one marker every 22.5 seconds, with checks every 5 seconds"


def test_rule_old_markers_remain_proof_until_their_waits_end() -> None:
    checks = Checks((WAIT,))
    for number in range(100):
        checks.check(info(mutation(number << 64)))
    assert checks.markers > 10
    assert checks.check(info(marker_id(1)))


def test_rule_refused_markers_are_not_sent_again() -> None:
    checks = Checks((WAIT,))
    checks.memory = replace(checks.memory, marker_refusal="no permission")
    for number in range(100):
        checks.check(info(mutation(number << 64)))
    assert checks.markers == 0
    text = verdict_for(checks.memory, (WAIT,), "delete", checks.now, info(FOREIGN)).text
    assert "no permission" in text


def test_verdict_after_five_markers_explains_the_other_writers() -> None:
    checks = Checks((WAIT,))
    for number in range(40):
        checks.check(info(mutation(number << 64)))
    text = verdict_for(checks.memory, (WAIT,), "delete", checks.now, info(FOREIGN)).text
    assert "Other writers keep the index busy" in text
    assert 'marker="vector"' in text
    assert OURS in text
