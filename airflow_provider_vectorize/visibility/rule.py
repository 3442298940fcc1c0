"""The visibility rule: which mutations are proved to be visible, and when a marker is due. Pure functions, no I/O.

Mutation ids have no order, there is no endpoint for the status of one, and of all mutations that a job of Vectorize
processes together the index shows only the last one (the watermark). What proves that a mutation is visible:

1. The watermark was this mutation, at a check since the wait began. Where the mutation stands for others, such as the
   batches of a load, the index also has to be the one that they were written to.
2. The watermark was a *marker*: a write of this process without effect, sent while the mutation was already waited
   for and therefore behind it in the index's log; and the index is still the one that the mutation was written to.

Nothing else is proof: no server times, no count of later jobs, no quiet period, no vectors that read back as sent.
Times only suggest when a marker is worth its request.

**Assumptions about Vectorize, which this repository cannot check. All of the rule rests on them.**

(a) An acknowledged write has its place in the index's log before it is acknowledged, and whatever is sent later is
    behind it, from any connection.
(b) Vectors, deletions and metadata indexes share this log.
(c) The watermark is the last mutation, in log order, of a finished job, and is not shown before its data is applied.
(d) Deletions of unknown ids are logged and shown like any other mutation.
(e) Replicas lag and never lead.
(f) ``created_on`` is unique for each incarnation of an index.
(g) Requests that were refused, throttled or cut while the body was sent are never carried out.
(h) A request that was given up is carried out within ``Limits.late_seconds`` or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.visibility.memory import Group, GroupState, Marker, Memory, WaitState
from airflow_provider_vectorize.visibility.waits import Wait

MarkerKind = Literal["delete", "vector", "none"]

#: Checks in a row that have to agree that an index is gone or was re-created, since replicas may lag.
AGREEING_CHECKS = 3
#: A marker is due after this many seconds, whatever the watermark shows.
MARKER_AFTER_SECONDS = 120.0
#: Seconds between two markers, plus a random part up to the jitter. By the clock only: markers that follow the
#: watermark's changes fall into step with Vectorize's jobs, and are then never the last mutation of one.
MARKER_EVERY_SECONDS, MARKER_JITTER_SECONDS = 20.0, 5.0
#: Markers that are sent while the watermark does not move.
MARKERS_WHILE_STILL = 3
#: Markers after which the log explains what other writers do, and which option helps.
MARKERS_BEFORE_ADVICE = 5
#: Servers' clocks are assumed to agree this well, for hints only.
CLOCKS_AGREE = timedelta(seconds=2)
#: Watermarks that are remembered, for waits that begin later: half a day of checks every 5 seconds.
REMEMBERED_WATERMARKS = 10_000

BY_WATERMARK = "the index has shown this mutation as its last one"
BY_MARKER = "the index has shown a marker that was sent after it"
BY_READ_BACK = "its sample vectors read back as they were sent (evidence, not proof)"


def begin_check(memory: Memory, groups: Iterable[Group], now: float) -> Memory:
    """Begin a check: add the waits that are new, and forget those that ended.

    A memory without waits starts over: what it has seen could be of an earlier incarnation.
    """
    groups = list(groups)
    number = memory.checks + 1
    wanted = dict.fromkeys(wait for group in groups for wait in group)
    waits = {wait: memory.waits.get(wait) or _new_wait(wait, number) for wait in wanted}
    oldest = min((state.began for state in waits.values() if not state.proof), default=number)
    return replace(
        memory,
        checks=number,
        waits=waits,
        groups={group: memory.groups.get(group) or GroupState(now) for group in groups},
        markers=tuple(marker for marker in memory.markers if marker.check >= oldest),
    )


def _new_wait(wait: Wait, number: int) -> WaitState:
    return WaitState(number, number if wait.created_on else None, wait.created_on)


def needs_incarnation(memory: Memory) -> bool:
    """Whether ``created_on`` has to be read now, because a bare id was just added."""
    return any(state.covered_from is None and not state.proof for state in memory.waits.values())


def with_incarnation(memory: Memory, created_on: str | None) -> Memory:
    """Remember which incarnation the index is.

    :param created_on: what all of several reads agreed on, or ``None`` where they did not.
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


def marker_due(memory: Memory, groups: Iterable[Group], now: float) -> bool:
    """Whether one of these sensors needs a marker, and it is time for one."""
    if memory.markers_refused or memory.gone or now < memory.next_marker_at:
        return False
    needy = [group for group in groups if needs_marker(memory, group, now)]
    if not needy:
        return False
    newest = max(state.covered_from or memory.checks for group in needy for state in _open(memory, group).values())
    still = sum(marker.watermark_before == memory.watermark for marker in memory.markers if marker.check >= newest)
    return still < MARKERS_WHILE_STILL


def needs_marker(memory: Memory, group: Group, now: float) -> bool:
    """Whether the watermark alone is unlikely to prove what this sensor waits for."""
    if not _open(memory, group):
        return False
    state = memory.groups[group]
    return (
        now - state.began_at >= MARKER_AFTER_SECONDS
        or (len(group) > 1 and any(wait.mutation_id in memory.shown for wait in group))
        or state.foreign >= AGREEING_CHECKS
    )


def _open(memory: Memory, group: Group) -> dict[Wait, WaitState]:
    return {wait: memory.waits[wait] for wait in group if not memory.waits[wait].proof}


def marker_sent(memory: Memory, marker: Marker | None, now: float, jitter: float) -> Memory:
    """Remember that a marker was sent.

    :param marker: ``None`` where its answer was lost: it is forgotten, and its place in the log proves nothing.
    :param jitter: a random number, 0 to 1.
    """
    return replace(
        memory,
        markers=(*memory.markers, marker) if marker else memory.markers,
        markers_sent=memory.markers_sent + 1,
        next_marker_at=now + MARKER_EVERY_SECONDS + MARKER_JITTER_SECONDS * jitter,
    )


def with_info(memory: Memory, info: IndexInfo | None) -> Memory:
    """Remember what the index showed.

    :param info: ``None`` where Vectorize said that there is no such index.
    """
    if info is None:
        return replace(memory, gone=memory.gone + 1)
    shown, watermark = dict(memory.shown), info.processed_up_to_mutation
    if watermark is not None:
        shown.pop(watermark, None)
        shown[watermark] = memory.checks
        if len(shown) > REMEMBERED_WATERMARKS:
            del shown[next(iter(shown))]
    groups = {group: _with_hint(memory, group, state, info) for group, state in memory.groups.items()}
    moved = watermark is not None and memory.watermark is not None and watermark != memory.watermark
    return replace(memory, gone=0, shown=shown, watermark=watermark, groups=groups, moves=memory.moves + moved)


def _with_hint(memory: Memory, group: Group, state: GroupState, info: IndexInfo) -> GroupState:
    """Count a check that showed the mutation of another writer although a job ended since the acknowledgement."""
    processed, watermark = info.processed_up_to_datetime, info.processed_up_to_mutation
    open_ = _open(memory, group)
    if watermark is None or processed is None or not open_:
        return state
    later = any(wait.accepted_at is None or processed >= wait.accepted_at - CLOCKS_AGREE for wait in open_)
    foreign = not any(wait.owns(watermark) for wait in group) or not all(wait.sealed for wait in open_)
    return replace(state, foreign=state.foreign + 1) if later and foreign else state


def vectors_shown(memory: Memory, vector_ids: Set[str]) -> Memory:
    """Remember that the vectors of markers are visible: so are their mutations."""
    shown = dict(memory.shown)
    for marker in memory.markers:
        if marker.vector_id in vector_ids:
            shown[marker.mutation_id] = memory.checks
    return replace(memory, shown=shown)


def hopes_on_incarnation(memory: Memory) -> bool:
    """Whether ``created_on`` has to be read now: a mutation is proved if the index is still the same one."""
    return any(
        not state.proof and not _proved_alone(memory, wait, state) and _proof_if_same(memory, wait, state)
        for wait, state in memory.waits.items()
    )


def _proved_alone(memory: Memory, wait: Wait, state: WaitState) -> bool:
    """Whether the watermark alone is proof: it was this mutation since the wait began, and the mutation stands only
    for itself. Others may have been written to an earlier incarnation, and be gone with it."""
    return wait.sealed and not wait.several and memory.shown.get(wait.mutation_id, 0) >= state.began


def _proof_if_same(memory: Memory, wait: Wait, state: WaitState) -> str:
    """The proof that holds if the index is still the one that the wait belongs to, or an empty text."""
    if state.covered_from is not None and state.covered_from <= _covered_until(memory):
        return BY_MARKER
    # Shown before this wait began, or standing for other mutations: an earlier incarnation may have been concerned.
    seen = memory.shown.get(wait.mutation_id)
    if wait.sealed and seen is not None:
        bare = wait.created_on is None
        if not bare or (memory.incarnation and memory.incarnation[1] <= seen):
            return BY_WATERMARK
    return ""


def _covered_until(memory: Memory) -> int:
    """The number of the last check that sent a marker which was shown."""
    return max((marker.check for marker in memory.markers if marker.mutation_id in memory.shown), default=0)


def prove(memory: Memory, created_on: str | None) -> Memory:
    """Prove what this check has shown.

    :param created_on: the incarnation, read after the index's state; ``None`` where it was not read or several reads
        did not agree.
    """
    waits = dict(memory.waits)
    for wait, state in memory.waits.items():
        if state.proof:
            continue
        if _proved_alone(memory, wait, state):
            waits[wait] = replace(state, proof=BY_WATERMARK)
        elif created_on and state.created_on and (proof := _proof_if_same(memory, wait, state)):
            if created_on == state.created_on:
                waits[wait] = replace(state, proof=proof, recreated=0)
            else:
                waits[wait] = replace(state, recreated=state.recreated + 1)
    return replace(memory, waits=waits)


def read_back(memory: Memory, waits: Iterable[Wait]) -> Memory:
    """Take the evidence of sample vectors for proof, where the user asked for that."""
    found = {wait: replace(memory.waits[wait], proof=BY_READ_BACK) for wait in waits}
    return replace(memory, waits={**memory.waits, **found})


def unproved(memory: Memory, group: Group) -> Sequence[Wait]:
    """The waits of a sensor that are not proved yet, the oldest first."""
    return list(_open(memory, group))


def permanent_failure(memory: Memory, group: Group) -> str:
    """Say why this sensor can never succeed, or return an empty text."""
    open_ = _open(memory, group)
    if not open_:
        return ""
    name = group[0].index_name
    if memory.gone >= AGREEING_CHECKS:
        return f'Index "{name}" does not exist: it was deleted, and what was written to it is gone.'
    if any(state.recreated >= AGREEING_CHECKS for state in open_.values()):
        wait = next(wait for wait, state in open_.items() if state.recreated >= AGREEING_CHECKS)
        return (
            f'Index "{name}" was deleted and created again after mutation {wait.mutation_id} was written to it: '
            "what was written is gone. Load it again."
        )
    return ""
