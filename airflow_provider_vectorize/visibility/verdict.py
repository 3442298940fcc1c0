"""What a check means for one sensor: a value, and the sentences of its log. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.visibility import rule
from airflow_provider_vectorize.visibility.memory import Group, Memory
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.waits import Wait

_NOUNS = {"insert": "vectors", "upsert": "vectors", "delete": "deletions"}
#: Mutations that a message names.
_NAMED = 3


@dataclass(frozen=True)
class Verdict:
    """What the checks so far mean for one sensor and one index.

    :param visible: all its mutations are proved to be visible.
    :param failure: why they never will be, or empty.
    :param text: what is seen, what is missing and what would help, for the log.
    :param missing: ids of the mutations that are not proved.
    :param answered: whether Vectorize answered the check.
    :param needs_marker: whether the watermark alone is unlikely to prove them.
    :param disputed: whether something was seen that several checks have to agree on before it counts.
    """

    visible: bool = False
    failure: str = ""
    text: str = ""
    missing: tuple[str, ...] = ()
    answered: bool = True
    needs_marker: bool = False
    disputed: bool = False


def verdict_of(memory: Memory, group: Group, kind: MarkerKind, now: float, info: IndexInfo | None) -> Verdict:
    """Return what the checks so far mean for one sensor.

    :param kind: the markers that the sensor allows.
    :param info: what the index showed last.
    """
    failure = rule.permanent_failure(memory, group)
    if failure:
        return Verdict(failure=failure, text=failure)
    open_ = rule.unproved(memory, group)
    if not open_:
        return Verdict(visible=True, text=_visible(memory, group))
    sentences = [_missing(open_, len(group)), _watermark(group[0].index_name, memory, info), _markers(memory, kind)]
    if memory.markers_sent >= rule.MARKERS_BEFORE_ADVICE and kind == "delete":
        sentences.append(_advice(memory, now - memory.groups[group].began_at))
    missing = tuple(wait.mutation_id for wait in open_)
    text = " ".join(sentence for sentence in sentences if sentence)
    return Verdict(
        text=text,
        missing=missing,
        needs_marker=rule.needs_marker(memory, group, now),
        disputed=bool(memory.gone or memory.groups[group].foreign or any(memory.waits[one].recreated for one in open_)),
    )


def unanswered(memory: Memory, group: Group, error: str) -> Verdict:
    """Return what is known where Vectorize gave no answer."""
    open_ = rule.unproved(memory, group)
    if not open_:
        return Verdict(visible=True, text=_visible(memory, group))
    text = f'{_missing(open_, len(group))} Index "{group[0].index_name}" could not be checked: {error}'
    return Verdict(text=text, missing=tuple(wait.mutation_id for wait in open_), answered=False)


def _visible(memory: Memory, group: Group) -> str:
    proofs = sorted({memory.waits[wait].proof for wait in group})
    return f'Visible in index "{group[0].index_name}": {amount(group)}. Proof: {"; ".join(proofs)}.'


def amount(waits: Sequence[Wait]) -> str:
    """Say how much is waited for, in the unit that counts: vectors where they are known, else mutations."""
    by_noun: dict[str, int] = {}
    for wait in waits:
        if wait.vectors is None or wait.operation not in _NOUNS:
            by_noun = {}
            break
        noun = _NOUNS[wait.operation]
        by_noun[noun] = by_noun.get(noun, 0) + wait.vectors
    if by_noun:
        return " and ".join(counted(number, noun) for noun, number in by_noun.items())
    if len(waits) == 1:
        what = f" ({waits[0].operation.replace('_', ' ')})" if waits[0].operation else ""
        return f"mutation {waits[0].mutation_id}{what}"
    return counted(len(waits), "mutations")


def counted(number: int, plural: str) -> str:
    """Return ``1 vector`` or ``2,000 vectors``."""
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


def _missing(open_: Sequence[Wait], of: int) -> str:
    names = ", ".join(
        f"{wait.mutation_id}{f' (acknowledged {_time(wait.accepted_at)})' if wait.accepted_at else ''}"
        for wait in open_[:_NAMED]
    )
    more = f" and {len(open_) - _NAMED} more" if len(open_) > _NAMED else ""
    several = f" ({len(open_)} of {of} mutations)" if of > 1 else ""
    return f"Not visible yet: {amount(open_)}{several}. Waiting for proof of {names}{more}."


def _watermark(name: str, memory: Memory, info: IndexInfo | None) -> str:
    if info is None:
        return f'Index "{name}" was not found in {counted(memory.gone, "checks")}.'
    if info.processed_up_to_datetime is None:
        return f'Index "{name}" has not processed any mutation yet.'
    age = ""
    if info.answered_at:
        age = f", {max(0.0, (info.answered_at - info.processed_up_to_datetime).total_seconds()):.0f} s ago"
    at = _time(info.processed_up_to_datetime)
    return f'Index "{name}" last showed mutation {info.processed_up_to_mutation}, processed {at}{age}.'


def _markers(memory: Memory, kind: MarkerKind) -> str:
    if memory.markers_refused:
        return f"Markers are not sent, because Vectorize refuses them: {memory.markers_refused}"
    if kind == "none" and not memory.markers_sent:
        return ""
    return f"{counted(memory.markers_sent, 'markers')} sent to the index so far." if memory.markers_sent else ""


def _advice(memory: Memory, waited: float) -> str:
    """After several markers that were not shown: other writers hide them."""
    rate = memory.moves * 60 / waited if waited > 0 else 0.0
    expected = (memory.markers_sent + 1) * (rule.MARKER_EVERY_SECONDS + rule.MARKER_JITTER_SECONDS / 2)
    return (
        f"Other writers keep the index busy: its last mutation changed {memory.moves} times in {waited:.0f} s "
        f"({rate:.1f} a minute), and a marker shows only if it is the last write of a job. At this rate expect about "
        f'{expected:.0f} s more. marker="vector" does not depend on that; a pause of the other writers helps as well.'
    )


def _time(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
