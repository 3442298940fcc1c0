"""batches → client → receipt: several requests in flight, in an order that cannot change the outcome.

Three kinds of thread talk by one queue of events, and only the caller's thread decides:
a reader makes batches, senders deliver them, the caller launches, counts, writes checkpoints and fails.

Vectorize may carry out a request after it was given up. The client holds a batch back while such a request could write
one of its ids, and a load ends only when none of its requests can be carried out any more.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.pacing import StoppedError
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.load.bad_row_file import BadRowFile
from airflow_provider_vectorize.load.bad_rows import BadRows
from airflow_provider_vectorize.load.batches import Batch, cut
from airflow_provider_vectorize.load.bodies import Spools
from airflow_provider_vectorize.load.delivery import Ack, Delivery
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.options import LoadOptions
from airflow_provider_vectorize.load.progress import Observer, Progress, share_done
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.block_rows import Rows
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.reader import read_rows
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.source_object import SourceObject

log = logging.getLogger(__name__)

#: Seconds between two lines about progress in the log.
PROGRESS_SECONDS = 10.0
#: Seconds after which the caller's thread looks whether it was told to stop.
TICK_SECONDS = 0.5


@dataclass
class _Outcome:
    """What became of a batch, or of the reader, which has none."""

    batch: Batch | None
    acks: list[Ack] = field(default_factory=list)
    refused: BadRowFile = field(default_factory=BadRowFile)
    error: BaseException | None = None


class Uploader:
    """One load. Call :meth:`run` once.

    :param client: of its own: a load stops the client's waiting when it ends.
    :param objects: the source, in its order.
    :param check: of each row.
    :param options: how.
    :param ledger: what an earlier attempt achieved, and where to enter what this one does.
    :param bad_rows: judges them.
    :param delivery: sends batches.
    :param tell: of the load's progress.
    """

    def __init__(
        self,
        client: VectorizeClient,
        objects: Sequence[SourceObject],
        check: Check,
        options: LoadOptions,
        ledger: Ledger,
        bad_rows: BadRows,
        delivery: Delivery,
        tell: Observer,
    ) -> None:
        self._client = client
        self._objects = objects
        self._check = check
        self._options = options
        self._ledger = ledger
        self._bad_rows = bad_rows
        self._delivery = delivery
        self._events: queue.SimpleQueue[Batch | _Outcome] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(options.max_in_flight + 1)
        self._stopped = threading.Event()
        self._spools = Spools()
        self._reporter = _Reporter(client, ledger, objects, tell)

    def run(self) -> Receipt:
        """Load, and return when every row is acknowledged or written down.

        :raises VectorizeError: with :attr:`~VectorizeError.progress`; what was acknowledged stays so, and is in
            the checkpoint.
        """
        threads: list[threading.Thread] = []
        try:
            self._start(threads, "reader", self._read)
            for number in range(self._options.max_in_flight):
                self._start(threads, f"sender-{number}", self._send)
            self._coordinate()
        except StoppedError:
            raise VectorizeError(f"The load was stopped. {self._ledger.told()}") from None
        except VectorizeError as error:
            error.progress = self._ledger.told()
            raise
        except BaseException:  # a timeout of the task, for instance
            log.warning("The load ends early. %s", self._ledger.told())
            raise
        finally:
            self._reporter.end()
            self._stop()
            self._room.release()
            for _ in threads:
                self._work.put(None)
            for thread in threads:  # they are daemons: one that hangs in a read does not keep the task
                thread.join(timeout=1.0)
            self._spools.close()
        return self._ledger.receipt

    @staticmethod
    def _start(threads: list[threading.Thread], name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"vectorize-{name}", daemon=True)
        thread.start()
        threads.append(thread)

    def _stop(self) -> None:
        """Start nothing new. Writes on the wire continue to their answers, reads end."""
        self._stopped.set()
        self._client.pacer.stopped.set()  # not stop(): a load that fails still waits for late requests

    # ------------------------------------------------------------------ the caller's thread

    def _coordinate(self) -> None:
        waiting: deque[Batch] = deque()
        in_flight: set[Batch] = set()
        failure: Exception | None = None
        complete = False
        while True:
            while waiting and not failure and self._may_start(waiting[0], in_flight):
                batch = waiting.popleft()
                in_flight.add(batch)
                self._work.put(batch)
            if (failure or (complete and not waiting)) and not in_flight:
                break
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=TICK_SECONDS)
                if isinstance(event, Batch):
                    waiting.append(event)
                    complete = event.last
                    continue
                try:
                    self._settle(event, in_flight)
                except Exception as error:  # noqa: BLE001 - others are in flight: they may still be acknowledged
                    failure = failure or error
                    self._stop()
            if not failure and self._client.pacer.stopped.is_set():
                failure = StoppedError()
                self._stop()
            if self._reporter.due():
                self._reporter.say(len(in_flight))
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
        """Make the last mutation stand for all. Where the last batch was empty or refused, it does not yet."""
        receipt = self._ledger.receipt
        if receipt.vectors and not receipt.sealed:
            self._ledger.seal(self._client.send_marker(receipt.index_name))

    def _settle(self, outcome: _Outcome, in_flight: set[Batch]) -> None:
        batch = outcome.batch
        if batch is None:
            assert outcome.error is not None
            raise outcome.error
        in_flight.remove(batch)
        batch.close()
        self._room.release()
        if outcome.error is not None:
            self._ledger.fail(outcome.acks)
            raise outcome.error
        self._ledger.account(batch, outcome.acks, outcome.refused)

    def _may_start(self, batch: Batch, in_flight: Collection[Batch]) -> bool:
        if len(in_flight) >= self._options.max_in_flight:
            return False
        if batch.last:  # so that its mutation, the last, means all of them
            return not in_flight
        ids = set(batch.ids)
        if None in ids:  # ids that are not known may be the same
            return not in_flight
        return all(ids.isdisjoint(other.ids) and None not in other.ids for other in in_flight)

    # ------------------------------------------------------------------ the reader

    def _read(self) -> None:
        try:
            done = self._ledger.checkpoint.done
            for batch in cut(self._judged(done), self._options.limits, done.resume_position, self._spools):
                self._room.acquire()
                if self._stopped.is_set():
                    return
                self._events.put(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self._events.put(_Outcome(None, error=error))

    def _judged(self, done: ProcessedRanges) -> Iterator[Rows]:
        for rows in read_rows(self._objects, self._check, done):
            if self._stopped.is_set():
                return
            self._bad_rows.judge_all(rows.bad)
            yield rows
            del rows  # a long line must not stay in memory while the next one is read

    # ------------------------------------------------------------------ the senders

    def _send(self) -> None:
        while (batch := self._work.get()) is not None:
            outcome = _Outcome(batch)
            try:
                outcome.refused = self._delivery.deliver(batch, outcome.acks)
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                outcome.error = error
            self._events.put(outcome)


class _Reporter:
    """Says now and then how far the load is."""

    def __init__(
        self, client: VectorizeClient, ledger: Ledger, objects: Sequence[SourceObject], tell: Observer
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._objects = objects
        self._tell = tell
        self._before = ledger.receipt
        self._share_before = self._share() or 0.0
        self._begun = self._said = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._said >= PROGRESS_SECONDS

    def say(self, in_flight: int) -> None:
        self._said = time.monotonic()
        progress = self._now(in_flight)
        log.info("%s", progress)
        self._tell(progress)

    def end(self) -> None:
        """Tell what has come last. Whoever called for the load says it in the log."""
        self._tell(self._now(0))

    def _now(self, in_flight: int) -> Progress:
        return Progress(
            receipt=self._ledger.receipt,
            before=self._before,
            share=self._share(),
            share_before=self._share_before,
            seconds=time.monotonic() - self._begun,
            requests=self._client.pacer.begun,
            retries=self._client.retries,
            in_flight=in_flight,
            waited=self._client.pacer.waited,
        )

    def _share(self) -> float | None:
        return share_done(self._objects, self._ledger.checkpoint.done.resume_position)
