"""Record what a load has achieved, and keep receipt, dead letters and checkpoint consistent."""

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
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.receipt import MUTATION_IDS, Receipt
from airflow_provider_vectorize.load.rejections import count_reasons
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.block_rows import BadRow

log = logging.getLogger(__name__)

#: Number of rejected rows that are logged one by one. All of them are counted.
LOGGED_ROWS = 20


class Ledger:
    """Record processed batches. A batch counts only after it is recorded here. One thread may use it.

    :param checkpoint: The checkpoint from which the load continues, or a new one.
    :param checkpoint_writer: Saves checkpoints.
    :param dead_letters: Receives rejected rows, or ``None``.
    :param source: The source, for the names of rows.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        checkpoint_writer: CheckpointWriter,
        dead_letters: DeadLetters | None,
        source: LoadSource,
    ) -> None:
        self.checkpoint = checkpoint
        self._checkpoint_writer = checkpoint_writer
        self._dead_letters = dead_letters
        self._source = source
        self._unfinished_vectors = 0

    @property
    def receipt(self) -> Receipt:
        """Return what was acknowledged so far."""
        return self.checkpoint.receipt

    def record(self, batch: Batch, acks: Sequence[Ack], refused: BadRowFile) -> None:
        """Record a processed batch: write its dead letters first, then the checkpoint.

        :param batch: The batch.
        :param acks: The acknowledgements of its requests.
        :param refused: The rows that Vectorize refused.
        :raises SourceError: The dead-letter file cannot be written.
        """
        rejected = len(batch.bad_rows) + len(refused)
        rows = self._log_rows(merge(batch.bad_rows, refused, key=lambda row: row.position))
        if self._dead_letters and rejected:
            self._dead_letters.add((self._source.dead_letter_keys(row.position), row) for row in rows)
        else:
            deque(rows, 0)
        reasons = (row.reason for row in chain(batch.bad_rows, refused))
        receipt = replace(
            self.receipt,
            rejected=self.receipt.rejected + rejected,
            rejected_by_reason=count_reasons(self.receipt.rejected_by_reason, reasons),
        )
        if acks:
            receipt = _with_acks(receipt, acks, sealed=batch.last)
        self.checkpoint = replace(
            self.checkpoint,
            processed=self.checkpoint.processed.add(batch.start, batch.end),
            receipt=receipt,
            dead_letter_bytes=self._dead_letters.size if self._dead_letters else 0,
            dead_letter_digest=self._dead_letters.digest if self._dead_letters else "",
            settled=False,
        )
        self._checkpoint_writer.save(self.checkpoint)

    def record_unfinished(self, acks: Sequence[Ack]) -> None:
        """Record the acknowledgements of a batch that failed half-way. The batch does not count as processed."""
        self._unfinished_vectors += sum(ack.vectors for ack in acks)

    def settle(self) -> None:
        """Record that no abandoned request of the load can still be carried out."""
        self.checkpoint = replace(self.checkpoint, settled=True)
        self._checkpoint_writer.save(self.checkpoint)

    def seal(self, marker: Mutation) -> None:
        """Record a marker that was sent after everything else had been acknowledged."""
        accepted_at = marker["accepted_at"] or self.receipt.accepted_at
        receipt = replace(
            self.receipt,
            mutation_id=marker.mutation_id,
            mutation_ids=(*self.receipt.mutation_ids, marker.mutation_id)[-MUTATION_IDS:],
            accepted_at=accepted_at,
            sealed=True,
        )
        self.checkpoint = replace(self.checkpoint, receipt=receipt)
        self._checkpoint_writer.save(self.checkpoint)

    def summary(self) -> str:
        """Return what was acknowledged, as sentences for the message of a failure."""
        receipt = self.receipt
        unfinished = ""
        if self._unfinished_vectors:
            vectors = pluralize(self._unfinished_vectors, "vector")
            unfinished = f" Another {vectors} of an unfinished batch were written."
        if not receipt.batches:
            return f"{'No whole batch' if unfinished else 'Nothing'} was acknowledged before that.{unfinished}"
        retry = "continues after them" if self._checkpoint_writer.durable else "sends them again, which changes nothing"
        return (
            f"Before that, {pluralize(receipt.vectors, 'vector')} in {pluralize(receipt.batches, 'batch', 'batches')} "
            f"were acknowledged (last mutation {receipt.mutation_id}). A retry {retry}.{unfinished}"
        )

    def _log_rows(self, rows: Iterable[BadRow]) -> Iterator[BadRow]:
        """Log rejected rows one by one while they are passed on."""
        outcome = f"written to {self._dead_letters.target.uri}" if self._dead_letters else "dropped"
        for number, row in enumerate(rows, self.receipt.rejected):
            # Without a dead-letter file, the log is the only record of a dropped row.
            if number < LOGGED_ROWS or not self._dead_letters:
                label = self._source.label(row.position)
                log.warning("Rejected a row: %s (%s, %s)", row.reason, label, outcome)
            elif number == LOGGED_ROWS:
                log.warning("Stopped logging rejected rows one by one. All are in %s.", self._dead_letters.target.uri)
            yield row


def _with_acks(receipt: Receipt, acks: Sequence[Ack], *, sealed: bool) -> Receipt:
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
