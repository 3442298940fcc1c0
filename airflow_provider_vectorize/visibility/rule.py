"""The visibility rule: which mutations are proved to be visible, and when a marker is due. Pure functions, no I/O.

Mutation ids have no order, and no endpoint returns the status of a mutation. A job of Vectorize processes many
mutations together, and the index then shows only the last of them (the watermark). Two observations prove that a
mutation is visible:

1. The watermark was this mutation, at a check since the wait began. If the mutation stands for others, such as the
   batches of a load, the index must also still be the incarnation that they were written to.
2. The watermark was a *marker*: a write of this process without effect, sent while the process was already waiting for
   the mutation and therefore after it in the log of the index. The index must also still be the incarnation that the
   mutation was written to.

Nothing else is proof: no server times, no number of later jobs, no quiet period, and no vectors that read back as they
were sent. Times are only hints for when a marker is worth its request.

**Assumptions about Vectorize. The whole rule depends on them, and this repository cannot check them.**

(a) An acknowledged write has its place in the log of the index before the acknowledgement. Everything that is sent
    later, over any connection, comes after it in the log.
(b) Vectors, deletions and metadata indexes share this log.
(c) The watermark is the last mutation, in log order, of a finished job. It is not shown before its data is applied.
(d) Deletions of unknown ids are logged and shown like any other mutation.
(e) Replicas lag behind and are never ahead.
(f) ``created_on`` is unique for each incarnation of an index.
(g) Requests that were refused or throttled, or whose connection was cut while the body was sent, are never carried out.
(h) An abandoned request is carried out within ``Limits.late_seconds`` or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.visibility.memory import GroupState, Marker, Memory, WaitGroup, WaitState
from airflow_provider_vectorize.visibility.waits import Wait

MarkerKind = Literal["delete", "vector", "none"]

#: Consecutive checks that must find the index missing or re-created before the wait fails, since replicas may lag.
CONFIRMING_CHECKS = 3
#: Seconds after which a marker is due regardless of the watermark.
MARKER_AFTER_SECONDS = 120.0
#: Seconds between two markers, plus a random part of at most the jitter. Only the clock decides: markers that follow
#: changes of the watermark synchronize with the jobs of Vectorize and are then never the last mutation of one.
MARKER_INTERVAL_SECONDS, MARKER_JITTER_SECONDS = 20.0, 5.0
#: Maximum number of markers that are sent while the watermark does not change.
MAX_MARKERS_PER_WATERMARK = 3
#: Number of markers after which the log explains what other writers do and which option helps.
MARKERS_BEFORE_ADVICE = 5
#: Assumed maximum difference between the clocks of Vectorize's servers. Used for hints only.
CLOCK_TOLERANCE = timedelta(seconds=2)
#: Maximum number of watermarks kept for waits that begin later: half a day of checks every 5 seconds.
MAX_REMEMBERED_WATERMARKS = 10_000

BY_WATERMARK = "the index has shown this mutation as its last one"
BY_MARKER = "the index has shown a marker that was sent after it"
BY_READ_BACK = "its sample vectors read back as they were sent (evidence, not proof)"


def begin_check(memory: Memory, groups: Iterable[WaitGroup], now: float) -> Memory:
    """Begin a check: add new waits, and drop waits and markers that are no longer needed."""
    groups = list(groups)
    number = memory.checks + 1
    all_waits = dict.fromkeys(wait for group in groups for wait in group)
    waits = {wait: memory.waits.get(wait) or _new_wait(wait, number) for wait in all_waits}
    oldest = min((state.first_check for state in waits.values() if not state.proof), default=number)
    return replace(
        memory,
        checks=number,
        waits=waits,
        groups={group: memory.groups.get(group) or GroupState(now) for group in groups},
        markers=tuple(marker for marker in memory.markers if marker.check_number >= oldest),
    )


def _new_wait(wait: Wait, check_number: int) -> WaitState:
    return WaitState(check_number, check_number if wait.created_on else None, wait.created_on)


def needs_incarnation(memory: Memory) -> bool:
    """Return whether ``created_on`` has to be read now, to bind a new bare id to the current incarnation."""
    return any(state.covered_from is None and not state.proof for state in memory.waits.values())


def record_incarnation(memory: Memory, created_on: str | None) -> Memory:
    """Record the current incarnation of the index, and bind waits for bare ids to it.

    :param created_on: The value that several reads returned. ``None`` if they differed or were not made.
    """
    if created_on is None:
        return memory
    known = memory.incarnation
    since = known[1] if known and known[0] == created_on else memory.checks
    waits = {
        wait: replace(state, covered_from=memory.checks, created_on=created_on) if state.covered_from is None else state
        for wait, state in memory.waits.items()
    }
    return replace(memory, incarnation=(created_on, since), waits=waits)


def is_marker_due(memory: Memory, groups: Iterable[WaitGroup], now: float) -> bool:
    """Return whether a marker has to be sent now for one of these sensors."""
    if memory.marker_refusal or memory.missing_checks or now < memory.next_marker_at:
        return False
    needing = [group for group in groups if needs_marker(memory, group, now)]
    if not needing:
        return False
    newest = max(
        state.covered_from or memory.checks for group in needing for state in _unproved_states(memory, group).values()
    )
    covering = [marker for marker in memory.markers if marker.check_number >= newest]
    sent_at_this_watermark = sum(marker.watermark_before == memory.watermark for marker in covering)
    return sent_at_this_watermark < MAX_MARKERS_PER_WATERMARK


def needs_marker(memory: Memory, group: WaitGroup, now: float) -> bool:
    """Return whether the watermark alone is unlikely to prove the waits of this sensor."""
    if not _unproved_states(memory, group):
        return False
    state = memory.groups[group]
    return (
        now - state.started_at >= MARKER_AFTER_SECONDS
        or (len(group) > 1 and any(wait.mutation_id in memory.shown for wait in group))
        or state.foreign_checks >= CONFIRMING_CHECKS
    )


def _unproved_states(memory: Memory, group: WaitGroup) -> dict[Wait, WaitState]:
    return {wait: memory.waits[wait] for wait in group if not memory.waits[wait].proof}


def record_marker(memory: Memory, marker: Marker | None, now: float, jitter: float) -> Memory:
    """Record that a marker was sent.

    :param marker: ``None`` if its answer was lost. Its place in the log is then unknown, so it cannot prove anything.
    :param jitter: Random number from 0 to 1.
    """
    return replace(
        memory,
        markers=(*memory.markers, marker) if marker else memory.markers,
        markers_sent=memory.markers_sent + 1,
        next_marker_at=now + MARKER_INTERVAL_SECONDS + MARKER_JITTER_SECONDS * jitter,
    )


def record_info(memory: Memory, info: IndexInfo | None) -> Memory:
    """Record what the index shows.

    :param info: ``None`` if Vectorize answered that the index does not exist.
    """
    if info is None:
        return replace(memory, missing_checks=memory.missing_checks + 1)
    shown, watermark = dict(memory.shown), info.processed_up_to_mutation
    if watermark is not None:
        shown.pop(watermark, None)
        shown[watermark] = memory.checks
        if len(shown) > MAX_REMEMBERED_WATERMARKS:
            del shown[next(iter(shown))]
    groups = {group: _count_foreign(memory, group, state, info) for group, state in memory.groups.items()}
    changed = watermark is not None and memory.watermark is not None and watermark != memory.watermark
    return replace(
        memory,
        missing_checks=0,
        shown=shown,
        watermark=watermark,
        groups=groups,
        watermark_changes=memory.watermark_changes + changed,
    )


def _count_foreign(memory: Memory, group: WaitGroup, state: GroupState, info: IndexInfo) -> GroupState:
    """Count the check if a job ended since the acknowledgement and the watermark is another writer's mutation."""
    processed_at, watermark = info.processed_up_to_datetime, info.processed_up_to_mutation
    unproved = _unproved_states(memory, group)
    if watermark is None or processed_at is None or not unproved:
        return state
    later = any(wait.accepted_at is None or processed_at >= wait.accepted_at - CLOCK_TOLERANCE for wait in unproved)
    foreign = not any(wait.owns(watermark) for wait in group) or not all(wait.sealed for wait in unproved)
    return replace(state, foreign_checks=state.foreign_checks + 1) if later and foreign else state


def record_marker_vectors(memory: Memory, vector_ids: Set[str]) -> Memory:
    """Record which marker vectors are visible. Their mutations then count as shown."""
    shown = dict(memory.shown)
    for marker in memory.markers:
        if marker.vector_id in vector_ids:
            shown[marker.mutation_id] = memory.checks
    return replace(memory, shown=shown)


def proof_needs_incarnation(memory: Memory) -> bool:
    """Return whether ``created_on`` has to be read now: a wait is proved if the incarnation is still the same."""
    return any(
        not state.proof and not _is_proved_by_watermark(memory, wait, state) and _conditional_proof(memory, wait, state)
        for wait, state in memory.waits.items()
    )


def _is_proved_by_watermark(memory: Memory, wait: Wait, state: WaitState) -> bool:
    """Return whether the watermark proves the wait without a check of the incarnation.

    The watermark must have been this mutation since the wait began, and the mutation must stand for itself only. Other
    mutations may have been written to an earlier incarnation and may be lost with it.
    """
    return wait.sealed and not wait.stands_for_others and memory.shown.get(wait.mutation_id, 0) >= state.first_check


def _conditional_proof(memory: Memory, wait: Wait, state: WaitState) -> str:
    """Return the proof that holds if the index is still the incarnation that the wait belongs to, or an empty text."""
    if state.covered_from is not None and state.covered_from <= _last_shown_marker_check(memory):
        return BY_MARKER
    # The mutation was shown before this wait began, or it stands for others. In both cases an earlier incarnation of
    # the index may be involved.
    shown_in_check = memory.shown.get(wait.mutation_id)
    if wait.sealed and shown_in_check is not None:
        is_bare_id = wait.created_on is None
        if not is_bare_id or (memory.incarnation and memory.incarnation[1] <= shown_in_check):
            return BY_WATERMARK
    return ""


def _last_shown_marker_check(memory: Memory) -> int:
    """Return the number of the latest check whose marker the index has shown, or 0."""
    return max((marker.check_number for marker in memory.markers if marker.mutation_id in memory.shown), default=0)


def prove(memory: Memory, created_on: str | None) -> Memory:
    """Record the proofs that follow from this check.

    :param created_on: The incarnation, read after the state of the index. ``None`` if it was not read or several reads
        differed.
    """
    waits = dict(memory.waits)
    for wait, state in memory.waits.items():
        if state.proof:
            continue
        if _is_proved_by_watermark(memory, wait, state):
            waits[wait] = replace(state, proof=BY_WATERMARK)
        elif created_on and state.created_on and (proof := _conditional_proof(memory, wait, state)):
            if created_on == state.created_on:
                waits[wait] = replace(state, proof=proof, recreated_checks=0)
            else:
                waits[wait] = replace(state, recreated_checks=state.recreated_checks + 1)
    return replace(memory, waits=waits)


def record_read_back(memory: Memory, waits: Iterable[Wait]) -> Memory:
    """Accept matching sample vectors as evidence for these waits, if the user asked for that."""
    states = {wait: replace(memory.waits[wait], proof=BY_READ_BACK) for wait in waits}
    return replace(memory, waits={**memory.waits, **states})


def unproved_waits(memory: Memory, group: WaitGroup) -> Sequence[Wait]:
    """Return the waits of a sensor that are not proved yet, in their order."""
    return list(_unproved_states(memory, group))


def permanent_failure(memory: Memory, group: WaitGroup) -> str:
    """Return why this sensor can never succeed, or an empty text."""
    unproved = _unproved_states(memory, group)
    if not unproved:
        return ""
    name = group[0].index_name
    if memory.missing_checks >= CONFIRMING_CHECKS:
        return f'Index "{name}" does not exist: it was deleted, and everything written to it is lost.'
    for wait, state in unproved.items():
        if state.recreated_checks >= CONFIRMING_CHECKS:
            return (
                f'Index "{name}" was deleted and created again after mutation {wait.mutation_id} was written to it. '
                "What was written is lost. Load it again."
            )
    return ""
