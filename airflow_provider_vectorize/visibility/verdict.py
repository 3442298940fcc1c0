"""The meaning of a check for one sensor: a value, and the sentences for its log. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.visibility import rule
from airflow_provider_vectorize.visibility.memory import Memory, WaitGroup
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.waits import Wait

_NOUNS = {"insert": "vector", "upsert": "vector", "delete": "deletion"}
#: Maximum number of mutations that a message lists by id.
_MAX_LISTED = 3


@dataclass(frozen=True)
class Verdict:
    """The meaning of the checks so far for one sensor and one index.

    :param visible: Whether all mutations of the sensor are proved to be visible.
    :param failure: Why they can never become visible. Empty if they still can.
    :param text: What the index shows, what is missing and which option would help, for the log.
    :param missing: Ids of the mutations that are not proved yet.
    :param answered: Whether Vectorize answered the check.
    :param needs_marker: Whether the watermark alone is unlikely to prove the missing mutations.
    :param unconfirmed: Whether the check showed something that further checks must confirm before it counts.
    """

    visible: bool = False
    failure: str = ""
    text: str = ""
    missing: tuple[str, ...] = ()
    answered: bool = True
    needs_marker: bool = False
    unconfirmed: bool = False


def verdict_for(
    memory: Memory, group: WaitGroup, marker_kind: MarkerKind, now: float, info: IndexInfo | None
) -> Verdict:
    """Return the meaning of the checks so far for one sensor.

    :param marker_kind: The markers that the sensor allows.
    :param info: The state of the index in the latest check. ``None`` if the index was not found.
    """
    failure = rule.permanent_failure(memory, group)
    if failure:
        return Verdict(failure=failure, text=failure)
    unproved = rule.unproved_waits(memory, group)
    if not unproved:
        return Verdict(visible=True, text=_visible_text(memory, group))
    sentences = [
        _missing_text(unproved, len(group)),
        _watermark_text(group[0].index_name, memory, info),
        _markers_text(memory, marker_kind),
    ]
    if memory.markers_sent >= rule.MARKERS_BEFORE_ADVICE and marker_kind == "delete":
        sentences.append(_advice(memory, now - memory.groups[group].started_at))
    return Verdict(
        text=" ".join(sentence for sentence in sentences if sentence),
        missing=tuple(wait.mutation_id for wait in unproved),
        needs_marker=rule.needs_marker(memory, group, now),
        unconfirmed=bool(
            memory.missing_checks
            or memory.groups[group].foreign_checks
            or any(memory.waits[wait].recreated_checks for wait in unproved)
        ),
    )


def verdict_without_answer(memory: Memory, group: WaitGroup, error: str) -> Verdict:
    """Return what earlier checks have proved for one sensor, after a check that Vectorize did not answer."""
    unproved = rule.unproved_waits(memory, group)
    if not unproved:
        return Verdict(visible=True, text=_visible_text(memory, group))
    text = f'{_missing_text(unproved, len(group))} Index "{group[0].index_name}" could not be checked: {error}'
    return Verdict(text=text, missing=tuple(wait.mutation_id for wait in unproved), answered=False)


def _visible_text(memory: Memory, group: WaitGroup) -> str:
    proofs = sorted({memory.waits[wait].proof for wait in group})
    return f'Visible in index "{group[0].index_name}": {describe_writes(group)}. Proof: {"; ".join(proofs)}.'


def describe_writes(waits: Sequence[Wait]) -> str:
    """Return what was written, such as ``10 vectors and 2 deletions``, or the mutations if numbers are unknown."""
    count_by_noun: dict[str, int] = {}
    for wait in waits:
        if wait.vectors is None or wait.operation not in _NOUNS:
            count_by_noun = {}
            break
        noun = _NOUNS[wait.operation]
        count_by_noun[noun] = count_by_noun.get(noun, 0) + wait.vectors
    if count_by_noun:
        return " and ".join(pluralize(count, noun) for noun, count in count_by_noun.items())
    if len(waits) == 1:
        operation = f" ({waits[0].operation.replace('_', ' ')})" if waits[0].operation else ""
        return f"mutation {waits[0].mutation_id}{operation}"
    return pluralize(len(waits), "mutation")


def _missing_text(unproved: Sequence[Wait], total: int) -> str:
    ids = ", ".join(
        f"{wait.mutation_id}{f' (acknowledged {_time(wait.accepted_at)})' if wait.accepted_at else ''}"
        for wait in unproved[:_MAX_LISTED]
    )
    more = f" and {len(unproved) - _MAX_LISTED} more" if len(unproved) > _MAX_LISTED else ""
    share = f" ({len(unproved)} of {total} mutations)" if total > 1 else ""
    return f"Not visible yet: {describe_writes(unproved)}{share}. Waiting for proof of {ids}{more}."


def _watermark_text(name: str, memory: Memory, info: IndexInfo | None) -> str:
    if info is None:
        return f'Index "{name}" was not found in {pluralize(memory.missing_checks, "check")}.'
    if info.processed_up_to_datetime is None:
        return f'Index "{name}" has not processed any mutation yet.'
    age = ""
    if info.answered_at:
        age = f", {max(0.0, (info.answered_at - info.processed_up_to_datetime).total_seconds()):.0f} s ago"
    at = _time(info.processed_up_to_datetime)
    return f'Index "{name}" shows mutation {info.processed_up_to_mutation} as its last one, processed {at}{age}.'


def _markers_text(memory: Memory, marker_kind: MarkerKind) -> str:
    if memory.marker_refusal:
        return f"No markers are sent, because Vectorize refuses them: {memory.marker_refusal}"
    if marker_kind == "none" and not memory.markers_sent:
        return ""
    return f"Sent {pluralize(memory.markers_sent, 'marker')} to the index so far." if memory.markers_sent else ""


def _advice(memory: Memory, waited_seconds: float) -> str:
    """Return the explanation for several markers that the index has not shown: other writers hide them."""
    rate = memory.watermark_changes * 60 / waited_seconds if waited_seconds > 0 else 0.0
    interval = rule.MARKER_INTERVAL_SECONDS + rule.MARKER_JITTER_SECONDS / 2
    expected = (memory.markers_sent + 1) * interval
    return (
        f"Other writers keep the index busy: its last mutation changed {memory.watermark_changes} times in "
        f"{waited_seconds:.0f} s ({rate:.1f} per minute), and the index shows a marker only if it is the last write of "
        f'a job. At this rate, expect to wait about {expected:.0f} s more. Set marker="vector", which does not depend '
        "on this, or pause the other writers."
    )


def _time(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
