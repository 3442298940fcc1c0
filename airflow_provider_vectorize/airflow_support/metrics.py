"""What Airflow's metrics are told of a load."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_vectorize.load.progress import Progress


class LoadMetrics:
    """Counts a load's vectors, rejected rows, bytes, requests and retries while it runs, in Airflow's metrics.

    ``vectorize.load.vectors``, ``.rejected``, ``.bytes_sent``, ``.requests`` and ``.retries`` are counters,
    ``.share`` (0 to 1) and ``.waited`` (seconds lost to rate limits) gauges; each is tagged with the ``index``.

    :param index_name: the index.
    """

    def __init__(self, index_name: str) -> None:
        self._tags = {"index": index_name}
        self._told: dict[str, int] = {}

    def __call__(self, progress: Progress) -> None:
        """Tell what has come since the last call."""
        receipt, before = progress.receipt, progress.before
        counts = {
            "vectors": receipt.vectors - before.vectors,
            "rejected": receipt.rejected - before.rejected,
            "bytes_sent": receipt.bytes_sent - before.bytes_sent,
            "requests": progress.requests,
            "retries": progress.retries,
        }
        for name, count in counts.items():
            new = count - self._told.get(name, 0)
            if new:
                Stats.incr(f"vectorize.load.{name}", new, tags=self._tags)
        self._told = counts
        Stats.gauge("vectorize.load.waited", progress.waited, tags=self._tags)
        if progress.share is not None:
            Stats.gauge("vectorize.load.share", progress.share, tags=self._tags)
