"""Report the progress of a load to Airflow's metrics."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_vectorize.checks.result import CheckResult
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.sync.result import SyncResult


def report_sync(result: SyncResult) -> None:
    """Report the counts of a sync to Airflow's metrics: ``vectorize.sync.added``, ``.changed`` and so on.

    Each is a gauge with the tag ``index``.
    """
    for name, count in result.counts.items():
        Stats.gauge(f"vectorize.sync.{name}", count, tags={"index": result.index_name})


def report_check(result: CheckResult) -> None:
    """Report the figures of a check to Airflow's metrics: ``vectorize.check.recall``, ``.count`` and so on.

    Each is a gauge with the tag ``index``. ``vectorize.check.failed`` is the number of gates that failed.
    """
    tags = {"index": result.index_name}
    for gate in result.gates:
        if gate.value is not None:
            Stats.gauge(f"vectorize.check.{gate.name}", gate.value, tags=tags)
    Stats.gauge("vectorize.check.failed", len(result.failed), tags=tags)


class LoadMetrics:
    """Reports vectors, rejected rows, bytes, requests and retries to Airflow's metrics while a load runs.

    ``vectorize.load.vectors``, ``.rejected``, ``.bytes_sent``, ``.requests`` and ``.retries`` are counters.
    ``.share`` (of the source, 0 to 1) and ``.waited`` (seconds lost to rate limits) are gauges. Each metric has the
    tag ``index``.

    :param index_name: Name of the index, for the tag.
    """

    def __init__(self, index_name: str) -> None:
        self._tags = {"index": index_name}
        self._reported: dict[str, int] = {}

    def __call__(self, progress: Progress) -> None:
        """Report the difference from the last call."""
        receipt, before = progress.receipt, progress.before
        counts = {
            "vectors": receipt.vectors - before.vectors,
            "rejected": receipt.rejected - before.rejected,
            "bytes_sent": receipt.bytes_sent - before.bytes_sent,
            "requests": progress.requests,
            "retries": progress.retries,
        }
        for name, count in counts.items():
            increase = count - self._reported.get(name, 0)
            if increase:
                Stats.incr(f"vectorize.load.{name}", increase, tags=self._tags)
        self._reported = counts
        Stats.gauge("vectorize.load.waited", progress.waited, tags=self._tags)
        if progress.share is not None:
            Stats.gauge("vectorize.load.share", progress.share, tags=self._tags)
