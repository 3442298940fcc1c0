"""Is a mutation visible yet? One pure function, for sensor, trigger and whoever else waits.

Mutation ids have no order and there is no endpoint for the status of one; what an index tells is the last
mutation of the last batch that it processed (the watermark), and when. Three proofs follow from that, the
strongest first:

1. The watermark *is* the mutation. A load sends its last batch when all others are acknowledged, so its last
   mutation means all of them.
2. The watermark's time has passed the acknowledgement, and the samples of the receipt read back as they were
   sent, in several reads in a row, since replicas disagree for a while.
3. Only where there is nothing to read back: two later batches were processed, one after the other. The first
   may have been running when the mutation was written; the second began after it. An inference, and called so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_vectorize.api.models import IndexInfo
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Receipt, Sample

#: Reads in a row that have to agree (seen live: replicas flap).
AGREEING_READS = 3
#: ``Date`` has whole seconds, the watermark has milliseconds: times this near are not told apart.
CLOCK_GRAIN = timedelta(seconds=1)
#: Answers in a row that have to say that an index is gone, for the same reason.
AGREEING_GONE = 3

WATERMARK = "the watermark is this mutation"
READ_BACK = "its vectors read back as they were sent"
LATER_BATCHES = "inferred: two later batches were processed"


@dataclass(frozen=True)
class Wait:
    """One mutation that is waited for.

    :param index_name: its index.
    :param mutation_id: its id.
    :param accepted_at: the server's clock when it was acknowledged, where that is known.
    :param operation: ``insert`` or ``upsert``: what the samples have to prove.
    :param samples: vectors to read back.
    """

    index_name: str
    mutation_id: str
    accepted_at: datetime | None = None
    operation: str = "upsert"
    samples: tuple[Sample, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain, for a trigger's row: no secret, no data."""
        return {
            "index_name": self.index_name,
            "mutation_id": self.mutation_id,
            "accepted_at": self.accepted_at.isoformat() if self.accepted_at else None,
            "operation": self.operation,
            "samples": [{"id": s.id, "digest": s.digest} for s in self.samples],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Wait:
        """From :meth:`to_dict`, or from a receipt.

        :raises ConfigError: it is neither.
        """
        receipt = Receipt.from_dict({"operation": "upsert", **plain})
        if not receipt.mutation_id:
            raise ConfigError("The receipt has no mutation id: its load wrote nothing that one could wait for.")
        accepted_at = datetime.fromisoformat(receipt.accepted_at) if receipt.accepted_at else None
        return cls(receipt.index_name, receipt.mutation_id, accepted_at, receipt.operation, receipt.samples)


def waits_for(mutation: Any, index_name: str | None) -> list[Wait]:
    """What a sensor's ``mutation`` means.

    :param mutation: a receipt, a mutation id, or a list of either, also nested (what mapped tasks return).
    :param index_name: the index, for ids.
    :raises ConfigError: it is something else, or an id without an index.
    """
    if isinstance(mutation, Mapping):
        return [Wait.from_dict(mutation)]
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
    return [wait for item in items for wait in waits_for(item, index_name)]


@dataclass(frozen=True)
class Reading:
    """What one look at an index found.

    :param info: its state, or ``None`` where :data:`AGREEING_GONE` answers in a row were that there is no such index.
    :param reads: what each of several reads in a row found: digests of the samples' vectors, by id.
    """

    info: IndexInfo | None
    reads: Sequence[Mapping[str, str]] = ()


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


def to_read_back(waits: Sequence[Wait], seen: Mapping[str, Any], info: IndexInfo) -> list[str]:
    """The ids whose vectors the next verdict needs; empty while reading them would prove nothing."""
    proved = seen.get("proved", {})
    return sorted({
        sample.id
        for wait in waits
        if wait.mutation_id not in proved and info.processed_up_to_mutation != wait.mutation_id and _passed(wait, info)
        for sample in wait.samples
    })


def judge(waits: Sequence[Wait], seen: Mapping[str, Any], reading: Reading) -> Verdict:
    """Weigh one more look.

    :param waits: mutations of *one* index.
    :param seen: the last verdict's, or empty.
    :param reading: what was found.
    """
    index_name = waits[0].index_name
    if reading.info is None:
        never = f'Index "{index_name}" was deleted, or never existed: the mutations waited for are gone with it.'
        return Verdict(dict(seen), False, never, never)
    info = reading.info
    proved: dict[str, str] = dict(seen.get("proved", {}))
    watermarks = _with_watermark(seen.get("watermarks", []), info)
    first = seen.get("first") or (info.answered_at.isoformat() if info.answered_at else None)
    missing: list[str] = []
    for wait in waits:
        if wait.mutation_id in proved:
            continue
        proof, lack = _prove(wait, info, reading.reads, watermarks, first)
        if proof:
            proved[wait.mutation_id] = proof
        else:
            missing.append(f"{wait.mutation_id}: {lack}")
    text = f'Index "{index_name}": {_watermark_text(info)}'
    if missing:
        more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
        text += f" Not visible yet: {'; '.join(missing[:3])}{more}."
    else:
        proofs = sorted(set(proved.values()))
        text += f" {'All ' if len(proved) > 1 else ''}{len(proved)} visible: {'; '.join(proofs)}."
    return Verdict({"proved": proved, "watermarks": watermarks, "first": first}, not missing, None, text)


def _prove(
    wait: Wait,
    info: IndexInfo,
    reads: Sequence[Mapping[str, str]],
    watermarks: Sequence[Sequence[str]],
    first: str | None,
) -> tuple[str | None, str]:
    """The proof, or ``None`` and what is missing."""
    if info.processed_up_to_mutation == wait.mutation_id:
        return WATERMARK, ""
    if wait.samples:
        if not _passed(wait, info):
            return None, "nothing was processed since it was acknowledged"
        agreeing = [read for read in reads if all(_agrees(wait, sample, read) for sample in wait.samples)]
        if len(reads) >= AGREEING_READS and len(agreeing) == len(reads):
            return READ_BACK, ""
        return None, f"{len(agreeing)} of {len(reads)} reads show its sample vectors as they were sent"
    since = wait.accepted_at or (datetime.fromisoformat(first) if first else None)
    later = [at for _, at in watermarks if since is None or datetime.fromisoformat(at) > since]
    if len(later) >= 2:
        return LATER_BATCHES, ""
    return None, f"{len(later)} of 2 later batches were processed, and there is no receipt with samples to read back"


def _agrees(wait: Wait, sample: Sample, read: Mapping[str, str]) -> bool:
    if wait.operation == "insert":  # the vector that was there before stays: being there is all that was promised
        return sample.id in read
    return read.get(sample.id) == sample.digest


def _passed(wait: Wait, info: IndexInfo) -> bool:
    processed = info.processed_up_to_datetime
    return processed is not None and (wait.accepted_at is None or processed + CLOCK_GRAIN >= wait.accepted_at)


def _with_watermark(watermarks: Sequence[Sequence[str]], info: IndexInfo) -> list[list[str]]:
    """The watermarks seen, each once and later than the one before: replicas may show an old one again."""
    known = [list(mark) for mark in watermarks]
    if info.processed_up_to_mutation is None or info.processed_up_to_datetime is None:
        return known
    at = info.processed_up_to_datetime
    if not known or (info.processed_up_to_mutation != known[-1][0] and at > datetime.fromisoformat(known[-1][1])):
        known.append([info.processed_up_to_mutation, at.isoformat()])
    return known[-2:]


def _watermark_text(info: IndexInfo) -> str:
    if info.processed_up_to_datetime is None:
        return "nothing was processed yet."
    age = ""
    if info.answered_at:
        age = f", {max(0.0, (info.answered_at - info.processed_up_to_datetime).total_seconds()):.0f} s ago"
    at = info.processed_up_to_datetime.strftime("%H:%M:%S")
    return f"processed up to mutation {info.processed_up_to_mutation} at {at} UTC{age}."
