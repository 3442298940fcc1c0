"""Report the progress of a running load to its log and to an observer."""

from __future__ import annotations

import logging
import time

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.load.ledger import Ledger
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.progress import Observer, Progress

log = logging.getLogger(__name__)

#: Seconds between two progress messages in the log.
PROGRESS_SECONDS = 10.0


class ProgressReporter:
    """Report every few seconds how far a load is.

    :param client: Counts the requests, retries and delays of this attempt.
    :param ledger: Knows what was acknowledged.
    :param source: The source of the load.
    :param observer: Called with each progress.
    """

    def __init__(self, client: VectorizeClient, ledger: Ledger, source: LoadSource, observer: Observer) -> None:
        self._client = client
        self._ledger = ledger
        self._source = source
        self._observer = observer
        self._before = ledger.receipt
        self._share_before = self._processed_share() or 0.0
        self._started_at = self._reported_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Check whether it is time for the next report."""
        return time.monotonic() - self._reported_at >= PROGRESS_SECONDS

    def report(self, in_flight: int) -> None:
        """Log the progress, and pass it on."""
        self._reported_at = time.monotonic()
        progress = self._progress(in_flight)
        log.info("%s", progress)
        self._observer(progress)

    def finish(self) -> None:
        """Pass the last progress on. It is not logged here, because the caller of the load logs its end."""
        self._observer(self._progress(0))

    def _progress(self, in_flight: int) -> Progress:
        return Progress(
            receipt=self._ledger.receipt,
            before=self._before,
            share=self._processed_share(),
            share_before=self._share_before,
            seconds=time.monotonic() - self._started_at,
            requests=self._client.pacer.requests_started,
            retries=self._client.retries,
            in_flight=in_flight,
            waited=self._client.pacer.seconds_waited,
        )

    def _processed_share(self) -> float | None:
        return self._source.share_before(self._ledger.checkpoint.processed.resume_position)
