"""Describe how far a load is, for its log and for metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.quantities import (
    format_duration,
    format_elapsed,
    format_rate,
    format_size,
    pluralize,
)


@dataclass(frozen=True)
class Progress:
    """The progress of a load at one moment.

    :param receipt: What was acknowledged, including earlier attempts of the task.
    :param before: What earlier attempts had acknowledged.
    :param share: The share of the source's stored bytes that is processed, 0 to 1, or ``None`` if a size is not known.
    :param share_before: The same share when this attempt started.
    :param seconds: Seconds since this attempt started.
    :param requests: Number of requests that this attempt started.
    :param retries: How many of these requests repeat a failed one.
    :param in_flight: Number of batches that are being sent.
    :param waited: Seconds for which rate limits delayed requests of this attempt, summed over all threads.
    """

    receipt: Receipt
    before: Receipt
    share: float | None
    share_before: float
    seconds: float
    requests: int
    retries: int
    in_flight: int
    waited: float

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds until the end at the rate of this attempt, or ``None`` if they cannot be estimated."""
        new = (self.share or 0) - self.share_before
        return (1 - self.share) / new * self.seconds if self.share and new > 0 else None

    def __str__(self) -> str:
        """Return one line for the log while the load runs."""
        receipt, new = self.receipt, self.receipt.bytes_sent - self.before.bytes_sent
        share = "" if self.share is None else f" ({self.share:.0%} of the source)"
        values = [
            f"Uploaded {pluralize(receipt.vectors, 'vector')}{share}, {format_size(receipt.bytes_sent)} sent",
            format_rate(new, self.seconds),
        ]
        if self.seconds_left:
            values.append(f"about {format_duration(self.seconds_left)} left")
        if receipt.rejected:
            values.append(f"{pluralize(receipt.rejected, 'row')} rejected")
        values += [pluralize(self.requests, "request"), f"{self.in_flight:,} in flight"]
        values.append(pluralize(self.retries, "retry", "retries"))
        return ", ".join(values) + self._time_lost

    def summary(self) -> str:
        """Return one line for the log at the end of the load."""
        receipt, before = self.receipt, self.before
        batches, sent = receipt.batches - before.batches, receipt.bytes_sent - before.bytes_sent
        line = f"Uploaded {pluralize(receipt.vectors - before.vectors, 'vector')} in {pluralize(batches, 'request')}"
        line += f" ({format_size(sent)}) in {format_elapsed(self.seconds)}, {format_rate(sent, self.seconds)}"
        if before.vectors:
            line += f", after {pluralize(before.vectors, 'vector')} in earlier attempts"
        if receipt.rejected:
            line += f", {pluralize(receipt.rejected, 'row')} rejected"
        if self.retries:
            line += f", {pluralize(self.retries, 'retry', 'retries')}"
        return f"{line}{self._time_lost}. Last mutation: {receipt.mutation_id}."

    @property
    def _time_lost(self) -> str:
        return f", {format_duration(self.waited)} lost to rate limits" if self.waited >= 1 else ""


#: Called with the progress of a load every few seconds and at its end.
Observer = Callable[[Progress], None]


class LastProgress:
    """Keep the last progress of a load, for the line at its end, and pass each one on.

    :param observer: Called with each progress.
    """

    def __init__(self, observer: Observer) -> None:
        self.last: Progress | None = None
        self._observer = observer

    def __call__(self, progress: Progress) -> None:
        self.last = progress
        self._observer(progress)
