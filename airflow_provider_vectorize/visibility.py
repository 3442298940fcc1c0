"""Is a mutation visible yet? One pure function, for sensor, trigger and whoever else waits.

Mutation ids have no order and there is no endpoint for the status of one; what an index tells is the last
mutation of the last batch that it processed (the watermark), and when. These proofs follow, the strongest first:

1. The watermark *is* the mutation. A load sends its last batch when all others are acknowledged, so its last
   mutation means all of them.
2. The watermark's time has passed the acknowledgement, and the samples of the receipt read back as they were
   sent, in several reads in a row, since replicas disagree for a while. A batch that was running at the
   acknowledgement has a later time, too, and does not hold the mutation. So at least one sample has to be *new*:
   the index did not show it so before. What last night's load had left there already proves nothing.
3. Where there is nothing new to read back: so many later batches were processed that the mutation has to be in
   one of them; or none was for minutes, so that nothing is left. These are inferences, and called so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_vectorize.api.limits import MUTATIONS_FOLDED, VECTORS_FOLDED
from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Receipt, Sample

#: Reads in a row that have to agree (seen live: replicas flap).
AGREEING_READS = 3
#: ``Date`` has whole seconds, the watermark has milliseconds: times this near are not told apart.
CLOCK_GRAIN = timedelta(seconds=1)
#: Answers in a row that have to say that an index is gone, for the same reason.
AGREEING_GONE = 3
#: Nothing takes so long from its acknowledgement to a batch (seen live: 5 to 80 s).
QUIET = timedelta(seconds=300)

WATERMARK = "the watermark is this mutation"
READ_BACK = "its vectors read back as they were sent"
LATER_BATCHES = "inferred: enough later batches were processed"
ALL_QUIET = f"inferred: no batch was processed for {QUIET.seconds // 60} minutes, so nothing is left to be processed"


@dataclass(frozen=True)
class Wait:
    """One mutation that is waited for.

    :param index_name: its index.
    :param mutation_id: its id.
    :param accepted_at: the server's clock when it was acknowledged, where that is known.
    :param operation: ``insert``, ``upsert`` or ``delete``: what the samples have to prove.
    :param samples: vectors to read back.
    :param sealed: whether the mutation came after all others of its load, so that it stands for them.
    :param batches: later batches of which one has to hold it, and all else of its load.
    """

    index_name: str
    mutation_id: str
    accepted_at: datetime | None = None
    operation: str = "upsert"
    samples: tuple[Sample, ...] = ()
    sealed: bool = True
    batches: int = 2

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain, for a trigger's row: no secret, no data."""
        return {
            "index_name": self.index_name,
            "mutation_id": self.mutation_id,
            "accepted_at": self.accepted_at.isoformat() if self.accepted_at else None,
            "operation": self.operation,
            "samples": [asdict(sample) for sample in self.samples],
            "sealed": self.sealed,
            "later_batches": self.batches,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Wait:
        """From :meth:`to_dict`, or from a receipt.

        :raises ConfigError: it is neither.
        """
        receipt = Receipt.from_dict({"operation": "upsert", **plain})
        if not receipt.mutation_id:
            raise ConfigError("The receipt has no mutation id: its load wrote nothing that one could wait for.")
        return cls(
            receipt.index_name,
            receipt.mutation_id,
            datetime.fromisoformat(receipt.accepted_at) if receipt.accepted_at else None,
            receipt.operation,
            receipt.samples,
            receipt.sealed,
            plain.get("later_batches") or _later_batches(receipt),
        )


def _later_batches(receipt: Receipt) -> int:
    """One that was running at the acknowledgement, and those that it takes to hold the load; and twice that.

    Nobody tells how many writes of others, or of attempts whose answers were lost, stand before the load's own.
    """
    return 2 * (1 + max(1, -(-receipt.vectors // VECTORS_FOLDED), -(-receipt.batches // MUTATIONS_FOLDED)))


def waits_for(mutation: Any, index_name: str | None) -> list[Wait]:
    """What a sensor's ``mutation`` means.

    :param mutation: a receipt, a mutation id, or a list of either, also nested (what mapped tasks return).
    :param index_name: the index, for ids.
    :return: empty for receipts of tasks that had nothing to write, such as a deletion without ids.
    :raises ConfigError: it is something else, or an id without an index, or an empty list.
    """
    if isinstance(mutation, Mapping):
        return [] if mutation.get("mutation_id", "") is None else [Wait.from_dict(mutation)]
    if isinstance(mutation, str) and mutation:
        if not index_name:
            raise ConfigError("A mutation id alone does not tell its index: give index_name too, or pass the receipt.")
        return [Wait(index_name, mutation)]
    if mutation is None or isinstance(mutation, (str, bytes)):
        raise ConfigError("There is no mutation to wait for: the upstream task returned none.")
    try:
        items = list(mutation)
    except TypeError as error:
        raise ConfigError(
            f"A mutation is a receipt, an id, or a list of them, not {type(mutation).__name__}."
        ) from error
    if not items:
        raise ConfigError("There is no mutation to wait for: the list is empty.")
    return [wait for item in items for wait in waits_for(item, index_name)]


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

    :param seen: to be handed to the next look; JSON-plain, so that it survives a deferral.
    :param visible: all mutations are visible.
    :param never: why they will never be, or ``None``.
    :param text: what is seen, for the log and for the message of a timeout.
    """

    seen: dict[str, Any]
    visible: bool
    never: str | None
    text: str


def to_read_back(waits: Sequence[Wait], seen: Mapping[str, Any], info: IndexInfo, most: int) -> list[str]:
    """The ids whose vectors the next verdict needs; empty while reading them would prove nothing.

    :param most: ids to read at a time. The waits take turns, so that one that has to wait does not keep the others.
    """
    open_ = [wait for wait in waits if wait.samples and wait.mutation_id not in seen["proved"] and _passed(wait, info)]
    names = [wait.mutation_id for wait in open_]
    first = names.index(seen["turn"]) + 1 if seen.get("turn") in names else 0
    ids: dict[str, None] = {}
    for wait in open_[first:] + open_[:first]:
        more = dict.fromkeys(sample.id for sample in wait.samples)
        if ids and len(ids | more) > most:
            break
        ids |= more
    return list(ids)


def judge(waits: Sequence[Wait], seen: Mapping[str, Any], reading: Reading) -> Verdict:
    """Weigh one more look, or one more reading of the same look.

    :param waits: mutations of *one* index.
    :param seen: the last verdict's, or empty.
    :param reading: what was found.
    """
    index_name = waits[0].index_name
    if reading.info is None:
        never = f'Index "{index_name}" was deleted, or never existed: the mutations waited for are gone with it.'
        return Verdict(dict(seen), False, never, never)
    info = reading.info
    now = _Seen(
        proved=dict(seen.get("proved", {})),
        watermarks=_with_watermark(seen.get("watermarks", []), info, max(wait.batches for wait in waits)),
        first=seen.get("first") or (info.answered_at.isoformat() if info.answered_at else None),
        missed=list(seen.get("missed", [])),
        turn=seen.get("turn"),
    )
    missing: list[str] = []
    for wait in waits:
        if wait.mutation_id in now.proved:
            continue
        proof, lack = _prove(wait, info, reading, now)
        if proof:
            now.proved[wait.mutation_id] = proof
        else:
            missing.append(f"{wait.mutation_id}: {lack}")
    # The verdict first: pages that show logs cut long lines.
    if missing:
        more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
        text = f"Not visible yet: {'; '.join(missing[:3])}{more}."
    else:
        proofs = sorted(set(now.proved.values()))
        text = f"{'All ' if len(now.proved) > 1 else ''}{len(now.proved)} visible: {'; '.join(proofs)}."
    return Verdict(asdict(now), not missing, None, f'{text} Index "{index_name}": {_watermark_text(info)}')


@dataclass
class _Seen:
    """What is carried from look to look.

    :param proved: the proof of each mutation that is visible.
    :param watermarks: the last ones, with their times.
    :param first: the server's clock at the first look.
    :param missed: mutations of which all samples were seen missing, after which seeing them tells something.
    :param turn: the mutation whose samples were read last.
    """

    proved: dict[str, str]
    watermarks: list[list[str]]
    first: str | None
    missed: list[str]
    turn: str | None


def _prove(wait: Wait, info: IndexInfo, reading: Reading, now: _Seen) -> tuple[str | None, str]:
    """The proof, or ``None`` and what is missing."""
    if wait.sealed and info.processed_up_to_mutation == wait.mutation_id:
        return WATERMARK, ""
    if wait.samples:
        if not _passed(wait, info):
            return None, "nothing was processed since it was acknowledged"
        if not reading.reads or not {sample.id for sample in wait.samples} <= set(reading.asked):
            return None, "its sample vectors are read in turn"
        now.turn = wait.mutation_id
        reads = len(reading.reads)
        agreeing = sum(all(_agrees(wait, sample, read) for sample in wait.samples) for read in reading.reads)
        if agreeing < reads or reads < AGREEING_READS:
            nowhere = not any(_agrees(wait, sample, read) for sample in wait.samples for read in reading.reads)
            if nowhere and reads >= AGREEING_READS and wait.mutation_id not in now.missed:
                now.missed.append(wait.mutation_id)
            return None, f"{agreeing} of {reads} reads show its sample vectors as they were sent"
        if any(sample.new for sample in wait.samples) or wait.mutation_id in now.missed:
            return READ_BACK, ""
    return _infer(wait, info, now)


def _infer(wait: Wait, info: IndexInfo, now: _Seen) -> tuple[str | None, str]:
    since = wait.accepted_at or (datetime.fromisoformat(now.first) if now.first else None)
    # Where only the first look is known, a watermark that came after it is a later one, whatever the clocks say.
    grain = CLOCK_GRAIN if wait.accepted_at else timedelta(0)
    later = [at for _, at in now.watermarks if since is None or datetime.fromisoformat(at) > since + grain]
    if len(later) >= wait.batches:
        return LATER_BATCHES, ""
    processed, answered = info.processed_up_to_datetime, info.answered_at
    if since and processed and answered and answered - max(processed, since) >= QUIET:
        return ALL_QUIET, ""
    why = "its sample vectors were there before" if wait.samples else "there is no receipt with samples to read back"
    return None, f"{len(later)} of {wait.batches} later batches were processed, and {why}"


def _agrees(wait: Wait, sample: Sample, read: Mapping[str, str | None]) -> bool:
    if wait.operation == "delete":
        return sample.id not in read
    if wait.operation == "insert":  # the vector that was there before stays: being there is all that was promised
        return sample.id in read
    return read.get(sample.id) == sample.digest


def _passed(wait: Wait, info: IndexInfo) -> bool:
    processed = info.processed_up_to_datetime
    return processed is not None and (wait.accepted_at is None or processed + CLOCK_GRAIN >= wait.accepted_at)


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
