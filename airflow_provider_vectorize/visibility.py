"""Is a mutation visible yet? One pure function, for sensor, trigger and whoever else waits.

Mutation ids have no order and there is no endpoint for the status of one; what an index tells is the last
mutation of the last batch that it processed (the watermark), and when. These proofs follow, the strongest first:

1. The watermark *is* the mutation. A load sends its last batch when all others are acknowledged, so its last
   mutation means all of them.
2. The watermark is a mutation that was *sent* after this one was acknowledged: it stands behind it in Vectorize's
   log, which is processed in its order. One watermark proves all that wait for something older.
3. The watermark's time has passed the acknowledgement, and the samples of the receipt read back as they were
   sent, in several reads in a row, since replicas disagree for a while. A batch that was running at the
   acknowledgement has a later time, too, and does not hold the mutation. So at least one sample has to be *new*:
   the index did not show it so before. What last night's load had left there already proves nothing.
4. Where there is nothing new to read back: so many later batches were processed that the mutation has to be in
   one of them; or none was for minutes, so that nothing is left. These are inferences, and called so.

A mutation that was read back proves nothing of older ones: an attempt whose answer was lost may have sent the same
vectors before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.load.receipt import Sample
from airflow_provider_vectorize.waits import Wait

#: Reads in a row that have to agree (seen live: replicas flap).
AGREEING_READS = 3
#: ``Date`` has whole seconds, the watermark has milliseconds: times this near are not told apart.
CLOCK_GRAIN = timedelta(seconds=1)
#: Between an acknowledgement and a sending that two servers have told: their clocks agree to two seconds.
ORDER_GRAIN = CLOCK_GRAIN + timedelta(seconds=2)
#: Answers in a row that have to say that an index is gone, for the same reason.
AGREEING_GONE = 3
#: Nothing takes so long from its acknowledgement to a batch (seen live: 5 to 80 s).
QUIET = timedelta(seconds=300)

WATERMARK = "the watermark is this mutation"
IN_ORDER = "the watermark is a mutation that was sent after it"
READ_BACK = "its vectors read back as they were sent"
LATER_BATCHES = "inferred: enough later batches were processed"
ALL_QUIET = f"inferred: no batch was processed for {QUIET.seconds // 60} minutes, so nothing is left to be processed"

_FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Reading:
    """What one look at an index found.

    :param info: its state, or ``None`` where :data:`AGREEING_GONE` answers in a row were that there is no such index.
    :param asked: the ids that were read.
    :param reads: what each of several reads in a row found: digests of their vectors, by id.
    """

    info: IndexInfo | None
    asked: Sequence[str] = ()
    reads: Sequence[Mapping[str, str | None]] = ()


@dataclass(frozen=True)
class Verdict:
    """What the looks so far say.

    :param seen: to be handed to the next look; JSON-plain.
    :param never: why no mutation will ever be visible, or ``None``.
    :param lacks: of each mutation that is not visible, by its wait's key: what is missing.
    :param watermark: the index's, in words.
    """

    seen: dict[str, Any]
    never: str | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    watermark: str = ""

    @property
    def visible(self) -> bool:
        """All mutations are."""
        return not (self.lacks or self.never)

    @property
    def text(self) -> str:
        """What is seen of all, for the log."""
        return tell(self.lacks.values(), proved(self.seen).values(), self.watermark, self.never)


def proved(seen: Mapping[str, Any]) -> Mapping[str, str]:
    """The proof of each mutation that was seen to be visible, by its wait's key."""
    found: Mapping[str, str] = seen.get("proved", {})
    return found


def tell(lacks: Iterable[str], proofs: Iterable[str], watermark: str, never: str | None = None) -> str:
    """What is seen, in words. The verdict first: pages that show logs cut long lines."""
    if never:
        return never
    missing = list(dict.fromkeys(lacks))
    if missing:
        more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
        return f"Not visible yet: {'; '.join(missing[:3])}{more}. {watermark}"
    found = list(proofs)
    return f"{'All ' if len(found) > 1 else ''}{len(found)} visible: {'; '.join(sorted(set(found)))}. {watermark}"


def to_read_back(waits: Sequence[Wait], seen: Mapping[str, Any], info: IndexInfo, most: int) -> list[str]:
    """The ids whose vectors the next verdict needs; empty while reading them would prove nothing.

    The oldest come first, since Vectorize processes them first. They take turns, so that one that has to wait does
    not keep the others. Where many wait, a new sample of each has to do: a mutation is processed as a whole.

    :param most: ids to read at a time.
    """
    open_ = [wait for wait in waits if wait.samples and wait.key not in proved(seen) and _passed(wait, info)]
    open_.sort(key=_age)
    names = [wait.key for wait in open_]
    first = names.index(seen["turn"]) + 1 if seen.get("turn") in names else 0
    crowd = len(open_) > 1 and sum(len(wait.samples) for wait in open_) > most
    ids: dict[str, None] = {}
    for wait in open_[first:] + open_[:first]:
        more = dict.fromkeys(sample.id for sample in (_telling(wait) if crowd else wait.samples))
        if ids and len(ids | more) > most:
            break
        ids |= more
    return list(ids)


def _telling(wait: Wait) -> Sequence[Sample]:
    """The fewest samples that are a proof."""
    new = [sample for sample in wait.samples if sample.new]
    return new[:1] if new and wait.sealed else wait.samples


def _age(wait: Wait) -> datetime:
    return wait.accepted_at or _FAR


def judge(waits: Sequence[Wait], seen: Mapping[str, Any], reading: Reading) -> Verdict:
    """Weigh one more look, or one more reading of the same look.

    :param waits: mutations of *one* index. What was seen of others is forgotten.
    :param seen: the last verdict's, or empty.
    :param reading: what was found.
    """
    name = waits[0].index_name
    if reading.info is None:
        never = f'Index "{name}" was deleted, or never existed: the mutations waited for are gone with it.'
        return Verdict({}, never)
    info = reading.info
    now = _Seen.of(waits, seen, info)
    shown = _shown(now.watermarks, info)
    asked = frozenset(reading.asked)
    lacks: dict[str, str] = {}
    for wait in sorted(waits, key=_age):
        if wait.key in now.proved:
            continue
        if wait.sealed and wait.mutation_id in shown:
            proof, lack = WATERMARK, ""
        else:
            proof, lack = _prove(wait, info, reading.reads, asked, now)
        if proof:
            now.proved[wait.key] = proof
        else:
            lacks[wait.key] = f"{wait.mutation_id}: {lack}"
    return Verdict(asdict(now), None, lacks, f'Index "{name}": {_watermark_text(info)}')


@dataclass
class _Seen:
    """What is carried from look to look.

    :param proved: the proof of each mutation that is visible.
    :param watermarks: the last ones, with their times.
    :param through: what was acknowledged before this time of the server's clock is processed.
    :param first: of each bare id, the server's clock, or the watermark's time if that is later, at its first look.
    :param missed: mutations of which all samples were seen missing, after which seeing them tells something.
    :param turn: the mutation whose samples were read last.
    """

    proved: dict[str, str]
    watermarks: list[list[str]]
    through: str | None
    first: dict[str, str]
    missed: list[str]
    turn: str | None

    @classmethod
    def of(cls, waits: Sequence[Wait], seen: Mapping[str, Any], info: IndexInfo) -> _Seen:
        """What was seen of these waits, and the state of their index."""
        keys = {wait.key for wait in waits}
        watermarks = _with_watermark(seen.get("watermarks", []), info, max(wait.batches for wait in waits))
        times = [time for time in (info.answered_at, info.processed_up_to_datetime) if time]
        first = {wait.key: max(times).isoformat() for wait in waits if times and not wait.accepted_at}
        return cls(
            proved={key: proof for key, proof in proved(seen).items() if key in keys},
            watermarks=watermarks,
            through=_through(waits, seen.get("through"), _shown(watermarks, info)),
            first=first | {key: at for key, at in seen.get("first", {}).items() if key in keys},
            missed=[key for key in seen.get("missed", []) if key in keys],
            turn=seen.get("turn"),
        )

    def since(self, wait: Wait) -> datetime | None:
        """A time of the server's clock before which the mutation was acknowledged."""
        if wait.accepted_at:
            return wait.accepted_at
        return datetime.fromisoformat(self.first[wait.key]) if wait.key in self.first else None


def _prove(
    wait: Wait, info: IndexInfo, reads: Sequence[Mapping[str, str | None]], asked: Set[str], now: _Seen
) -> tuple[str, str]:
    """The proof, or an empty one and what is missing."""
    since = now.since(wait)
    if since and now.through and since + ORDER_GRAIN <= datetime.fromisoformat(now.through):
        return IN_ORDER, ""
    if wait.samples:
        if not _passed(wait, info):
            return "", "nothing was processed since it was acknowledged"
        samples = [sample for sample in wait.samples if sample.id in asked]
        if not reads or (len(samples) < len(wait.samples) and not set(_telling(wait)) <= set(samples)):
            return "", "its sample vectors are read in turn"
        now.turn = wait.key
        agreeing = sum(all(_agrees(wait, sample, read) for sample in samples) for read in reads)
        if agreeing < len(reads) or len(reads) < AGREEING_READS:
            nowhere = not any(_agrees(wait, sample, read) for sample in samples for read in reads)
            if nowhere and len(reads) >= AGREEING_READS and wait.key not in now.missed:
                now.missed.append(wait.key)
            return "", f"{agreeing} of {len(reads)} reads show its sample vectors as they were sent"
        if any(sample.new for sample in samples) or wait.key in now.missed:
            return READ_BACK, ""
    return _infer(wait, info, now)


def _infer(wait: Wait, info: IndexInfo, now: _Seen) -> tuple[str, str]:
    since = now.since(wait)
    # Where only the first look is known, a watermark that came after it is a later one, whatever the clocks say.
    grain = CLOCK_GRAIN if wait.accepted_at else timedelta(0)
    later = [at for _, at in now.watermarks if since is None or datetime.fromisoformat(at) > since + grain]
    if len(later) >= wait.batches:
        return LATER_BATCHES, ""
    processed, answered = info.processed_up_to_datetime, info.answered_at
    if since and processed and answered and answered - max(processed, since) >= QUIET:
        return ALL_QUIET, ""
    why = "its sample vectors were there before" if wait.samples else "there is no receipt with samples to read back"
    return "", f"{len(later)} of {wait.batches} later batches were processed, and {why}"


def _agrees(wait: Wait, sample: Sample, read: Mapping[str, str | None]) -> bool:
    if wait.operation == "delete":
        return sample.id not in read
    if wait.operation == "insert":  # the vector that was there before stays: being there is all that was promised
        return sample.id in read
    return read.get(sample.id) == sample.digest


def _passed(wait: Wait, info: IndexInfo) -> bool:
    processed = info.processed_up_to_datetime
    return processed is not None and (wait.accepted_at is None or processed + CLOCK_GRAIN >= wait.accepted_at)


def _shown(watermarks: Sequence[Sequence[str]], info: IndexInfo) -> Set[str | None]:
    """The mutations that are or were the index's watermark."""
    return {mutation for mutation, _ in watermarks} | {info.processed_up_to_mutation}


def _through(waits: Sequence[Wait], before: str | None, shown: Set[str | None]) -> str | None:
    """The latest time after which one of these mutations was sent that the index has shown as its watermark."""
    times = [wait.sent_after for wait in waits if wait.sent_after and wait.mutation_id in shown]
    if before:
        times.append(datetime.fromisoformat(before))
    return max(times).isoformat() if times else None


def _with_watermark(watermarks: Sequence[Sequence[str]], info: IndexInfo, most: int) -> list[list[str]]:
    """The last watermarks seen, each once and later than the one before: replicas may show an old one again."""
    known = [list(mark) for mark in watermarks]
    if info.processed_up_to_mutation is None or info.processed_up_to_datetime is None:
        return known
    at = info.processed_up_to_datetime
    if not known or (info.processed_up_to_mutation != known[-1][0] and at > datetime.fromisoformat(known[-1][1])):
        known.append([info.processed_up_to_mutation, at.isoformat()])
    return known[-most:]


def _watermark_text(info: IndexInfo) -> str:
    if info.processed_up_to_datetime is None:
        return "nothing was processed yet."
    at, answered = info.processed_up_to_datetime.strftime("%H:%M:%S"), info.answered_at
    seconds = (answered - info.processed_up_to_datetime).total_seconds() if answered else None
    age = "" if seconds is None else f", {max(0.0, seconds):.0f} s ago"
    return f"processed up to mutation {info.processed_up_to_mutation} at {at} UTC{age}."
