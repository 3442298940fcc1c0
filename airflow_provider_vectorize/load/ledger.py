"""What a load has achieved: receipt, dead letters and checkpoint, kept in step."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import chain

from airflow_provider_vectorize.api.models import Mutation
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.batches import Batch
from airflow_provider_vectorize.load.checkpoint import Checkpoint, CheckpointWriter
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.delivery import Ack
from airflow_provider_vectorize.load.receipt import MUTATION_IDS, Receipt
from airflow_provider_vectorize.load.rejections import count_reasons
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.block_rows import BadRow
from airflow_provider_vectorize.sources.places import row_label

log = logging.getLogger(__name__)

#: Bad rows that are named in the log, each on a line; the rest is counted.
NAMED_ROWS = 20


class Ledger:
    """For one thread. Nothing counts before it is in here.

    :param begun: where an earlier attempt came to, or an empty checkpoint.
    :param keeper: keeps checkpoints.
    :param letters: takes bad rows, or ``None``.
    :param uris: the source's objects.
    """

    def __init__(
        self, begun: Checkpoint, keeper: CheckpointWriter, letters: DeadLetters | None, uris: Sequence[str]
    ) -> None:
        self.checkpoint = begun
        self._keeper = keeper
        self._letters = letters
        self._uris = uris
        self._halved = 0

    @property
    def receipt(self) -> Receipt:
        """What was acknowledged so far."""
        return self.checkpoint.receipt

    def account(self, batch: Batch, acks: Sequence[Ack], refused: BadRowFile) -> None:
        """Enter a batch that is dealt with: its dead letters first, then the checkpoint."""
        bad = len(batch.bad) + len(refused)
        rows = self._named(merge(batch.bad, refused, key=lambda row: row.position))
        if self._letters and bad:
            self._letters.add((self._uris[row.position.object], row) for row in rows)
        else:
            deque(rows, 0)
        reasons = (row.reason for row in chain(batch.bad, refused))
        receipt = replace(
            self.receipt,
            rejected=self.receipt.rejected + bad,
            rejected_by_reason=count_reasons(self.receipt.rejected_by_reason, reasons),
        )
        if acks:
            receipt = _acknowledged(receipt, acks, sealed=batch.last)
        self.checkpoint = replace(
            self.checkpoint,
            done=self.checkpoint.done.add(batch.start, batch.end),
            receipt=receipt,
            dead_letter_bytes=self._letters.size if self._letters else 0,
            dead_letter_digest=self._letters.digest if self._letters else "",
            settled=False,
        )
        self._keeper.save(self.checkpoint)

    def settle(self) -> None:
        """Enter that no request of the load can be carried out any more."""
        self.checkpoint = replace(self.checkpoint, settled=True)
        self._keeper.save(self.checkpoint)

    def fail(self, acks: Sequence[Ack]) -> None:
        """Remember what was written of a batch that failed half-way. It is not dealt with."""
        self._halved += sum(ack.vectors for ack in acks)

    def seal(self, marker: Mutation) -> None:
        """Enter a marker that was sent when everything else had been acknowledged."""
        accepted_at = marker["accepted_at"] or self.receipt.accepted_at
        receipt = replace(
            self.receipt,
            mutation_id=marker.mutation_id,
            mutation_ids=(*self.receipt.mutation_ids, marker.mutation_id)[-MUTATION_IDS:],
            accepted_at=accepted_at,
            sealed=True,
        )
        self.checkpoint = replace(self.checkpoint, receipt=receipt)
        self._keeper.save(self.checkpoint)

    def _named(self, bad: Iterable[BadRow]) -> Iterator[BadRow]:
        """Bad rows on their way, one at a time: name them in the log."""
        where = f"written to {self._letters.target.uri}" if self._letters else "dropped"
        for count, row in enumerate(bad, self.receipt.rejected):
            # Without a file the log is the only place where a dropped row is written down.
            if count < NAMED_ROWS or not self._letters:
                label = row_label(self._uris[row.position.object], row.position.line)
                log.warning("Rejected a row: %s (%s, %s)", row.reason, label, where)
            elif count == NAMED_ROWS:
                log.warning("Further rejected rows are not logged. They are in %s", self._letters.target.uri)
            yield row

    def told(self) -> str:
        """What to tell the person who reads of a failure."""
        receipt = self.receipt
        more = (
            f" Another {pluralize(self._halved, 'vector')} of an unfinished batch were written." if self._halved else ""
        )
        if not receipt.batches:
            return f"{'No whole batch' if more else 'Nothing'} was acknowledged before that.{more}"
        again = "continues after them" if self._keeper.durable else "sends them again, which changes nothing"
        return (
            f"Before that, {pluralize(receipt.vectors, 'vector')} in {pluralize(receipt.batches, 'batch', 'batches')} "
            f"were acknowledged "
            f"(last mutation {receipt.mutation_id}); a retry {again}.{more}"
        )


def _acknowledged(receipt: Receipt, acks: Sequence[Ack], *, sealed: bool) -> Receipt:
    times = [receipt.accepted_at, *(ack.accepted_at for ack in acks)]
    return replace(
        receipt,
        mutation_id=acks[-1].mutation_id,
        mutation_ids=(*receipt.mutation_ids, *(ack.mutation_id for ack in acks))[-MUTATION_IDS:],
        vectors=receipt.vectors + sum(ack.vectors for ack in acks),
        batches=receipt.batches + len(acks),
        bytes_sent=receipt.bytes_sent + sum(ack.size for ack in acks),
        accepted_at=max((time for time in times if time), default=None),
        sent_after=acks[-1].sent_after,
        samples=acks[-1].samples,
        sealed=sealed,
    )
