"""batches → client → receipt: several requests in flight, in an order that cannot change the outcome.

Three kinds of thread talk by one queue of events, and only the caller's thread decides:
a reader makes batches, senders deliver them, the caller launches, counts, writes checkpoints and fails.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Operation, UnparsableBehavior
from airflow_provider_vectorize.errors import BadRowError, PayloadTooLargeError, RefusedVectorError, VectorizeError
from airflow_provider_vectorize.load.batches import Batch, cut
from airflow_provider_vectorize.load.checkpoint import Checkpoint, CheckpointStore, Done
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.load.receipt import MUTATION_IDS, Receipt, Sample, digest
from airflow_provider_vectorize.load.rows import BadRow, Rows
from airflow_provider_vectorize.load.source import SourceObject, read_rows
from airflow_provider_vectorize.load.vectors import Float32Text, Validation, choose_check

log = logging.getLogger(__name__)

#: Seconds between two lines about progress in the log.
PROGRESS_SECONDS = 10.0
#: Bad rows that are named in the log, each on a line; the rest is counted.
NAMED_ROWS = 20
#: Vectors of the last batch that the wait reads back.
SAMPLES = 3


@dataclass(frozen=True)
class LoadOptions:
    """How a source is loaded.

    :param validation: how closely rows are looked at, see :func:`~.vectors.choose_check`.
    :param float32_text: whether values are rewritten as shorter text, likewise.
    :param unparsable_behavior: ``error``: a line that is no vector in JSON is a bad row like any other.
        ``discard``: it is dropped, counted and written down. Vectorize itself would not say what it dropped,
        so it is never asked to.
    :param dead_letters: bad rows are written there; without it the first one fails the load.
    :param max_bad_rows: with more bad rows than this the load fails all the same.
    :param max_in_flight: requests under way at a time, 1 or more.
    :param limits: Cloudflare's limits.
    """

    validation: Validation = "full"
    float32_text: Float32Text = "auto"
    unparsable_behavior: UnparsableBehavior = "error"
    dead_letters: DeadLetters | None = None
    max_bad_rows: int = 1_000
    max_in_flight: int = 4
    limits: Limits = LIMITS

    def tolerates(self, row: BadRow) -> bool:
        """Whether the load goes on without this row."""
        return self.dead_letters is not None or (row.unparsable and self.unparsable_behavior == "discard")


@dataclass(frozen=True)
class _Ack:
    mutation_id: str
    accepted_at: str | None
    vectors: int
    size: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class _Delivered:
    batch: Batch
    acks: list[_Ack]
    refused: list[BadRow]


@dataclass(frozen=True)
class _Failed:
    batch: Batch | None
    error: BaseException


class Uploader:
    """One load. Call :meth:`run` once.

    :param client: of its own: a load that fails stops the client's waiting.
    :param operation: ``insert`` or ``upsert``.
    :param index_name: the index.
    :param objects: the source, in its order.
    :param dimensions: of the index.
    :param options: how.
    :param begun: where an earlier attempt came to, or an empty checkpoint.
    :param store: where to keep checkpoints, or ``None``.
    """

    def __init__(
        self,
        client: VectorizeClient,
        operation: Operation,
        index_name: str,
        objects: Sequence[SourceObject],
        dimensions: int,
        options: LoadOptions,
        begun: Checkpoint,
        store: CheckpointStore | None,
    ) -> None:
        self._client = client
        self._operation = operation
        self._index_name = index_name
        self._objects = objects
        self._check = choose_check(dimensions, options.limits, options.validation, options.float32_text)
        self._options = options
        self._checkpoint = begun
        self._store = store
        self._events: queue.SimpleQueue[Batch | _Delivered | _Failed] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(options.max_in_flight + 1)
        self._stopped = threading.Event()
        self._begun_at = time.monotonic()
        self._vectors_before = begun.receipt.vectors
        self._bad_rows = begun.receipt.rejected

    def run(self) -> Receipt:
        """Load, and return when every row is acknowledged or written down.

        :raises VectorizeError: with :attr:`~VectorizeError.progress`; what was acknowledged stays so, and is in
            the checkpoint.
        """
        if self._options.dead_letters:
            self._options.dead_letters.restore(self._checkpoint.dead_letter_bytes)
        threads = [threading.Thread(target=self._read, name="vectorize-reader", daemon=True)]
        threads += [
            threading.Thread(target=self._deliver, name=f"vectorize-sender-{n}", daemon=True)
            for n in range(self._options.max_in_flight)
        ]
        for thread in threads:
            thread.start()
        try:
            self._coordinate()
        except VectorizeError as error:
            error.progress = progress(self._checkpoint.receipt, durable=self._store is not None)
            raise
        finally:
            self._stopped.set()
            self._client.stop()
            self._room.release()
            for _ in threads:
                self._work.put(None)
            for thread in threads:  # they are daemons: one that hangs in a read does not keep the task
                thread.join(timeout=1.0)
        return self._checkpoint.receipt

    # ------------------------------------------------------------------ the caller's thread

    def _coordinate(self) -> None:
        waiting: deque[Batch] = deque()
        in_flight: list[Batch] = []
        failure: BaseException | None = None
        complete = False
        said = time.monotonic()
        while True:
            while waiting and not failure and self._may_start(waiting[0], in_flight):
                batch = waiting.popleft()
                in_flight.append(batch)
                self._work.put(batch)
            if (failure or (complete and not waiting)) and not in_flight:
                break
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=max(0.1, said + PROGRESS_SECONDS - time.monotonic()))
                if isinstance(event, Batch):
                    waiting.append(event)
                    complete = event.last
                else:
                    if event.batch is not None:
                        in_flight.remove(event.batch)
                        event.batch.close()
                        self._room.release()
                    try:
                        if isinstance(event, _Failed):
                            raise event.error
                        self._account(event)
                    except Exception as error:  # noqa: BLE001 - others are in flight: they may still be acknowledged
                        failure = failure or error
                        self._stopped.set()
                        self._client.stop()
            if time.monotonic() - said >= PROGRESS_SECONDS:
                said = time.monotonic()
                self._say_progress(len(in_flight))
        if failure:
            raise failure

    def _may_start(self, batch: Batch, in_flight: Sequence[Batch]) -> bool:
        if len(in_flight) >= self._options.max_in_flight:
            return False
        if batch.last:  # so that its mutation, the last, means all of them
            return not in_flight
        ids = set(batch.ids)
        if None in ids:  # ids that are not known may be the same
            return not in_flight
        return all(ids.isdisjoint(other.ids) and None not in other.ids for other in in_flight)

    def _account(self, delivered: _Delivered) -> None:
        batch, receipt = delivered.batch, self._checkpoint.receipt
        bad = sorted([*batch.bad, *delivered.refused], key=lambda row: row.mark)
        letters = self._options.dead_letters
        if letters:
            letters.add((self._objects[row.mark.object].uri, row) for row in bad)
        for ack in delivered.acks:
            receipt = replace(
                receipt,
                mutation_id=ack.mutation_id,
                mutation_ids=(*receipt.mutation_ids, ack.mutation_id)[-MUTATION_IDS:],
                vectors=receipt.vectors + ack.vectors,
                batches=receipt.batches + 1,
                bytes_sent=receipt.bytes_sent + ack.size,
                accepted_at=ack.accepted_at or receipt.accepted_at,
                samples=ack.samples,
            )
        self._name_bad_rows(bad, receipt.rejected)
        receipt = replace(receipt, rejected=receipt.rejected + len(bad))
        self._checkpoint = replace(
            self._checkpoint,
            done=self._checkpoint.done.add(batch.start, batch.end),
            receipt=receipt,
            dead_letter_bytes=letters.size if letters else 0,
        )
        if self._store is not None:
            self._store.save(self._checkpoint.to_dict())

    def _name_bad_rows(self, bad: Sequence[BadRow], before: int) -> None:
        where = f"written to {self._options.dead_letters.target.uri}" if self._options.dead_letters else "dropped"
        for count, row in enumerate(bad, before):
            # Without a file the log is the only place where a dropped row is written down.
            if count < NAMED_ROWS or not self._options.dead_letters:
                log.warning(
                    "%s, line %d: %s (%s)", self._objects[row.mark.object].uri, row.mark.line, row.reason, where
                )
            elif count == NAMED_ROWS:
                log.warning("Further bad rows are not named here: see %s", self._options.dead_letters.target.uri)

    def _say_progress(self, in_flight: int) -> None:
        receipt, seconds = self._checkpoint.receipt, time.monotonic() - self._begun_at
        log.info(
            "%s vectors acknowledged in %d batches, %.1f MB; %d requests in flight, %d retries, "
            "%.0f s lost to rate limits, %.0f vectors a second",
            f"{receipt.vectors:,}",
            receipt.batches,
            receipt.bytes_sent / 1e6,
            in_flight,
            self._client.retries,
            self._client.pacer.waited,
            (receipt.vectors - self._vectors_before) / seconds,
        )

    # ------------------------------------------------------------------ the reader

    def _read(self) -> None:
        try:
            done, limits = self._checkpoint.done, self._options.limits
            for batch in cut(self._judged(done), limits, done.start):
                self._room.acquire()
                if self._stopped.is_set():
                    return
                self._events.put(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self._events.put(_Failed(None, error))

    def _judged(self, done: Done) -> Iterator[Rows]:
        for rows in read_rows(self._objects, self._check, done):
            if self._stopped.is_set():
                return
            for row in rows.bad:
                self._judge(row)
            yield rows

    def _judge(self, row: BadRow) -> None:
        """Count a bad row, and fail where it is one too many."""
        if not self._options.tolerates(row):
            raise self._bad_row_error(row, "")
        self._bad_rows += 1
        if self._bad_rows > self._options.max_bad_rows:
            raise self._bad_row_error(row, f"It is one more than max_bad_rows={self._options.max_bad_rows} allows: ")

    def _bad_row_error(self, row: BadRow, prefix: str) -> BadRowError:
        uri = self._objects[row.mark.object].uri
        advice = (
            "Correct it at its source"
            if prefix
            else ("Correct it, or set on_bad_row='dead_letter' with a dead_letter_path to load the others without it")
        )
        return BadRowError(
            f"Line {row.mark.line} of {uri} (byte {row.mark.offset:,}) cannot be loaded: {row.reason}. "
            f"{prefix}{advice}.",
            uri=uri,
            line=row.mark.line,
            offset=row.mark.offset,
            reason=row.reason,
        )

    # ------------------------------------------------------------------ the senders

    def _deliver(self) -> None:
        while (batch := self._work.get()) is not None:
            try:
                self._events.put(self._delivered(batch))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                self._events.put(_Failed(batch, error))

    def _delivered(self, batch: Batch) -> _Delivered:
        """Send a batch; where Vectorize refuses it, halve it until the row is found that it is refused for."""
        acks: list[_Ack] = []
        refused: list[BadRow] = []
        todo = [(0, len(batch))] if len(batch) else []
        while todo:
            first, stop = todo.pop()
            body = batch.body(first, stop)
            try:
                mutation = self._client.write(self._operation, self._index_name, body)
            except (RefusedVectorError, PayloadTooLargeError) as error:
                if stop - first > 1:
                    middle = (first + stop) // 2
                    todo += [(middle, stop), (first, middle)]  # the first half goes first: the order counts
                    continue
                reason = f"Vectorize refuses it: {error.api_message or error.message} (code {error.code})"
                row = BadRow(batch.mark(first), batch.text(first), reason, getattr(error, "code", None) == 40023)
                self._judge(row)
                refused.append(row)
            else:
                accepted_at = mutation.accepted_at.isoformat() if mutation.accepted_at else None
                samples = _samples(batch, first, stop)
                acks.append(_Ack(mutation.mutation_id, accepted_at, stop - first, len(body), samples))
        return _Delivered(batch, acks, refused)


def _samples(batch: Batch, first: int, stop: int) -> tuple[Sample, ...]:
    """A few rows, each the last one of its id, so that no later row of the batch replaces it."""
    ids = [vector_id or f"#{row}" for row, vector_id in enumerate(batch.ids[first:stop])]
    rows = list({vector_id: row for row, vector_id in enumerate(ids, first)}.values())
    chosen = sorted({rows[len(rows) * n // SAMPLES] for n in range(SAMPLES)} | {rows[-1]})[-SAMPLES:]
    vectors: list[dict[str, Any]] = [json.loads(batch.text(row)) for row in chosen]
    return tuple(Sample(v["id"], digest(v["values"], v.get("metadata"))) for v in vectors)


def progress(receipt: Receipt, *, durable: bool) -> str:
    """What to tell the person who reads of a failure."""
    if not receipt.batches:
        return "Nothing was acknowledged before that."
    again = "a retry goes on after them" if durable else "a retry sends them again, which changes nothing"
    return (
        f"Before that, {receipt.vectors:,} vectors in {receipt.batches} batches were acknowledged "
        f"(last mutation {receipt.mutation_id}); {again}."
    )
