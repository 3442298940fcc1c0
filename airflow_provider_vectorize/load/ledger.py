"""What a load has achieved: receipt, dead letters and checkpoint, kept in step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_vectorize.load.batches import Batch
from airflow_provider_vectorize.load.checkpoint import Checkpoint, Keeper
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.delivery import Ack
from airflow_provider_vectorize.load.receipt import MUTATION_IDS, Receipt, Sample
from airflow_provider_vectorize.load.rows import BadRow

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

    def __init__(self, begun: Checkpoint, keeper: Keeper, letters: DeadLetters | None, uris: Sequence[str]) -> None:
        self.checkpoint = begun
        self._keeper = keeper
        self._letters = letters
        self._uris = uris
        self._halved = 0
        self._accounts = 0
        #: Of each account that no later batch stands for: its number and its samples.
        self._unsealed: list[tuple[int, tuple[Sample, ...]]] = []

    @property
    def receipt(self) -> Receipt:
        """What was acknowledged so far."""
        return self.checkpoint.receipt

    @property
    def now(self) -> int:
        """A point in time, to be remembered for each batch when it is sent."""
        return self._accounts

    def account(self, batch: Batch, acks: Sequence[Ack], refused: Sequence[BadRow], sent_at: int) -> None:
        """Enter a batch that is dealt with: its dead letters first, then the checkpoint.

        :param sent_at: :attr:`now` when it was sent.
        """
        bad = sorted([*batch.bad, *refused], key=lambda row: row.mark)
        if self._letters and bad:
            self._letters.add((self._uris[row.mark.object], row) for row in bad)
        self._name(bad, self.receipt.rejected)
        receipt = replace(self.receipt, rejected=self.receipt.rejected + len(bad))
        if acks:
            receipt = self._acknowledged(receipt, acks, sent_at)
        self.checkpoint = replace(
            self.checkpoint,
            done=self.checkpoint.done.add(batch.start, batch.end),
            receipt=receipt,
            dead_letter_bytes=self._letters.size if self._letters else 0,
        )
        self._keeper.save(self.checkpoint)

    def fail(self, acks: Sequence[Ack]) -> None:
        """Remember what was written of a batch that failed half-way. It is not dealt with."""
        self._halved += sum(ack.vectors for ack in acks)

    def _acknowledged(self, receipt: Receipt, acks: Sequence[Ack], sent_at: int) -> Receipt:
        # In Vectorize's log this batch stands behind all that were accounted for before it was sent.
        self._unsealed = [one for one in self._unsealed if one[0] >= sent_at]
        self._unsealed.append((self._accounts, acks[-1].samples))
        self._accounts += 1
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
            samples=tuple(one for _, samples in self._unsealed for one in samples),
            sealed=len(self._unsealed) == 1,
        )

    def _name(self, bad: Sequence[BadRow], before: int) -> None:
        where = f"written to {self._letters.target.uri}" if self._letters else "dropped"
        for count, row in enumerate(bad, before):
            # Without a file the log is the only place where a dropped row is written down.
            if count < NAMED_ROWS or not self._letters:
                log.warning("%s, line %d: %s (%s)", self._uris[row.mark.object], row.mark.line, row.reason, where)
            elif count == NAMED_ROWS:
                log.warning("Further bad rows are not named here: see %s", self._letters.target.uri)

    def told(self) -> str:
        """What to tell the person who reads of a failure."""
        receipt = self.receipt
        more = f" {self._halved:,} vectors of a batch that was not finished were written, too." if self._halved else ""
        if not receipt.batches:
            return f"{'No whole batch' if more else 'Nothing'} was acknowledged before that.{more}"
        again = "goes on after them" if self._keeper.durable else "sends them again, which changes nothing"
        return (
            f"Before that, {receipt.vectors:,} vectors in {receipt.batches} batches were acknowledged "
            f"(last mutation {receipt.mutation_id}); a retry {again}.{more}"
        )
