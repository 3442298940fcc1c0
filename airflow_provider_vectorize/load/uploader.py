"""Upload batches with several concurrent requests, in an order that cannot change the outcome.

Three kinds of threads communicate through one queue of events, and only the caller's thread makes decisions: a reader
makes batches, senders deliver them, and the caller starts and records batches, saves checkpoints and fails the load.

Vectorize may carry out a request after the client has abandoned it. The client holds a batch back as long as such a
request could write one of its IDs, and a load ends only when none of its requests can be carried out any more.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load import spans
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.bad_row_policy import BadRowPolicy
from airflow_provider_vectorize.load.batches import Batch, split_into_batches
from airflow_provider_vectorize.load.bodies import BatchFilePool
from airflow_provider_vectorize.load.collector import read_collected_rows
from airflow_provider_vectorize.load.delivery import Ack, Delivery
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress_reporter import ProgressReporter
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.reader import read_rows

log = logging.getLogger(__name__)

#: Seconds after which the caller's thread checks again whether the client was stopped.
STOP_CHECK_SECONDS = 0.5


@dataclass
class _Outcome:
    """The outcome of a batch, or a failure of the reader, which has no batch.

    :param acks: The acknowledgements of the batch's requests.
    :param refused: The rows that Vectorize refused.
    """

    batch: Batch | None
    acks: list[Ack] = field(default_factory=list)
    refused: BadRowFile = field(default_factory=BadRowFile)
    error: BaseException | None = None


class Uploader:
    """Upload the rows of one load. Call :meth:`run` once.

    :param client: A client for this load alone, because the load stops it at its end.
    :param source: The source.
    :param options: The options of the load.
    :param ledger: Knows what earlier attempts achieved, and records what this one does.
    :param bad_row_policy: Decides whether the load continues without a bad row.
    :param delivery: Sends batches.
    :param reporter: Reports the progress of the load.
    """

    def __init__(
        self,
        client: VectorizeClient,
        source: LoadSource,
        options: LoadOptions,
        ledger: Ledger,
        bad_row_policy: BadRowPolicy,
        delivery: Delivery,
        reporter: ProgressReporter,
    ) -> None:
        self._client = client
        self._source = source
        self._options = options
        self._ledger = ledger
        self._bad_row_policy = bad_row_policy
        self._delivery = delivery
        self._events: queue.SimpleQueue[Batch | _Outcome] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._free_batches = threading.Semaphore(options.max_in_flight + 1)
        self._stopped = threading.Event()
        self._file_pool = BatchFilePool()
        self._reporter = reporter

    def run(self) -> Receipt:
        """Load the source. Return when every row is acknowledged or rejected.

        :raises VectorizeError: The load failed. :attr:`~VectorizeError.progress` says what was acknowledged, which
            is also in the checkpoint.
        """
        threads: list[threading.Thread] = []
        try:
            self._start_thread(threads, "reader", self._read)
            for number in range(self._options.max_in_flight):
                self._start_thread(threads, f"sender-{number}", self._send)
            self._dispatch_batches()
        except StoppedError:
            raise VectorizeError(f"The load was stopped. {self._ledger.summary()}") from None
        except VectorizeError as error:
            error.progress = self._ledger.summary()
            raise
        except BaseException:  # For instance, a timeout of the task.
            log.warning("Interrupted the load. %s", self._ledger.summary())
            raise
        finally:
            self._end_threads(threads)
            self._reporter.finish()  # Last, because the observer may raise.
        return self._ledger.receipt

    def _end_threads(self, threads: list[threading.Thread]) -> None:
        self._stop()
        self._free_batches.release()
        for _ in threads:
            self._work.put(None)
        for thread in threads:  # They are daemons, so one that hangs in a read does not keep the process alive.
            thread.join(timeout=1.0)
        self._file_pool.close()

    @staticmethod
    def _start_thread(threads: list[threading.Thread], name: str, target: Callable[[], None]) -> None:
        # The context of the caller makes the spans of the thread children of its span.
        run_in_context = contextvars.copy_context().run
        thread = threading.Thread(target=run_in_context, args=(target,), name=f"vectorize-{name}", daemon=True)
        thread.start()
        threads.append(thread)

    def _stop(self) -> None:
        """Start no further work. Requests that are being sent continue until they are answered. Reads end."""
        self._stopped.set()
        self._client.pacer.stopped.set()  # Not stop(), because a load that fails still waits for late requests.

    # ------------------------------------------------------------------ the caller's thread

    def _dispatch_batches(self) -> None:
        """Hand batches to the senders and record their outcomes, until all of them are processed."""
        waiting: deque[Batch] = deque()
        in_flight: set[Batch] = set()
        failure: Exception | None = None
        all_read = False
        while True:
            while waiting and not failure and self._may_start(waiting[0], in_flight):
                batch = waiting.popleft()
                in_flight.add(batch)
                self._work.put(batch)
            if (failure or (all_read and not waiting)) and not in_flight:
                break
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=STOP_CHECK_SECONDS)
                if isinstance(event, Batch):
                    waiting.append(event)
                    all_read = event.last
                    continue
                try:
                    self._record(event, in_flight)
                except Exception as error:  # noqa: BLE001 - other batches in flight may still be acknowledged
                    failure = failure or error
                    self._stop()
            if not failure and self._client.pacer.stopped.is_set():
                failure = StoppedError()
                self._stop()
            if self._reporter.due:
                self._reporter.report(len(in_flight))
        self._end(failure)

    def _end(self, failure: Exception | None) -> None:
        """Raise the failure or seal the receipt, and wait until no request of the load can be carried out any more."""
        late = self._client.late
        try:
            with late.settling():
                if failure:
                    raise failure
                self._seal()
        finally:
            if late.settled:
                self._ledger.settle()

    def _seal(self) -> None:
        """Send a marker if the last batch was empty or refused, so that the last mutation covers all of them."""
        receipt = self._ledger.receipt
        if receipt.vectors and not receipt.sealed:
            self._ledger.seal(self._client.send_marker(receipt.index_name))

    def _record(self, outcome: _Outcome, in_flight: set[Batch]) -> None:
        """Record the outcome of a batch, or raise the error of the reader or of a sender."""
        batch = outcome.batch
        if batch is None:
            assert outcome.error is not None
            raise outcome.error
        in_flight.remove(batch)
        batch.close()
        self._free_batches.release()
        if outcome.error is not None:
            self._ledger.record_unfinished(outcome.acks)
            raise outcome.error
        self._ledger.record(batch, outcome.acks, outcome.refused)

    def _may_start(self, batch: Batch, in_flight: Collection[Batch]) -> bool:
        """Check whether a batch can be sent while these others are in flight, without changing the outcome."""
        if len(in_flight) >= self._options.max_in_flight:
            return False
        if batch.last:  # Its mutation is the last one and stands for all of them, so it is sent after all others.
            return not in_flight
        ids = set(batch.ids)
        if None in ids:  # IDs that are not known may be equal.
            return not in_flight
        return all(ids.isdisjoint(other.ids) and None not in other.ids for other in in_flight)

    # ------------------------------------------------------------------ the reader

    def _read(self) -> None:
        try:
            processed = self._ledger.checkpoint.processed
            rows = self._accepted_rows(processed)
            for batch in split_into_batches(rows, self._options.limits, processed.resume_position, self._file_pool):
                self._free_batches.acquire()
                if self._stopped.is_set():
                    return
                self._events.put(batch)
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._events.put(_Outcome(None, error=error))

    def _accepted_rows(self, processed: ProcessedRanges) -> Iterator[Rows]:
        """Yield the blocks of the source whose bad rows the load may reject."""
        collector, source = self._options.collector, self._source
        blocks = (
            read_collected_rows(source.objects, source.reader, processed, collector)
            if collector
            else read_rows(source.objects, source.reader, processed)
        )
        for rows in blocks:
            if self._stopped.is_set():
                return
            self._bad_row_policy.reject_all(rows.bad)
            yield rows
            del rows  # A long line must not stay in memory while the next one is read.

    # ------------------------------------------------------------------ the senders

    def _send(self) -> None:
        while (batch := self._work.get()) is not None:
            outcome = _Outcome(batch)
            try:
                with spans.span("vectorize.batch", rows=len(batch)) as current:
                    outcome.refused = self._delivery.deliver(batch, outcome.acks)
                    spans.describe(
                        current,
                        vectors=sum(ack.vectors for ack in outcome.acks),
                        bytes=sum(ack.size for ack in outcome.acks),
                        mutation_id=outcome.acks[-1].mutation_id if outcome.acks else None,
                    )
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                outcome.error = error
            self._events.put(outcome)
