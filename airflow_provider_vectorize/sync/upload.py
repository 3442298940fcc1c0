"""Send changed rows: each request is written down before it is sent, and counted after it was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.batches import Batch, split_into_batches
from airflow_provider_vectorize.load.bodies import BatchFilePool
from airflow_provider_vectorize.load.delivery import Ack, Delivery
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.uploader import Uploader
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sync.comparison import Comparison
from airflow_provider_vectorize.sync.log import Log
from airflow_provider_vectorize.sync.progress import SyncProgressReporter


class RecordedDelivery(Delivery):
    """Deliver batches, and keep the log of the sync.

    The parameters are those of :class:`Delivery`, and:

    :param write_ahead: The log.
    :param uris: The URIs of the source's objects.
    """

    def __init__(self, *args: Any, write_ahead: Log, uris: list[str]) -> None:
        super().__init__(*args)
        self._write_ahead = write_ahead
        self._uris = uris

    def deliver(self, batch: Batch, acks: list[Ack]) -> BadRowFile:
        """Write a batch to the log, send it, and acknowledge it in the log."""
        if not len(batch):
            return super().deliver(batch, acks)
        ids = [str(vector_id) for vector_id in batch.ids]
        number = self._write_ahead.write("upsert", ids, batch.hashes, list(self._objects(batch)))
        refused = super().deliver(batch, acks)
        self._write_ahead.acknowledge(number, _refused_ids(batch, refused))
        return refused

    def _objects(self, batch: Batch) -> Iterator[str]:
        """Yield the URI of the object of each row."""
        for block in batch.row_positions:
            yield from [self._uris[block.object]] * len(block.lines)


def _refused_ids(batch: Batch, refused: BadRowFile) -> list[str]:
    if not len(refused):
        return []
    rows = {batch.position(row): row for row in range(len(batch))}
    return [str(batch.ids[rows[bad.position]]) for bad in refused]


class SyncUploader(Uploader):
    """Upload the rows that a comparison selects.

    The parameters are those of :class:`Uploader`, and:

    :param comparison: Selects the rows.
    """

    def __init__(self, *args: Any, comparison: Comparison) -> None:
        super().__init__(*args)
        self._comparison = comparison

    def _accepted_rows(self, processed: ProcessedRanges) -> Iterator[Rows]:
        """Yield the rows to send. The comparison has rejected bad rows before."""
        return self._comparison.rows_to_send(self._stopped.is_set)

    def _seal(self) -> None:
        """Do nothing. The sync seals its receipt after the deletions."""


def measure(comparison: Comparison, limits: Limits, ledger: Ledger, reporter: SyncProgressReporter) -> Receipt:
    """Pack the rows to send into requests as an upload does, and count them without sending them.

    :param ledger: Counts and logs bad rows. It has no dead-letter file.
    :return: A receipt with the counts of an upload.
    """
    vectors = batches = bytes_sent = 0
    file_pool = BatchFilePool()
    try:
        blocks = reporter.while_reading(comparison.rows_to_send())
        for batch in split_into_batches(blocks, limits, Position(), file_pool):
            vectors, bytes_sent = vectors + len(batch), bytes_sent + batch.size
            batches += bool(len(batch))
            ledger.record(batch, [], BadRowFile())
            batch.close()
    finally:
        file_pool.close()
    return replace(ledger.receipt, vectors=vectors, batches=batches, bytes_sent=bytes_sent)
